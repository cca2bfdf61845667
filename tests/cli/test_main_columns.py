"""Columns of files on the command line: ids as they are written, named features."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from sktamm.cli import main


def events(n=1200, seed=0):
    """Two classes of four simulations each, one feature, in an order of their own."""
    rng = np.random.default_rng(seed)
    label, simulation = np.arange(n) % 2, np.arange(n) // 2 % 4
    x = rng.normal(1.5 * label + 0.1 * simulation, 1)
    return pd.DataFrame({"x": x, "label": label, "simulation": simulation})


@pytest.fixture
def target():
    rng = np.random.default_rng(1)
    return pd.DataFrame({"x": rng.normal(np.arange(600) % 3 // 2 * 1.5, 1)})


@pytest.fixture
def measure(tmp_path, target, capsys):
    """Function from simulations, or target files, and words to JSON and the table."""

    def run(simulations, *words, targets=None, kind="csv"):
        frames = {"sim": simulations}
        frames |= targets or {"data": target}
        paths = [_write(tmp_path / f"{name}.{kind}", f) for name, f in frames.items()]
        output = tmp_path / "result.json"
        output.unlink(missing_ok=True)
        files = ["--simulations", paths[0], "--target", *paths[1:], "--output", output]
        words = [
            "--estimator",
            "binned",
            "--inference",
            "frequentist",
            "--quiet",
            "--bins",
            "6",
            *words,
        ]
        code = main(["infer", *map(str, files), *words])
        printed = capsys.readouterr()
        assert (code == 0) == output.exists()
        return json.loads(output.read_text()) if code == 0 else code, printed

    return run


def _write(path, frame):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    return path


def kappa(document):
    return [dataset["kappa"] for dataset in document["datasets"]]


def refusal(printed):
    (line,) = printed.err.strip().splitlines()
    assert printed.out == ""
    assert line.startswith("sktamm: error: ")
    return line


# ----------------------------------------------------------------------- ids, labels
def test_ids_that_are_the_same_number_stay_apart(measure):
    names = np.array(["1", "01", "10", "010"])
    simulations = events()
    renamed = simulations.assign(simulation=names[simulations.simulation])
    document, printed = measure(renamed)
    assert document["method"]["simulations"] == "4"
    assert "'1' and '01'" in printed.err  # and says so
    letters = np.array(["c", "a", "d", "b"])  # of the same order when sorted as text
    apart = simulations.assign(simulation=letters[simulations.simulation])
    assert kappa(document) == pytest.approx(kappa(measure(apart)[0]), rel=1e-9)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("word", ["True", "true", "1"])
def test_boolean_labels_are_chosen(measure, word, kind):
    simulations = events()
    expected = kappa(measure(simulations, "--positive", "1")[0])
    simulations["label"] = simulations.label == 1
    document, printed = measure(simulations, "--positive", word, kind=kind)
    assert document["pos_label"] is True
    assert document["classes"] == [False, True]
    assert "Fraction of class True" in printed.out
    assert kappa(document) == expected


@pytest.mark.parametrize(
    ("labels", "word", "kind"),
    [
        (("0", "1"), "1", "parquet"),
        (("0", "1"), "0", "parquet"),
        (("00", "01"), "01", "csv"),
        (("00", "01"), "1", "csv"),
        (("b", "s"), "b", "csv"),
    ],
)
def test_labels_of_text_are_chosen_and_kept(measure, labels, word, kind):
    simulations = events()
    which = [float(v) if v.isdigit() else v for v in labels].index(
        float(word) if word.isdigit() else word
    )
    expected = kappa(measure(simulations, "--positive", str(which))[0])
    simulations["label"] = np.array(labels, object)[simulations.label]
    document, printed = measure(simulations, "--positive", word, kind=kind)
    assert document["pos_label"] == labels[which]
    assert document["classes"] == list(labels)
    assert f"Fraction of class {labels[which]}," in printed.out
    assert kappa(document) == expected


def test_a_word_for_two_labels_is_refused(measure):
    simulations = events()
    simulations["label"] = np.array(["1", "01"], object)[simulations.label]
    code, printed = measure(simulations, "--positive", "001")
    assert code == 2
    assert "one of the classes 01, 1, got 001" in printed.err.splitlines()[-1]
    assert measure(simulations, "--positive", "01")[0]["pos_label"] == "01"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_large_nullable_integers_stay_integers(measure, target, kind):
    pytest.importorskip("pyarrow")
    runs = [2**60 + k for k in range(3)]  # above 2**53, where floats merge neighbours
    target["run"] = pd.array(np.array(runs)[np.arange(len(target)) % 3], dtype="Int64")
    simulations = events()
    simulations["simulation"] = pd.array(simulations.simulation + 2**60, dtype="UInt64")
    words = ("--dataset", "run")
    document, printed = measure(simulations, *words, targets={"d": target}, kind=kind)
    assert [d["dataset"] for d in document["datasets"]] == runs
    assert document["method"]["simulations"] == "4"
    assert all(str(run) in printed.out for run in runs)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["label", "simulation", "run"])
def test_missing_ids_are_refused(measure, target, column, kind):
    simulations, target = events(), target.assign(run=np.arange(len(target)) % 2)
    frame = target if column == "run" else simulations
    frame[column] = frame[column].astype("Int64")
    frame.loc[4, column] = pd.NA
    targets = {"data": target}
    code, printed = measure(simulations, "--dataset", "run", targets=targets, kind=kind)
    assert code == 2
    line = refusal(printed)
    assert f"must hold {column!r} in every row" in line
    assert "the first is row 5" in line


def test_ids_of_several_files_are_read_together(measure, target):
    targets = {"one": target.assign(run=1), "two": target.assign(run="01")}
    document, _ = measure(events(), "--dataset", "run", targets=targets)
    assert [d["dataset"] for d in document["datasets"]] == ["01", "1"]
    targets = {"one": target[:300].assign(run=7), "two": target[300:].assign(run=7)}
    document, _ = measure(events(), "--dataset", "run", targets=targets)
    assert [d["dataset"] for d in document["datasets"]] == [7]
    assert document["datasets"][0]["n_events"] == 600


def test_decimal_ids_are_shown_as_written(measure, target):
    target["run"] = np.array([0.5, 10.25])[np.arange(len(target)) % 2]
    document, printed = measure(
        events(), "--dataset", "run", "--features", "x", targets={"d": target}
    )
    assert [d["dataset"] for d in document["datasets"]] == [0.5, 10.25]
    names = [line.split()[0] for line in printed.out.strip().splitlines()[-2:]]
    assert names == ["0.5", "10.25"]


def test_an_id_in_the_index_of_a_parquet_file_is_found(measure):
    expected = kappa(measure(events())[0])
    indexed = events().set_index("simulation")
    assert kappa(measure(indexed, kind="parquet")[0]) == expected


# -------------------------------------------------------------------------- features
def test_the_index_that_pandas_writes_is_no_feature(measure, tmp_path, target):
    once, twice = tmp_path / "once.csv", tmp_path / "twice.csv"
    events().to_csv(once)
    pd.read_csv(once).to_csv(twice, index=False)
    data = tmp_path / "indexed.csv"
    target.to_csv(data)
    assert "Unnamed: 0" in twice.read_text().splitlines()[0]
    for path in (once, twice):
        words = ["infer", "--simulations", str(path), "--target", str(data), "--quiet"]
        words += ["--estimator", "binned", "--inference", "frequentist"]
        assert main(words) == 2
        assert main([*words, "--features", "x"]) == 0


def test_the_index_is_refused_with_the_way_out(tmp_path, capsys):
    path = tmp_path / "sim.csv"
    events().to_csv(path)
    main(["infer", "--simulations", str(path), "--target", str(path), "--quiet"])
    line = refusal(capsys.readouterr())
    assert "column 1 has none" in line
    assert "index=False" in line
    assert "--features" in line


def test_the_features_are_named_on_the_terminal_and_in_json(measure, target):
    rng = np.random.default_rng(0)
    simulations = events().assign(z=rng.normal(size=1200))
    targets = {"data": target.assign(z=rng.normal(size=600))}
    for words, names in (((), ["x", "z"]), (("--features", "z"), ["z"])):
        document, printed = measure(simulations, *words, targets=targets)
        assert document["provenance"]["settings"]["features"] == names
        assert f"features {', '.join(names)}" in printed.out.splitlines()[0]


def test_a_feature_called_file_is_not_overwritten(measure, target):
    simulations = events().rename(columns={"x": "file"})
    half = target.rename(columns={"x": "file"})
    document, _ = measure(simulations, targets={"a": half[:300], "b": half[300:]})
    assert [d["dataset"] for d in document["datasets"]] == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--features", "x", "x"), "--features must name every column once, got 'x'"),
        (("--features", "x", "label"), "another column than --label"),
        (("--features", "x", "--weight", "x"), "another column than --weight"),
        (("--label", "simulation"), "another column than --label"),
        (("--weight", ""), "--weight must name a column"),
        (("--dataset", ""), "--dataset must name a column"),
    ],
)
def test_a_column_has_one_role(measure, words, message):
    code, printed = measure(events(), *words)
    assert code == 2
    assert message in refusal(printed)


@pytest.mark.parametrize("words", [(), ("--features", "x")])
def test_columns_of_one_name_are_refused(tmp_path, target, capsys, words):
    simulations, data = tmp_path / "sim.csv", tmp_path / "data.csv"
    _write(data, target)
    frame = events()[["x", "x", "label", "simulation"]]
    frame.to_csv(simulations, index=False)
    files = ["--simulations", str(simulations), "--target", str(data)]
    assert main(["infer", *files, "--quiet", *words]) == 2
    assert "2 of the name 'x'" in refusal(capsys.readouterr())


def test_some_files_without_weights_are_refused(measure, target):
    simulations = events().assign(w=1.0)
    targets = {"a": target.assign(w=1.0), "b": target}
    code, printed = measure(simulations, "--weight", "w", targets=targets)
    assert code == 2
    assert "b.csv lacks it" in refusal(printed)


@pytest.mark.parametrize("value", ["2020-01-01", "1.5"])
def test_features_that_are_no_numbers_are_refused(measure, value):
    simulations = events().assign(t=value)
    if value != "1.5":
        simulations["t"] = pd.to_datetime(simulations.t)
    code, printed = measure(simulations, kind="parquet")
    assert code == 2
    assert "must hold numbers in the feature 't'" in refusal(printed)


def test_integers_beyond_64_bits_are_numbers(measure, target):
    simulations = events()
    simulations["x"] = (10 * simulations.x).round().astype(int).astype(object)
    expected = kappa(measure(simulations, targets={"data": 10 * target})[0])
    # In units 10^20 times smaller the same bins hold the same events.
    simulations["x"] *= 10**20
    if isinstance(pd.read_csv(io.StringIO(f"x\n{10**20}\n")).x[0], str):
        pytest.skip("this pandas reads them as text, which is refused")
    far, _ = measure(simulations, targets={"data": 10 * target * 1e20})
    assert kappa(far) == pytest.approx(expected, rel=1e-6)
