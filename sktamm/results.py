"""Immutable answers: what was measured, how well, and whether to trust it.

Displays and exports are built from these records alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["OWN_LINES", "AdaptedTemplates", "FractionResult", "Profile"]

#: Entries of ``method`` that are lists or sentences, each on a line of its own.
OWN_LINES = {
    "families": "families",
    "odd simulations": "odd simulations",
    "near-duplicates": "near-duplicates",
    "left out": "simulations left out",
}


@dataclass(frozen=True, eq=False)
class AdaptedTemplates:
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
class Profile:
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


@dataclass(frozen=True, eq=False)
class FractionResult:
    """Signal fraction of one or several datasets, with everything that belongs to it.

    Attributes
    ----------
    dataset : ndarray of shape (n_datasets,)
        Identifier of each dataset.
    classes : ndarray of shape (n_classes,)
        Class labels.
    pos_label : object
        The class whose fraction is kappa.
    kappa : ndarray of shape (n_datasets,)
        Estimated fraction of ``pos_label``.
    std : ndarray of shape (n_datasets,)
        Standard error (frequentist) or posterior standard deviation (Bayesian).
    levels : ndarray of shape (n_levels,)
        Levels of the intervals.
    interval : ndarray of shape (n_datasets, 2, n_levels)
        Lower and upper ends.
    fractions : ndarray of shape (n_datasets, n_classes)
        Fractions of all classes; sums to one.
    weights : tuple of ndarray of shape (n_datasets, n_components) or None, per class
        Weights of the components of each class (linear form: on the simplex;
        exponential form: coefficients of the prior's directions).
    n_events : ndarray of shape (n_datasets,)
        Sum of the event weights.
    n_effective : ndarray of shape (n_datasets,)
        Effective number of events, (sum w)^2 / sum w^2.
    diagnostics : mapping of str to ndarray of shape (n_datasets,)
        Named diagnostics: "converged", "at_boundary", "singular", "n_iterations",
        "goodness_of_fit" (p-value of the rows), "prior_tension" (p-value of the blend
        under its prior), "span" (of both: do the simulations span the data?),
        "overlap" (of the simulations of the class where it is smallest),
        "out_of_range", "unfilled" (share of the events in bins that no simulation
        fills), "events_per_bin" (effective ones of a template); for binned events
        "beyond" (share beyond the edges); unbinned
        "std_reference" and "std_ratios" (parts of the standard error) and
        "reference_size" (effective rows behind the class with the fewest); for
        Laplace's method with two classes "laplace_error" (shift of mean or log width of
        kappa, in standard deviations, if the blends are integrated to a higher order);
        with ``discrepancy="scale"`` "discrepancy_rows" and "discrepancy_blend" (factors
        of their standard errors), "discrepancy" (the larger one) and "std_discrepancy"
        (what they add in quadrature);
        for draws "r_hat", "ess_bulk", "ess_tail", "n_divergent", "poor_sampling".
    flags : tuple of tuple of str
        For each dataset the names of the problems found; empty when healthy.
    method : mapping of str to str
        The choices made: components, form, prior, inference, interval, pairing; and
        where there are any, families, odd simulations, near-duplicates.
    draws : tuple of n_datasets ndarray of shape (n_chains, n_draws), or None
        Posterior draws of kappa; datasets may differ in their number.
    profile : Profile or None
        Profile likelihood or marginal posterior of kappa.
    templates : AdaptedTemplates or None
        Templates before and after adapting; None when unbinned.
    features : tuple of str
        Names of the features that were used, x0, x1, ... where they have none; empty
        when not known.
    """

    dataset: NDArray[Any]
    classes: NDArray[Any]
    pos_label: Any
    kappa: NDArray[Any]
    std: NDArray[Any]
    levels: NDArray[Any]
    interval: NDArray[Any]
    fractions: NDArray[Any]
    weights: tuple[NDArray[Any], ...]
    n_events: NDArray[Any]
    n_effective: NDArray[Any]
    diagnostics: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    flags: tuple[tuple[str, ...], ...] = ()
    method: Mapping[str, str] = field(default_factory=dict)
    draws: tuple[NDArray[Any], ...] | None = None
    profile: Profile | None = None
    templates: AdaptedTemplates | None = None
    features: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row per dataset: kappa, error, intervals, events, diagnostics, flags.

        Returns
        -------
        frame : pandas.DataFrame of n_datasets rows
            Columns ``lower_<level>`` and ``upper_<level>`` hold the intervals.
        """
        columns: dict[str, Any] = {
            "dataset": self.dataset,
            "kappa": self.kappa,
            "std": self.std,
        }
        for i, level in enumerate(self.levels):
            columns[f"lower_{level:g}"] = self.interval[:, 0, i]
            columns[f"upper_{level:g}"] = self.interval[:, 1, i]
        columns |= {"n_events": self.n_events, "n_effective": self.n_effective}
        columns |= dict(self.diagnostics)
        columns["flags"] = [" ".join(flags) for flags in self.flags]
        return pd.DataFrame(columns)

    def summary(self) -> str:
        """Readable account of the measurement, a few lines per dataset."""
        words = {k: v for k, v in self.method.items() if k not in OWN_LINES}
        lines = [", ".join(f"{k}: {v}" for k, v in words.items())]
        lines += [
            f"{title}: {self.method[k]}"
            for k, title in OWN_LINES.items()
            if k in self.method
        ]
        if self.features:
            lines.append(f"features: {', '.join(self.features)}")
        for i, name in enumerate(self.dataset):
            lines.append(self._headline(i, name))
            lines += [
                f"  {level:.1%} interval  [{low:.4f}, {high:.4f}]"
                for level, low, high in zip(self.levels, *self.interval[i], strict=True)
            ]
            lines.append(f"  flags: {', '.join(self.flags[i]) or 'none'}")
        return "\n".join(lines)

    def _headline(self, i: int, name: Any) -> str:
        return (
            f"dataset {name}: kappa = {self.kappa[i]:.4f} +- {self.std[i]:.4f} "
            f"({self.n_events[i]:g} events, fraction of class {self.pos_label})"
        )

    def __repr__(self) -> str:
        """Short form: number of datasets and the first estimates."""
        shown = ", ".join(f"{k:.4f}" for k in np.atleast_1d(self.kappa)[:3])
        more = ", ..." if self.kappa.size > 3 else ""
        return f"FractionResult(n_datasets={self.kappa.size}, kappa=[{shown}{more}])"
