"""Strict JSON: no NaN, no repeated keys, and a hash that notices every change.

The hash is the SHA-256 of the canonical text: sorted keys, no blanks, numbers in the
shortest form that reads back as the same double, everything in ASCII.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from sktamm.exceptions import InvalidInputError

__all__ = ["canonical_hash", "parse_strict"]


def canonical_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document without its own entry ``sha256``, 64 digits."""
    content = {key: value for key, value in document.items() if key != "sha256"}
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), allow_nan=False, default=dict
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def parse_strict(data: bytes, name: str) -> Any:
    """Values of strict JSON in UTF-8; ``name`` of the file for the refusal."""
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_repeats,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name} is not JSON: it is not UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{name} is not strict JSON, or was cut off: {error}."
        ) from error


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated!r} stands there twice")
    return found


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is larger than any double")
    return value
