"""The page itself: a template of Jinja, which escapes every name of users."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

from sktamm.report._sections import DatasetSection, Section
from sktamm.results import BLINDED, FractionResult, choices_line, own_lines, rounded

__all__ = ["render"]


def render(
    result: FractionResult,
    *,
    title: str | None,
    datasets: Sequence[DatasetSection],
    sections: Sequence[Section],
    estimator: str,
) -> str:
    """HTML of a report."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup  # pictures are ours, and no text
    template = environment.from_string(_file("page.html"))
    page = template.render(
        style=Markup(_file("page.css")),
        title=title or f"Signal fraction, class {result.pos_label}",
        blinded=f"{BLINDED}." if result.is_blinded else "",
        result=result,
        rows=_rows(result),
        datasets=datasets,
        sections=sections,
        method=choices_line(result, " "),
        words=own_lines(result),
        estimator=estimator,
        origin=result.provenance,
    )
    return page.strip() + "\n"


def _file(name: str) -> str:
    return (resources.files("sktamm.report") / name).read_text(encoding="utf-8")


def _rows(result: FractionResult) -> list[dict[str, Any]]:
    """Numbers of every dataset as they are quoted."""
    rows = []
    for i in range(result.kappa.size):
        std = result.std[i]
        low, high = result.interval[i]
        rows.append(
            {
                "name": str(result.dataset[i]),
                "events": f"{result.n_events[i]:g}",
                "kappa": rounded(result.kappa[i], std),
                "error": rounded(std, std),
                "intervals": [
                    (f"{100 * level:.4g} %", rounded(a, std), rounded(b, std))
                    for level, a, b in zip(result.levels, low, high, strict=True)
                ],
                "flags": result.flags[i] if result.flags else (),
            }
        )
    return rows
