"""Every public name is there without any extra, and what needs one says which."""

import configparser
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Libraries of the extras, and what comes with them, as they are imported.
OPTIONAL = (
    "arviz",
    "awkward",
    "boost_histogram",
    "dask",
    "distributed",
    "hist",
    "iminuit",
    "jax",
    "jsonschema",
    "lgatr",
    "matplotlib",
    "numpyro",
    "pyarrow",
    "pyhf",
    "skops",
    "tqdm",
    "uhi",
    "uproot",
    "yaml",
)
ROOMS = sorted(
    f"sktamm.{path.parent.name}" for path in ROOT.glob("sktamm/*/__init__.py")
)
MODULES = ["sktamm", "sktamm.base", "sktamm.exceptions", *ROOMS]

# Calls that need a library: the extra that brings it, and the call.
USES = {
    "Display.plot": (
        "plot",
        "matplotlib",
        "sktamm.plotting.FractionDisplay.from_result(tamm.infer(X)).plot()",
    ),
    "save_overview": (
        "plot",
        "matplotlib",
        "sktamm.plotting.save_overview(tamm.infer(X), 'never.png')",
    ),
    "read_histogram": ("io", "uproot", "sktamm.io.read_histogram('some.root:h')"),
    "to_hist": ("hep", "hist", "sktamm.exports.to_hist(tamm.infer(X))"),
    "to_hepdata": (
        "hep",
        "PyYAML",
        "sktamm.exports.to_hepdata(tamm.infer(X), 'never')",
    ),
    "to_arviz": (
        "arviz",
        "arviz",
        "sktamm.exports.to_arviz("
        "__import__('dataclasses').replace(tamm.infer(X), draws=(np.zeros((2, 9)),)))",
    ),
    "read_result": ("io", "jsonschema", "sktamm.read_result('some.json')"),
    "save_model": ("io", "skops", "sktamm.io.save_model('never.skops', tamm)"),
    "load_model": ("io", "skops", "sktamm.io.load_model('some.parquet')"),
    "read_events": ("io", "pyarrow", "sktamm.io.read_events('some.parquet')"),
    "CoverageResult.load": (
        "io",
        "pyarrow",
        "sktamm.coverage.CoverageResult.load('some.parquet')",
    ),
    "progress": (
        "io",
        "tqdm",
        "sktamm.coverage.coverage_study(tamm, study.X, study.y, kappas=0.5, "
        "n_datasets=2, sizes=100, progress=True)",
    ),
}

# Run by a process of its own: names of all modules, and how the calls fail.
SCRIPT = """
import importlib, json, sys
optional, modules, calls = json.loads(sys.argv[1])
for name in optional:
    sys.modules[name] = None
names = {}
for name in modules:
    module = importlib.import_module(name)
    names[name] = [public for public in module.__all__ if hasattr(module, public)]

import numpy as np
import sktamm
from sktamm.datasets import make_gaussian_study

study = make_gaussian_study(n_simulations=3, n_events=300, random_state=0)
events = {"X": study.X, "y": study.y, "simulation": study.simulation}
X = study.X_target
tamm = sktamm.BinnedTopicTAMM(bins=2, inference="frequentist").fit(**events)
open("some.parquet", "w").write("no table")
sktamm.io.write_result("some.json", tamm.infer(X))
failed = {}
for use, call in calls.items():
    try:
        eval(call)
    except Exception as error:
        failed[use] = str(error)
print(json.dumps([names, failed]))
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Names and failures of a process that has none of the extras."""
    calls = {use: call for use, (_, _, call) in USES.items()}
    asked = json.dumps([OPTIONAL, MODULES, calls])
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}){SCRIPT}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, asked],
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("bare"),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_public_names_need_no_extra(bare):
    names, _ = bare
    assert list(names) == MODULES
    for module, found in names.items():
        assert found == importlib.import_module(module).__all__


@pytest.mark.parametrize("use", USES)
def test_what_needs_an_extra_says_which(bare, use):
    extra, library, _ = USES[use]
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg", encoding="utf-8")
    assert library in options["options.extras_require"][extra]
    message = bare[1][use]
    assert f"needs {library}" in message or f"need {library}" in message
    assert f"pip install 'sktamm[{extra}]'" in message
    assert "\n" not in message
