"""The recipes of the contributing guide run as they are printed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "doc" / "contributing.md").read_text(encoding="utf-8")
RECIPES = ("Add a prior", "Add a component model", "Add a baseline")


def section(title):
    _, rest = GUIDE.split(f"\n## {title}\n")
    return rest.split("\n## ")[0]


@pytest.mark.parametrize("title", RECIPES)
def test_the_code_of_a_recipe_runs(title):
    file, use = re.findall(r"```python\n(.*?)```", section(title), flags=re.DOTALL)
    assert re.match(r"# sktamm/\w+/_\w+\.py\n", file)
    assert "\nassert " in use
    names = {"__name__": "recipe"}
    for code in (file, use):
        exec(compile(code, title, "exec"), names)


def test_the_guide_names_files_that_are_there():
    prose = re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL)
    paths = re.findall(r"`((?:sktamm|tests|doc|\.ci)/[\w./]+)`", prose)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
