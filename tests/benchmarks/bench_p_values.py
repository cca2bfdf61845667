"""How uniform p-values are: few and many events, functions, simulations and features.

Every row is a setting and a basis, cubic or the default. "right": all simulations are
the truth; "more": they scatter by a tenth and the truth is one more of them. Columns:
median, Kolmogorov distance from uniform, shares below .05, .01 and .001, for rows,
blend and span. A hundred sets of a setting take ten to thirty seconds.

    python tests/benchmarks/bench_p_values.py --sets 200 --only "K6"
"""

import argparse
import warnings

import numpy as np
from bench_goodness import one
from scipy import stats

from sktamm.functions import PolynomialBasis

SETTINGS = {
    "right K4 2500 not smoothed": {"k": 4, "events": 2500, "smooth": False},
    "right K6 2500": {"k": 6, "events": 2500},
    "right K6 2500 n300": {"k": 6, "events": 2500, "n": 300},
    "right K6 20000": {"k": 6, "events": 20_000},
    "right K20 2500": {"k": 20, "events": 2500},
    "right K6 5000 2 features": {"k": 6, "events": 5000, "d": 2, "bins": 8},
    "more K4 20000": {"k": 4, "events": 20_000, "spread": 0.1},
    "more K6 500 n500": {"k": 6, "events": 500, "n": 500, "spread": 0.1},
    "more K6 20000": {"k": 6, "events": 20_000, "spread": 0.1},
    "more K6 20000 n20000": {"k": 6, "events": 20_000, "n": 20_000, "spread": 0.1},
    "more K10 20000": {"k": 10, "events": 20_000, "spread": 0.1},
    "more K20 5000": {"k": 20, "events": 5000, "spread": 0.1},
    "more K6 20000 2 features": {
        "k": 6,
        "events": 20_000,
        "spread": 0.1,
        "d": 2,
        "bins": 8,
    },
}


def _cell(p):
    p = p[np.isfinite(p)]
    if p.size == 0:
        return "-"
    below = " ".join(f"{(p < limit).mean():.3f}" for limit in (0.05, 0.01, 0.001))
    distance = stats.kstest(p, "uniform").statistic
    return f"{np.median(p):.2f} {distance:.2f} {below}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=[""])
    parser.add_argument("--first-seed", type=int, default=1000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds = range(options.first_seed, options.first_seed + options.sets)
    for name, setting in SETTINGS.items():
        if not any(word in name for word in options.only):
            continue
        how = {"d": 1, "bins": 30, "n": 4000} | setting
        for basis in (PolynomialBasis(3), "polynomial"):
            found = np.array([one(s, **how, basis=basis) for s in seeds])
            cells = " | ".join(_cell(p) for p in found.T)
            print(f"{name:28s} {basis!s:18s} {cells}", flush=True)


if __name__ == "__main__":
    main()
