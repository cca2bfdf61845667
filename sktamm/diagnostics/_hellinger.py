"""Hellinger distances between data and mixture, before and after adapting.

    H^2(p, q) = sum_i (sqrt p_i - sqrt q_i)^2 / 2,    0 <= H <= 1

The nominal mixture blends the average simulations, its fractions fitted; the adapted
one is what was fitted. Samples of the data's size differ from the mixture they are
drawn from by about sqrt(n_bins / (8 n_events)), the noise floor.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm._validation import find_labels, read_weight
from sktamm.diagnostics._goodness import draw_rows, reference_model
from sktamm.diagnostics._open import (
    Opened,
    check_positive,
    generator,
    open_fit,
    quiet,
)
from sktamm.exceptions import InvalidInputError
from sktamm.inference import maximise, undiscounted

__all__ = ["HellingerResult", "hellinger_distances"]


@dataclass(frozen=True, eq=False)
class HellingerResult:
    """Hellinger distances, with what statistics alone would make.

    Attributes
    ----------
    nominal, adapted : float or None
        Distance of the data from the nominal and from the adapted mixture; None if
        unbinned, where the density of the data is not known.
    floor, floor_std : float or None
        Mean and standard deviation of the distance of samples of the data's size from
        the adapted mixture. A good fit lies a little below: it follows the noise.
    moved : float
        Distance between the two mixtures: how far the data adapted them.
    classes : ndarray of shape (n_classes,)
        Class labels.
    class_nominal, class_adapted, class_floor : ndarray of shape (n_classes,) or None
        The same for the labelled events of every class, NaN for a class without any;
        None without labels.
    class_moved : ndarray of shape (n_classes,)
        Distance between nominal and adapted template of every class.
    member : str or None
        The first estimator of a `PosteriorPool`, which was looked at.
    """

    moved: float
    classes: NDArray[Any]
    class_moved: NDArray[Any]
    nominal: float | None = None
    adapted: float | None = None
    floor: float | None = None
    floor_std: float | None = None
    class_nominal: NDArray[Any] | None = None
    class_adapted: NDArray[Any] | None = None
    class_floor: NDArray[Any] | None = None
    member: str | None = None


def hellinger_distances(
    estimator: Any,
    X: Any,
    *,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    n_toys: int = 100,
    random_state: Any = 0,
) -> HellingerResult:
    """Distances of the data from the mixture before and after adapting.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline or search ending in one.
    X : array-like of shape (n_events, n_features), or one histogram in a list
        Target, one dataset.
    y : array-like of shape (n_events,), default=None
        True classes of its events, if known; for binned estimators.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights.
    n_toys : int, default=100
        Samples behind every noise floor.
    random_state : int, RandomState instance or None, default=0
        Seed of these samples.

    Returns
    -------
    result : HellingerResult
        Distances and noise floors.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.diagnostics import hellinger_distances
    >>> study = make_gaussian_study(n_simulations=6, n_events=5000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> result = hellinger_distances(tamm, study.X_target)
    >>> bool(result.adapted < result.nominal)
    True
    """
    check_positive(n_toys=n_toys)
    opened = open_fit(estimator, X, sample_weight=sample_weight)
    if opened.table.n_datasets != 1:
        raise InvalidInputError(
            f"X must hold one dataset, got {opened.table.n_datasets} histograms."
        )
    if y is not None and not opened.table.binned:
        raise InvalidInputError("y must be None for an unbinned estimator.")
    with quiet():
        centre = _nominal(opened)
    own, model = opened.answer.theta, reference_model(opened)
    mass = opened.table.reference_weight
    before, after = (_templates(model, theta, mass) for theta in (centre, own))
    nominal = _normalised(model.fractions(centre)[0] @ before)
    adapted = _normalised(model.fractions(own)[0] @ after)
    parts: dict[str, Any] = {}
    if opened.table.binned:
        rng = generator(random_state)
        parts |= _of_data(opened, nominal, adapted, n_toys, rng)
        if y is not None:
            parts |= _of_classes(opened, y, sample_weight, (before, after), n_toys, rng)
    return HellingerResult(
        moved=float(_distance(nominal, adapted)),
        classes=opened.final.classes_,
        class_moved=_distance(before, after),
        member=opened.member,
        **parts,
    )


def _nominal(opened: Opened) -> FloatArray:
    """Fit of the fractions alone, the average simulations of every class."""
    model = opened.model
    table: Any = opened.table
    if not table.binned:
        table, rows = table.select(slice(0, 1))
        own: Any = model
        model = own.take_rows(rows)
    data = undiscounted(table, slice(0, 1)).rows
    blends = slice(model.n_fractions, None)
    theta = maximise(model, model.start(1), data, fixed=blends).theta
    theta[:, : model.n_fractions] = np.clip(theta[:, : model.n_fractions], 0.0, 1.0)
    return theta


def _templates(model: Any, theta: FloatArray, mass: FloatArray) -> FloatArray:
    """Probabilities of the reference rows for every class, (n_classes, n_reference)."""
    return _normalised(np.exp(model.class_log_density(theta))[0] * mass)


def _normalised(values: NDArray[Any]) -> FloatArray:
    values = np.maximum(values, 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(values / values.sum(axis=-1, keepdims=True))


def _distance(p: FloatArray, q: FloatArray) -> FloatArray:
    """Hellinger distance along the last axis."""
    return np.sqrt(0.5 * ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=-1))


def _of_data(
    opened: Opened,
    nominal: FloatArray,
    adapted: FloatArray,
    n_toys: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Distances of the contents, and of toys from the adapted mixture."""
    table = opened.table
    observed = _normalised(table.row_weight[0])
    theta = np.repeat(opened.answer.theta, n_toys, axis=0)
    toys = draw_rows(
        table, opened.model, theta, 0, rng, template_errors=False
    ).row_weight
    floor = _distance(_normalised(toys), adapted)
    return {
        "nominal": float(_distance(observed, nominal)),
        "adapted": float(_distance(observed, adapted)),
        "floor": float(floor.mean()),
        "floor_std": float(floor.std(ddof=1)) if n_toys > 1 else 0.0,
    }


def _of_classes(
    opened: Opened,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    templates: tuple[FloatArray, FloatArray],
    n_toys: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Distances of the labelled events of every class from its templates."""
    final = opened.final
    if np.shape(y) != (len(opened.X),):
        raise InvalidInputError(
            f"y must hold one label per event, {len(opened.X)}, got {np.shape(y)}."
        )
    labels = find_labels(y, final.classes_, "y", len(opened.X))
    row = final.components_.rows(np.asarray(opened.X, dtype=float))
    weight = read_weight(sample_weight, len(row))
    weight = np.ones(len(row)) if weight is None else weight
    n_rows = opened.table.reference_weight.size
    nominal, adapted, floor = [], [], []
    for c in range(final.classes_.size):
        own = (labels == c) & (row >= 0)
        content = np.bincount(row[own], weight[own], minlength=n_rows)
        size = content.sum() ** 2 / max((weight[own] ** 2).sum(), 1e-300)
        observed = _normalised(content)
        nominal.append(_distance(observed, templates[0][c]))
        adapted.append(_distance(observed, templates[1][c]))
        toys = rng.multinomial(max(int(size), 1), templates[1][c], size=n_toys)
        noise = _distance(_normalised(toys), templates[1][c]).mean()
        floor.append(noise if own.any() else np.nan)
    return {
        "class_nominal": np.array(nominal),
        "class_adapted": np.array(adapted),
        "class_floor": np.array(floor),
    }
