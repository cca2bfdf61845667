"""From the answer of an inference to the result a user reads, with its flags."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray, effective_size, smallest_of
from sktamm.base import LITTLE_OVERLAP, ComponentTable
from sktamm.exceptions import (
    ConvergenceWarning,
    EmptyBinWarning,
    OverlapWarning,
    RangeWarning,
    RatioWarning,
    SamplingWarning,
    SpanWarning,
    SparseTemplateWarning,
)
from sktamm.inference import SURPRISING, Answer
from sktamm.mixture import FEW_ROWS, MixtureModel
from sktamm.results import AdaptedTemplates, FractionResult, Profile
from sktamm.tamm._exchangeable import LIMIT

__all__ = ["make_result", "warn_about"]

_BAD_FIT = SURPRISING
# A blend of this p-value describes the data by being none of the simulations' kind.
_EXCLUDED = 1e-5
_MOST = 0.7
_FAR = 2.0
# Events of a template per filled bin. Measured (bench_sparse.py, K = 6, two features, 2
# 000 events): with 26 the mean error of kappa is .6 and 12 of 12 intervals at 95.4 %
# cover, with 8 it is 3 and 8 of 12 do.
_SPARSE = 15.0
# Of a standard deviation. Measured (bench_laplace.py): two thirds of the results whose
# mean or width is off by a quarter of one are found, one in fifty of those off by less
# than .15 is flagged as well.
_ROUGH = 0.15
# None of those is warned about; most results that are off by more than .35 are.
_VERY_ROUGH = 0.3
# Wherever a share of the events belongs, it moves kappa by no more than itself.
_NOTICED = 0.1


def _of(
    diagnostics: Mapping[str, NDArray[Any]], name: str, absent: float
) -> NDArray[Any]:
    """A diagnostic that only some models have."""
    return diagnostics.get(name, np.full(diagnostics["singular"].shape, absent))


_FLAGS: Mapping[str, Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]] = {
    "not_converged": lambda d: ~d["converged"],
    "singular": lambda d: d["singular"],
    "at_boundary": lambda d: d["at_boundary"],
    "bad_fit": lambda d: (
        (d["goodness_of_fit"] < _BAD_FIT) | (d["prior_tension"] < _EXCLUDED)
    ),
    "in_tension": lambda d: d["prior_tension"] < _BAD_FIT,
    "out_of_range": lambda d: d["out_of_range"],
    "empty_bins": lambda d: d["unfilled"] > _NOTICED * d["std"],
    "sparse_templates": lambda d: _of(d, "events_per_bin", np.inf) < _SPARSE,
    "not_exchangeable": lambda d: _of(d, "exchangeability", 1.0) < LIMIT,
    "little_overlap": lambda d: (
        d["product"] & (_of(d, "overlap", 1.0) < LITTLE_OVERLAP)
    ),
    "unphysical": lambda d: np.abs(_of(d, "kappa", 0.5) - 0.5) > _FAR,
    "poor_reference": lambda d: _of(d, "reference_size", np.inf) < FEW_ROWS,
    "uncertain_ratios": lambda d: (
        _of(d, "std_ratios", 0.0) > _MOST * _of(d, "std", 1.0)
    ),
    "poor_sampling": lambda d: d.get("poor_sampling", np.zeros_like(d["singular"])),
    "rough_integral": lambda d: _of(d, "laplace_error", 0.0) > _ROUGH,
}


def make_result(
    table: ComponentTable,
    model: MixtureModel,
    answer: Answer,
    *,
    dataset: NDArray[Any],
    classes: NDArray[Any],
    pos_label: Any,
    levels: FloatArray,
    method: Mapping[str, str],
    templates: AdaptedTemplates | None,
    features: tuple[str, ...] = (),
    exchangeability: float | None = None,
) -> FractionResult:
    """Assemble the result record.

    ``dataset`` (n_datasets,), ``classes`` (n_classes,), ``levels`` (n_levels,). Returns
    everything about the signal fractions.
    """
    total, squares = table.totals()
    beyond = table.out_of_range
    if beyond is None:
        beyond = np.zeros(total.size, dtype=bool)
    unfilled = np.zeros(total.size) if table.unfilled is None else table.unfilled
    diagnostics = {
        **answer.diagnostics,
        "out_of_range": beyond,
        "unfilled": unfilled,
    }
    if table.events_per_row is not None:
        diagnostics["events_per_bin"] = np.full(total.size, table.events_per_row)
    if table.beyond is not None:
        diagnostics["beyond"] = table.beyond
    if exchangeability is not None:
        diagnostics["exchangeability"] = np.full(total.size, exchangeability)
    diagnostics["overlap"] = np.full(total.size, table.overlap.min())
    diagnostics["span"] = _span(diagnostics)
    product = np.full(total.size, not getattr(model, "is_linear", True))
    known = {"std": answer.std, "kappa": answer.kappa, "product": product}
    flags = _flags({**diagnostics, **known}, answer.kappa.size)
    return FractionResult(
        dataset=dataset,
        classes=classes,
        pos_label=pos_label,
        kappa=answer.kappa,
        std=answer.std,
        levels=levels,
        interval=answer.interval,
        fractions=model.fractions(answer.theta),
        weights=model.weights(answer.theta),
        n_events=total,
        n_effective=effective_size(total, squares),
        diagnostics=diagnostics,
        flags=flags,
        method=method,
        draws=answer.draws,
        profile=Profile(answer.curve_kappa, answer.curve_log_density),
        templates=templates,
        features=features,
    )


def _span(diagnostics: Mapping[str, NDArray[Any]]) -> FloatArray:
    """P-value that the simulations span the data: the smaller one of rows and blend.

    Rows show a truth that no blend makes, the blend one that only an unlikely blend
    makes; unbinned data have no rows, and their blend speaks alone.
    """
    rows, blend = diagnostics["goodness_of_fit"], diagnostics["prior_tension"]
    return smallest_of(np.array([rows, blend]))


def _flags(
    diagnostics: Mapping[str, NDArray[Any]], n_datasets: int
) -> tuple[tuple[str, ...], ...]:
    raised = {name: rule(diagnostics) for name, rule in _FLAGS.items()}
    return tuple(
        tuple(name for name, values in raised.items() if values[i])
        for i in range(n_datasets)
    )


def warn_about(result: FractionResult) -> None:
    """One warning per kind of trouble, whatever the number of datasets."""
    known = result.diagnostics
    facts: dict[str, Any] = {
        name: sum(name in flags for flags in result.flags) for name in _FLAGS
    }
    facts["total"] = len(result.flags)
    facts["few_rows"], facts["sparse"] = FEW_ROWS, _SPARSE
    facts["unfilled"] = known["unfilled"].max()
    facts["events_per_bin"] = np.min(known.get("events_per_bin", np.inf))
    facts["overlap"] = np.min(known.get("overlap", 1.0))
    errors = known.get("laplace_error", np.zeros(1))
    facts["rough"], facts["very_rough"] = (
        np.fmax.reduce(errors),
        sum(errors > _VERY_ROUGH),
    )
    facts["worst"] = np.fmin.reduce(known["span"])  # those that are no numbers are none
    for names, category, sentence in _WARNINGS:
        if any(facts[name] for name in names):
            warnings.warn(sentence.format(**facts), category, stacklevel=4)
    if facts["worst"] < _BAD_FIT / facts["total"]:
        warnings.warn(_NO_SPAN.format(**facts), SpanWarning, stacklevel=4)


_NO_SPAN = (
    "The simulations do not span the data (smallest p-value {worst:.1e} of {total} "
    "datasets): the truth leaves what they can make, and intervals may not cover."
)
# Flags, or facts, of which any makes the warning, its class and its sentence.
_WARNINGS: tuple[tuple[tuple[str, ...], type[Warning], str], ...] = (
    (
        ("not_converged", "singular"),
        ConvergenceWarning,
        "{not_converged} of {total} fits did not converge and {singular} ended in a "
        "singular point; see result.flags.",
    ),
    (
        ("poor_sampling",),
        SamplingWarning,
        "The chains of {poor_sampling} of {total} datasets have R-hat above 1.01 or "
        "too few effective draws; raise max_draws.",
    ),
    (
        ("very_rough",),
        SamplingWarning,
        "Laplace's integrals over the blends of {very_rough} of {total} datasets "
        "are rough: mean or width of kappa may be off by {rough:.2g} standard "
        "deviations or more; use inference=BayesianInference(method='hmc').",
    ),
    (
        ("poor_reference",),
        RatioWarning,
        "Fewer than {few_rows} effective reference rows carry the adapted densities of "
        "{poor_reference} of {total} datasets: ratios that large are extrapolations; "
        "use more simulated events.",
    ),
    (
        ("little_overlap",),
        OverlapWarning,
        "The simulations of a class overlap by {overlap:.2g} only, where 1 is alike: a "
        "product of their densities is nearly empty; use form='linear' or a learned "
        "score (ScoreTAMM, projection='auto').",
    ),
    (
        ("out_of_range",),
        RangeWarning,
        "{out_of_range} of {total} datasets hold more events beyond the bin edges, or "
        "the support of the simulations, than simulated; check units and missing "
        "values, or choose range and flow.",
    ),
    (
        ("empty_bins",),
        EmptyBinWarning,
        "{empty_bins} of {total} datasets hold up to {unfilled:.2g} of their events in "
        "bins that every simulation leaves empty, which were counted in the nearest "
        "bins; use wider bins or more simulated events.",
    ),
    (
        ("sparse_templates",),
        SparseTemplateWarning,
        "The templates hold {events_per_bin:.3g} effective events per filled bin, "
        "fewer than {sparse:g}: kappa may be biased beyond its interval; use "
        "bins='auto', fewer features or more simulated events.",
    ),
)
