"""What the general estimator reads: events or histograms, to learn from or to measure.

Either becomes a checked record; a feature that looks like bookkeeping is warned about.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm.components import EventCounts, fingerprint
from sktamm.events import (
    Pairing,
    SeenFeatures,
    SimulatedEvents,
    TargetEvents,
    read_simulations,
    read_target,
    warn_about_simulations,
    warn_about_target,
)
from sktamm.exceptions import InvalidInputError, SingleSimulationWarning
from sktamm.tamm._truth import owner
from sktamm.templates import (
    HistogramTemplates,
    TargetContents,
    as_histograms,
    check_axis_names,
    is_histogram,
    read_histograms,
    target_from_histograms,
)

__all__ = [
    "look_at",
    "read_counts",
    "read_question",
    "read_training",
    "warn_single",
]


def read_training(
    X: Any,
    y: ArrayLike,
    *,
    simulation: ArrayLike | None,
    sample_weight: ArrayLike | None,
    pos_label: Any,
    paired: Pairing,
    flow: Any,
) -> SimulatedEvents | HistogramTemplates:
    """Labelled events or histograms of the simulations.

    ``X`` (n_events, n_features), ``y, simulation, sample_weight`` (n_events,).
    """
    choices: dict[str, Any] = {
        "simulation": simulation,
        "pos_label": pos_label,
        "paired": paired,
    }
    if not is_histogram(X):
        return read_simulations(X, y, sample_weight=sample_weight, **choices)
    if sample_weight is not None:
        raise InvalidInputError(
            "sample_weight must be None with histograms, which carry their own "
            f"sums of weights, got {type(sample_weight).__name__}."
        )
    return read_histograms(X, y, flow=flow, **choices)


def look_at(sources: Any, names: tuple[str, ...]) -> SeenFeatures | None:
    """Warn about suspicious features of events; histograms have no rows to look at."""
    if not isinstance(sources, SimulatedEvents):
        return None
    return warn_about_simulations(sources.X, sources.source, names, stacklevel=6)


def read_question(
    X: Any,
    dataset: Any,
    sample_weight: Any,
    *,
    fitted: dict[str, Any],
    templates: Any,
    seen: SeenFeatures | None,
) -> tuple[TargetEvents | TargetContents, NDArray[Any]]:
    """Events or histograms to measure, and the names of the datasets.

    ``X`` (n_events, n_features) -> ``target`` (n_datasets, n_bins), ``names``
    (n_datasets,).
    """
    if not is_histogram(X):
        target = read_target(X, dataset=dataset, sample_weight=sample_weight, **fitted)
        if seen is not None:
            one_each = target.counts is not None and np.ndim(dataset) == 1
            own = owner(target, dataset) if one_each else None
            warn_about_target(target.X, own, seen, stacklevel=6)
        return target, target.dataset_id
    if dataset is not None or sample_weight is not None:
        raise InvalidInputError(
            "dataset and sample_weight must be None with histograms, which are one "
            "dataset each and carry their own sums of weights."
        )
    if templates is None:
        raise InvalidInputError(
            "X must hold events for unbinned components, got histograms."
        )
    histograms = as_histograms(X)
    check_axis_names(histograms, fitted["feature_names"], fitted["estimator_name"])
    contents = target_from_histograms(histograms, templates.binning, templates.ends)
    return contents, np.arange(len(contents.weight))


def read_counts(
    counts: EventCounts, dataset: Any, sample_weight: Any, templates: Any
) -> tuple[EventCounts, NDArray[Any]]:
    """Counts that are of the estimator with these templates, and names of datasets."""
    if dataset is not None or sample_weight is not None:
        raise InvalidInputError(
            "dataset and sample_weight must be None with counted events; name their "
            "columns where events are counted."
        )
    known = None if templates is None else fingerprint(templates)
    if counts.fingerprint != known:
        raise InvalidInputError(
            "X must be counted in the bins of this fitted estimator, fingerprint "
            f"{known}, got counts of {counts.fingerprint}."
        )
    return counts, counts.dataset_id


def warn_single(classes: NDArray[Any], source_class: NDArray[Any]) -> None:
    """Warn of classes with one simulation; two calls below the user's ``fit``."""
    single = classes[np.bincount(source_class) == 1]
    if single.size:
        names = ", ".join(str(name) for name in single)
        warnings.warn(
            f"Of class {names} there is one simulation, as in the classical "
            "template fit: it cannot adapt; the interval is right only if it is.",
            SingleSimulationWarning,
            stacklevel=5,
        )
