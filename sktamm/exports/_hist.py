"""Templates, data and mixture of a result as histograms of `hist`."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.results import AdaptedTemplates, FractionResult, refuse_blinded

__all__ = ["ResultHistograms", "templates_of", "to_hist", "which_dataset"]

# Keywords of ``fill``, which hist refuses as names of axes.
_RESERVED = ("weight", "sample", "threads")


@dataclass(frozen=True, eq=False)
class ResultHistograms:
    """Histograms of one dataset, as `to_hist` makes them.

    Attributes
    ----------
    data : hist.Hist
        Observed sums of weights and their variances.
    mixture : hist.Hist
        Expected sums of weights, the sum of ``adapted``; without variances.
    adapted : mapping of class label to hist.Hist
        Expected sums of weights of every class, adapted to the data; without variances.
    nominal : mapping of class label to hist.Hist
        The same fractions of the average simulation of every class.
    """

    data: Any
    mixture: Any
    adapted: Mapping[Any, Any]
    nominal: Mapping[Any, Any]


def to_hist(result: FractionResult, dataset: int = 0) -> ResultHistograms:
    """Data, adapted mixture and its classes as histograms of `hist`.

    Parameters
    ----------
    result : FractionResult
        Result with templates, of a binned estimator.
    dataset : int, default=0
        Position of the dataset in the result.

    Returns
    -------
    histograms : ResultHistograms
        Histograms over the features, or learned scores, of the estimator.

    Raises
    ------
    InvalidInputError
        If the result has no templates, no such dataset or is blinded, or if hist is
        not installed.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.exports import to_hist
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM(bins=4).fit(
    ...     study.X, study.y, simulation=study.simulation
    ... )
    >>> found = to_hist(tamm.infer(study.X_target))
    >>> found.data.values().shape
    (4, 4)
    >>> round(float(found.mixture.values().sum() - found.data.values().sum()), 6)
    0.0
    """
    refuse_blinded(result, "to_hist")
    hist = _import_hist()
    templates = templates_of(result)
    i = which_dataset(result, dataset)
    axes = _axes(hist, templates)
    expected = result.n_events[i] * result.fractions[i]
    adapted = expected[:, None] * templates.adapted[i]
    nominal = expected[:, None] * templates.nominal
    labels = result.classes.tolist()

    def filled(content: FloatArray, label: str) -> Any:
        out = hist.Hist(*axes, storage=hist.storage.Double(), label=label)
        out.view(flow=True)[...] = content.reshape(templates.shape)
        out._variance_known = False
        return out

    data = hist.Hist(*axes, storage=hist.storage.Weight(), label="data")
    view = data.view(flow=True)
    view["value"] = templates.counts[i].reshape(templates.shape)
    view["variance"] = templates.variances[i].reshape(templates.shape)
    return ResultHistograms(
        data=data,
        mixture=filled(adapted.sum(axis=0), "mixture"),
        adapted={c: filled(v, str(c)) for c, v in zip(labels, adapted, strict=True)},
        nominal={c: filled(v, str(c)) for c, v in zip(labels, nominal, strict=True)},
    )


def templates_of(result: FractionResult) -> AdaptedTemplates:
    """Templates of a result, which unbinned ones have not."""
    if result.templates is None:
        raise InvalidInputError(
            "result must have templates to make histograms of, got one of unbinned "
            f"components {result.method.get('components', '')!r}; fill histograms with "
            "event_weights."
        )
    return result.templates


def which_dataset(result: FractionResult, dataset: int) -> int:
    """Position of a dataset of a result."""
    size = result.kappa.size
    whole = isinstance(dataset, Integral) and not isinstance(dataset, bool)
    if not whole or not 0 <= dataset < size:
        raise InvalidInputError(
            f"dataset must be a position from 0 to {size - 1}, got {dataset!r}."
        )
    return int(dataset)


# ------------------------------------------------------------------ private functions
def _import_hist() -> Any:
    try:
        import hist
    except ImportError as error:
        raise InvalidInputError(
            "to_hist needs hist: pip install 'sktamm[hep]'."
        ) from error
    return hist


def _axes(hist: Any, templates: AdaptedTemplates) -> list[Any]:
    axes = []
    for edges, name in zip(templates.edges, templates.feature_names, strict=True):
        own = "" if name in _RESERVED else name
        flow = templates.flow
        axes.append(hist.axis.Variable(edges, name=own, label=name, flow=flow))
    return axes
