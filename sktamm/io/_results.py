"""Results as strict JSON: no NaN or Infinity, absent is null.

A result on disk carries the versions, settings, seed and hashes of the inputs behind
it.
"""

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sktamm.io._files import file_hash, replacing
from sktamm.results import FractionResult

__all__ = ["provenance", "result_to_json", "result_to_text", "write_result"]

_FORMAT_VERSION = 1
_PACKAGES = ("sktamm", "numpy", "scipy", "scikit-learn")


def provenance(
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> dict[str, Any]:
    """Where a result comes from: versions, settings, seed and inputs.

    Holds nothing about the machine: files appear by name, not by path.

    Parameters
    ----------
    settings : mapping, optional
        Settings of the measurement, JSON-compatible values.
    seed : int, optional
        Seed of the measurement.
    inputs : sequence of path-like
        Files that were read; each is hashed.

    Returns
    -------
    provenance : dict
        Entries ``software``, ``settings``, ``seed`` and ``inputs``.

    Examples
    --------
    >>> from sktamm.io import provenance
    >>> sorted(provenance(seed=0))
    ['inputs', 'seed', 'settings', 'software']
    """
    software: dict[str, str | None] = {"python": platform.python_version()}
    software |= {name: _version(name) for name in _PACKAGES}
    return {
        "software": software,
        "settings": _plain(settings or {}),
        "seed": _plain(seed),
        "inputs": [
            {
                "file": Path(path).name,
                "bytes": Path(path).stat().st_size,
                "sha256": file_hash(path),
            }
            for path in inputs
        ],
    }


def result_to_json(
    result: FractionResult, provenance: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Turn a result into plain values for strict JSON.

    Posterior draws and templates are left out; everything else is there. Numbers that
    are not finite become None.

    Parameters
    ----------
    result : FractionResult
        What was measured.
    provenance : mapping, optional
        What :func:`provenance` returned.

    Returns
    -------
    document : dict
        Entries ``format``, ``method``, ``classes``, ``pos_label``, ``features``,
        ``datasets`` and ``provenance``; one entry of ``datasets`` per dataset.
    """
    return {
        "format": {"name": "sktamm.FractionResult", "version": _FORMAT_VERSION},
        "method": _plain(result.method),
        "classes": _plain(result.classes),
        "pos_label": _plain(result.pos_label),
        "features": list(result.features),
        "datasets": [_dataset_to_json(result, i) for i in range(result.kappa.size)],
        "provenance": _plain(provenance),
    }


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
        What :func:`provenance` returned.
    """
    text = result_to_text(result, provenance)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _dataset_to_json(result: FractionResult, i: int) -> dict[str, Any]:
    """Everything that belongs to one dataset."""
    lower, upper = result.interval[i]
    document = {
        "dataset": result.dataset[i],
        "kappa": result.kappa[i],
        "std": result.std[i],
        "intervals": [
            {"level": level, "lower": low, "upper": high}
            for level, low, high in zip(result.levels, lower, upper, strict=True)
        ],
        "fractions": result.fractions[i],
        "weights": [
            None if weights is None else weights[i] for weights in result.weights
        ],
        "n_events": result.n_events[i],
        "n_effective": result.n_effective[i],
        "diagnostics": {name: v[i] for name, v in result.diagnostics.items()},
        "flags": result.flags[i] if result.flags else (),
        "profile": result.profile
        and {
            "kappa": result.profile.kappa[i],
            "log_density": result.profile.log_density[i],
        },
    }
    return _plain(document)


def _plain(value: Any) -> Any:
    """Recursively turn numpy values, mappings and sequences into JSON's own types."""
    if isinstance(value, np.ndarray | np.generic):
        # Dates in nanoseconds would become integers.
        times = value.dtype.kind in "mM"
        value = (value.astype(str) if times else value).tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
