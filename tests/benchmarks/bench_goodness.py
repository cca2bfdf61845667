"""P-values of results: uniform where the model is right, small where it is not.

Every row of the table is a setting: simulations of normal classes in d features whose
centres and widths scatter by ``spread`` (0: every simulation is right), a target from
one more of them, and what ``infer`` says of it. ``--wrong`` adds a narrow peak, a
shifted scale or a third population to the target. Columns: median, share below .05 and
.001, and the p-value of a Kolmogorov test of uniformity, for the goodness of fit, the
prior tension and the span.

    python tests/benchmarks/bench_goodness.py --sets 60 --only "one more" --wrong peak
"""

import argparse
import warnings

import numpy as np
from scipy import stats

from sktamm import BinnedTopicTAMM
from sktamm.functions import PolynomialBasis

SETTINGS = {
    "right, 1 x 400 000 events, 64 bins": {"k": 1, "events": 400_000, "bins": 8},
    "right, 3 x 400 000": {"k": 3, "events": 400_000, "bins": 8},
    "right, 6 x 5 000": {"k": 6, "events": 5_000, "bins": 8},
    "right, 6 x 50 000": {"k": 6, "events": 50_000, "bins": 8},
    "right, 6 x 5 000, not smoothed": {"k": 6, "events": 5_000, "smooth": False},
    "right, 6 x 50 000, linear": {"k": 6, "events": 50_000, "form": "linear"},
    "right, 6 x 5 000, linear": {"k": 6, "events": 5_000, "form": "linear"},
    "right, 6 x 50 000, ridge": {"k": 6, "events": 50_000, "prior": "ridge"},
    "right, 6 x 20 000, 1 feature": {"k": 6, "events": 20_000, "d": 1, "bins": 30},
    "right, 6 x 20 000, 3 features": {"k": 6, "events": 20_000, "d": 3, "bins": 5},
    "right, 6 x 20 000, profile": {
        "k": 6,
        "events": 20_000,
        "inference": "frequentist",
    },
    "one more, 6 x 5 000": {"k": 6, "events": 5_000, "spread": 0.1},
    "one more, 6 x 50 000": {"k": 6, "events": 50_000, "spread": 0.1},
    "one more, 4 x 50 000": {"k": 4, "events": 50_000, "spread": 0.1},
    "one more, 10 x 50 000": {"k": 10, "events": 50_000, "spread": 0.1},
    "one more, 20 x 20 000": {"k": 20, "events": 20_000, "spread": 0.1},
    "one more, 20 x 20 000, simulations": {
        "k": 20,
        "events": 20_000,
        "spread": 0.1,
        "prior": "simulations",
    },
    "one more, 10 x 20 000, 1 feature": {
        "k": 10,
        "events": 20_000,
        "spread": 0.1,
        "d": 1,
        "bins": 30,
    },
    "one more, 6 x 20 000, 3 features": {
        "k": 6,
        "events": 20_000,
        "spread": 0.1,
        "d": 3,
        "bins": 5,
    },
}
P_VALUES = ("goodness_of_fit", "prior_tension", "span")


def _draw(rng, c, moved, n, d):
    """Events of class 0 or 1, moved by (shift of the centre, change of the width)."""
    shift, width = moved
    centre = np.full(d, 0.0 if c == 0 else 0.9)
    return centre + shift + (1.0 if c == 0 else 0.6) * width * rng.normal(size=(n, d))


def _moved(rng, spread, d):
    return spread * rng.normal(size=d), np.exp(spread * rng.normal(size=d))


def _wrong_events(rng, kind, X, d, share):
    """Events that no simulation makes, in place of some of the target."""
    n = round(share * len(X))
    if kind == "scale":
        return X * (1.0 + share)
    width, centre = {"peak": (0.1, -0.8), "third": (0.8, -1.8)}[kind]
    X[:n] = centre + width * rng.normal(size=(n, d))
    return X


def one(
    seed, k, events, d=2, bins=8, spread=0.0, n=5000, wrong=None, share=0.02, **how
):
    """P-values of one target of kappa = .2."""
    rng = np.random.default_rng(seed)
    sources = [(c, i) for c in (0, 1) for i in range(k)]
    X = [_draw(rng, c, _moved(rng, spread, d), events, d) for c, _ in sources]
    y, simulation = (np.repeat(v, events) for v in zip(*sources, strict=True))
    edges = [np.linspace(-2.6, 2.6, bins + 1)] * d
    n_signal = rng.binomial(n, 0.2)
    target = [
        _draw(rng, c, _moved(rng, spread, d), m, d)
        for c, m in ((1, n_signal), (0, n - n_signal))
    ]
    target = np.vstack(target)
    if wrong is not None:
        target = _wrong_events(rng, wrong, rng.permutation(target), d, share)
    # Three functions: with eight, the default of one feature, see bench_p_values.py.
    how = {"basis": PolynomialBasis(3)} | how
    tamm = BinnedTopicTAMM(bins=edges, random_state=0, **how)
    tamm.fit(np.vstack(X), y, simulation=simulation)
    diagnostics = tamm.infer(target).diagnostics
    return [float(diagnostics[name][0]) for name in P_VALUES]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=60)
    parser.add_argument("--only", nargs="*", default=[""])
    parser.add_argument("--wrong", choices=("peak", "scale", "third"))
    parser.add_argument("--share", type=float, default=0.02)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{'setting':38s}" + "".join(f"| {name:>33s} " for name in P_VALUES))
    print(f"{'':38s}" + "| median   <.05  <.001  Kolmogorov " * len(P_VALUES))
    for name, setting in SETTINGS.items():
        if not any(word in name for word in options.only):
            continue
        seeds = range(options.first_seed, options.first_seed + options.sets)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = np.array(
                [
                    one(s, **setting, wrong=options.wrong, share=options.share)
                    for s in seeds
                ]
            )
        print(f"{name:38s}" + "".join(_cell(p) for p in found.T), flush=True)


def _cell(p):
    p = p[np.isfinite(p)]
    if p.size == 0:
        return "|" + " " * 35
    below = [(p < limit).mean() for limit in (0.05, 0.001)]
    flat = stats.kstest(p, "uniform").pvalue
    return f"| {np.median(p):6.3f} {below[0]:6.3f} {below[1]:6.3f}  {flat:10.2g} "


if __name__ == "__main__":
    main()
