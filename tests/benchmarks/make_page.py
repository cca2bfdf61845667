"""Write the generated pages of the documentation from their sources and results.

    python tests/benchmarks/make_page.py           # doc/benchmarks.md, doc/peers.md
    python tests/benchmarks/make_page.py --check   # fails if a page is not up to date

A source in ``pages`` is Markdown with lines like ``{{table NAME}}`` (a result that
`store.store` wrote) and ``{{peers summary}}``, ``{{peers sentences}}``, ``{{peers
details}}`` (from ``results/headline.json``). Tables that no source has a place for
come last in ``benchmarks.md``.
"""

import argparse
import re
import sys
from pathlib import Path

import peers_table
import store

HERE = Path(__file__).parent
PAGES, DOC = HERE / "pages", HERE.parents[1] / "doc"
PLACE = re.compile(r"^\{\{(table|peers) (\w+)\}\}$", re.MULTILINE)


def filled(text: str) -> str:
    """A source with its tables."""

    def put(match: re.Match) -> str:
        kind, name = match.groups()
        if kind == "table":
            return store.markdown(store.read(name))
        return getattr(peers_table, name)(peers_table.read())

    return PLACE.sub(put, text)


def is_table(name: str) -> bool:
    """Whether a result was written by `store.store`; others are a script's own."""
    return "columns" in store.read(name)


def pages() -> dict[Path, str]:
    """Text of every page."""
    sources = {path.name: path.read_text("utf-8") for path in PAGES.glob("*.md")}
    placed = {
        name
        for text in sources.values()
        for kind, name in PLACE.findall(text)
        if kind == "table"
    }
    found = sorted(path.stem for path in store.FOLDER.glob("*.json"))
    rest = [name for name in found if name not in placed and is_table(name)]
    out = {DOC / name: filled(text) for name, text in sources.items()}
    for name in rest:
        content = store.read(name)
        out[DOC / "benchmarks.md"] += (
            f"\n## {content['title']}\n\n{store.markdown(content)}\n"
        )
    return out


def main() -> None:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    old = []
    for path, text in pages().items():
        if check and path.read_text("utf-8") != text:
            old.append(path.name)
        if not check:
            path.write_text(text, encoding="utf-8")
    if old:
        sys.exit(f"not up to date: {', '.join(old)}; run {Path(__file__).name}")


if __name__ == "__main__":
    main()
