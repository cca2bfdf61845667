"""When it fails
=============

No method sees everything. Three cases beside one where all is well, each with what the
flags say:

* simulations displaced by several widths of the peak: intervals become wide, and still
  hold the truth, where merged simulations are sure and wrong; most are flagged;
* a truth that leaves what the simulations can make, in a way that the data show: the
  fit is flagged;
* an error that all simulations share and that looks like signal: nothing in the data
  shows it, no flag is raised, and the interval misses.

``python examples/plot_when_it_fails.py [figure.png]``
"""

import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np

from sktamm import BinnedTopicTAMM
from sktamm.baselines import PooledSimulations
from sktamm.exceptions import SktammWarning

N_EVENTS, N_DATA, KAPPA, N_SIMULATIONS = 5_000, 5_000, 0.2, 6

# %%
# A peak on a spectrum. Simulations place the peak and bend the spectrum, each a little
# differently.


def draw(label, peak, slope, n, rng):
    """Masses of signal (label 1) or background."""
    if label:
        return rng.normal(peak, 8.0, n)
    x = rng.gamma(2.0, slope, 4 * n) + 40.0
    return x[x < 200.0][:n]


def make(spread, rng):
    """Simulations, with peaks and slopes scattered by ``spread``."""
    settings = [
        (100 + spread * rng.normal(), 30 * np.exp(0.02 * spread * rng.normal()))
        for _ in range(N_SIMULATIONS)
    ]
    sources = [(label, k) for label in (0, 1) for k in range(N_SIMULATIONS)]
    X = np.concatenate(
        [draw(label, *settings[k], N_EVENTS, rng) for label, k in sources]
    )
    y, simulation = (np.repeat(v, N_EVENTS) for v in zip(*sources, strict=True))
    return X[:, None], y, simulation


def data(peak, slope, rng, bump=0.0):
    """Masses of N_DATA events, a share ``bump`` of them of neither class."""
    n_signal, n_bump = round(KAPPA * N_DATA), round(bump * N_DATA)
    parts = [
        draw(1, peak, slope, n_signal, rng),
        draw(0, peak, slope, N_DATA - n_signal - n_bump, rng),
        rng.normal(160.0, 3.0, n_bump),
    ]
    return np.concatenate(parts)[:, None]


# %%
# Twenty times each case: how often the interval at 68.3 % holds the truth, how wide it
# is, and how often a flag is raised.

CASES = {
    "as the simulations": lambda rng: (2.0, data(100 + 2 * rng.normal(), 30, rng)),
    "displaced by four widths": lambda rng: (
        32.0,
        data(100 + 32 * rng.normal(), 30, rng),
    ),
    "a narrow peak that none has": lambda rng: (2.0, data(100, 30, rng, bump=0.03)),
    "shared error like signal": lambda rng: (2.0, shared(rng)),
}


def shared(rng):
    """Data whose background has 5 % of its events where all simulations have signal."""
    X = data(100, 30, rng)
    more = rng.normal(100.0, 8.0, round(0.05 * N_DATA))
    X[-len(more) :, 0] = more  # of the background, drawn last
    return X


def run(case, seed):
    """Interval and flags of the default and of pooled simulations."""
    rng = np.random.default_rng(seed)
    spread, X_target = CASES[case](rng)
    X, y, simulation = make(spread, rng)
    out = []
    for estimator in (BinnedTopicTAMM(random_state=0), PooledSimulations()):
        estimator.fit(X, y, simulation=simulation)
        result = estimator.infer(X_target, levels=[0.683])
        out.append((*result.interval[0, :, 0], result.flags[0]))
    return out


warnings.simplefilter("ignore", SktammWarning)  # they are counted as flags below
figure, axes = plt.subplots(1, 4, figsize=(13, 4), sharey=True, layout="constrained")
for ax, case in zip(axes, CASES, strict=True):
    answers = [run(case, seed) for seed in range(20)]
    for k, (name, color) in enumerate([("default", "C0"), ("pooled", "C1")]):
        low, high = np.array([(a[k][0], a[k][1]) for a in answers]).T
        flagged = np.mean([bool(a[k][2]) for a in answers])
        held = np.mean((low <= KAPPA) & (high >= KAPPA))
        print(
            f"{case:28s} {name:8s} holds {held:.2f}, "
            f"width {np.mean(high - low):.3f}, flagged {flagged:.2f}"
        )
        ax.vlines(np.arange(20) + 0.35 * k, low, high, color, lw=3, label=name)
    ax.axhline(KAPPA, color="0.4", ls="--")
    ax.set(title=case, xlabel="experiment", xticks=[])
axes[0].set(ylabel="fraction, 68.3 % interval", ylim=(0, 0.5))
axes[0].legend()
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=100)
else:
    plt.show()
