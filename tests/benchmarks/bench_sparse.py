"""Events per bin that templates need.

Simulations of normal classes in d features (centres and widths scatter by .1), a target
of 5 000 events and kappa = .1 from one more of them; the grid and the number of
simulated events vary. Every row: events per filled bin of a template, coverage at 68.3
and 95.4 %, mean error of kappa in standard errors, half-width, and the share of results
flagged ``sparse_templates``. With ``--auto`` the default bins, else a scan.

    python tests/benchmarks/bench_sparse.py [--sets 20] [--auto] [--d 2 3] [--k 3 6 10]
"""

import argparse
import itertools
import warnings

import numpy as np

from sktamm import BinnedTopicTAMM

GRIDS = {1: (10, 40, 160), 2: (5, 10, 20), 3: (4, 7, 10), 4: (3, 4, 6)}
KAPPA = 0.1


def _draw(rng, c, shift, width, n):
    centre = np.full(shift.size, 0.0 if c == 0 else 0.9)
    scale = (1.0 if c == 0 else 0.6) * width
    return centre + shift + scale * rng.normal(size=(n, shift.size))


def _one_more(rng, c, n, d, spread=0.1):
    shift, width = spread * rng.normal(size=d), np.exp(spread * rng.normal(size=d))
    return _draw(rng, c, shift, width, n)


def one(seed, d, k, events, bins, n=5000):
    """Result of one target."""
    rng = np.random.default_rng([seed, d, k])
    sources = [(c, i) for c in (0, 1) for i in range(k)]
    X = np.vstack([_one_more(rng, c, events, d) for c, _ in sources])
    y, simulation = (np.repeat(v, events) for v in zip(*sources, strict=True))
    n_signal = rng.binomial(n, KAPPA)
    target = np.vstack(
        [_one_more(rng, 1, n_signal, d), _one_more(rng, 0, n - n_signal, d)]
    )
    tamm = BinnedTopicTAMM(random_state=0, **({} if bins is None else {"bins": bins}))
    tamm.fit(X, y, simulation=simulation)
    result = tamm.infer(target, levels=[0.683, 0.954])
    return tamm, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--d", type=int, nargs="*", default=[1, 2, 3, 4])
    parser.add_argument("--k", type=int, nargs="*", default=[3, 6, 10])
    parser.add_argument("--events", type=int, nargs="*", default=[2000, 20_000])
    parser.add_argument("--auto", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "  d   K  events     bins  events/bin   cov68   cov95    pull   width  flagged"
    )
    for d, k, events in itertools.product(options.d, options.k, options.events):
        for bins in (None,) if options.auto else GRIDS[d]:
            found = [one(s, d, k, events, bins) for s in range(options.sets)]
            _report(d, k, events, found)


def _report(d, k, events, found):
    rows = np.array([tamm.components_.probability_.shape[1] for tamm, _ in found])
    ends = np.array([result.interval[0] for _, result in found])
    covered = ((ends[:, 0] <= KAPPA) & (ends[:, 1] >= KAPPA)).mean(axis=0)
    pulls = [(r.kappa[0] - KAPPA) / max(r.std[0], 1e-9) for _, r in found]
    flagged = np.mean(["sparse_templates" in r.flags[0] for _, r in found])
    half = 0.5 * np.mean(ends[:, 1, 0] - ends[:, 0, 0])
    print(
        f"{d:3d} {k:3d} {events:7d} {rows.mean():8.0f} {events / rows.mean():10.1f}"
        f" {covered[0]:7.2f} {covered[1]:7.2f} {np.mean(pulls):7.2f} {half:7.4f}"
        f" {flagged:8.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
