"""Selections of events by an expression of their columns, such as "pt > 20 & eta < 2".

An expression is read as Python's grammar but never run as Python: it may hold columns,
numbers, texts, arithmetic, comparisons, logic, and a few functions.
"""

import ast
import re
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sktamm.exceptions import InvalidInputError
from sktamm.io._ids import keep_written

__all__ = ["Cut"]

# Whole numbers would wrap around silently, and small ones become halves of precision:
# what calculates does so in double precision.
_BINARY: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: lambda a, b: np.add(a, b, dtype=float),
    ast.Sub: lambda a, b: np.subtract(a, b, dtype=float),
    ast.Mult: lambda a, b: np.multiply(a, b, dtype=float),
    ast.Div: np.true_divide,
    ast.Mod: np.mod,
    ast.Pow: np.float_power,
}
_UNARY: dict[type[ast.unaryop], Callable[..., Any]] = {
    ast.USub: lambda a: np.negative(a, dtype=float),
    ast.UAdd: lambda a: np.positive(a, dtype=float),
    ast.Not: np.logical_not,
}
_COMPARE: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: lambda a, b: np.not_equal(a, b) & ~(pd.isna(a) | pd.isna(b)),
}
_FUNCTIONS: dict[str, np.ufunc] = {
    name: getattr(np, name)
    for name in (
        *("abs", "sqrt", "exp", "log", "log10", "sin", "cos", "tan", "sinh", "cosh"),
        *("tanh", "hypot", "arctan2", "minimum", "maximum", "floor", "isfinite"),
    )
}
_LONGEST = 10_000  # characters; Python's parser fails on much longer nested ones
# Texts stay as they are; signs of logic bind as its words do, and not as in Python,
# where a > 1 & b < 2 is a > (1 & b) < 2.
_SIGNS = re.compile(
    r"""(?P<text>"[^"\\]*"|'[^'\\]*')|`(?P<name>[^`]*)`|(?P<logic>&&?|\|\|?|~|!(?!=))"""
)
_WORDS = {"&": " and ", "|": " or ", "~": " not ", "!": " not "}


class Cut:
    """A condition on the columns of a table, read once and applied to any table.

    Parameters
    ----------
    text : str
        Expression with Python's grammar: names of columns (in backticks where they are
        no words), numbers, quoted texts, ``+ - * / % **``, comparisons, brackets,
        ``and``, ``or``, ``not`` (or ``& | ~`` and ``&& || !``, which bind as the words
        do), and the functions of ``Cut.functions``.

        Arithmetic is that of double precision. A text that is compared with a number
        is read as one.

    Attributes
    ----------
    names : list of str
        Columns that the condition needs.

    Raises
    ------
    InvalidInputError
        If the text is something else.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktamm.io import Cut
    >>> Cut("pt > 20 & abs(eta) < 2.5").keeps(
    ...     pd.DataFrame({"pt": [10.0, 30.0, 30.0], "eta": [0.0, -1.0, 4.0]})
    ... ).tolist()
    [False, True, False]
    """

    functions = tuple(_FUNCTIONS)

    def __init__(self, text: str):
        self.text = text
        self._columns: list[str] = []
        if len(text) > _LONGEST:
            self._refuse(f"at most {_LONGEST} characters, got {len(text)}")
        self._tree = self._parse(text)
        self.names = list(dict.fromkeys(self._needed(self._tree)))

    def keeps(self, events: pd.DataFrame) -> NDArray[np.bool_]:
        """Tell for which events the condition holds.

        Parameters
        ----------
        events : DataFrame of n_events rows
            Table with the columns ``names``.

        Returns
        -------
        kept : ndarray of bool, shape (n_events,)
            No comparison holds where a number is missing.

        Raises
        ------
        InvalidInputError
            If the columns do not allow it, or the value is no condition.
        """
        with np.errstate(all="ignore"):
            try:
                kept = self._value(self._tree, events)
            except (TypeError, ValueError, OverflowError) as error:
                self._refuse(f"something that its columns allow: {error}")
        kept = np.asarray(kept)
        if kept.dtype != np.bool_:
            self._refuse(f"a condition, such as x > 0, but its value is {kept.dtype}")
        return np.broadcast_to(kept, len(events))

    def _parse(self, text: str) -> ast.expr:
        try:
            return ast.parse(_SIGNS.sub(self._word, text).strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            self._refuse(f"an expression such as 'pt > 20': {error}")

    def _word(self, sign: re.Match[str]) -> str:
        """What Python's grammar has for a sign of logic or a name in backticks."""
        if sign["logic"]:
            return _WORDS[sign["logic"][0]]
        if sign["name"] is None:
            return sign["text"]
        self._columns.append(sign["name"])
        return f"__column{len(self._columns) - 1}"

    def _column(self, word: str) -> str:
        number = word.removeprefix("__column")
        known = number != word and number.isdecimal()
        return self._columns[int(number)] if known else word

    def _needed(self, node: ast.expr) -> list[str]:
        """Columns below a node; refuses whatever is no part of the language."""
        match node:
            case ast.Name(id=word):
                return [self._column(word)]
            case ast.Constant(value=bool() | int() | float() | str()):
                return []
            case ast.BinOp(left=a, op=op, right=b) if type(op) in _BINARY:
                return self._needed(a) + self._needed(b)
            case ast.UnaryOp(op=op, operand=a) if type(op) in _UNARY:
                return self._needed(a)
            case ast.BoolOp(values=several):
                return [name for part in several for name in self._needed(part)]
            case ast.Compare(left=a, ops=ops, comparators=others) if all(
                type(op) in _COMPARE for op in ops
            ):
                return [name for part in (a, *others) for name in self._needed(part)]
            case ast.Call(func=ast.Name(id=word), args=several, keywords=[]) if (
                word in _FUNCTIONS and len(several) == _FUNCTIONS[word].nin
            ):
                return [name for part in several for name in self._needed(part)]
        self._refuse(
            "columns, numbers, texts, comparisons, logic and the functions "
            f"{', '.join(_FUNCTIONS)}; {ast.unparse(node)!r} is something else"
        )

    def _value(self, node: ast.expr, events: pd.DataFrame) -> Any:
        match node:
            case ast.Name(id=word):
                return _plain(events[self._column(word)])
            case ast.Constant(value=value):
                return value
            case ast.BinOp(left=a, op=op, right=b):
                both = self._value(a, events), self._value(b, events)
                return _BINARY[type(op)](*both)
            case ast.UnaryOp(op=op, operand=a):
                return _UNARY[type(op)](self._value(a, events))
            case ast.BoolOp(op=op, values=several):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return join.reduce([self._value(part, events) for part in several])
            case ast.Compare(left=a, ops=ops, comparators=others):
                values = [self._value(part, events) for part in (a, *others)]
                pairs = zip(ops, values[:-1], values[1:], strict=True)
                return np.logical_and.reduce(
                    [_COMPARE[type(op)](*_alike(*pair)) for op, *pair in pairs]
                )
            case ast.Call(func=ast.Name(id=word), args=several):
                given = [self._value(a, events) for a in several]
                double = {} if word == "isfinite" else {"dtype": float}
                return _FUNCTIONS[word](*given, **double)
        raise AssertionError(node)

    def _refuse(self, rule: str) -> NoReturn:
        shown = self.text if len(self.text) < 80 else f"{self.text[:77]}..."
        raise InvalidInputError(f"cut must be {rule}; got {shown!r}.")


def _plain(column: pd.Series) -> NDArray[Any]:
    """Values of a column; missing ones fail every comparison."""
    if pd.api.types.is_numeric_dtype(column):
        if column.isna().any():
            return column.to_numpy(float, na_value=np.nan)
        values = np.asarray(column.to_numpy())
        # Remainders of small whole numbers would be refused.
        whole = values.dtype.kind in "iu" and values.dtype.itemsize < 8
        return values.astype(np.int64) if whole else values
    return column.to_numpy(object)


def _alike(one: Any, other: Any) -> tuple[Any, Any]:
    """Both sides of a comparison; texts beside numbers are read as numbers."""
    if _is_text(one) == _is_text(other):
        return one, other
    if _is_text(one):
        return _number(one), other
    return one, _number(other)


def _is_text(value: Any) -> bool:
    objects = isinstance(value, np.ndarray) and value.dtype == object
    return isinstance(value, str) or (
        objects and pd.api.types.infer_dtype(value, skipna=True) == "string"
    )


def _number(text: Any) -> Any:
    """Numbers, or truths, that texts stand for."""
    written = keep_written(pd.Series(np.atleast_1d(np.asarray(text, dtype=object))))
    if not pd.api.types.is_numeric_dtype(written):
        try:
            written = pd.to_numeric(written)
        except (ValueError, TypeError):
            wrong = pd.to_numeric(written, errors="coerce").isna() & written.notna()
            raise ValueError(
                f"the text {written[wrong].iloc[0]!r} is compared with a number"
            ) from None
    numbers = written.to_numpy()
    return numbers[0] if isinstance(text, str) else numbers
