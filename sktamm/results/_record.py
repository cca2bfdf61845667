"""The result of a measurement: estimates, intervals, and whether to trust them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from sktamm.results._blinding import blinded, unblinded
from sktamm.results._digits import rounded
from sktamm.results._frozen import Frozen, same
from sktamm.results._html import result_html
from sktamm.results._parts import AdaptedTemplates, Profile
from sktamm.results._seal import Seal
from sktamm.results._table import result_table
from sktamm.results._words import result_summary

__all__ = ["FractionResult"]


@dataclass(frozen=True, eq=False)
class FractionResult(Frozen):
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
    provenance : mapping
        Versions, settings, seed and inputs of a result that was read from a file;
        empty otherwise.
    seal : Seal or None
        What is hidden, of a blinded result; None of any other.

    Notes
    -----
    Nothing in a result can be changed: arrays and mappings are constant copies of what
    it is made of. `dataclasses.replace` makes a result with other fields.
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
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False)
    seal: Seal | None = None

    def __post_init__(self) -> None:
        """Freeze the fields; no flags are none of every dataset."""
        if not self.flags:
            object.__setattr__(self, "flags", ((),) * len(self.kappa))
        super().__post_init__()

    def to_frame(self) -> pd.DataFrame:
        """One row per dataset: kappa, error, intervals, events, diagnostics, flags.

        Returns
        -------
        frame : pandas.DataFrame of n_datasets rows
            Columns ``lower_<level>`` and ``upper_<level>`` hold the intervals; those of
            a blinded result are shifted, and a column ``blinded`` says so.
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
        if self.is_blinded:
            columns["blinded"] = True
        return pd.DataFrame(columns)

    def table(self) -> pd.DataFrame:
        """The measurement to read: rounded texts, one row per dataset.

        Returns
        -------
        table : pandas.DataFrame of n_datasets rows
            Texts: dataset, events, kappa and error with two significant digits of the
            error, intervals, the p-value of the fit where there is one, flags.

        Examples
        --------
        >>> from sktamm import BinnedTopicTAMM
        >>> from sktamm.datasets import make_gaussian_study
        >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
        >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
        >>> list(tamm.infer(study.X_target).table())[:4]
        ['dataset', 'events', 'kappa', 'error']
        """
        return result_table(self)

    def summary(self) -> str:
        """Readable account of the measurement, a few lines per dataset."""
        return result_summary(self)

    def equals(self, other: object) -> bool:
        """Whether another result is the same, bit for bit.

        Parameters
        ----------
        other : object
            What is compared; results of different types or dtypes differ, NaN is NaN,
            and provenance does not count.

        Returns
        -------
        equal : bool
            Whether everything that was measured is equal.
        """
        return same(self, other)

    @property
    def is_blinded(self) -> bool:
        """Whether kappa is hidden."""
        return self.seal is not None

    def blinded(self, seed: str) -> "FractionResult":
        """Hide kappa and all that reveals it until ``unblinded``.

        Parameters
        ----------
        seed : str
            The secret; the longer, the harder to guess. One seed is one offset, so that
            differences between results of one seed are true; another measurement, or
            control data of known fraction, need another seed.

        Returns
        -------
        result : FractionResult
            As it may be shown; see Notes.

        Raises
        ------
        InvalidInputError
            If the result is blinded, or the seed is no text or empty.

        Notes
        -----
        Shifted by a number that the seed alone determines, normal with a standard
        deviation of 10: ``kappa`` and the fraction of ``pos_label``; the other
        fractions share the opposite. The number is that large because a fraction lies
        between 0 and 1: a blinded value would otherwise tell large from small ones.

        Intervals keep their widths, but are centred at the blinded estimate: one that
        ends at 0 or 1 would tell by its sides where these are. For that reason draws,
        ``profile``, the diagnostic "at_boundary" and the flags "at_boundary" and
        "unphysical" are sealed: absent, but kept encrypted under the seed. So are
        diagnostics that sktamm does not know, and the data of the templates, from which
        the adapted ones give the fractions by a fit of two numbers. Errors, other
        diagnostics, weights, numbers of events and templates stay.

        Blinding guards against looking by accident, not against somebody who guesses
        the seed or has data and estimator. ``predict``, ``predict_proba``, ``score``
        and coverage studies are not blinded.

        Examples
        --------
        >>> from sktamm import BinnedTopicTAMM
        >>> from sktamm.datasets import make_gaussian_study
        >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
        >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
        >>> result = tamm.infer(study.X_target)
        >>> hidden = result.blinded("a long sentence")
        >>> hidden.unblinded("a long sentence").equals(result)
        True
        """
        return blinded(self, seed)

    def unblinded(self, seed: str) -> "FractionResult":
        """Return the result that was blinded, bit for bit.

        Parameters
        ----------
        seed : str
            What it was blinded with.

        Returns
        -------
        result : FractionResult
            What was measured.

        Raises
        ------
        InvalidInputError
            If the result is not blinded, or was blinded with another seed.
        """
        return unblinded(self, seed)

    def __repr__(self) -> str:
        """Short form: number of datasets and the first estimates."""
        pairs = zip(self.kappa[:3], self.std[:3], strict=True)
        shown = ", ".join(rounded(kappa, std) for kappa, std in pairs)
        more = ", ..." if self.kappa.size > 3 else ""
        hidden = ", blinded" if self.is_blinded else ""
        n = self.kappa.size
        return f"FractionResult(n_datasets={n}, kappa=[{shown}{more}]{hidden})"

    def _repr_html_(self) -> str:
        """Table for notebooks."""
        return result_html(self)
