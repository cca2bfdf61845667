"""The code of the guides runs as it is printed, block after block."""

import re
from pathlib import Path

import numpy as np
import pytest

from sktamm import NeuralRatioTAMM
from sktamm.datasets import make_gaussian_study

DOC = Path(__file__).parents[1] / "doc"


def blocks(name):
    text = (DOC / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def events():
    study = make_gaussian_study(n_simulations=5, n_events=4000, random_state=0)
    own = study.simulation < 4
    return {
        "__name__": "guide",
        "X": study.X[own],
        "y": study.y[own],
        "simulation": study.simulation[own],
        "X_test": study.X[~own],
        "y_test": study.y[~own],
        "X_target": study.X_target,
    }


def run(code, names):
    exec(compile(code, "guide", "exec"), names)


def test_the_recipe_has_ten_lines_and_runs():
    recipe = blocks("user_guide.md")
    [recipe] = [code for code in recipe if "GridSearchCV(" in code]
    lines = [line for line in recipe.splitlines() if line.strip()]
    assert len(lines) <= 10
    names = events()
    run(recipe, names)
    assert names["search"].best_params_["tamm__bins"] in (5, 10)
    assert np.isfinite(names["search"].best_score_)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_files_and_blinding_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("skops")
    pytest.importorskip("jsonschema")
    monkeypatch.chdir(tmp_path)
    [code] = [code for code in blocks("user_guide.md") if "save_model(" in code]
    names = events()
    run(code, names)
    assert "blinded kappa" in capsys.readouterr().out
    assert np.array_equal(names["kappa"], names["tamm"].predict(names["X_target"]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_guide_to_validation_runs(tmp_path, monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    pytest.importorskip("iminuit")
    pytest.importorskip("distributed")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    names = events()
    ratios = NeuralRatioTAMM("logistic", random_state=0)
    simulated = {"simulation": names["simulation"]}
    names["neural"] = ratios.fit(names["X"], names["y"], **simulated)
    for code in blocks("validation.md"):
        run(code, names)
    plt.close("all")
    assert names["merged"].truth.size == 15


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_the_guide_to_parametric_inference_runs():
    pytest.importorskip("torch")
    names = {"__name__": "guide"}
    for code in blocks("parametric.md"):
        run(code, names)
    assert names["interval"].lower < 0.5 < names["interval"].upper
    far, inside = names["std"][1], names["std"][0]
    assert far > inside
