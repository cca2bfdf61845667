"""The command line with a nominal, variations and other generators."""

import json

import numpy as np
import pandas as pd
import pytest

from sktamm import AutoTAMM, BinnedTopicTAMM
from sktamm.cli import main
from sktamm.mixture import ShrinkagePrior, SimulationsPrior

SHIFT = {0: 0.0, 1: 0.1, 2: -0.1, 3: 0.3, 4: -0.2}
FAMILIES = {1: "scale", 2: "scale", 3: "generator", 4: "generator"}
DECLARED = {
    "families": {str(key): family for key, family in FAMILIES.items()},
    "nominal": 0,
    "alternatives": ["generator"],
}
PRIOR = {"families": FAMILIES, "nominal": 0, "alternatives": ["generator"]}


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    simulation = np.repeat(list(SHIFT), 2000)
    label = np.tile([0, 1], 5000)
    shift = np.repeat(list(SHIFT.values()), 2000)
    frame = pd.DataFrame({"x": rng.normal(2.0 * label + shift)})
    frame["label"], frame["simulation"] = label, simulation
    signal = rng.random(3000) < 0.3
    paths = [tmp_path / name for name in ("sim.csv", "data.csv", "families.json")]
    frame.to_csv(paths[0], index=False)
    pd.DataFrame({"x": rng.normal(2.0 * signal + 0.1)}).to_csv(paths[1], index=False)
    paths[2].write_text(json.dumps(DECLARED))
    return paths


def run(files, *more):
    words = ["--simulations", str(files[0]), "--target", str(files[1]), "--quiet"]
    output = files[0].parent / "result.json"
    words += ["--families", str(files[2]), "--output", str(output)]
    assert main(["infer", *words, *more]) == 0
    return json.loads(output.read_text())


def measured(estimator, files):
    frame, target = pd.read_csv(files[0]), pd.read_csv(files[1])
    estimator.fit(frame[["x"]], frame["label"], simulation=frame["simulation"])
    return estimator.predict(target)[0]


def test_they_are_those_of_the_library(files, capsys):
    document = run(files)
    expected = AutoTAMM(random_state=0, **PRIOR)
    assert document["datasets"][0]["kappa"] == measured(expected, files)
    said = "nominal 0; scale (1, 2); generator (3, 4) as alternatives"
    assert document["method"]["families"] == said
    printed = capsys.readouterr()
    assert f"Families: {said}" in printed.out.splitlines()
    assert "Simulations left out: families are declared" in printed.out
    assert printed.err == ""  # no warning
    names = [own["file"] for own in document["provenance"]["inputs"]]
    assert names == ["sim.csv", "data.csv", "families.json"]


@pytest.mark.parametrize(
    ("words", "prior"),
    [
        ((), SimulationsPrior(**PRIOR)),
        (("--prior", "shrinkage"), ShrinkagePrior(**PRIOR)),
    ],
)
def test_priors_of_an_estimator_take_them(files, words, prior):
    document = run(files, "--estimator", "binned", *words)
    expected = measured(BinnedTopicTAMM(prior=prior, random_state=0), files)
    assert document["datasets"][0]["kappa"] == expected


def test_ids_may_be_written_in_another_way(files):
    first = run(files)
    frame = pd.read_csv(files[0])
    frame["simulation"] = frame["simulation"].astype(float)
    frame.to_csv(files[0], index=False)
    assert run(files)["datasets"][0]["kappa"] == first["datasets"][0]["kappa"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "families.json must hold JSON: Expecting"),
        ("[1]", "must hold a JSON object with families, nominal and perhaps altern"),
        ('{"families": {}, "nominal": 0, "other": 1}', "and perhaps alternatives, got"),
        ('{"families": [1], "nominal": 0}', "must hold families, an object from"),
        ('{"families": {"1": ["a"]}, "nominal": 0}', "must hold families, an object"),
        ('{"families": {"1": "a"}}', "must hold nominal, a simulation id or a list"),
        ('{"families": {"1": "a", "1": "b"}, "nominal": 0}', "'1' stands twice"),
        ('{"families": {"1": "a"}, "nominal": 0}', "got none of 2"),
        ('{"families": {"1": "a"}, "nominal": 0, "alternatives": ["b"]}', "['a'], got"),
    ],
)
def test_what_is_no_declaration_is_refused_in_a_line(files, capsys, text, sentence):
    files[2].write_text(text)
    words = ["--simulations", str(files[0]), "--target", str(files[1]), "--quiet"]
    assert main(["infer", *words, "--families", str(files[2])]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sktamm: error: ")
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_priors_without_families_are_refused(files, capsys):
    words = ["--simulations", str(files[0]), "--target", str(files[1]), "--quiet"]
    words += ["--families", str(files[2]), "--estimator", "binned", "--prior", "ridge"]
    assert main(["infer", *words]) == 2
    assert "--prior simulations or shrinkage, got --prior ridge" in (
        capsys.readouterr().err
    )
    assert main(["infer", *words[:5], "--families", "none.json"]) == 2
    assert "none.json" in capsys.readouterr().err


def test_the_declaration_is_not_written_over(files, capsys):
    words = ["--simulations", str(files[0]), "--target", str(files[1]), "--quiet"]
    words += ["--families", str(files[2]), "--output", str(files[2])]
    assert main(["infer", *words]) == 2
    assert "must not be an input" in capsys.readouterr().err
    assert json.loads(files[2].read_text()) == DECLARED
