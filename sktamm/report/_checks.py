"""Questions that a reader asks of a number, with what the result knows of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktamm.results import FractionResult, flag_meaning

__all__ = ["Check", "find_checks"]


@dataclass(frozen=True)
class Check:
    """A question that a reader asks of a number, and what answers it.

    Attributes
    ----------
    question : str
        In words.
    found : tuple of str
        Numbers of the result that answer it, in words.
    flags : tuple of str
        Flags of the result that object.
    advice : tuple of str
        What each of them means, and what to do.
    """

    question: str
    found: tuple[str, ...]
    flags: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing objects."""
        return not self.flags


@dataclass(frozen=True)
class _Question:
    words: str
    flags: tuple[str, ...]
    # Diagnostics that answer, each with what its value says; absent ones say nothing.
    numbers: tuple[tuple[str, Callable[[Any], str]], ...] = ()


def _p(what: str) -> Callable[[Any], str]:
    return lambda value: f"{what}: p = {value:.2g}"


def _share(what: str) -> Callable[[Any], str]:
    return lambda value: f"{value:.2%} of the events {what}"


_QUESTIONS = (
    _Question(
        "Does the adapted mixture describe the data?",
        ("bad_fit",),
        (
            ("goodness_of_fit", _p("goodness of fit")),
            ("span", _p("within what the simulations span")),
            ("discrepancy", lambda v: f"errors are scaled by {v:.2f} for what is left"),
        ),
    ),
    _Question(
        "Is the blend a likely one, judged by the simulations?",
        ("in_tension",),
        (("prior_tension", _p("blend under its prior")),),
    ),
    _Question(
        "Are the simulations of one kind, and do they overlap?",
        ("not_exchangeable", "little_overlap"),
        (("overlap", lambda v: f"overlap {v:.2f} (1: they agree, 0: nothing shared)"),),
    ),
    _Question(
        "Do the data lie where there are simulated events?",
        ("out_of_range", "empty_bins"),
        (
            ("beyond", _share("beyond the edges of the bins")),
            ("unfilled", _share("in bins that no simulation fills")),
        ),
    ),
    _Question(
        "Are there enough simulated events?",
        ("sparse_templates", "poor_reference", "uncertain_ratios"),
        (
            ("events_per_bin", lambda v: f"{v:.3g} simulated events per filled bin"),
            ("reference_size", lambda v: f"{v:.3g} reference events for the ratios"),
            ("std_ratios", lambda v: f"training of the ratios adds {v:.2g}"),
        ),
    ),
    _Question(
        "Did the fit work?",
        ("not_converged", "singular", "poor_sampling", "rough_integral"),
        (
            ("converged", lambda v: "converged" if v else "not converged"),
            ("r_hat", lambda v: f"chains agree to R = {v:.3f}"),
            (
                "laplace_error",
                lambda v: f"posterior good to {v:.2g} errors",
            ),
        ),
    ),
    _Question("Is the estimate a fraction?", ("at_boundary", "unphysical")),
    _Question(
        "Do the methods agree?",
        (),
        (("disagreement", lambda v: f"they differ by {v:.2g} standard errors"),),
    ),
)


def find_checks(result: FractionResult, i: int) -> list[Check]:
    """Checks of one dataset, those that object first.

    Parameters
    ----------
    result : FractionResult
        Any result.
    i : int
        Position of the dataset in it.

    Returns
    -------
    checks : list of Check
        Questions that a number or a flag of the result answers; a flag that belongs to
        no question is one by itself.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.report import find_checks
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> checks = find_checks(tamm.infer(study.X_target), 0)
    >>> checks[0].question
    'Does the adapted mixture describe the data?'
    """
    raised = result.flags[i] if result.flags else ()
    checks = [_answered(question, result, i, raised) for question in _QUESTIONS]
    known = {flag for question in _QUESTIONS for flag in question.flags}
    others = [flag for flag in raised if flag not in known]
    checks += [Check(flag, (), (flag,), (flag_meaning(flag),)) for flag in others]
    asked = [check for check in checks if check.found or check.flags]
    return sorted(asked, key=lambda check: check.passed)


def _answered(
    question: _Question, result: FractionResult, i: int, raised: Sequence[str]
) -> Check:
    flags = tuple(flag for flag in question.flags if flag in raised)
    found = []
    for name, say in question.numbers:
        value = result.diagnostics.get(name)
        if value is not None and np.isfinite(np.asarray(value[i], float)):
            found.append(say(value[i]))
    return Check(
        question.words,
        tuple(found),
        flags,
        tuple(flag_meaning(flag) for flag in flags),
    )
