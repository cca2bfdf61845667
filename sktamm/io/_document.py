"""A result as a document of plain values, and back without a loss.

The document reads by itself: one entry per dataset with its numbers by name. What plain
values do not tell, types and shapes of the arrays, stands in its entry ``types``.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sktamm.exceptions import InvalidInputError
from sktamm.io._arrays import (
    array_from_list,
    array_type,
    list_of,
    plain_item,
    restored_item,
)
from sktamm.results import AdaptedTemplates, FractionResult, Profile, Seal

__all__ = ["measured_from", "measured_to"]

# Arrays with one entry per dataset, under their own names.
_COLUMNS = ("dataset", "kappa", "std", "fractions", "n_events", "n_effective")
_PROFILE = ("kappa", "log_density")
_TEMPLATES = (
    "counts",
    "variances",
    "nominal",
    "simulated",
    "source_class",
    "adapted",
)
_SEAL = ("salt", "tag", "content")


# ------------------------------------------------------------------------ to a document
def measured_to(result: FractionResult) -> dict[str, Any]:
    """Everything that was measured."""
    columns = {name: list_of(getattr(result, name)) for name in _COLUMNS}
    columns |= _other_columns(result)
    return {
        "blinded": result.is_blinded,
        "method": _mapped(plain_item, result.method),
        "classes": list_of(result.classes),
        "pos_label": _label_to(result.pos_label),
        "features": [plain_item(name) for name in result.features],
        "levels": list_of(result.levels),
        "datasets": [
            {name: values[i] for name, values in columns.items()}
            for i in range(len(result.kappa))
        ],
        "templates": _templates_to(result.templates),
        "seal": None
        if result.seal is None
        else {name: _encoded(getattr(result.seal, name)) for name in _SEAL},
        "types": _types(result),
    }


def _other_columns(result: FractionResult) -> dict[str, list[Any]]:
    """Entries of the datasets that are no arrays of one number or row each."""
    n = len(result.kappa)
    diagnostics = {name: list_of(v) for name, v in result.diagnostics.items()}
    weights = [None if w is None else list_of(w) for w in result.weights]
    profile = None if result.profile is None else _lists(result.profile, _PROFILE)
    draws = None if result.draws is None else [list_of(d) for d in result.draws]
    return {
        "intervals": [_intervals(result, i) for i in range(n)],
        "weights": [[None if w is None else w[i] for w in weights] for i in range(n)],
        "diagnostics": [{k: v[i] for k, v in diagnostics.items()} for i in range(n)],
        "flags": [list(flags) for flags in result.flags],
        "profile": [
            None if profile is None else {k: v[i] for k, v in profile.items()}
            for i in range(n)
        ],
        "draws": [None] * n if draws is None else draws,
    }


def _intervals(result: FractionResult, i: int) -> list[dict[str, Any]]:
    lower, upper = list_of(result.interval[i])
    return [
        {"level": level, "lower": low, "upper": high}
        for level, low, high in zip(list_of(result.levels), lower, upper, strict=True)
    ]


def _templates_to(templates: AdaptedTemplates | None) -> dict[str, Any] | None:
    if templates is None:
        return None
    return {
        "edges": [list_of(edges) for edges in templates.edges],
        "shape": [plain_item(n) for n in templates.shape],
        "flow": plain_item(templates.flow),
        "feature_names": [plain_item(name) for name in templates.feature_names],
        **_lists(templates, _TEMPLATES),
    }


def _types(result: FractionResult) -> dict[str, Any]:
    """Types and shapes of all arrays, in the order of the document."""
    templates, profile = result.templates, result.profile
    own = ("classes", "levels", "interval", *_COLUMNS)
    return {
        **{name: array_type(getattr(result, name)) for name in own},
        "pos_label": _label_type(result.pos_label),
        "weights": [None if w is None else array_type(w) for w in result.weights],
        "diagnostics": _mapped(array_type, result.diagnostics),
        "profile": profile
        and {name: array_type(getattr(profile, name)) for name in _PROFILE},
        "draws": None
        if result.draws is None
        else [array_type(d) for d in result.draws],
        "templates": templates
        and {
            "edges": [array_type(edges) for edges in templates.edges],
            **{name: array_type(getattr(templates, name)) for name in _TEMPLATES},
        },
    }


# ---------------------------------------------------------------------- from a document
def measured_from(document: Mapping[str, Any]) -> FractionResult:
    """Result of a document that follows the schema."""
    try:
        return _result(document, document["types"], document["datasets"])
    except InvalidInputError:
        raise
    # The schema does not compare entries with each other.
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"datasets, templates and types must agree, but: {error!r}."
        ) from error


def _result(
    document: Mapping[str, Any], types: Mapping[str, Any], rows: list[dict[str, Any]]
) -> FractionResult:
    columns: dict[str, Any] = {
        name: array_from_list([row[name] for row in rows], types[name], name)
        for name in _COLUMNS
    }
    ends = [[[i[end] for i in r["intervals"]] for end in _ENDS] for r in rows]
    seal = document["seal"]
    return FractionResult(
        **columns,
        classes=array_from_list(document["classes"], types["classes"], "classes"),
        pos_label=_label_from(document["pos_label"], types["pos_label"]),
        levels=array_from_list(document["levels"], types["levels"], "levels"),
        interval=array_from_list(ends, types["interval"], "intervals"),
        weights=tuple(
            kind
            and array_from_list([row["weights"][c] for row in rows], kind, "weights")
            for c, kind in enumerate(types["weights"])
        ),
        diagnostics={
            name: array_from_list([r["diagnostics"][name] for r in rows], kind, name)
            for name, kind in types["diagnostics"].items()
        },
        flags=tuple(tuple(row["flags"]) for row in rows),
        method={k: restored_item(v, k) for k, v in document["method"].items()},
        draws=_draws_from(rows, types["draws"]),
        profile=_profile_from(rows, types["profile"]),
        templates=_templates_from(document["templates"], types["templates"]),
        features=_items(document["features"], "features"),
        seal=seal and Seal(*(base64.b64decode(seal[name]) for name in _SEAL)),
    )


_ENDS = ("lower", "upper")


def _draws_from(rows: list[dict[str, Any]], kinds: list[Any] | None) -> Any:
    if kinds is None:
        return None
    return tuple(
        array_from_list(row["draws"], kind, "draws")
        for row, kind in zip(rows, kinds, strict=True)
    )


def _profile_from(rows: list[dict[str, Any]], kinds: Mapping[str, Any] | None) -> Any:
    if kinds is None:
        return None
    return Profile(
        *(
            array_from_list([row["profile"][name] for row in rows], kinds[name], name)
            for name in _PROFILE
        )
    )


def _templates_from(
    templates: Mapping[str, Any] | None, kinds: Mapping[str, Any] | None
) -> AdaptedTemplates | None:
    if templates is None or kinds is None:
        return None
    arrays = {n: array_from_list(templates[n], kinds[n], n) for n in _TEMPLATES}
    edges = zip(templates["edges"], kinds["edges"], strict=True)
    return AdaptedTemplates(
        edges=tuple(array_from_list(values, kind, "edges") for values, kind in edges),
        shape=_items(templates["shape"], "shape"),
        flow=restored_item(templates["flow"], "flow"),
        feature_names=_items(templates["feature_names"], "feature_names"),
        **arrays,
    )


# ------------------------------------------------------------------------ small helpers
def _label_to(label: Any) -> Any:
    """A label as its class reads, also one that NumPy holds."""
    of_numpy = isinstance(label, np.generic)
    return list_of(np.asarray(label)[None])[0] if of_numpy else plain_item(label)


def _label_type(label: Any) -> list[Any] | None:
    of_numpy = isinstance(label, np.generic)
    return array_type(np.asarray(label)[None]) if of_numpy else None


def _label_from(value: Any, kind: list[Any] | None) -> Any:
    if kind is None:
        return restored_item(value, "pos_label")
    return array_from_list([value], kind, "pos_label")[0]


def _lists(record: Any, names: tuple[str, ...]) -> dict[str, list[Any]]:
    return {name: list_of(getattr(record, name)) for name in names}


def _mapped(
    function: Callable[[Any], Any], mapping: Mapping[str, Any]
) -> dict[str, Any]:
    return {name: function(value) for name, value in mapping.items()}


def _items(values: list[Any], name: str) -> tuple[Any, ...]:
    return tuple(restored_item(value, name) for value in values)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
