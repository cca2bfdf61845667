"""Files with flipped, lost and repeated bytes: events or a refusal, nothing else.

The quick test takes a few files of every kind. Ten thousand over all kinds:
``pytest -m slow tests/io/test_fuzzed_files.py``.
"""

import numpy as np
import pandas as pd
import pytest
from event_files import KINDS, write

from sktamm.exceptions import InvalidInputError
from sktamm.io import column_names, read_events

pytest.importorskip("uproot")
pytest.importorskip("pyarrow")

EVENTS = pd.DataFrame({"label": [0, 1, 1] * 5, "x": np.linspace(0.0, 1.0, 15)})


def damaged(whole, rng):
    """The bytes of a file after one to four accidents."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 5)):
        kind, at = rng.integers(5), int(rng.integers(len(data) + 1))
        if kind == 0:
            del data[at:]
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 20))]
        elif kind == 2:
            data[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif data:
            for _ in range(rng.integers(1, 8)):
                data[rng.integers(len(data))] = rng.integers(256)
        data = data or bytearray(b"x")
    return bytes(data)


def survives(folder, kind, n_files, seed):
    """Read damaged files of a kind; how many were refused."""
    rng = np.random.default_rng(seed)
    path = write(folder, kind, EVENTS)
    whole, refused = path.read_bytes(), []
    for _ in range(n_files):
        path.write_bytes(damaged(whole, rng))
        try:
            column_names(path)
            events = read_events(path, as_written=["label"])
        except InvalidInputError as error:
            refused.append(str(error))
        else:
            assert isinstance(events, pd.DataFrame)
    assert not any("\n" in words or len(words) > 5000 for words in refused)
    return len(refused)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    refused = survives(tmp_path, kind, 60, seed=1)
    assert refused >= (0 if kind == "csv" else 10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_are_read_or_refused(tmp_path, kind):
    survives(tmp_path, kind, 1300, seed=2)
