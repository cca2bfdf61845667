"""A file that says which simulation is the nominal, and the families of the others."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sktamm.cli._inputs import meant
from sktamm.exceptions import InvalidInputError

__all__ = ["load_families"]

_ENTRIES = ("families", "nominal", "alternatives")


def load_families(path: Path, simulation: pd.Series) -> dict[str, Any]:
    """Read families, nominal and alternatives, the parameters of a prior."""
    document = _read(path)
    ids = simulation.unique().tolist()
    if not isinstance(document, dict) or not set(document) <= set(_ENTRIES):
        raise InvalidInputError(
            f"{path.name} must hold a JSON object with families, nominal and perhaps "
            f"alternatives, got {_shown(document)}."
        )
    families, nominal = document.get("families"), document.get("nominal")
    if not isinstance(families, dict) or not _are_words(list(families.values())):
        raise InvalidInputError(
            f"{path.name} must hold families, an object from simulation id to the name "
            f"of its family, got {_shown(families)}."
        )
    several = nominal if isinstance(nominal, list) else [nominal]
    if not several or not _are_words(several, int, float):
        raise InvalidInputError(
            f"{path.name} must hold nominal, a simulation id or a list of such, got "
            f"{_shown(nominal)}."
        )
    return {
        "families": {_meant(name, ids): own for name, own in families.items()},
        "nominal": [_meant(str(name), ids) for name in several],
        "alternatives": document.get("alternatives"),
    }


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, object_pairs_hook=_without_twins)
    except ValueError as error:
        raise InvalidInputError(f"{path.name} must hold JSON: {error}.") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; JSON itself would forget the first of two equal names."""
    for name, _ in pairs:
        if sum(name == other for other, _ in pairs) > 1:
            raise ValueError(f"{name!r} stands twice")
    return dict(pairs)


def _are_words(values: Sequence[Any], *also: type) -> bool:
    good = (str, *also)
    return all(isinstance(v, good) and not isinstance(v, bool) for v in values)


def _meant(text: str, ids: Sequence[Any]) -> Any:
    """The id that is written so, or else has the same value; the text if none has."""
    found = meant(text, ids)
    return found[0] if len(found) == 1 else text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
