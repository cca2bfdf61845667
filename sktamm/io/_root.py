"""Trees of ROOT files (TTree, RNTuple) with one value per event, through uproot."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sktamm.exceptions import InvalidInputError
from sktamm.io._formats import Format, readable
from sktamm.io._sources import Source

__all__ = ["ROOT", "import_uproot", "open_root"]

_TREES = ("TTree", "TNtuple", "TNtupleD", "TChain", "ROOT::RNTuple")


def import_uproot(name: str) -> Any:
    """The library, or what to install."""
    try:
        import uproot
    except ImportError as error:
        raise InvalidInputError(
            f"{name} is a ROOT file, which needs uproot: pip install 'sktamm[io]', or "
            "use Parquet or CSV."
        ) from error
    return uproot


@contextlib.contextmanager
def open_root(source: Source) -> Iterator[Any]:
    """An open file; whatever uproot raises on a broken one is one sentence."""
    uproot = import_uproot(source.path.name)
    # uproot has no error of its own for what it cannot read: any may come.
    with readable(source, "ROOT", [Exception]), uproot.open(source.path) as file:
        yield file


@contextlib.contextmanager
def _tree(source: Source) -> Iterator[Any]:
    with open_root(source) as file:
        kinds = file.classnames(recursive=True, cycle=False)
        trees = [name for name, kind in kinds.items() if kind in _TREES]
        path, part = source.path.name, source.part
        listed = ", ".join(f"{path}:{name}" for name in trees)
        if part is None and len(trees) != 1:
            holds = f"it holds {listed}" if trees else "it holds none"
            raise InvalidInputError(
                f"{path} must hold one tree, or its name must follow a colon; {holds}."
            )
        if part is not None and part not in trees:
            raise InvalidInputError(
                f"{path} has no tree {part!r}; it has {listed or 'none'}."
            )
        yield file[trees[0] if part is None else part]


def _names(source: Source) -> list[str]:
    """Branches or fields that hold values, not those that hold other ones."""
    with _tree(source) as tree:
        names = list(tree.keys(recursive=True))
        inner = {name for name in names if getattr(tree[name], "branches", None)}
        return [name for name in names if name not in inner]


def _pieces(
    source: Source, columns: list[str] | None, size: int | None, text: list[str]
) -> Iterator[pd.DataFrame]:
    wanted = _names(source) if columns is None else columns
    with _tree(source) as tree:
        n_events = int(tree.num_entries)
        for start in range(0, max(n_events, 1), size or max(n_events, 1)):
            stop = n_events if size is None else min(start + size, n_events)
            yield pd.DataFrame(
                {name: _values(tree, name, start, stop, source) for name in wanted}
            )


def _values(
    tree: Any, name: str, start: int, stop: int, source: Source
) -> NDArray[Any]:
    """One value per event; lists of values per event are refused."""
    import awkward

    array = tree[name].array(entry_start=start, entry_stop=stop, library="ak")
    if awkward.parameters(array).get("__array__") == "string":
        return np.array(awkward.to_list(array), dtype=object)
    if array.ndim != 1 or awkward.fields(array):
        raise InvalidInputError(
            f"{source.name} must hold one value per event in {name!r}, but holds "
            f"{array.type.content}; choose other branches, or write a flat one first: "
            f"uproot.open(...)[{name!r}].array()[:, 0], awkward.num, awkward.max."
        )
    return np.array(awkward.to_numpy(array, allow_missing=False))


ROOT = Format("ROOT", (".root",), _names, _pieces, several=True)
