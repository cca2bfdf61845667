"""Examples: each opens with what it shows, and runs as a user would run it."""

import ast
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


# Examples that print alone.
WITHOUT_FIGURE = ("lorentz_regressor",)


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _run(path, folder, *arguments):
    own = {name: value for name, value in os.environ.items() if "SKTAMM" not in name}
    environment = own | {
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
    tree = _tree(path)
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
def test_examples_run_and_draw(path, tmp_path):
    if path.stem == "lorentz_regressor":
        pytest.importorskip("lgatr")
    run = _run(path, tmp_path, "figure.png")
    assert run.returncode == 0, run.stderr[-4000:]
    figures = [file.read_bytes() for file in tmp_path.glob("figure*.png")]
    assert bool(figures) == (path.stem not in WITHOUT_FIGURE)
    assert all(figure.startswith(b"\x89PNG") for figure in figures)


def test_the_examples_of_the_site_have_a_title():
    for path in EXAMPLES:
        title, line = ast.get_docstring(_tree(path)).splitlines()[:2]
        assert line == "=" * len(title), path.name


@pytest.mark.slow
def test_limits_on_wilson_coefficients_shrink_with_what_is_seen():
    """Areas of all ellipses, and errors: rate > histogram > learned > partons."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("lightgbm")
    example = runpy.run_path(str(ROOT / "examples" / "plot_wz_ellipses.py"))
    regions, information = example["run"]()
    names = ["rate", "histogram of mT(WZ)", "reconstructed, learned", "partons"]
    assert list(regions) == names
    areas = np.array([[region.area for region in regions[name]] for name in names])
    assert areas.shape == (4, 6)  # three pairs, two levels
    assert (areas[1:] < areas[:-1]).all()
    errors = [np.sqrt(np.diag(np.linalg.inv(information[name]))) for name in names[1:]]
    assert (np.diff(errors, axis=0) < 0).all()
