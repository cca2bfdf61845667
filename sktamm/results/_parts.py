"""Parts of a result: templates and a curve over kappa."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from sktamm.results._frozen import Frozen

__all__ = ["AdaptedTemplates", "Profile"]


@dataclass(frozen=True, eq=False)
class AdaptedTemplates(Frozen):
    """Probabilities of the bins before and after the data adapted the templates.

    Attributes
    ----------
    edges : tuple of ndarray
        Bin edges of every feature, finite and ascending, without flow bins.
    shape : tuple of int
        Number of bins of every feature including flow bins; rows are bins in C order.
    flow : bool
        Whether the first and last bin of every feature are underflow and overflow.
    feature_names : tuple of str
        Names of the features.
    counts : ndarray of shape (n_datasets, n_rows)
        Observed sum of weights in every bin.
    variances : ndarray of shape (n_datasets, n_rows)
        Observed sum of squared weights in every bin.
    nominal : ndarray of shape (n_classes, n_rows)
        Probability of every bin for the average simulation of every class.
    simulated : ndarray of shape (n_sources, n_rows)
        Probability of every bin for every simulation of every class.
    source_class : ndarray of int, shape (n_sources,)
        Class index of every row of ``simulated``.
    adapted : ndarray of shape (n_datasets, n_classes, n_rows)
        Probability of every bin for every class, adapted to each dataset.
    """

    edges: tuple[NDArray[Any], ...]
    shape: tuple[int, ...]
    flow: bool
    feature_names: tuple[str, ...]
    counts: NDArray[Any]
    variances: NDArray[Any]
    nominal: NDArray[Any]
    simulated: NDArray[Any]
    source_class: NDArray[Any]
    adapted: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Profile(Frozen):
    """A curve over kappa: profile likelihood or marginal posterior.

    Attributes
    ----------
    kappa : ndarray of shape (n_datasets, n_points)
        Values of kappa.
    log_density : ndarray of shape (n_datasets, n_points)
        Log of the profile likelihood or of the marginal posterior; its maximum is 0.
    """

    kappa: NDArray[Any]
    log_density: NDArray[Any]
