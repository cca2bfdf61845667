"""The estimator that chooses its method by simulations that are left out."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _num_features

from sktamm._sklearn import (
    CallbackSupport,
    FitSteps,
    at_least,
    between,
    check_parameters,
    one_of,
    with_callbacks,
    within,
)
from sktamm.auto._candidates import Candidate, fit_candidates, recipes
from sktamm.auto._composition import Composition
from sktamm.auto._left_out import LeftOutScores, judged
from sktamm.auto._pool import pooled
from sktamm.auto._units import design_of, event_units, histogram_units
from sktamm.events import Pairing
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.mixture import SimulationsPrior
from sktamm.model_selection import Design
from sktamm.results import FractionResult
from sktamm.tamm import seed_sequence
from sktamm.templates import is_histogram

__all__ = ["AutoTAMM"]

# Fewer simulations left out are no evidence against the default: a rule of thumb.
_FEWEST = 4
# More play no truth, as the cost of asking grows with the square of their number: a
# rule of thumb.
_MOST = 20
# Fractions of the pseudo-datasets, from a small signal to most of the events, and fewer
# for more classes; as many events as an analysis has: rules of thumb.
_FRACTIONS = (0.05, 0.15, 0.35, 0.6)
_FEW_FRACTIONS = (0.15, 0.45)
_SIZE = 10_000


class AutoTAMM(CallbackSupport, Composition):
    """Signal fraction by the method that measures left-out simulations best.

    Candidates are fitted, and every simulation in turn plays the truth for each of
    them: pseudo-datasets of its events are measured by the candidate without it. The
    first candidate answers unless another is better beyond doubt; ``method`` of a
    result says which one does, and why.

    Parameters
    ----------
    candidates : "auto" or list of (str, estimator) tuples, default="auto"
        What is judged, the default first. "auto": for one or two features
        `BinnedTopicTAMM`, then `ScoreTAMM`; for more the `PosteriorPool` of `ScoreTAMM`
        and `NeuralRatioTAMM`, each of them, then `BinnedTopicTAMM`; for histograms
        `BinnedTopicTAMM` alone. Then each of them with the linear form, topics for more
        than twenty simulations of one or two features, the simulations of a class
        merged into one, and `FreeTemplates` for at most twelve templates. Estimators of
        one's own get ``pos_label`` and ``paired`` where these are given, and are fitted
        once more for every simulation, unless they know how to leave one out.
    significance : float, default=0.01
        Largest p-value with which a candidate replaces the default: Student t of the
        log of the interval score, paired over simulations, one-sided, times the number
        of candidates.
    size : int, default=10_000
        Events of a pseudo-dataset; simulations with fewer give what they have.
    n_datasets : int or None, default=None
        Pseudo-datasets of every simulation and fraction; None is two for two classes,
        and one for more, whose fits take longer.
    families : mapping of id to str, default=None
        Name of the family of every simulation but the nominal, where the simulations
        are a nominal, variations and other generators: the automatic candidates have
        `SimulationsPrior` with these families, and the default answers; see Notes.
        None takes the simulations for draws of one kind.
    nominal : id or list of ids, default=None
        The nominal simulation, or the ids that it has in several classes; with
        families.
    alternatives : list of str, default=None
        Families whose members are generators or other draws of a population, and no
        variations by one standard deviation. None those with three members or more.
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
    left_out_ : LeftOutScores or None
        How candidates measured simulations left out; None with fewer than four in a
        class, or with families, where the default answers.
    chosen_ : str
        Name of the candidate that answers.
    estimator_ : estimator
        The candidate that answers.
    classes_, pos_label_, simulations_, paired_, n_features_in_, feature_names_in_
        Those of ``estimator_``.

    Notes
    -----
    At most twenty simulations play the truth, evenly chosen in the order of their
    means. Nothing is trained without a simulation: bins and scores find their
    components anew from the other templates, ratios leave columns out. Few simulations
    are little evidence, so that a choice by the smallest score would be worse than the
    default on most kinds of data (doc/zoo.md); the test protects it.

    Candidates are judged in ``fit`` and again in every ``take``, which takes 3 s where
    ``fit`` takes 9 s, for six simulations of 2 x 20 000 events of two features.

    With families nothing is judged, as no simulation can play the truth: the nominal
    is the centre of the prior and cannot be left out, a variation is what its opposite
    says, one standard deviation away in one parameter alone, and generators are two or
    three. The simulations merged into one are then no candidate.

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

    _parts = "candidates"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "candidates": [object],  # `_check_parts` says more
        "significance": [within(0, 1)],
        "size": [at_least(1)],
        "n_datasets": [at_least(1), None],
        "families": [object],  # as the prior takes them
        "nominal": [object],
        "alternatives": [object],
        "pos_label": [object],
        "paired": ["boolean", one_of("auto")],
        "level": [between(0, 1)],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        candidates: Any = "auto",
        *,
        significance: float = 0.01,
        size: int = _SIZE,
        n_datasets: int | None = None,
        families: Mapping[Any, Any] | None = None,
        nominal: Any = None,
        alternatives: Collection[Any] | None = None,
        pos_label: Any = None,
        paired: Pairing = "auto",
        level: float = 0.683,
        n_jobs: int | None = None,
        random_state: Any = 0,
    ):
        self.candidates = candidates
        self.significance = significance
        self.size = size
        self.n_datasets = n_datasets
        self.families = families
        self.nominal = nominal
        self.alternatives = alternatives
        self.pos_label = pos_label
        self.paired = paired
        self.level = level
        self.n_jobs = n_jobs
        self.random_state = random_state

    # ------------------------------------------------------------------------- fit
    @with_callbacks
    def _fit(self, events: dict[str, Any]) -> None:
        self._check()
        X, simulation = events["X"], events["simulation"]
        n_simulations = 1 if simulation is None else np.unique(simulation).size
        plan = recipes(
            self.candidates,
            _n_features(X),
            n_simulations,
            is_histogram(X),
            self._settings(),
        )
        steps = FitSteps(self, len(plan) + 1, events)
        self._known, self.refused_ = fit_candidates(plan, events, steps)
        self.candidates_ = {name: c.estimator for name, c in self._known.items()}
        self._units = self._find_units(events)
        with steps.step("simulations left out"):
            self._judge()
        steps.end()

    def _keep(self, kept: NDArray[Any], lost: NDArray[Any]) -> None:
        self._known = {name: c.smaller(lost) for name, c in self._known.items()}
        self.candidates_ = {name: c.estimator for name, c in self._known.items()}
        self._units = tuple(u for u in self._units if np.isin(u.ids, kept).all())
        self._judge()

    def _check(self) -> None:
        check_parameters(self)
        if not (isinstance(self.candidates, str) and self.candidates == "auto"):
            self._check_parts()
        if self._has_families and not isinstance(self.candidates, str):
            raise IncompatibleChoiceError(
                "families, nominal and alternatives must be None with candidates of "
                "one's own, whose priors take them, got "
                f"families={self.families!r} and nominal={self.nominal!r}."
            )

    @property
    def _has_families(self) -> bool:
        """Whether families are declared, rightly or not."""
        of = (self.families, self.nominal, self.alternatives)
        return any(value is not None for value in of)

    def _settings(self) -> dict[str, Any]:
        """Parameters that automatic candidates share with this estimator."""
        names = ("pos_label", "paired", "level", "n_jobs", "random_state")
        settings = {name: getattr(self, name) for name in names}
        if self._has_families:
            settings["prior"] = SimulationsPrior(
                families=self.families,
                nominal=self.nominal,
                alternatives=self.alternatives,
            )
        return settings

    # ----------------------------------------------------------------------- judging
    def _find_units(self, events: dict[str, Any]) -> tuple[Any, ...]:
        """What plays the truth for all candidates; nothing where that is too little."""
        fitted = list(self.candidates_.values())
        self._declared = self._has_families or any(map(_declares, fitted))
        if self._declared:
            return ()
        if is_histogram(events["X"]):
            return histogram_units(fitted[0].components_.templates_)
        # Where a candidate trains on a part of the events, the others judge.
        keeper = next((e for e in fitted if hasattr(e, "held_out")), None)
        events = events if keeper is None else keeper.held_out()
        names = getattr(fitted[0], "feature_names_in_", None)
        how = {"pos_label": fitted[0].pos_label_, "paired": self.paired}
        try:
            return event_units(events, names, self._seeds(0), **how)
        except InvalidInputError:  # a class with one simulation
            return ()

    def _seeds(self, k: int) -> np.random.SeedSequence:
        return seed_sequence(self.random_state).spawn(k + 1)[k]

    def _judge(self) -> None:
        """Ask every candidate about the simulations that it does not know; choose."""
        names = tuple(self.candidates_)
        self.left_out_ = None
        if len(self._units) >= _FEWEST:
            self.left_out_ = self._scores(names, _evenly(self._units))
        self.chosen_ = self.left_out_.chosen if self.left_out_ else names[0]
        self.estimator_ = self.candidates_[self.chosen_]
        self._copy_attributes()

    def _scores(self, names: tuple[str, ...], units: tuple[Any, ...]) -> LeftOutScores:
        first = self.candidates_[names[0]]
        positive = int(np.flatnonzero(first.classes_ == first.pos_label_)[0])
        n_classes = first.classes_.size
        fractions = _FRACTIONS if n_classes == 2 else _FEW_FRACTIONS
        design = design_of(fractions, self.size, positive, n_classes)
        n = int(self.n_datasets or (2 if n_classes == 2 else 1))
        asked: dict[str, list[Any]] = {}
        for name in sorted(names, key=lambda name: bool(self._known[name].members)):
            asked[name] = self._asked(self._known[name], units, design, n, asked)
        return judged(
            names,
            tuple(unit.ids for unit in units),
            np.repeat(fractions, n),
            float(self.level),
            [asked[name] for name in names],
            float(self.significance),
        )

    def _asked(
        self,
        candidate: Candidate,
        units: tuple[Any, ...],
        design: Design,
        n: int,
        known: dict[str, list[Any]],
    ) -> list[Any]:
        """Answers about every unit; a pool has those of its members."""
        if candidate.members:
            own = {name: known[name] for name in candidate.members}
            return [
                pooled({name: results[k] for name, results in own.items()})
                for k in range(len(units))
            ]
        seeds = self._seeds(1).spawn(len(units))
        return [
            unit.ask(candidate.without(unit.ids), design, n, seed, float(self.level))
            for unit, seed in zip(units, seeds, strict=True)
        ]

    # ------------------------------------------------------------------------ asking
    def _infer(self, X: Any, levels: Any, question: dict[str, Any]) -> FractionResult:
        result = super()._infer(X, levels, question)
        words = {"chosen": self.chosen_, "left out": self._why()}
        return replace(result, method={**result.method, **words})

    def _why(self) -> str:
        """The choice in a sentence."""
        if self._declared:
            return "families are declared: the default, not judged"
        if self.left_out_ is None:
            return f"fewer than {_FEWEST} simulations: the default, not judged"
        return self.left_out_.why()


def _declares(fitted: Any) -> bool:
    """Whether families are told to the prior of an estimator, or of one in a pool."""
    members = getattr(fitted, "estimators_", None)
    if isinstance(members, dict):
        return any(map(_declares, members.values()))
    grouping = getattr(getattr(fitted, "prior_", None), "grouping", None)
    return grouping is not None and grouping() is not None


def _evenly(units: tuple[Any, ...]) -> tuple[Any, ...]:
    """As many units as play the truth, evenly from first to last."""
    number = np.linspace(0, len(units) - 1, min(len(units), _MOST))
    return tuple(units[k] for k in number.round().astype(int))


def _n_features(X: Any) -> int:
    """Number of features, as far as it can be seen."""
    try:
        return int(_num_features(X))
    except (TypeError, ValueError):  # histograms, or input that the candidates refuse
        return 1
