"""Choose topics, prior and bins without the truth
===============================================

Choose topics, prior and bins without the truth.

Every simulation is wrong, and nature is like none of them. But a simulation that is
left out of the training can play nature: its events have labels, so datasets of known
signal fraction can be drawn from it and the intervals of every candidate scored.
Stock `GridSearchCV` then chooses by the interval score, width plus a fine for every
miss. No truth is needed.

Here the truth is known, and the figure compares. Left to right: the number of topics,
the kind of the prior, its strength, the number of bins, one of them changed at a time.
The candidates are scored by the simulations left out, by natures drawn like the
simulations, and by the truth of the published study, a single nature that happens to
lie nearer to the middle of the simulations.

One fold is one nature, and ten are few. In eight more sets of ten simulations the
candidate chosen scored, on natures like the simulations, 1.0 to 1.6 times the best of
15 candidates in hindsight in seven sets. In the eighth the simulations agreed with each
other better than with nature, the narrow intervals of the linear form were chosen by a
margin within the errors, and scored 3.2 times the best. Candidates that differ by less
than the error bars are equals.

``python examples/plot_grid_search.py [figure.png]``; with ``SKTAMM_FULL=1`` in the
environment with twice as many natures, events and datasets, about a minute and a half.
"""

import os
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktamm import BinnedTopicTAMM, infer
from sktamm.datasets import draw_gaussian_parameters, make_gaussian_study
from sktamm.exceptions import SktammWarning
from sktamm.mixture import ShrinkagePrior
from sktamm.model_selection import CoverageScorer, LeaveSimulationsOut

FULL = bool(os.environ.get("SKTAMM_FULL"))
N_SIMULATIONS = 10
N_NATURES, N_EVENTS, N_DATASETS = (12, 20_000, 8) if FULL else (6, 10_000, 4)
KAPPA, SIZE = 1 / 11, 5_000

# ------------------------------------------------------------------------ the events
drawn = draw_gaussian_parameters(N_SIMULATIONS + N_NATURES, random_state=0)
study = make_gaussian_study(
    n_events=N_EVENTS,
    n_signal=1_000,
    n_background=10_000,
    parameters=drawn.take(slice(N_SIMULATIONS)),
    random_state=0,
)
X, y, simulation = study.X, study.y, study.simulation

PANELS = {
    "number of topics": [
        {"tamm__components": ["topics"], "tamm__n_topics": [2, 3, 4, 6, 9]}
    ],
    "prior": [
        {"tamm__form": ["linear"], "tamm__inference": ["frequentist"]},
        {"tamm__prior": ["ridge", "simulations", "shrinkage"]},
    ],
    "strength of the prior": [
        {"tamm__prior": [ShrinkagePrior(strength) for strength in (0.3, 1, 3, 10)]}
    ],
    "bins per feature": [{"tamm__bins": [4, 6, 10, 15]}],
}
grid = [part for parts in PANELS.values() for part in parts]

# ------------------------------------------------------- the choice, without the truth
warnings.simplefilter("ignore", SktammWarning)  # some candidates are bad on purpose
pipe = Pipeline(
    [("scale", StandardScaler()), ("tamm", BinnedTopicTAMM(random_state=0))]
)
scorer = CoverageScorer(n_datasets=N_DATASETS, kappa=KAPPA, size=SIZE, protocol="fixed")
search = GridSearchCV(
    pipe, grid, cv=LeaveSimulationsOut(), scoring=scorer, refit="interval_score"
)
search.fit(X, y, groups=simulation, tamm__simulation=simulation)
print("chosen:", search.best_params_)
print(infer(search, study.X_target).summary())

# ------------------------------------------------------------- the same, with the truth
natures = [study.target_parameters]
natures += [drawn.take([N_SIMULATIONS + i]) for i in range(N_NATURES)]
labelled = [
    make_gaussian_study(1, 1, N_EVENTS, N_EVENTS, target=nature, random_state=1 + i)
    for i, nature in enumerate(natures)
]


def score_by_truth(params):
    """Interval score of a candidate on fresh datasets of every nature."""
    candidate = clone(pipe).set_params(**params)
    candidate.fit(X, y, tamm__simulation=simulation)
    one = scorer.single("interval_score")
    return [-one(candidate, nature.X_target, nature.y_target) for nature in labelled]


folds = [f"split{i}_test_interval_score" for i in range(search.n_splits_)]
by_simulations = -np.transpose([search.cv_results_[fold] for fold in folds])
by_truth = np.array([score_by_truth(p) for p in search.cv_results_["params"]])
by_natures, by_published = by_truth[:, 1:], by_truth[:, 0]
for name, score in (
    ("natures like the simulations", by_natures.mean(axis=1)),
    ("the published truth", by_published),
):
    print(
        f"{name}: interval score {score[search.best_index_]:.4f} of the chosen, "
        f"{score.min():.4f} of the best, {np.median(score):.4f} of the median candidate"
    )


# ------------------------------------------------------------------------- the figure
def describe(params):
    """Value of the one setting that a candidate changes."""
    prior = params.get("tamm__prior")
    if "tamm__form" in params:
        return "dirichlet"
    if isinstance(prior, ShrinkagePrior):
        return f"{prior.strength:g}"
    return str(prior or params.get("tamm__n_topics") or params["tamm__bins"])


def error_of_mean(scores):
    return scores.std(axis=1, ddof=1) / np.sqrt(scores.shape[1])


figure, axes = plt.subplots(1, 4, figsize=(12, 4), sharey=True, layout="constrained")
start = 0
for (title, parts), ax in zip(PANELS.items(), axes, strict=True):
    n = sum(int(np.prod([len(v) for v in part.values()])) for part in parts)
    these, x = slice(start, start + n), np.arange(n)
    for scores, label, marker, offset in (
        (by_simulations, "simulations left out", "o", -0.06),
        (by_natures, "natures like the simulations", "s", 0.06),
    ):
        part = scores[these]
        ax.errorbar(
            x + offset,
            part.mean(axis=1),
            error_of_mean(part),
            marker=marker,
            label=label,
        )
    ax.plot(x, by_published[these], "k:^", label="the published truth")
    if start <= search.best_index_ < start + n:
        ax.axvline(search.best_index_ - start, color="0.85", lw=12, zorder=0)
    names = [describe(params) for params in search.cv_results_["params"][these]]
    ax.set_xticks(x, names, rotation=20 if title == "prior" else 0)
    ax.set(xlabel=title, yscale="log")
    start += n
ticks = [0.07, 0.1, 0.15, 0.2, 0.3]
axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
axes[0].minorticks_off()
axes[0].set_ylabel("mean interval score (lower is better)")
axes[0].legend(fontsize="small")
figure.suptitle("Chosen without the truth (grey) and judged by it")
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=100)
else:
    plt.show()
