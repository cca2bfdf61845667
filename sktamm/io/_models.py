"""Fitted estimators on disk: data and names of types, nothing that runs.

A model is a zip archive in the format of skops, which describes an object by the types
of its parts and their data; only types that stand in a list are made again. Beside it
lies ``sktamm.json``, which says what wrote the file. A pickle would run what it holds.
"""

import importlib
import importlib.util
import io
import json
import os
import pkgutil
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktamm._sklearn import skipping_array_libraries
from sktamm.exceptions import InvalidInputError, ModelVersionWarning
from sktamm.io._files import read_bytes, replacing
from sktamm.io._versions import software

__all__ = ["load_model", "save_model"]

_FORMAT = "sktamm.model"
_FORMAT_VERSION = 1
_STAMP = "sktamm.json"
_SCHEMA = "schema.json"  # where skops describes the object

# Rooms whose classes models are made of. Making one again runs its constructor at most,
# and nothing in these rooms touches files or starts processes.
_ROOMS = (
    "auto",
    "base",
    "baselines",
    "components",
    "events",
    "functions",
    "inference",
    "learning",
    "mixture",
    "model_selection",
    "parametric",
    "ratios",
    "results",
    "tamm",
    "templates",
)
# Types of others beyond those that skops trusts by itself: scikit-learn's estimators,
# arrays, ufuncs, containers and numbers.
_OTHERS = frozenset(
    {
        *("builtins.frozenset", "numpy.bytes_"),
        *(f"datetime.{name}" for name in ("date", "datetime", "timedelta", "timezone")),
    }
)
# Types that keys of a dictionary keep as text.
_KEYS = ("builtins.str", "builtins.int", "builtins.float", "numpy.int")


def save_model(path: str | os.PathLike[str], estimator: Any) -> None:
    """Save a fitted estimator, without pickling; the file appears complete or not.

    Parameters
    ----------
    path : path-like
        File to write, by custom with the ending ``.skops``; an existing one is
        replaced.
    estimator : estimator
        Any fitted estimator of sktamm or scikit-learn, or Pipeline or search of them.

    Raises
    ------
    InvalidInputError
        If skops is missing or the estimator is none, or holds what cannot be saved.
    NotFittedError
        If it is not fitted.

    Notes
    -----
    Arrays are those of the CPU, so that a model trained on a GPU loads anywhere.
    Everything that the estimator holds is in the file: of some estimators, the
    simulated events too.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.io import load_model, save_model
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.skops"
    ...     save_model(path, tamm)
    ...     loaded = load_model(path)
    >>> loaded.infer(study.X_target).equals(tamm.infer(study.X_target))
    True
    """
    skops = _import_skops()
    if not isinstance(estimator, BaseEstimator):
        raise InvalidInputError(
            f"estimator must be an estimator, got {type(estimator).__name__}."
        )
    check_is_fitted(estimator)
    try:
        data = skops.dumps(estimator, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    # Whatever skops raises about a part that it does not know.
    except Exception as error:
        raise InvalidInputError(
            f"estimator must be made of what skops can save, but it says: {error}"
        ) from error
    _check_state(data)
    with replacing(path) as part:
        part.write_bytes(data)
        with zipfile.ZipFile(part, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_STAMP, json.dumps(_stamp(), indent=2))


def load_model(path: str | os.PathLike[str], *, trusted: Sequence[Any] = ()) -> Any:
    """Load an estimator that `save_model` saved; nothing in the file is executed.

    Parameters
    ----------
    path : path-like
        File to read.
    trusted : sequence of str or type, default=()
        Types of your own to trust, for instance ``["my_package.MyClassifier"]``. Their
        modules are imported and their ``__setstate__`` runs.

    Returns
    -------
    estimator : estimator
        Fitted; answers as the one that was saved, bit for bit with the same versions
        of the libraries and kind of processor.

    Raises
    ------
    InvalidInputError
        If the file is no such model, of a newer sktamm, damaged, or holds a type that
        is not trusted.

    Warns
    -----
    ModelVersionWarning
        If another minor version of sktamm saved it.

    Notes
    -----
    Trusted are the classes of sktamm that models are made of and what skops trusts:
    scikit-learn's estimators, NumPy's and SciPy's arrays and functions. The numbers of
    a model are not judged: a file of somebody else may make a model that is wrong.
    """
    skops = _import_skops()
    path = Path(path)
    data = read_bytes(path)
    _check_stamp(path, data)
    try:
        named = skops.get_untrusted_types(data=data)
        given = {t if isinstance(t, str) else _full_name(t) for t in trusted}
        unknown = [n for n in named if n not in given | _OTHERS and not _is_own(n)]
        # Only what is known, so that nothing of an unknown module is imported.
        model = None if unknown else skops.loads(data, trusted=named)
    except Warning:  # of another version of scikit-learn, where warnings are errors
        raise
    # A damaged description raises anything; a good one raises nothing.
    except Exception as error:
        raise InvalidInputError(
            f"{path.name} is damaged: {type(error).__name__}: {_one_line(error)}"
        ) from error
    if unknown:
        raise InvalidInputError(
            f"{path.name} holds {', '.join(unknown)}, which is not trusted unasked; if "
            "you know the authors of type and file: load_model(..., "
            f"trusted={unknown})."
        )
    if not isinstance(model, BaseEstimator):
        raise InvalidInputError(
            f"{path.name} must hold an estimator, but holds {type(model).__name__}."
        )
    return model


# ----------------------------------------------------------------------------- trust
def _is_own(name: str) -> bool:
    """Whether a full name is that of a class of sktamm that models are made of."""
    module, _, attribute = name.rpartition(".")
    if module not in _own_modules():
        return False
    found = getattr(importlib.import_module(module), attribute, None)
    return isinstance(found, type) and found.__module__ == module


@cache
def _own_modules() -> frozenset[str]:
    """Names of the modules of the rooms, found on disk without importing them."""
    return frozenset(_modules_of(f"sktamm.{room}" for room in _ROOMS))


def _modules_of(names: Iterator[str]) -> Iterator[str]:
    for name in names:
        yield name
        spec = importlib.util.find_spec(name)
        folders = (spec and spec.submodule_search_locations) or ()
        for info in pkgutil.iter_modules(folders, f"{name}."):
            yield info.name


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


# ------------------------------------------------------------------------- the stamp
def _stamp() -> dict[str, Any]:
    """What wrote the file."""
    form = {"name": _FORMAT, "version": _FORMAT_VERSION}
    return {"format": form, "software": software()}


def _check_stamp(path: Path, data: bytes) -> None:
    """Refuse what is no model of sktamm or of a newer one; warn of other versions."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            stamp = json.loads(archive.read(_STAMP))
        name, version = stamp["format"]["name"], stamp["format"]["version"]
        writer = str(stamp["software"]["sktamm"])
        if name != _FORMAT or type(version) is not int or version < 1:
            raise ValueError("another format")
    # Bytes of any kind may stand here.
    except Exception as error:
        raise InvalidInputError(
            f"{path.name} is no complete model that sktamm.io.save_model wrote; "
            "pickles and other files are not opened, because they could run anything."
        ) from error
    if version > _FORMAT_VERSION:
        raise InvalidInputError(
            f"{path.name} was saved by a newer sktamm, {writer}, in format {version}; "
            f"this one reads format {_FORMAT_VERSION}."
        )
    here = str(software()["sktamm"])
    if writer.split(".")[:2] != here.split(".")[:2]:
        warnings.warn(
            f"{path.name} was saved by sktamm {writer} and may answer differently in "
            f"{here}: train it anew, or compare.",
            ModelVersionWarning,
            stacklevel=3,
        )


# -------------------------------------------------------------------------- the state
def _check_state(data: bytes) -> None:
    """Refuse an object whose state skops leaves out without a word."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        tree = json.loads(archive.read(_SCHEMA))
    for node in _nodes(tree):
        name = f"{node['__module__']}.{node['__class__']}"
        content = node.get("content")
        # Of a compiled class, such as SeedSequence, nothing but the name is there.
        empty = isinstance(content, dict) and content.get("content") == "null"
        lost = node["__loader__"] == "ObjectNode" and (content is None or empty)
        if lost and not _is_own(name):
            raise InvalidInputError(
                f"estimator must not hold a {name}, whose state cannot be saved "
                "without a pickle."
            )
        if node["__loader__"] == "DictNode":
            _check_keys(node["key_types"]["content"])


def _check_keys(kinds: Sequence[dict[str, Any]]) -> None:
    """Refuse keys that come back as others: True and False would both be True."""
    for kind in kinds:
        name = f"{kind['__module__']}.{kind['__class__']}"
        if not name.startswith(_KEYS):
            raise InvalidInputError(
                f"estimator must hold dictionaries with texts or numbers as keys, got "
                f"{name}."
            )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """All descriptions of objects within a description."""
    todo = [tree]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _import_skops() -> Any:
    try:
        with skipping_array_libraries():  # skops looks through all of scikit-learn
            import skops.io
    except ImportError as error:
        raise InvalidInputError(
            "A model on disk needs skops: pip install 'sktamm[io]'."
        ) from error
    return skops.io
