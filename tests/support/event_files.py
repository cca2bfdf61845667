"""Files of every kind with the same events."""

import numpy as np
import pytest

from sktamm.io import write_events

KINDS = ["csv", "csv.gz", "parquet", "feather", "npy", "npz", "root", "rntuple"]


def write(folder, kind, events, name="events"):
    """A file of some kind with the events."""
    path = folder / f"{name}.{'root' if kind == 'rntuple' else kind}"
    columns = {column: events[column].to_numpy() for column in events}
    if kind == "npy":
        np.save(path, events.to_records(index=False))
    elif kind == "npz":
        np.savez(path, **columns)
    elif kind in ("root", "rntuple"):
        uproot = pytest.importorskip("uproot")
        with uproot.recreate(path) as file:
            (file.mktree if kind == "root" else file.mkrntuple)("tree", columns)
    else:
        write_events(path, events)
    return path
