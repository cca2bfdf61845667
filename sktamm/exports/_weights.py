"""Weights that make simulated events follow the densities which the data have adapted.

Event i of class c and simulation k, with the weight w_i among W_k of its simulation,
stands for the pooled density P_c = mean_k p_k of its class. With the adapted density
q_c and the fraction f_c of n events it gets

    v_i = n f_c  w_i / (K_c W_k)  q_c(x_i) / P_c(x_i),    sum_(i in c) v_i = n f_c.

In bins q and P are contents, P that of the given events, so that the weighted events
fill the estimator's bins exactly as adapted; unbinned both are learned ratios.
"""

import copy
import warnings
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from sktamm._numerics import FloatArray, IntArray
from sktamm._validation import encode, event_blocks, find_labels
from sktamm.events import TargetEvents
from sktamm.exceptions import EmptyBinWarning, InvalidInputError
from sktamm.exports._opened import Adapted, adapt, events_for, members
from sktamm.inference import parameter_draws
from sktamm.tamm import opened, seed_sequence

__all__ = ["event_weights"]

# Share of an adapted template in bins without events that is worth a warning: a rule
# of thumb, as large as a step in a figure that one sees.
_NOTICED = 0.01
_BLOCK = 20_000


@dataclass(frozen=True, eq=False)
class _Simulated:
    """Simulated events that are to be weighted; arrays are (n_events,)."""

    X: FloatArray  # (n_events, n_features)
    weight: FloatArray
    label: IntArray  # index of the class
    source: IntArray  # number of the pair of class and simulation
    classes: NDArray[Any]  # (n_classes,)

    def shares(self, inside: NDArray[np.bool_]) -> FloatArray:
        """Weights that sum to one in a class, simulations of a class alike."""
        weight = np.where(inside, self.weight, 0.0)
        total = np.bincount(self.source, weight)
        if (total <= 0).any():
            first = np.flatnonzero(self.source == np.argmax(total <= 0))[0]
            raise InvalidInputError(
                "sample_weight must have a positive sum in every simulation, within "
                f"the edges if there are bins, got {total.min():g} in one of class "
                f"{self.classes.tolist()[self.label[first]]!r}."
            )
        number = np.zeros(total.size, dtype=np.intp)
        number[self.source] = self.label
        size = np.bincount(number, minlength=self.classes.size)
        return weight / total[self.source] / size[self.label]


def event_weights(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    X_target: Any,
    *,
    simulation: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    target_weight: ArrayLike | None = None,
    n_replicas: int = 0,
    random_state: Any = None,
) -> pd.DataFrame:
    """Weights with which simulated events follow what the data have adapted.

    With them a histogram of any variable of the simulated events, a feature of the
    estimator or not, is the corrected simulation, to be drawn upon the data.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline, search or pool of such.
    X : array-like of shape (n_events, n_features)
        Simulated events, those of the fit or others of the same simulations.
    y : array-like of shape (n_events,)
        Class label of each of them; classes may be missing.
    X_target : array-like of shape (n_target, n_features), or histogram
        Events of one dataset, or its histogram; for several datasets, one call each.
    simulation : array-like of shape (n_events,), default=None
        Simulation id of each event; simulations of a class have equal weight.
    sample_weight : array-like of shape (n_events,), default=None
        Weights of the simulated events, possibly negative.
    target_weight : array-like of shape (n_target,), default=None
        Weights of the events of the dataset.
    n_replicas : int, default=0
        Number of further columns of weights, drawn from the posterior.
    random_state : int, RandomState instance or None, default=None
        Seed of the replicas.

    Returns
    -------
    weights : pandas.DataFrame of n_events rows
        Columns "class", "simulation" (if given), "weight" and "replica_0", ...; the
        index is that of ``X``. The weights of a class sum to the expected number of its
        events, the sum of weights of the dataset times the fraction of the class.

    Raises
    ------
    InvalidInputError
        If the input cannot be used or the estimator adapts no densities; with replicas
        also if it has no parameters to draw.

    Warns
    -----
    EmptyBinWarning
        If more than one per cent of an adapted template lies in bins in which there are
        no simulated events of the class, which cannot stand for it.

    Notes
    -----
    Within a bin, or along variables that the estimator has not seen, the weighted
    events are as the average simulation: what the features say nothing of stays as
    uncorrected as it was. Events that the binning leaves out have weight zero. Learned
    ratios are those of classifiers that may have trained on the events.

    Replicas are draws of the blend and of the fractions: their spread is the error of
    the adapted templates, not the statistical error of the data, which fluctuate about
    their sum. They come from Markov chains where the estimator has them, otherwise from
    the normal approximation of the posterior, or of the likelihood with the standard
    error of kappa. Replicas of a pool come from its estimators in turn. An estimate of
    a fraction that is not confined to [0, 1] may be negative, and so are its weights.
    Sums of weights tell kappa: a blinded analysis must not look.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM, event_weights
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> table = event_weights(
    ...     tamm, study.X, study.y, study.X_target, simulation=study.simulation
    ... )
    >>> round(float(table["weight"].sum())) == len(study.X_target)
    True
    """
    n_replicas = _check_number(n_replicas)
    final, transform = opened(estimator)
    inner = list(members(final))
    given = X
    events = _read(inner[0], transform(X), y, simulation, sample_weight)
    X_target = transform(X_target)
    columns = _columns(given, y, simulation)
    seeds = seed_sequence(random_state).spawn(len(inner))
    centre = np.zeros(len(events.X))
    replicas = np.zeros((len(events.X), n_replicas))
    for m, member in enumerate(inner):
        adapted = adapt(member, X_target, target_weight)
        own = slice(m, None, len(inner))
        theta = _draws(adapted, len(range(n_replicas)[own]), seeds[m])
        found = _weights(adapted, events, theta)
        centre += found[:, 0] / len(inner)
        replicas[:, own] = found[:, 1:]
    columns["weight"] = centre
    columns |= {f"replica_{r}": replicas[:, r] for r in range(n_replicas)}
    return pd.DataFrame(columns, index=getattr(given, "index", None))


# ------------------------------------------------------------------ private functions
def _check_number(n_replicas: Any) -> int:
    if isinstance(n_replicas, bool) or not isinstance(n_replicas, Integral):
        raise InvalidInputError(
            f"n_replicas must be a whole number, got {n_replicas!r}."
        )
    if n_replicas < 0:
        raise InvalidInputError(f"n_replicas must not be negative, got {n_replicas}.")
    return int(n_replicas)


def _columns(X: Any, y: Any, simulation: Any) -> dict[str, Any]:
    """Labels and ids as they were given."""
    columns: dict[str, Any] = {"class": np.asarray(y)}
    if simulation is not None:
        columns["simulation"] = np.asarray(simulation)
    return columns


def _read(
    member: Any, X: Any, y: Any, simulation: Any, sample_weight: Any
) -> _Simulated:
    """Checked simulated events."""
    target = events_for(member, X, sample_weight)
    size = len(target.X)
    label = find_labels(y, member.classes_, "y", size)
    source = label
    if simulation is not None:
        _, number = encode(simulation, "simulation", size)
        source = label * (number.max() + 1) + number
    weight = np.ones(size) if target.weight is None else target.weight
    source = np.unique(source, return_inverse=True)[1]
    return _Simulated(target.X, weight, label, source, np.asarray(member.classes_))


def _draws(adapted: Adapted, n: int, seed: np.random.SeedSequence) -> FloatArray:
    """The adapted parameters and n draws of them, (1 + n, n_params)."""
    centre = adapted.answer.theta[:1]
    if n == 0:
        return centre
    if not hasattr(adapted.model, "n_params"):
        raise InvalidInputError(
            "n_replicas must be 0 for an estimator whose densities have no parameters, "
            f"such as {type(adapted.estimator).__name__}, got {n}."
        )
    draws = parameter_draws(
        adapted.estimator.inference_,
        adapted.table,
        adapted.model,
        adapted.answer,
        n,
        bounded=adapted.estimator.bounded,
        seed=seed,
    )
    return np.vstack([centre, draws])


def _weights(adapted: Adapted, events: _Simulated, theta: FloatArray) -> FloatArray:
    """Weights (n_events, n_theta), those of a class summing to its expected events."""
    if adapted.table.binned:
        out = _in_bins(adapted, events, theta)
    else:
        out = _from_ratios(adapted, events, theta)
    expected = adapted.n_events * adapted.model.fractions(theta)
    for c in np.unique(events.label):
        own = events.label == c
        total = out[own].sum(axis=0)
        if (total <= 0).any():
            raise InvalidInputError(
                "X must hold simulated events of every class of y where its adapted "
                f"density lies, got none of class {events.classes.tolist()[c]!r}."
            )
        out[own] *= expected[:, c] / total
    return out


def _in_bins(adapted: Adapted, events: _Simulated, theta: FloatArray) -> FloatArray:
    """Adapted over own content of the bin of every event, times its share."""
    row = adapted.estimator.components_.rows(events.X)
    share = events.shares(row >= 0)
    density = np.exp(adapted.model.class_log_density(theta))
    content = density * adapted.table.reference_weight
    out = np.zeros((len(row), len(theta)))
    for c in np.unique(events.label):
        own = (events.label == c) & (row >= 0)
        pool = np.bincount(row[own], share[own], minlength=content.shape[2])
        _warn_empty(content[0, c, pool <= 0].sum(), events.classes.tolist()[c])
        factor = np.zeros((len(theta), pool.size))
        np.divide(content[:, c], pool, out=factor, where=pool > 0)
        out[own] = share[own, None] * factor[:, row[own]].T
    return out


def _warn_empty(lost: float, label: Any) -> None:
    if lost > _NOTICED:
        warnings.warn(
            f"{lost:.1%} of the adapted template of class {label!r} lies in bins that "
            "the simulated events leave empty, and the others have its weight; give "
            "more events.",
            EmptyBinWarning,
            stacklevel=5,
        )


def _from_ratios(adapted: Adapted, events: _Simulated, theta: FloatArray) -> FloatArray:
    """Adapted over pooled learned density of every event, times its share."""
    if not hasattr(adapted.model, "densities"):
        raise InvalidInputError(
            "estimator must adapt densities that are known at every event, got the "
            f"unbinned {type(adapted.estimator).__name__}."
        )
    out = np.empty((len(events.X), len(theta)))
    for block in event_blocks(len(events.X), _BLOCK):
        part = replace(events, X=events.X[block], label=events.label[block])
        out[block] = _ratio(adapted, part, theta)
    return out * events.shares(np.ones(len(out), dtype=bool))[:, None]


def _ratio(adapted: Adapted, events: _Simulated, theta: FloatArray) -> FloatArray:
    """q_c / P_c at events of class c, shape (n_events, n_theta)."""
    estimator = adapted.estimator
    components = copy.copy(estimator.components_)
    if "propagate" in components.get_params(deep=False):
        components.propagate = False  # errors of ratios at many events fill the memory
    table = components.table(TargetEvents(events.X, None, None, np.zeros(1)))
    model = estimator.form_.build(table, estimator.prior_)
    adapted_log = model.class_log_density(theta)
    out = np.empty((len(events.X), len(theta)))
    for c in np.unique(events.label):
        own = events.label == c
        logs = table.simulations.log_ratio[:, table.simulations.of_class(c)][own]
        pooled = logsumexp(logs, axis=1) - np.log(logs.shape[1])
        out[own] = np.exp(adapted_log[:, c, own] - pooled).T
    return out
