"""Where a result comes from: versions, settings, seed and hashes of the inputs."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sktamm.io._files import file_hash
from sktamm.io._versions import software

__all__ = ["plain_json", "provenance"]


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
    return {
        "software": software(),
        "settings": plain_json(settings or {}),
        "seed": plain_json(seed),
        "inputs": [
            {
                "file": Path(path).name,
                "bytes": Path(path).stat().st_size,
                "sha256": file_hash(path),
            }
            for path in inputs
        ],
    }


def plain_json(value: Any) -> Any:
    """Recursively turn numpy values, mappings and sequences into JSON's own types."""
    if isinstance(value, np.ndarray | np.generic):
        # Dates in nanoseconds would become integers.
        times = value.dtype.kind in "mM"
        value = (value.astype(str) if times else value).tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
