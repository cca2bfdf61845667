"""The command line with the unbinned estimator: the main job and its refusals."""

import json

import numpy as np
import pandas as pd
import pytest

from sktamm import NeuralRatioTAMM
from sktamm.cli import main
from sktamm.datasets import make_gaussian_study
from sktamm.ratios import DensityRatio


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4,
        n_events=1000,
        n_signal=400,
        n_background=1600,
        random_state=0,
    )


@pytest.fixture
def files(study, tmp_path):
    """CSV files of the study: simulations and target."""
    simulations = pd.DataFrame(study.X, columns=["x", "y"])
    simulations["label"], simulations["simulation"] = study.y, study.simulation
    target = pd.DataFrame(study.X_target, columns=["x", "y"])
    paths = tmp_path / "sim.csv", tmp_path / "data.csv"
    simulations.to_csv(paths[0], index=False)
    target.to_csv(paths[1], index=False)
    return paths


def run(files, *more, classifier="logistic"):
    words = ["infer", "--simulations", str(files[0]), "--target", str(files[1])]
    words += ["--estimator", "neural", "--quiet"]
    if classifier:
        words += ["--classifier", classifier]
    return main([*words, *more])


def test_a_measurement_equals_that_in_python(files, study, tmp_path, capsys):
    output = tmp_path / "result.json"
    more = ("--members", "2", "--inference", "frequentist", "--seed", "3")
    assert run(files, *more, "--output", str(output)) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "components ratios" in printed.out
    assert "fit p-value" not in printed.out
    document = json.loads(output.read_text())
    tamm = NeuralRatioTAMM(
        DensityRatio("logistic", n_members=2), inference="frequentist", random_state=3
    )
    tamm.fit(study.X, study.y, simulation=study.simulation)
    (kappa,) = tamm.predict(study.X_target)
    assert document["datasets"][0]["kappa"] == pytest.approx(kappa, rel=1e-6)
    settings = document["provenance"]["settings"]
    assert settings["estimator"] == "neural"
    assert settings["classifier"] == "logistic"
    assert settings["members"] == "2"
    assert "bins" not in settings


@pytest.mark.parametrize(
    "more",
    [
        ("--components", "topics", "--topics", "2", "--form", "linear"),
        ("--ensemble", "wifi", "--prior", "ridge"),
        ("--folds", "2", "--calibration", "temperature"),
    ],
)
def test_the_choices_arrive(files, capsys, more):
    assert run(files, "--members", "2", "--inference", "frequentist", *more) == 0
    printed = capsys.readouterr().out
    if "topics" in more:
        assert "components ratio_topics" in printed
        assert "form linear" in printed


def test_boosted_trees_are_a_choice(files, capsys):
    more = ("--members", "1", "--inference", "frequentist")
    assert run(files, *more, classifier="lightgbm") == 0
    assert "Fraction of class 1" in capsys.readouterr().out


def test_several_datasets_and_a_picture(files, tmp_path, capsys):
    frame = pd.read_csv(files[1])
    frame["run"] = np.arange(len(frame)) % 2
    frame.to_csv(files[1], index=False)
    more = ["--dataset", "run", "--members", "1", "--form", "linear"]
    pytest.importorskip("matplotlib").use("agg")
    more += ["--plot", str(tmp_path / "result.png")]
    assert run(files, *more) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 4 + 2
    assert (tmp_path / "result.png").stat().st_size > 5000
    more[-1] = str(tmp_path / "result.svg")
    with pytest.importorskip("matplotlib").rc_context({"svg.fonttype": "none"}):
        assert run(files, *more, "--features", "y", "x") == 0
    assert "features: y, x" in (tmp_path / "result.svg").read_text()


def refusal(capsys, code):
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    (line,) = printed.err.strip().splitlines()
    assert line.startswith("sktamm: error: ")
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bins", "5"), "--bins is an option of --estimator binned or score"),
        (("--members", "0"), "n_members"),
        (("--folds", "1"), "cv"),
        (("--form", "linear", "--prior", "ridge"), "use prior='dirichlet'"),
        (("--positive", "7"), "pos_label"),
        (("--components", "topics", "--topics", "0"), "n_topics"),
    ],
)
def test_bad_choices_are_refused_in_one_line(files, capsys, words, message):
    assert message in refusal(capsys, run(files, *words))


@pytest.mark.parametrize(
    ("words", "estimators"),
    [
        (("--classifier", "logistic"), "score or neural"),
        (("--members", "2"), "neural"),
        (("--ensemble", "mean"), "neural"),
        (("--folds", "2"), "score or neural"),
        (("--calibration", "moments"), "neural"),
        (("--topics", "2"), "binned or neural"),
        (("--form", "linear"), "binned or score or neural"),
    ],
)
def test_options_of_another_estimator_are_refused(files, capsys, words, estimators):
    arguments = ["--simulations", str(files[0]), "--target", str(files[1])]
    code = main(["infer", *arguments, "--quiet", *words])
    line = refusal(capsys, code)
    assert f"{words[0]} is an option of --estimator {estimators}, got" in line


@pytest.mark.parametrize("word", ["forest", "svm"])
def test_unknown_classifiers_are_refused_in_one_line(files, capsys, word):
    with pytest.raises(SystemExit) as stop:
        run(files, classifier=word)
    assert "--classifier" in refusal(capsys, stop.value.code)


def test_few_events_are_refused_in_one_line(files, capsys):
    frame = pd.read_csv(files[0])
    first = frame[(frame.label == 0) & (frame.simulation == 0)]
    frame.drop(first.index[1:]).to_csv(files[0], index=False)
    assert "n_samples = 1" in refusal(capsys, run(files))


def test_the_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["infer", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for word in ("--classifier", "--members", "--ensemble", "--folds", "--calibration"):
        assert word in printed
    assert "neural" in printed
