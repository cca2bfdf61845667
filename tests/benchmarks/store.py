"""Results of benchmarks that the documentation prints, one file each in ``results``.

A script ends with

    store("speed", columns, rows, command="bench_neural_speed.py", note="Two cores.")

and the page has the table where its source in ``pages`` says ``{{table speed}}``, or at
its end if it says so nowhere. ``make_page.py`` writes the pages.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def store(
    name: str,
    columns: list[str],
    rows: list[list[Any]],
    *,
    command: str,
    title: str | None = None,
    note: str = "",
    folder: Path = FOLDER,
) -> Path:
    """Write a table for the documentation.

    Parameters
    ----------
    name : str
        Of the file, and of the placeholder ``{{table NAME}}``.
    columns : list of str
        Heads of the columns.
    rows : list of list
        Cells: text stays as it is, numbers are printed with three digits.
    command : str
        What measures it again, printed below the table.
    title : str, optional
        Heading of a table that no page has a place for; the name if None.
    note : str
        Date, machine and what else a reader must know.
    folder : Path
        Where results lie.

    Returns
    -------
    path : Path
        The file.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"rows of {name} need {len(columns)} cells each.")
    content = {
        "title": title or name,
        "columns": columns,
        "rows": rows,
        "command": command,
        "note": note,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def read(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """What `store` wrote."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def markdown(content: dict[str, Any]) -> str:
    """The table, and below it the command and the note."""
    below = f"`{content['command']}`. {content['note']}".strip()
    return "\n".join([*table(content["columns"], content["rows"]), "", below])


def table(columns: list[str], rows: list[list[Any]]) -> list[str]:
    """Lines of a table in Markdown."""
    head = [_line(columns), "|---" * len(columns) + "|"]
    return [*head, *(_line([_cell(own) for own in row]) for row in rows)]


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
