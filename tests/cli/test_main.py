"""The command line, from files to a result: the main job and its refusals."""

import json

import numpy as np
import pandas as pd
import pytest

from sktamm.cli import main
from sktamm.datasets import make_gaussian_study
from sktamm.results import rounded


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=5,
        n_events=2000,
        n_signal=1000,
        n_background=9000,
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


def run(files, *more):
    words = ["infer", "--estimator", "binned", "--simulations", str(files[0])]
    return main([*words, "--target", str(files[1]), *more])


def test_the_demo_runs_the_main_job(tmp_path, capsys):
    folder = tmp_path / "a demo"
    words = ["--events", "1000", "--simulations-per-class", "4", "--quiet"]
    assert main(["demo", "--directory", str(folder), *words]) == 0
    printed = capsys.readouterr()
    assert "True signal fraction of these data: 0.0909" in printed.out
    assert "chosen binned" in printed.out
    assert "Simulations left out: interval scores binned 0." in printed.out
    assert printed.err == ""
    document = json.loads((folder / "result.json").read_text())
    assert document["provenance"]["seed"] == 0
    assert document["provenance"]["settings"]["estimator"] == "auto"
    assert document["method"]["chosen"] == "binned"
    assert "merged simulations" in document["method"]["left out"]
    assert {f["file"].split(".")[0] for f in document["provenance"]["inputs"]} == {
        "simulations",
        "target",
    }
    assert (folder / "result.png").stat().st_size > 10_000


def test_a_measurement_is_printed_and_written(files, tmp_path, capsys):
    output = tmp_path / "result.json"
    more = ("--output", str(output), "--level", "0.5", "0.9", "--inference")
    assert run(files, *more, "frequentist") == 0
    printed = capsys.readouterr()
    assert "50% interval" in printed.out
    assert "done" in printed.err  # the bar
    document = json.loads(output.read_text())
    (dataset,) = document["datasets"]
    assert [i["level"] for i in dataset["intervals"]] == [0.5, 0.9]
    assert rounded(dataset["kappa"], dataset["std"]) in printed.out
    assert document["provenance"]["settings"]["inference"] == "frequentist"
    assert len(document["provenance"]["inputs"][0]["sha256"]) == 64


def test_odd_simulations_are_printed_and_written(files, tmp_path, capsys):
    frame = pd.read_csv(files[0])
    frame.loc[frame["simulation"] == 3, ["x", "y"]] += 9.0
    frame.to_csv(files[0], index=False)
    output = tmp_path / "result.json"
    assert run(files, "--quiet", "--output", str(output)) == 0
    printed = capsys.readouterr().out
    document = json.loads(output.read_text())
    odd = document["method"]["odd simulations"]
    assert set(odd.split(", ")) == {
        "3 of all classes",
        "3 of class 0",
        "3 of class 1",
    }
    assert f"Odd simulations: {odd}" in printed.splitlines()
    assert "not_exchangeable" in document["datasets"][0]["flags"]


def test_the_same_seed_gives_the_same_numbers(files, tmp_path):
    kappas = []
    for name in ("a.json", "b.json"):
        output = tmp_path / name
        assert run(files, "--quiet", "--form", "linear", "--output", str(output)) == 0
        kappas.append(json.loads(output.read_text())["datasets"][0]["kappa"])
    assert kappas[0] == kappas[1]


def test_several_files_or_a_column_are_several_datasets(files, tmp_path, capsys):
    frame = pd.read_csv(files[1])
    half = tmp_path / "half.csv"
    frame[::2].to_csv(half, index=False)
    assert run(files, str(half), "--quiet") == 0
    assert "half.csv" in capsys.readouterr().out
    frame["run"] = np.arange(len(frame)) % 3
    frame.to_csv(files[1], index=False)
    assert run(files, "--dataset", "run", "--features", "x", "y", "--quiet") == 0
    table = capsys.readouterr().out.strip().split("\n\n")[1]
    assert len(table.splitlines()) == 1 + 3


def test_parquet_files_are_read(files, capsys):
    pytest.importorskip("pyarrow")
    paths = []
    for path in files:
        paths.append(path.with_suffix(".parquet"))
        pd.read_csv(path).to_parquet(paths[-1])
    assert run(paths, "--quiet") == 0
    first = capsys.readouterr().out
    assert run(files, "--quiet") == 0
    assert capsys.readouterr().out == first


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
        (("--label", "class"), "no column 'class'; it has 'x', 'y', 'label'"),
        (("--simulation", "id"), "no column 'id'"),
        (("--features", "x", "z"), "no column 'z'"),
        (("--weight", "w"), "no column 'w'"),
        (("--dataset", "run"), "no column 'run'"),
        (("--positive", "7"), "pos_label"),
        (("--form", "linear", "--prior", "ridge"), "use prior='dirichlet'"),
        (("--level", "1.5"), "between 0 and 1"),
        (("--bins", "0"), "bins"),
        (("--output", "nowhere/result.json"), "nowhere"),
    ],
)
def test_bad_choices_are_refused_in_one_line(files, capsys, words, message):
    assert message in refusal(capsys, run(files, "--quiet", *words))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("", "is empty"),
        ("x,y,label,simulation\n", "no rows"),
        ("x,y,label,simulation\n1,2,0,0\n3,4,0,0\n", "two classes"),
        ("x,y,label,simulation\n1,2,0,0\nnan,4,1,0\n", "X"),
        ("x,y,label,simulation\n1,2,0,0\na,4,1,0\n", "x"),
        ("label,simulation\n0,0\n1,0\n", "features"),
    ],
)
def test_bad_simulations_are_refused_in_one_line(files, capsys, content, message):
    files[0].unlink()
    if content is not None:
        files[0].write_text(content)
    assert message in refusal(capsys, run(files, "--quiet"))


def test_bad_files_are_refused_in_one_line(files, tmp_path, capsys):
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert "directory" in refusal(capsys, run((folder, files[1]), "--quiet"))
    text = tmp_path / "sim.txt"
    text.write_text("x\n1\n")
    assert ".parquet" in refusal(capsys, run((text, files[1]), "--quiet"))
    broken = tmp_path / "sim.parquet"
    broken.write_bytes(b"not a parquet file")
    assert "Parquet" in refusal(capsys, run((broken, files[1]), "--quiet"))
    files[1].write_text("x,z\n1,2\n")
    assert "no column 'y'" in refusal(capsys, run(files, "--quiet"))


def test_warnings_are_one_line_each(files, capsys):
    frame = pd.read_csv(files[0])
    frame[frame.simulation == 0].to_csv(files[0], index=False)
    assert run(files, "--quiet") == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines
    assert all(line.startswith("sktamm: warning: ") for line in lines)


def test_wrong_arguments_are_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["infer", "--bins", "many"])
    assert "sktamm: error:" in refusal(capsys, stop.value.code)


def test_files_of_one_name_stay_apart(files, tmp_path, capsys):
    other = tmp_path / "other" / "data.csv"
    other.parent.mkdir()
    other.write_text(files[1].read_text())
    assert run(files, str(other), "--quiet") == 0
    assert capsys.readouterr().out.count("data.csv") == 2
    assert "different files" in refusal(capsys, run(files, str(files[1]), "--quiet"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--plot", "picture.foo"), ".png"),
        (("--output", "."), "folder"),
        (("--jobs", "0"), "n_jobs"),
        (("--seed", "-1"), "random_state"),
    ],
)
def test_bad_outputs_and_numbers_are_refused(files, capsys, words, message):
    assert message in refusal(capsys, run(files, "--quiet", *words))
