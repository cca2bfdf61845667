"""Events and histograms from files of every kind give the same numbers."""

import json

import numpy as np
import pandas as pd
import pytest
from event_files import KINDS
from event_files import write as write_as

from sktamm import BinnedTopicTAMM, read_result
from sktamm.cli import main
from sktamm.datasets import make_gaussian_study
from sktamm.exports import to_pyhf
from sktamm.io import write_events

uproot = pytest.importorskip("uproot")
pytest.importorskip("pyarrow")

STUDY = make_gaussian_study(
    n_simulations=4, n_events=1200, n_signal=500, n_background=4500, random_state=1
)
SIMULATED = pd.DataFrame(STUDY.X, columns=["mass", "pt"]).assign(
    label=STUDY.y, simulation=STUDY.simulation
)
TARGET = pd.DataFrame(STUDY.X_target, columns=["mass", "pt"])
BINNED = ["--estimator", "binned", "--bins", "6", "--quiet"]
EDGES = np.linspace(-2.0, 2.0, 9)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measure(*words):
    assert main(["infer", *map(str, words), "--output", "r.json"]) == 0
    return read_result("r.json")


def refused(capsys, *words):
    assert main(["infer", *map(str, words)]) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line
    return line


@pytest.fixture(scope="module")
def expected():
    tamm = BinnedTopicTAMM(bins=6, random_state=0)
    tamm.fit(SIMULATED[["mass", "pt"]], STUDY.y, simulation=STUDY.simulation)
    return tamm.infer(TARGET, levels=[0.683, 0.954])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_numbers(folder, kind, expected):
    simulations = write_as(folder, kind, SIMULATED, "sim")
    target = write_as(folder, kind, TARGET, "data")
    words = ["--simulations", simulations, "--target", target]
    features = ["--features", "mass", "pt"]  # an RNTuple may have an order of its own
    assert measure(*words, *features, *BINNED).equals(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_per_simulation(folder, kind, expected):
    words = []
    for k in range(4):
        own = SIMULATED[SIMULATED.simulation == k].drop(columns="simulation")
        words.append(f"{k}={write_as(folder, kind, own, f'gen{k}')}")
    target = write_as(folder, kind, TARGET, "data")
    features = ["--features", "mass", "pt"]
    result = measure("--simulation", *words, "--target", target, *features, *BINNED)
    np.testing.assert_allclose(result.interval, expected.interval, rtol=1e-9)


def test_one_file_per_simulation_and_class_with_patterns(folder, expected):
    words = []
    for k in range(4):
        for c, name in enumerate(("background", "signal")):
            own = SIMULATED[(SIMULATED.simulation == k) & (SIMULATED.label == c)]
            own = own[["mass", "pt"]]
            write_events(f"{name}_{k}_a.csv", own[: len(own) // 2])
            write_events(f"{name}_{k}_b.csv", own[len(own) // 2 :])
            words.append(f"gen{k}:{name}={name}_{k}_*.csv")
    write_events("data.csv", TARGET)
    result = measure("--simulation", *words, "--target", "data.csv", *BINNED)
    assert result.pos_label == "signal"
    np.testing.assert_allclose(result.interval, expected.interval, rtol=1e-9)


def test_trees_are_named_after_a_colon(folder, expected):
    with uproot.recreate("all.root") as file:
        file.mktree("mc/events", {n: SIMULATED[n].to_numpy() for n in SIMULATED})
        file.mktree("data", {n: TARGET[n].to_numpy() for n in TARGET})
    words = ["--simulations", "all.root:mc/events", "--target", "all.root:data"]
    assert measure(*words, *BINNED).equals(expected)


def histogram(events):
    values, _, _ = np.histogram2d(events["mass"], events["pt"], bins=[EDGES, EDGES])
    return values, EDGES, EDGES


def test_histograms_from_root_files(folder, capsys):
    with uproot.recreate("h.root") as file:
        for k in range(4):
            for c, name in enumerate(("bkg", "sig")):
                own = SIMULATED[(SIMULATED.simulation == k) & (SIMULATED.label == c)]
                file[f"gen{k}/{name}"] = histogram(own)
        file["data"] = histogram(TARGET)
    files = [f"gen{k}:{c}=h.root:gen{k}/{c}" for k in range(4) for c in ("bkg", "sig")]
    words = ["--estimator", "binned", "--quiet"]
    result = measure("--simulation", *files, "--target", "h.root:data", *words)
    inside = (SIMULATED[["mass", "pt"]].abs() < 2).all(axis=1)
    seen = (TARGET[["mass", "pt"]].abs() < 2).all(axis=1)
    tamm = BinnedTopicTAMM(bins=[EDGES, EDGES], random_state=0)
    own = SIMULATED[inside]
    tamm.fit(own[["mass", "pt"]], own.label, simulation=own.simulation)
    np.testing.assert_allclose(result.kappa, tamm.predict(TARGET[seen]), rtol=1e-6)
    words += ["--simulation", *files, "--target", "h.root:data"]
    for beside in (
        ["--cut", "mass > 1000"],
        ["--weight", "nonsense"],
        ["--features", "mass"],
        ["--label", "y"],
        ["--dataset", "run"],
        ["--bins", "3"],
        ["--range", "mass=0:1"],
    ):
        assert main(["infer", *words, *beside]) == 2
        said = f"{beside[0]} is for events, not for histograms"
        assert said in capsys.readouterr().err
    assert main(["infer", *words, "--channel", "a"]) == 2
    assert "--channel needs --workspace" in capsys.readouterr().err


def test_a_workspace_of_pyhf_in_and_out(folder, capsys):
    pytest.importorskip("pyhf")
    tilt = {"hi_data": [66.0, 34.0, 20.0], "lo_data": [54.0, 46.0, 20.0]}
    modifier = {"name": "scale", "type": "histosys", "data": tilt}
    samples = [
        {"name": "sig", "data": [10.0, 40.0, 30.0], "modifiers": []},
        {"name": "bkg", "data": [60.0, 40.0, 20.0], "modifiers": [modifier]},
    ]
    workspace = {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": [66.0, 68.0, 40.0]}],
        "measurements": [],
        "version": "1.0.0",
    }
    (folder / "w.json").write_text(json.dumps(workspace))
    words = ["--workspace", "w.json", "--positive", "sig", "--quiet"]
    result = measure(*words, "--estimator", "binned")
    assert result.method["families"]
    assert abs(result.kappa[0] - 64 / 184) < 2 * result.std[0]
    beside = refused(capsys, *words, "--families", "w.json", "--estimator", "binned")
    assert "--families must not stand beside --workspace" in beside
    assert main(["infer", *words, "--cut", "mass > 1000"]) == 2
    assert "--cut is for events, not for a workspace" in capsys.readouterr().err


def test_an_exported_model_is_a_workspace_of_its_own(folder, expected):
    pytest.importorskip("pyhf")
    tamm = BinnedTopicTAMM(bins=6, random_state=0)
    tamm.fit(SIMULATED[["mass", "pt"]], STUDY.y, simulation=STUDY.simulation)
    (folder / "w.json").write_text(json.dumps(to_pyhf(tamm, TARGET)))
    result = measure("--workspace", "w.json", "--estimator", "binned", "--quiet")
    # Its variations are directions of the blend, taken once more for families.
    assert abs(result.kappa[0] - expected.kappa[0]) < expected.std[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a=x.csv", "simulation"], "must be a column or files as ID=FILE"),
        (["a=x.csv", "b:sig=y.csv"], "the class of all files or of none"),
        (["=x.csv"], "must be ID=FILE or ID:CLASS=FILE"),
        (["a:=x.csv"], "must be ID=FILE or ID:CLASS=FILE"),
        (["a="], "must be ID=FILE or ID:CLASS=FILE"),
        (["a=missing.csv"], "missing.csv does not exist"),
        (["a=t.csv", "b=u.csv"], "u.csv has no column 'label'"),
        (["a:sig=t.csv"], "must have no column 'label'"),
    ],
)
def test_files_that_are_named_wrongly_are_refused(folder, capsys, words, said):
    write_events("t.csv", TARGET.assign(label=0))
    write_events("u.csv", TARGET)
    write_events("data.csv", TARGET)
    line = refused(capsys, "--simulation", *words, "--target", "data.csv", *BINNED)
    assert said in line
