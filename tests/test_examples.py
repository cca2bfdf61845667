"""Examples: each opens with what it shows, and runs as a user would run it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def _run(path, folder, *arguments):
    environment = os.environ | {
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_there_are_examples():
    assert EXAMPLES


@every_example
def test_examples_say_what_they_show_and_import_what_exists(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert len((ast.get_docstring(tree) or "").split()) > 20
    imports = [
        node
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sktamm")
    ]
    assert imports
    code = compile(ast.Module(body=imports, type_ignores=[]), str(path), "exec")
    exec(code, {})


@pytest.mark.slow
@every_example
def test_examples_run(path, tmp_path):
    run = _run(path, tmp_path)
    assert run.returncode == 0, run.stderr[-4000:]


@pytest.mark.slow
def test_the_choice_without_the_truth_is_drawn(tmp_path):
    figure = tmp_path / "figure.png"
    run = _run(ROOT / "examples" / "plot_grid_search.py", tmp_path, str(figure))
    assert run.returncode == 0, run.stderr[-4000:]
    assert figure.read_bytes().startswith(b"\x89PNG")
