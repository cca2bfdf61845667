"""Stock scikit-learn: cross-validation and learning curves
========================================================

Two parts make the tools of scikit-learn answer questions about fractions: a splitter
that leaves simulations out, and a scorer of intervals. Then ``cross_validate`` tells
how an estimator measures simulations that it has not seen, and a learning curve what
more of them would bring. Where skore is installed, its report of an estimator takes the
same scorer.

``python examples/plot_scikit_learn_reports.py [figure.png]``
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM
from sktamm.baselines import PooledSimulations
from sktamm.datasets import make_gaussian_study
from sktamm.model_selection import (
    CoverageScorer,
    LeaveSimulationsOut,
    interval_score_scorer,
)

try:
    from skore import EstimatorReport
except ImportError:  # one part is left out
    EstimatorReport = None

study = make_gaussian_study(n_simulations=12, n_events=4000, random_state=0)
X, y, simulation = study.X, study.y, study.simulation
scorer = CoverageScorer(kappa=(0.05, 0.3), size=2000, n_datasets=10)

# %%
# A report
# --------
# Every simulation is left out once and plays the truth: a fold is one truth. Scores are
# higher when better, so the interval score has a minus.

METHODS = {
    "default": BinnedTopicTAMM(bins=8),
    "scaled first": make_pipeline(StandardScaler(), BinnedTopicTAMM(bins=8)),
    "pooled simulations": PooledSimulations(BinnedTopicTAMM(bins=8)),
}


def scores_of(estimator, own, **options):
    """Scores of every fold, on some of the simulations."""
    last = estimator.steps[-1][0] + "__" if hasattr(estimator, "steps") else ""
    return cross_validate(
        estimator,
        X[own],
        y[own],
        groups=simulation[own],
        params={f"{last}simulation": simulation[own]},
        cv=LeaveSimulationsOut(),
        scoring=scorer,
        **options,
    )


everything = np.ones(len(X), dtype=bool)
columns = ["coverage_0.683", "mean_width_0.683", "interval_score_0.683", "bias"]
report = {
    name: pd.DataFrame(scores_of(estimator, everything))
    .filter(like="test_")
    .rename(columns=lambda column: column.removeprefix("test_"))[columns]
    .mean()
    for name, estimator in METHODS.items()
}
print(pd.DataFrame(report).T.round(3).to_string())

# %%
# A report of skore
# -----------------
# ``pip install skore``: eleven simulations are fitted, the last one is the test.

if EstimatorReport is not None:
    fitted = simulation < 11
    tamm = BinnedTopicTAMM(bins=8)
    tamm.fit(X[fitted], y[fitted], simulation=simulation[fitted])
    own = EstimatorReport(tamm, X_test=X[~fitted], y_test=y[~fitted])
    own.metrics.add(interval_score_scorer, name="interval score")
    print(own.metrics.summarize(metric=["interval score"]).frame())

# %%
# What more simulations would bring
# ---------------------------------
# The estimator is taught by the first K of them, all folds together; the scatter of the
# folds is the error of the mean.

sizes = [3, 4, 6, 8, 12]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name in ("default", "pooled simulations"):
    found = [scores_of(METHODS[name], simulation < size) for size in sizes]
    for ax, measure, sign in (
        (axes[0], "test_coverage_0.683", 1),
        (axes[1], "test_interval_score_0.683", -1),
    ):
        mean = [sign * fold[measure].mean() for fold in found]
        error = [
            fold[measure].std(ddof=1) / len(fold[measure]) ** 0.5 for fold in found
        ]
        ax.errorbar(np.array(sizes) - 1, mean, error, fmt="o-", label=name)
axes[0].axhline(0.683, color="0.5", ls="--")
axes[0].set(ylabel="coverage at 68.3 %", ylim=(0, 1))
axes[1].set(ylabel="interval score at 68.3 %", ylim=(0, None))
for ax in axes:
    ax.set_xlabel("simulations to learn from")
axes[1].legend(loc="lower left")
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=100)
else:
    plt.show()
