"""Labels and ids as they are written: "01" and "1" are two."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["join_ids", "keep_written"]


def join_ids(columns: Sequence[pd.Series]) -> pd.Series:
    """One column of labels or ids from that of every file, each as it is written.

    Parameters
    ----------
    columns : sequence of Series
        The column of every file.

    Returns
    -------
    column : Series
        Of numpy's type, where all have the same; otherwise all decide together, since
        one file may hold 1 where another holds 01.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktamm.io import join_ids
    >>> join_ids([pd.Series([1, 2]), pd.Series(["01", "2"])]).tolist()
    ['1', '2', '01', '2']
    """
    plain = [_plain(column) for column in columns]
    if len({column.dtype for column in plain}) == 1:
        return pd.concat(plain, ignore_index=True)
    texts = [c.astype(object).map(str, na_action="ignore") for c in plain]
    return keep_written(pd.concat(texts, ignore_index=True))


def _plain(column: pd.Series) -> pd.Series:
    """Nullable and Arrow numbers as numpy's of the same type, if none is missing."""
    plain = getattr(column.dtype, "numpy_dtype", None)
    if plain is None or plain.kind not in "biuf" or column.isna().any():
        return column
    return pd.Series(column.to_numpy(plain), name=column.name)


def keep_written(column: pd.Series) -> pd.Series:
    """Turn texts into numbers or Booleans if each prints as it is written.

    Parameters
    ----------
    column : Series of str
        Labels or ids; missing entries stay missing.

    Returns
    -------
    column : Series
        Integers, floats or Booleans if no text would look different, else the texts.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktamm.io import keep_written
    >>> keep_written(pd.Series(["10", "2"])).tolist()
    [10, 2]
    >>> keep_written(pd.Series(["10", "2", "02"])).tolist()
    ['10', '2', '02']
    """
    code, unique = pd.factorize(column)
    values = _values([str(text) for text in unique])
    if (code < 0).any():
        values = np.append(values.astype(object), np.nan)
    return pd.Series(values[code], index=column.index, name=column.name)


def _values(written: list[str]) -> NDArray[Any]:
    """Whole numbers, decimals or Booleans that print as written, else the texts."""
    stripped = [text.strip() for text in written]
    if len(set(stripped)) == len(written):  # spaces that tell nothing apart
        written = stripped
    for read in (int, float, {"True": True, "False": False}.__getitem__):
        try:
            values = [read(text) for text in written]
        except (ValueError, KeyError):
            continue
        if [str(value) for value in values] == written and _are_apart(values):
            return np.array(values)
    return np.array(written, dtype=object)


def _are_apart(values: list[Any]) -> bool:
    """Whether numbers fit into 64 bits and differ; 0.0 and -0.0 do not."""
    return all(abs(v) < 2**63 for v in values) and len(set(values)) == len(values)
