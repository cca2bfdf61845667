"""How often ``laplace_error`` finds the integrals of Laplace that are wrong.

Studies of the zoo, binned, exponential form; chains of Hamiltonian Monte Carlo on the
same components are the referee. Every study is a row: targets, how many results are off
(mean by more than a quarter of a standard deviation, or width by a quarter), how many
of these are flagged ``rough_integral``, how many are right (off by less than .15) and
how many of those are flagged, and the median of ``laplace_error``. Chains that do not
agree count apart. The last rows are sums.

    python tests/benchmarks/bench_laplace.py [--sets 7] [--prior auto] [--study peak]
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np

from sktamm import BinnedTopicTAMM
from sktamm.inference import BayesianInference

sys.path.append(str(Path(__file__).parent / "zoo"))

import gaussians
import toys
from cases import Size

USUAL, FEW = Size(2_000, 3_000), Size(2_000, 100)
STUDIES = [
    ("Gaussian, 2 features, drawn truth", USUAL),
    ("Gaussian, 2 features, drawn truth", FEW),
    *[(f"narrow resonance, {n} events", USUAL) for n in (50, 500, 5000)],
    *[(f"displaced clusters, s = {s}", USUAL) for s in ("0.4", "1")],
    *[
        (f"peak on a gamma spectrum, strength {s}, K = {k}", size)
        for s, k, size in (
            (1, 2, USUAL),
            (1, 5, USUAL),
            (1, 10, USUAL),
            (2, 5, USUAL),
            (2, 10, USUAL),
            (1, 2, FEW),
            (1, 5, FEW),
        )
    ],
]
OFF, RIGHT = 0.25, 0.15


def one(study, size, number, prior):
    """Error against chains, reading, flag, and whether the chains agree: (n, 4)."""
    case = study.case(number, size)
    X = np.concatenate([events for events, _ in case.targets])
    dataset = np.repeat(np.arange(len(case.targets)), [len(x) for x, _ in case.targets])
    tamm = BinnedTopicTAMM(prior=prior, random_state=0)
    tamm.set_params(inference=BayesianInference("laplace"))
    tamm.fit(case.X, case.y, simulation=case.simulation)
    laplace = tamm.infer(X, dataset=dataset)
    chains = BayesianInference("hmc", min_ess=2500, max_draws=1200)
    tamm.set_params(inference=chains)
    tamm.fit(case.X, case.y, simulation=case.simulation)
    drawn = tamm.infer(X, dataset=dataset)
    shift = np.abs(drawn.kappa - laplace.kappa) / laplace.std
    width = np.abs(np.log(drawn.std / laplace.std))
    known = drawn.diagnostics
    agree = (known["r_hat"] < 1.015) & (known["ess_bulk"] > 1000)
    flagged = ["rough_integral" in flags for flags in laplace.flags]
    reading = laplace.diagnostics["laplace_error"]
    return np.column_stack([np.maximum(shift, width), reading, flagged, agree])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=2)
    parser.add_argument("--prior", default="auto")
    parser.add_argument("--study", default="", help="part of the names of the studies")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    known = {study.name: study for study in toys.STUDIES + gaussians.STUDIES}
    print(f"{'':48s} n  off found right alarms  no chains  median")
    rows = []
    for name, size in STUDIES:
        if options.study not in name:
            continue
        sets = range(options.sets)
        found = [one(known[name], size, i, options.prior) for i in sets]
        rows.append(np.vstack(found))
        few = ", few events" if size is FEW else ""
        _report(name + few, rows[-1])
    _report("all", np.vstack(rows))


def _report(name, rows):
    error, reading, flagged, agree = rows.T
    agree, flagged = agree.astype(bool), flagged.astype(bool)
    off, right = agree & (error > OFF), agree & (error < RIGHT)
    print(
        f"{name:48s}{len(rows):3d} {off.sum():3d} {(flagged & off).sum():5d} "
        f"{right.sum():5d} {(flagged & right).sum():6d} {(~agree).sum():10d}"
        f" {np.median(reading):8.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
