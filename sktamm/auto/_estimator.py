"""The estimator that chooses its method by simulations that are left out."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.validation import _num_features, check_is_fitted

from sktamm._choices import check_level, seed_sequence
from sktamm._validation import check_least
from sktamm._wrapper import FractionWrapper
from sktamm.auto._candidates import check_candidates, fit_candidates, recipes
from sktamm.auto._held_out import HeldOutScores, judged
from sktamm.auto._units import design_of, event_units, histogram_units
from sktamm.components._histogram import is_histogram
from sktamm.exceptions import InvalidInputError
from sktamm.results import FractionResult

__all__ = ["AutoTAMM"]

# Fewer simulations left out than this are no evidence against the default.
_FEWEST = 4
_FRACTIONS = (0.05, 0.15, 0.35, 0.6)
_SIZE = 10_000


class AutoTAMM(FractionWrapper, _BaseComposition):
    """Signal fraction by the method that measures left-out simulations best.

    Candidates are fitted, and every simulation in turn plays the truth for each of
    them: pseudo-datasets of its events are measured by the candidate without it. The
    first candidate answers unless another is better beyond doubt.

    Parameters
    ----------
    candidates : "auto" or list of (str, estimator) tuples, default="auto"
        What is judged, the default first. "auto": `BinnedTopicTAMM` and `ScoreTAMM`,
        each with its default prior and with ``prior="simulations"``; the first is the
        default for one or two features and the only one for histograms, the second
        for more, where `NeuralRatioTAMM` is a candidate, too. Estimators of one's own
        get ``pos_label`` and ``paired`` where these are given, and are fitted once more
        for every simulation, unless they know how to leave one out.
    significance : float, default=0.01
        Largest p-value with which a candidate replaces the default: one-sided, paired,
        Student t over simulations, for the log of the interval score.
    size : int, default=10_000
        Events of a pseudo-dataset; simulations with fewer give what they have.
    n_datasets : int, default=2
        Pseudo-datasets of every simulation and fraction.
    pos_label : label, default=None
        The class whose fraction is kappa; None is the last of the sorted classes.
    paired : bool or "auto", default="auto"
        Whether equal simulation ids in different classes mean the same simulation.
    level : float, default=0.683
        Level of the intervals that are judged.
    n_jobs : int, default=None
        Threads of every candidate.
    random_state : int, RandomState instance or None, default=0
        Seed of everything random.

    Attributes
    ----------
    candidates_ : dict of str to estimator
        Fitted candidates.
    refused_ : dict of str to str
        Candidates that the data do not allow, with the reason.
    held_out_ : HeldOutScores or None
        How candidates measured simulations left out; None with fewer than four in a
        class, where the default answers.
    chosen_ : str
        Name of the candidate that answers.
    estimator_ : estimator
        The candidate that answers.
    classes_, pos_label_, simulations_, paired_, n_features_in_, feature_names_in_
        Those of ``estimator_``.

    See Also
    --------
    BinnedTopicTAMM, ScoreTAMM, NeuralRatioTAMM : The candidates.
    sktamm.model_selection.CalibratedTAMM : Scales intervals by the same evidence.

    Notes
    -----
    Nothing is trained without a simulation: bins and scores find their components anew
    from the other templates, ratios leave columns out. Few simulations are little
    evidence, so that a choice by the smallest score would be worse than the default on
    most kinds of data (doc/zoo.md); the test protects it.

    Examples
    --------
    >>> from sktamm import AutoTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=0)
    >>> tamm = AutoTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> tamm.chosen_
    'binned'
    >>> kappa, interval = tamm.predict(study.X_target, return_interval=0.954)
    >>> bool(interval[0, 0] < study.kappa < interval[0, 1])
    True
    """

    _copied = (*FractionWrapper._copied, "paired_", "simulations_")

    def __init__(
        self,
        candidates: Any = "auto",
        *,
        significance: float = 0.01,
        size: int = _SIZE,
        n_datasets: int = 2,
        pos_label: Any = None,
        paired: Any = "auto",
        level: float = 0.683,
        n_jobs: int | None = None,
        random_state: Any = 0,
    ):
        self.candidates = candidates
        self.significance = significance
        self.size = size
        self.n_datasets = n_datasets
        self.pos_label = pos_label
        self.paired = paired
        self.level = level
        self.n_jobs = n_jobs
        self.random_state = random_state

    # ------------------------------------------------------------------------- fit
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        simulation: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the candidates, judge them on simulations left out, choose.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or sequence of histograms
            Simulated events, or one histogram (UHI) per class and simulation.
        y : array-like of shape (n_events,)
            Class label of each event or histogram.
        simulation : array-like of shape (n_events,), default=None
            Simulation id of each event or histogram.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.

        Returns
        -------
        self : AutoTAMM
            Fitted estimator.

        Raises
        ------
        InvalidInputError
            If the input cannot be used.
        IncompatibleChoiceError
            If the candidates, or a setting, cannot be used.
        """
        self._check()
        events = {"X": X, "y": y, "simulation": simulation}
        if sample_weight is not None:
            events["sample_weight"] = sample_weight
        plan = recipes(self.candidates, _width(X), is_histogram(X), self._settings())
        self._known, self.refused_ = fit_candidates(plan, events)
        self.candidates_ = {name: c.estimator for name, c in self._known.items()}
        self._units = self._find_units(events)
        self._judge()
        return self

    def take(self, simulations: ArrayLike) -> Self:
        """The fitted estimator with some of its simulations, judged and chosen anew.

        Parameters
        ----------
        simulations : array-like
            Ids to keep, in every class that has them.

        Returns
        -------
        part : AutoTAMM
            Fitted estimator; nothing is trained, unless candidates of one's own are.
        """
        check_is_fitted(self)
        kept = np.asarray(simulations)
        lost = self.simulations_[~np.isin(self.simulations_, kept)]
        part = copy.copy(self)
        part._known = {
            name: candidate.smaller(lost) for name, candidate in self._known.items()
        }
        part.candidates_ = {name: c.estimator for name, c in part._known.items()}
        part._units = {
            name: tuple(u for u in units if np.isin(u.ids, kept).all())
            for name, units in self._units.items()
        }
        part._judge()
        return part

    def _check(self) -> None:
        check_level(self.level)
        if not (isinstance(self.candidates, str) and self.candidates == "auto"):
            check_candidates(self.candidates)
        p = self.significance
        if not (isinstance(p, Real) and 0.0 <= float(p) <= 1.0):
            raise InvalidInputError(f"significance must be from 0 to 1, got {p!r}.")
        for name in ("size", "n_datasets"):
            check_least(name, getattr(self, name), 1)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this estimator, and of the candidates by their names.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return those of the candidates.

        Returns
        -------
        params : dict of str to object
            Names and values.
        """
        params: dict[str, Any] = self._get_params("candidates", deep=deep)
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, or of a candidate: ``name__parameter``.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        self : AutoTAMM
            This estimator.
        """
        self._set_params("candidates", **params)
        return self

    def _settings(self) -> dict[str, Any]:
        """Parameters that automatic candidates share with this estimator."""
        names = ("pos_label", "paired", "level", "n_jobs", "random_state")
        return {name: getattr(self, name) for name in names}

    # ----------------------------------------------------------------------- judging
    def _find_units(self, events: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """What plays the truth for every candidate; nothing where there is too little.

        A candidate that trains on a part of the events is judged by the others.
        """
        first = next(iter(self.candidates_.values()))
        if is_histogram(events["X"]):
            units: Any = histogram_units(first.components_.templates_)
            return dict.fromkeys(self._known, units)
        names = getattr(first, "feature_names_in_", None)
        how = {"pos_label": first.pos_label_, "paired": self.paired}
        try:
            units = event_units(events, names, like=self._seeds(0), **how)
        except InvalidInputError:  # a class with one simulation
            return dict.fromkeys(self._known, ())
        found = dict.fromkeys(self._known, units)
        for name, estimator in self.candidates_.items():
            if hasattr(estimator, "held_out"):
                held = estimator.held_out()
                found[name] = event_units(held, names, like=units, **how)
        return found

    def _seeds(self, k: int) -> np.random.SeedSequence:
        return seed_sequence(self.random_state).spawn(k + 1)[k]

    def _judge(self) -> None:
        """Ask every candidate about the simulations that it does not know; choose."""
        names = tuple(self.candidates_)
        self.held_out_ = None
        n_units = min(len(units) for units in self._units.values())
        if n_units >= _FEWEST:
            self.held_out_ = self._scores(names, n_units)
        self.chosen_ = self.held_out_.chosen if self.held_out_ else names[0]
        self.estimator_ = self.candidates_[self.chosen_]
        self._copy_attributes()

    def _scores(self, names: tuple[str, ...], n_units: int) -> HeldOutScores:
        first = self.candidates_[names[0]]
        positive = int(np.flatnonzero(first.classes_ == first.pos_label_)[0])
        design = design_of(_FRACTIONS, self.size, positive, first.classes_.size)
        seeds = self._seeds(1).spawn(n_units)
        asked = [
            [
                unit.ask(
                    candidate.without(unit.ids),
                    design,
                    int(self.n_datasets),
                    seed,
                    float(self.level),
                )
                for unit, seed in zip(self._units[name], seeds, strict=True)
            ]
            for name, candidate in self._known.items()
        ]
        return judged(
            names,
            tuple(unit.ids for unit in self._units[names[0]]),
            np.repeat(_FRACTIONS, int(self.n_datasets)),
            float(self.level),
            asked,
            float(self.significance),
        )

    # ----------------------------------------------------------------- public verbs
    def infer(
        self,
        X: Any,
        *,
        dataset: Any = None,
        sample_weight: ArrayLike | None = None,
        levels: Sequence[float] | NDArray | None = None,
    ) -> FractionResult:
        """Everything about the signal fraction of every dataset.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features), or histograms
            Unlabelled events, or one histogram per dataset.
        dataset : array-like or sparse matrix, default=None
            As in ``predict``.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, possibly negative.
        levels : sequence of float, default=None
            Levels of the intervals; None is ``level`` and 0.954.

        Returns
        -------
        result : FractionResult
            That of the candidate that was chosen; ``method`` says which and why.
        """
        result = super().infer(
            X, dataset=dataset, sample_weight=sample_weight, levels=levels
        )
        words = {"chosen": self.chosen_, "held out": self._why()}
        return replace(result, method={**result.method, **words})

    def _why(self) -> str:
        """The choice in a sentence."""
        if self.held_out_ is None:
            return f"fewer than {_FEWEST} simulations: the default, not judged"
        return self.held_out_.why()

    @available_if(lambda self: hasattr(self.estimator_, "held_out"))
    def held_out(self) -> dict[str, Any]:
        """Labelled events that the chosen candidate has not trained on.

        Returns
        -------
        events : dict
            ``X``, ``y``, ``simulation``, ``sample_weight``.
        """
        events: dict[str, Any] = self.estimator_.held_out()
        return events


def _width(X: Any) -> int:
    """Number of features, as far as it can be seen."""
    try:
        return int(_num_features(X))
    except (TypeError, ValueError):  # histograms, or input that the candidates refuse
        return 1
