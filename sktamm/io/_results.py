"""Results as strict JSON: no NaN or Infinity, and back bit for bit.

A document follows the JSON Schema ``result.schema.json`` beside this file. It carries
the provenance of the result and a SHA-256 of itself, by which changes are noticed.
"""

import importlib.resources
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sktamm.exceptions import EditedResultWarning, InvalidInputError
from sktamm.io._document import measured_from, measured_to
from sktamm.io._files import read_bytes, replacing
from sktamm.io._provenance import plain_json
from sktamm.io._strict import canonical_hash, parse_strict
from sktamm.results import FractionResult

__all__ = [
    "read_result",
    "result_from_json",
    "result_schema",
    "result_to_json",
    "result_to_text",
    "write_result",
]

_FORMAT = "sktamm.FractionResult"
_FORMAT_VERSION = 2
_LONGEST = 200  # characters of a complaint about a part of a document


def result_to_json(
    result: FractionResult, provenance: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Turn a result into plain values for strict JSON, without a loss.

    Numbers that are not finite become "NaN", "Infinity" and "-Infinity", dates texts;
    the entry ``types`` tells the types and shapes of all arrays.

    Parameters
    ----------
    result : FractionResult
        What was measured.
    provenance : mapping, optional
        What :func:`provenance` returned; None is that of the result.

    Returns
    -------
    document : dict
        Follows `result_schema`; one entry of ``datasets`` per dataset.

    Raises
    ------
    InvalidInputError
        If an id or label is no text, number, Boolean, date or tuple of these.
    """
    origin = result.provenance if provenance is None else provenance
    document = {
        "format": {"name": _FORMAT, "version": _FORMAT_VERSION},
        **measured_to(result),
        "provenance": plain_json(origin) or None,
    }
    return document | {"sha256": canonical_hash(document)}


def result_to_text(
    result: FractionResult, provenance: Mapping[str, Any] | None = None
) -> str:
    """Text of strict JSON, the document that `result_to_json` makes."""
    document = result_to_json(result, provenance)
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_result(
    path: str | os.PathLike[str],
    result: FractionResult,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a result as strict JSON; the file appears complete or not at all.

    Parameters
    ----------
    path : path-like
        File to write; an existing one is replaced.
    result : FractionResult
        What was measured.
    provenance : mapping, optional
        What :func:`provenance` returned; None is that of the result.
    """
    text = result_to_text(result, provenance)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def read_result(
    path: str | os.PathLike[str], *, allow_edited: bool = False
) -> FractionResult:
    """Read a result that `write_result` wrote, bit for bit.

    Parameters
    ----------
    path : path-like
        File to read.
    allow_edited : bool, default=False
        Whether to read a document that was changed after sktamm wrote it, with a
        warning, instead of refusing it.

    Returns
    -------
    result : FractionResult
        What was measured; ``result.provenance`` says where it comes from.

    Raises
    ------
    InvalidInputError
        If jsonschema is missing, or the file is not strict JSON, not a result, of
        another version of the format, malformed or edited.

    Warns
    -----
    EditedResultWarning
        If the document was changed and ``allow_edited``.

    Notes
    -----
    The hash tells accidents and honest edits; whoever wants to deceive can compute it
    anew.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sktamm import BinnedTopicTAMM, read_result
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.io import write_result
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> result = tamm.infer(study.X_target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "result.json"
    ...     write_result(path, result)
    ...     read_result(path).equals(result)
    True
    """
    path = Path(path)
    document = parse_strict(read_bytes(path), path.name)
    return _read(document, path.name, allow_edited)


def result_from_json(
    document: Mapping[str, Any], *, allow_edited: bool = False
) -> FractionResult:
    """Result of a document that `result_to_json` made.

    Parameters
    ----------
    document : mapping
        Plain values of strict JSON.
    allow_edited : bool, default=False
        As in `read_result`.

    Returns
    -------
    result : FractionResult
        What was measured.

    Raises
    ------
    InvalidInputError
        As in `read_result`.
    """
    return _read(document, "document", allow_edited)


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a result on disk.

    Returns
    -------
    schema : dict
        Plain values.

    Examples
    --------
    >>> from sktamm.io import result_schema
    >>> result_schema()["title"]
    'Result of sktamm'
    """
    file = importlib.resources.files("sktamm.io") / "result.schema.json"
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def _read(document: Any, name: str, allow_edited: bool) -> FractionResult:
    """Check a document step by step and make a result of it."""
    _check_format(document, name)
    _check_schema(document, name)
    _check_hash(document, name, allow_edited)
    result = measured_from(document)
    return replace(result, provenance=document["provenance"] or {})


def _check_format(document: Any, name: str) -> None:
    """Refuse what is no result, or one of another version."""
    form = document.get("format") if isinstance(document, Mapping) else None
    if not isinstance(form, Mapping) or form.get("name") != _FORMAT:
        raise InvalidInputError(
            f"{name} must be a result that sktamm wrote, of the format {_FORMAT}."
        )
    version = form.get("version")
    if version == 1:
        raise InvalidInputError(
            f"{name} is of format 1 of an older sktamm, which left out draws, "
            "templates and types; measure again to have it whole."
        )
    if type(version) is int and version > _FORMAT_VERSION:
        raise InvalidInputError(
            f"{name} is of format {version} of a newer sktamm; this one reads format "
            f"{_FORMAT_VERSION}."
        )


def _check_schema(document: Any, name: str) -> None:
    jsonschema = _import_jsonschema()
    validator = jsonschema.Draft202012Validator(result_schema())
    error = next(iter(validator.iter_errors(document)), None)
    if error is not None:
        complaint = " ".join(error.message.split())[:_LONGEST]
        raise InvalidInputError(
            f"{name} is no well-formed result: {error.json_path}: {complaint}."
        )


def _check_hash(document: Mapping[str, Any], name: str, allow_edited: bool) -> None:
    if canonical_hash(document) == document["sha256"]:
        return
    if not allow_edited:
        raise InvalidInputError(
            f"{name} was changed after sktamm wrote it, since its SHA-256 is another "
            "one; read it with allow_edited=True if you know what was changed."
        )
    warnings.warn(
        f"{name} was changed after sktamm wrote it, since its SHA-256 is another one.",
        EditedResultWarning,
        stacklevel=4,
    )


def _import_jsonschema() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise InvalidInputError(
            "Reading a result needs jsonschema: pip install 'sktamm[io]'."
        ) from error
    return jsonschema
