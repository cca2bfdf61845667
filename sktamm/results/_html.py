"""A result in a notebook: one table without colours of its own, and flags in words.

Names are text of users and escaped. Text and lines take the colours of the page, light
or dark.
"""

from html import escape
from typing import TYPE_CHECKING

from sktamm.results._flags import flag_meaning
from sktamm.results._words import BLINDED, choices_line, own_lines

if TYPE_CHECKING:
    from sktamm.results._record import FractionResult

__all__ = ["result_html"]

_MOST_ROWS = 20  # a notebook shows a screen, not a file
# Pages without a doctype give tables a colour of their own.
_FRAME = "border-collapse:collapse;border:0;color:inherit"
_LINE = "border:0;border-bottom:1px solid rgba(128,128,128,.45)"
_CELL = f"{_LINE};padding:.25em .7em;text-align:right;background:none;color:inherit"


def result_html(result: "FractionResult") -> str:
    """One `div` with caption, table and sentences."""
    title = f"Fraction of class {result.pos_label}"
    if result.features:
        title += f", features {', '.join(map(str, result.features))}"
    notes = [choices_line(result, " "), *own_lines(result)]
    pieces = [f"<p><strong>{_text(title)}</strong></p>"]
    if result.is_blinded:
        pieces.append(f"<p><strong>{_text(BLINDED)}.</strong></p>")
    pieces += [_table(result), _flags(result)]
    pieces += [f"<p><small>{_text(note)}</small></p>" for note in notes if note]
    return f'<div class="sktamm-result">{"".join(pieces)}</div>'


def _table(result: "FractionResult") -> str:
    frame = result.table()
    rows = [_row("th", list(frame.columns))]
    rows += [_row("td", list(row)) for row in frame.head(_MOST_ROWS).to_numpy()]
    more = len(frame) - _MOST_ROWS
    table = f'<table style="{_FRAME}">{"".join(rows)}</table>'
    return table + (f"<p>and {more} more datasets</p>" if more > 0 else "")


def _row(tag: str, cells: list[str]) -> str:
    inside = "".join(f'<{tag} style="{_CELL}">{_text(cell)}</{tag}>' for cell in cells)
    return f'<tr style="background:none">{inside}</tr>'


def _flags(result: "FractionResult") -> str:
    """What the flags of any dataset mean, in the order in which they come."""
    raised = dict.fromkeys(name for flags in result.flags for name in flags)
    if not raised:
        return ""
    items = "".join(
        f"<li><code>{_text(name)}</code> ({_raised_by(result, name)}): "
        f"{_text(flag_meaning(name))}</li>"
        for name in raised
    )
    return f"<ul>{items}</ul>"


def _raised_by(result: "FractionResult", name: str) -> str:
    n = sum(name in flags for flags in result.flags)
    return f"{n} of {len(result.flags)} datasets"


def _text(value: object) -> str:
    return escape(str(value), quote=True)
