"""The report: a result, what estimator and data add to it, and one page of both."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from sktamm.coverage import CoverageResult
from sktamm.io import provenance, replacing
from sktamm.report._inputs import SimulatedSample, split_datasets
from sktamm.report._page import render
from sktamm.report._sections import (
    choice_section,
    coverage_section,
    dataset_section,
    simulations_section,
)
from sktamm.results import FractionResult
from sktamm.tamm import infer

__all__ = ["Report", "make_report"]


@dataclass(frozen=True, eq=False)
class Report:
    """A measurement as one page of HTML that needs no other file.

    Attributes
    ----------
    result : FractionResult
        What was measured.
    html : str
        The page.
    """

    result: FractionResult
    html: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page; it appears complete or not at all.

        Parameters
        ----------
        path : path-like
            File to write, by custom with the ending ``.html``.
        """
        with replacing(path) as part:
            Path(part).write_text(self.html, encoding="utf-8")

    def __repr__(self) -> str:
        """Short form: of which result."""
        return f"Report({self.result!r})"


def make_report(
    estimator: Any,
    X: Any,
    *,
    dataset: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    simulated: Mapping[str, Any] | None = None,
    levels: Sequence[float] | None = None,
    blind: str | None = None,
    coverage: CoverageResult | None = None,
    origin: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> Report:
    """Measure datasets and put everything that is known of the numbers on one page.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or Pipeline or search ending in one. `AutoTAMM` knows how it
        measured the simulations that were left out; ``AutoTAMM([("mine", estimator)])``
        finds that out for another one.
    X : array-like of shape (n_events, n_features), or histograms
        Unlabelled events, or one histogram per dataset.
    dataset : array-like of shape (n_events,), default=None
        Dataset id of each event; None is one dataset.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights.
    simulated : mapping, default=None
        Simulated events for figures of the features that the estimator does not bin:
        ``X``, ``y`` and, as in ``fit``, ``simulation`` and ``sample_weight``.
    levels : sequence of float, default=None
        Levels of the intervals; None is the estimator's and 0.954.
    blind : str, default=None
        Seed of a hidden offset of kappa; see `FractionResult.blinded`.
    coverage : CoverageResult, default=None
        A coverage study to show.
    origin : mapping, default=None
        What `sktamm.io.provenance` returned; None is that of this machine's software.
    title : str, default=None
        Heading of the page.

    Returns
    -------
    report : Report
        The page, and the result behind it.

    Raises
    ------
    InvalidInputError
        As ``infer`` raises it, or if ``dataset`` is a matrix of counts.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.report import make_report
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> report = make_report(tamm, study.X_target)
    >>> report.html.startswith("<!doctype html>")
    True
    """
    question = {"dataset": dataset, "sample_weight": sample_weight}
    if levels is not None:
        question["levels"] = levels
    given = {name: value for name, value in question.items() if value is not None}
    result = infer(estimator, X, **given, **({"blind": blind} if blind else {}))
    origin = dict(origin or result.provenance or provenance())
    result = replace(result, provenance=origin)
    sample = None if simulated is None else SimulatedSample(**simulated)
    datasets = [
        dataset_section(estimator, result, i, own, sample)
        for i, own in enumerate(split_datasets(X, dataset, sample_weight))
    ]
    sections = [simulations_section(estimator), choice_section(estimator)]
    sections.append(coverage_section(coverage))
    page = render(
        result,
        title=title,
        datasets=datasets,
        sections=[section for section in sections if section is not None],
        estimator=repr(estimator),
    )
    return Report(result, page)
