"""Classifier two-sample test: whether anything tells two samples apart.

If both are samples of one distribution, the area under the ROC curve on a fold that a
classifier has not seen has, over folds of n_a and n_b events,

    AUC - 1/2  ~  N(0, (n_a + n_b + 1) / (12 n_a n_b)).

References
----------
Lopez-Paz and Oquab, arXiv:1610.06545; Mann and Whitney (1947).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.learning import fit_classifier, make_classifier, seeded

__all__ = ["thinned", "two_sample_test"]

# Share of the weights that a cap may lose, lest a few large ones thin out all others: a
# rule of thumb.
_LOST_WEIGHT = 1e-3


def two_sample_test(
    A: FloatArray,
    B: FloatArray,
    classifier: Any,
    n_splits: int,
    rng: np.random.RandomState,
) -> tuple[float, float]:
    """Mean area under the ROC curve of unseen events, and its one-sided p-value."""
    if min(len(A), len(B)) < 2 * n_splits:
        raise InvalidInputError(
            f"n_splits must leave two events of either sample in every fold, got "
            f"{n_splits} folds of {len(A)} and {len(B)} events."
        )
    X, y = np.vstack([A, B]), np.repeat([0, 1], [len(A), len(B)])
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=rng)
    model = seeded(make_classifier(classifier, False), rng)
    scores = []
    for train, test in folds.split(X, y):
        fitted = fit_classifier(model, X[train], y[train])
        probability = fitted.predict_proba(X[test])[:, 1]
        auc = roc_auc_score(y[test], probability)
        scores.append((auc - 0.5) / _null_std(probability, y[test]))
    z = np.sum(scores) / np.sqrt(n_splits)
    width = np.sqrt((len(X) + 1.0) / (12.0 * len(A) * len(B)))
    return float(0.5 + z * width), float(stats.norm.sf(z))


def _null_std(score: FloatArray, label: NDArray[Any]) -> float:
    """Standard deviation of the AUC over permutations of the labels, ties counted."""
    n, n_b = label.size, int(label.sum())
    ties = np.unique(score, return_counts=True)[1].astype(float)
    share = 1.0 - ((ties**3 - ties).sum() / (float(n) ** 3 - n))
    return float(np.sqrt(max(share, 1e-12) * (n + 1.0) / (12.0 * n_b * (n - n_b))))


def thinned(
    weight: FloatArray, rng: np.random.RandomState, most: int
) -> NDArray[np.intp]:
    """Events kept in proportion to their capped weights, in random order."""
    if (weight < 0).any():
        raise InvalidInputError(
            "sample_weight must not be negative for the two-sample test: an event "
            f"cannot be kept with a negative chance; {(weight < 0).sum()} weights are."
        )
    ordered = np.sort(weight)[::-1]
    lost = np.cumsum(ordered) - np.arange(1, weight.size + 1) * ordered
    cap = ordered[np.searchsorted(lost, _LOST_WEIGHT * ordered.sum(), side="right") - 1]
    kept = np.flatnonzero(rng.random_sample(weight.size) * cap < weight)
    return rng.permutation(kept)[:most]
