"""Unbinned fits with and without the barrier before densities of few reference rows.

Ratios are trained once per set of a study of the zoo (small size) and used in the space
of all features, without the projection that the default makes there. ``second order``
takes only the bias of ln Z to second order off the log likelihood, ``barrier`` is what
fits do. Rows: effective reference rows (median and smallest), share flagged
``poor_reference``, error of kappa (mean of the absolute, largest in standard
deviations), coverage and interval score at 68.3 %, share converged, seconds per target.

    python tests/benchmarks/bench_reference_barrier.py [--sets 5] [--studies images ...]
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "zoo"))
import run
from bench_unbinned_forms import answers
from cases import SMALL, chosen
from measures import LEVELS

from sktamm._numerics import interval_score
from sktamm.components import RatioComponents
from sktamm.events import read_simulations
from sktamm.mixture import _event_densities as densities

STUDIES = ("Gaussian, 5", "images: 3 among 5, 8, 9, 6 components, distortion 1")
ONSET, HEIGHT = densities.EventExponential.onset, densities.barrier_height


def second_order(share, onset):
    """S / 2, its slope and curvature: the expansion of the bias of ln Z."""
    return 0.5 * share, np.full(share.size, 0.5), np.zeros(share.size)


# Where the barrier begins, and its height.
ROWS = {
    "nothing": (np.inf, HEIGHT),
    "second order": (0.0, second_order),
    "barrier": (ONSET, HEIGHT),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--studies", nargs="*", default=STUDIES, help="parts of names")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "| study | row | rows | least | poor | error | pulls | cov | IS | conv. | s |"
    )
    print("|---" * 11 + "|")
    for study in chosen(run.STUDIES, options.studies, False):
        found = {row: [] for row in ROWS}
        for number in range(options.sets):
            case = study.case(number, SMALL)
            events = read_simulations(case.X, case.y, simulation=case.simulation)
            trained = RatioComponents(random_state=0, projection=None).fit(events)
            for row, (onset, height) in ROWS.items():
                densities.EventExponential.onset = onset
                densities.barrier_height = height
                start = time.perf_counter()
                results = answers("all features", trained, case)
                seconds = (time.perf_counter() - start) / len(results)
                truth = [kappa for _, kappa in case.targets]
                found[row] += [
                    (t, r, seconds) for t, r in zip(truth, results, strict=True)
                ]
        for row, own in found.items():
            print(_line(study.name, row, own), flush=True)


def _line(study, row, found):
    truth = np.array([t for t, _, _ in found])
    results = [r for _, r, _ in found]
    low, high = np.array([r.interval[0, :, 0] for r in results]).T
    error = np.abs([r.kappa[0] for r in results] - truth)
    std = np.array([r.std[0] for r in results])
    size = [r.diagnostics["reference_size"][0] for r in results]
    values = (
        f"{np.median(size):.0f} | {min(size):.0f}",
        f"{np.mean(['poor_reference' in r.flags[0] for r in results]):.2f}",
        f"{error.mean():.3f} | {(error / std).max():.1f}",
        f"{((low <= truth) & (truth <= high)).mean():.2f}",
        f"{interval_score(truth, low, high, LEVELS[0]).mean():.3f}",
        f"{np.mean([r.diagnostics['converged'][0] for r in results]):.2f}",
        f"{np.mean([s for _, _, s in found]):.1f}",
    )
    return " | ".join((f"| {study}", row, *values)) + " |"


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
