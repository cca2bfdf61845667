"""Large data are counted piece by piece, with the numbers of all events at once."""

import numpy as np
import pandas as pd
import pytest

from sktamm import read_result
from sktamm.cli import _counting, main
from sktamm.datasets import make_gaussian_study
from sktamm.io import write_events

pytest.importorskip("pyarrow")

STUDY = make_gaussian_study(
    n_simulations=4, n_events=1200, n_signal=700, n_background=6300, random_state=2
)
SIMULATED = pd.DataFrame(STUDY.X, columns=["x", "y"]).assign(
    label=STUDY.y, simulation=STUDY.simulation
)
rng = np.random.default_rng(0)
TARGET = pd.DataFrame(STUDY.X_target, columns=["x", "y"]).assign(
    weight=rng.uniform(0.5, 1.5, len(STUDY.X_target)),
    run=np.array(["b", "a", "c"])[np.arange(len(STUDY.X_target)) % 3],
    written=np.array(["1", "01"])[np.arange(len(STUDY.X_target)) % 2],
    number=np.arange(len(STUDY.X_target)) % 11,
    text=(np.arange(len(STUDY.X_target)) % 11).astype(str),
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_events("sim.parquet", SIMULATED.assign(weight=1.0))
    for kind in ("csv", "parquet"):
        write_events(f"data.{kind}", TARGET)
        write_events(f"half.{kind}", TARGET[::2])


def measured(monkeypatch, large, *words):
    """Result of the command, data counted from so many bytes on."""
    counted = []
    count = _counting.count_target

    def spy(*arguments):
        counted.append(count(*arguments))
        return counted[-1]

    files = ["--simulations", "sim.parquet", "--features", "x", "y", "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(_counting, "_LARGE", large)
        patch.setattr("sktamm.cli._commands.count_target", spy)
        assert main(["infer", *files, *words, "--output", "r.json"]) == 0
    assert (counted[0] is not None) == (large == 0)
    return read_result("r.json")


BINNED = ["--estimator", "binned", "--bins", "6"]


@pytest.mark.parametrize(
    "words",
    [
        ["--target", "data.parquet"],
        ["--target", "data.csv", "--cut", "x > -1.5 & y < 3"],
        ["--target", "data.parquet", "--weight", "weight"],
        ["--target", "data.csv", "--dataset", "run"],
        ["--target", "data.csv", "--dataset", "written"],
        ["--target", "data.csv", "data.parquet", "--dataset", "number"],
        ["--target", "data.parquet", "--dataset", "text"],
        ["--target", "data.parquet", "half.csv"],
        ["--target", "data.parquet", "--range", "x=-1:1"],
    ],
    ids=" ".join,
)
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_counts_give_the_numbers_of_events(words, monkeypatch):
    whole = measured(monkeypatch, 1 << 40, *BINNED, *words)
    counts = measured(monkeypatch, 0, *BINNED, *words)
    np.testing.assert_array_equal(counts.dataset, whole.dataset)
    np.testing.assert_array_equal(counts.interval, whole.interval)
    np.testing.assert_array_equal(counts.n_effective, whole.n_effective)
    assert counts.flags == whole.flags
    assert set(counts.diagnostics) == set(whole.diagnostics)
    beyond = counts.diagnostics["beyond"], whole.diagnostics["beyond"]
    np.testing.assert_array_equal(*beyond)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_scores_are_counted_too(monkeypatch):
    words = ["--estimator", "score", "--classifier", "logistic"]
    words += ["--target", "data.parquet"]
    whole, counts = (measured(monkeypatch, large, *words) for large in (1 << 40, 0))
    np.testing.assert_array_equal(counts.interval, whole.interval)


def test_estimators_that_ask_for_events_get_them(monkeypatch):
    words = ["--estimator", "neural", "--classifier", "logistic", "--form", "linear"]
    with pytest.raises(AssertionError):  # nothing was counted
        measured(monkeypatch, 0, *words, "--target", "data.parquet")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bad.csv"], "NaN"),
        (["text.csv"], "must hold numbers in the feature 'y'"),
        (["lost.csv", "--dataset", "run"], "must hold 'run' in every row"),
        (["data.csv", "data.csv"], "must name different files"),
        (["data.csv", "none.csv", "--cut", "x > -90"], "that pass the cut"),
        (["words.parquet"], "must hold numbers in the feature 'y', but it holds"),
        (["data.csv", "bare.csv", "--weight", "weight"], "in all files or in none"),
    ],
)
def test_what_is_wrong_is_said_as_ever(words, said, monkeypatch, capsys):
    write_events("bad.csv", TARGET.assign(x=TARGET.x.where(TARGET.index != 5)))
    write_events("lost.csv", TARGET.assign(run=TARGET.run.where(TARGET.index != 5)))
    write_events("none.csv", TARGET.assign(x=-99.0))
    write_events("bare.csv", TARGET[["x", "y"]])
    write_events("text.csv", TARGET.assign(y="high"))
    write_events("words.parquet", TARGET.assign(y=TARGET.y.astype(str)))
    monkeypatch.setattr(_counting, "_LARGE", 0)
    files = ["--simulations", "sim.parquet", "--features", "x", "y", *BINNED]
    assert main(["infer", *files, "--quiet", "--target", *words]) == 2
    assert said in capsys.readouterr().err
