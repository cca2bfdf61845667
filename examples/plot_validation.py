"""Coverage beside a baseline
==========================

Validate an estimator beside a baseline: coverage, pulls, estimates, widths.

Each of several sets of wrong simulations is fitted by the default estimator and by the
fit that pools all simulations; both then measure datasets of known signal fraction from
the truth, which none of the simulations is. Pooling is three times as sure, and wrong.

``python examples/plot_validation.py [figure.png]``
"""

import sys

import matplotlib.pyplot as plt

from sktamm import BinnedTopicTAMM
from sktamm.baselines import PooledSimulations
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study
from sktamm.diagnostics import influence
from sktamm.plotting import (
    CoverageDisplay,
    EstimatesDisplay,
    InfluenceDisplay,
    PullDisplay,
    WidthDisplay,
)

ESTIMATORS = {
    "BinnedTopicTAMM": BinnedTopicTAMM(random_state=0),
    "pooled simulations": PooledSimulations(),
}
N_SETS = 8


def study_of(estimator, train, group):
    """Datasets from the truth of one set, measured after a fit to its simulations."""
    estimator.fit(train.X, train.y, simulation=train.simulation)
    return coverage_study(
        estimator,
        train.X_target,
        train.y_target,
        kappas=[0.05, 0.1, 0.2, 0.3],
        sizes=20_000,
        n_datasets=4,
        group=group,
        random_state=group,
    )


def run():
    """Studies of every estimator over all sets, and the last set."""
    studies = {name: [] for name in ESTIMATORS}
    for seed in range(N_SETS):
        train = make_gaussian_study(
            n_simulations=8,
            n_events=5000,
            n_signal=20_000,
            n_background=40_000,
            random_state=seed,
        )
        for name, estimator in ESTIMATORS.items():
            studies[name].append(study_of(estimator, train, seed))
    merged = {name: parts[0].merge(*parts[1:]) for name, parts in studies.items()}
    return merged, train


def draw(merged, train):
    """Figure of six panels."""
    figure, axes = plt.subplots(2, 3, figsize=(16, 9), layout="constrained")
    tamm = merged["BinnedTopicTAMM"]
    for ax, (name, study) in zip(axes[0], merged.items(), strict=False):
        display = CoverageDisplay.from_result(study)
        display.title = name
        display.plot(ax=ax)
    WidthDisplay.from_results(merged).plot(ax=axes[0, 2])
    EstimatesDisplay.from_result(tamm).plot(ax=axes[1, 0])
    PullDisplay.from_result(tamm).plot(ax=axes[1, 1])
    moved = influence(ESTIMATORS["BinnedTopicTAMM"], train.X_target)
    InfluenceDisplay.from_result(moved).plot(ax=axes[1, 2])
    return figure


if __name__ == "__main__":
    merged, train = run()
    for name, study in merged.items():
        print(f"{name}\n{study.summary()}\n")
    figure = draw(merged, train)
    if len(sys.argv) > 1:
        figure.savefig(sys.argv[1], dpi=120)
    else:
        plt.show()
