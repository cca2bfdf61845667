"""Every page runs as a reader would run it: block after block, from nothing.

Python blocks of a page share one namespace that starts empty, shell blocks one folder
that starts empty. What a block prints is compared with the text block that follows it.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOC = ROOT / "doc"

# Pages that take more than some seconds, or draw what takes the machine. Of what is on
# them, tests/report, tests/cli and tests/model_selection run the like.
SLOW = (
    "guide/diagnostics.md",
    "guide/report.md",
    "guide/searches.md",
    "parametric.md",
    "validation.md",
)
# Those of them whose code warns of nothing; the others show what warns.
STRICT = ("guide/report.md", "guide/searches.md")
# Recipes of files, which tests/test_recipes.py runs one by one.
RECIPES = "contributing.md"
# tests/test_common.py runs its one example, and compares it digit by digit.
EXAMPLE = "README.md"

_BLOCK = re.compile(
    r"^```(?P<kind>python|bash)\n(?P<code>.*?)^```\n"
    r"(?:\n*(?:```text\n(?P<text>.*?)^```|(?P<indented>(?:^ {4}[^\n]*\n)+)))?",
    flags=re.DOTALL | re.MULTILINE,
)
_NUMBER = re.compile(r"-?\d*\.\d+(?:e-?\d+)?")


class Block(NamedTuple):
    kind: str
    code: str
    output: str | None
    line: int


def blocks(path):
    text = path.read_text(encoding="utf-8")
    return [
        Block(
            found["kind"],
            found["code"],
            found["text"] or found["indented"],
            text.count("\n", 0, found.start("code")),
        )
        for found in _BLOCK.finditer(text)
    ]


def name_of(path):
    return path.relative_to(DOC if DOC in path.parents else ROOT).as_posix()


PAGES = {
    name_of(path): path
    for path in sorted([ROOT / "README.md", *DOC.rglob("*.md")])
    if path.name != RECIPES and blocks(path)
}
quick = [name for name in PAGES if name not in (*SLOW, EXAMPLE)]


# Run by a process of its own: what each block prints, until one fails.
SCRIPT = """
import contextlib, io, json, subprocess, sys
names, printed = {"__name__": "__main__"}, []
for kind, code, line, page in json.loads(sys.argv[1]):
    if kind == "bash":
        lines = [row for row in code.splitlines() if "pip install" not in row]
        run = ["bash", "-e", "-c", "\\n".join(lines)]
        done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True)
        printed.append(done.stdout)
        continue
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile("\\n" * line + code, page, "exec"), names)
    printed.append(out.getvalue())
sys.__stdout__.write(json.dumps(printed))
"""


def run_page(name, folder, *options):
    """Run all blocks of a page in a new process and an empty folder."""
    own = blocks(PAGES[name])
    asked = json.dumps([(b.kind, b.code, b.line, name) for b in own])
    done = subprocess.run(
        [sys.executable, *options, "-c", SCRIPT, asked],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for block, printed in zip(own, json.loads(done.stdout), strict=True):
        if block.output is not None:
            assert same_text(printed, block.output), f"{name}:{block.line}\n{printed}"


def environment():
    """That of the tests, with this package and this interpreter first."""
    first = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT)}
    found = {
        name: os.pathsep.join([own, os.environ.get(name, "")])
        for name, own in first.items()
    }
    return os.environ | found | {"MPLBACKEND": "Agg"}


def same_text(printed, shown):
    """Equal words, and numbers equal to within two units of their last digits."""
    ours, theirs = " ".join(printed.split()), " ".join(shown.split())
    if _NUMBER.sub("#", ours) != _NUMBER.sub("#", theirs):
        return False
    numbers = zip(_NUMBER.findall(ours), _NUMBER.findall(theirs), strict=True)
    return all(abs(float(a) - float(b)) <= 2.01 * _unit(b) for a, b in numbers)


def _unit(number):
    digits = number.partition("e")[0].partition(".")[2]
    return 10.0 ** (int(number.partition("e")[2] or 0) - len(digits))


def test_printed_numbers_may_differ_in_the_last_digit_only():
    assert same_text("kappa  0.121\n", "kappa 0.122\n")
    assert not same_text("kappa 0.121", "kappa 0.131")
    assert not same_text("kappa 0.121", "fraction 0.121")
    assert not same_text("chosen binned", "chosen score")


def test_the_pages_with_code_are_found():
    assert {"README.md", "first_steps.md", *SLOW} <= set(PAGES)


@pytest.mark.parametrize("name", quick)
def test_a_page_runs_from_a_clean_namespace(name, tmp_path):
    for library in ("hist", "jsonschema", "matplotlib", "pyarrow", "skops"):
        pytest.importorskip(library)
    run_page(name, tmp_path, "-W", "error")


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("name", SLOW)
def test_a_long_page_runs_from_a_clean_namespace(name, tmp_path):
    for library in ("matplotlib", "distributed", "torch"):
        pytest.importorskip(library)
    run_page(name, tmp_path, "-W", "error" if name in STRICT else "ignore")


def test_the_readme_has_one_example():
    assert [block.kind for block in blocks(PAGES[EXAMPLE])] == ["python"]


def test_the_recipe_of_a_search_has_ten_lines():
    [recipe] = [
        block.code
        for block in blocks(PAGES["guide/searches.md"])
        if "GridSearchCV(" in block.code
    ]
    assert len([line for line in recipe.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("path", [ROOT / "README.md", *DOC.rglob("*.md")], ids=name_of)
def test_links_between_pages_lead_somewhere(path):
    text = re.sub(r"```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.M)
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)\s]*)?\)", text):
        if target and "://" not in target:
            assert _origin(path.parent / target).exists(), target


def _origin(page):
    """What a page of the site is made of: those of the gallery of examples."""
    if page.parent.name == "auto_examples":
        name = "GALLERY_HEADER.rst" if page.stem == "index" else f"{page.stem}.py"
        return ROOT / "examples" / name
    if page.parent.name == "generated":  # of the reference
        return page.parents[1] / "index.rst"
    return page


def test_anchors_of_links_are_headings():
    for path in [ROOT / "README.md", *DOC.rglob("*.md")]:
        text = path.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([\w./]*?)#([\w-]+)\)", text):
            page = path.parent / target if target else path
            if page.suffix == ".md":
                assert anchor in anchors(page), f"{name_of(path)}: {target}#{anchor}"


def anchors(path):
    """Anchors of the headings of a page, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
