"""Commands from files to files: saved models, reports, studies, configuration."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktamm import BinnedTopicTAMM, __version__, read_result
from sktamm.baselines import FreeTemplates
from sktamm.cli import main
from sktamm.cli._config import read_options
from sktamm.cli._studies import _folder
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study
from sktamm.io import load_model, write_events
from sktamm.model_selection import CalibratedTAMM
from sktamm.results import BLINDED

pytest.importorskip("pyarrow")

STUDY = make_gaussian_study(
    n_simulations=5, n_events=1500, n_signal=600, n_background=5400, random_state=0
)
NAMES = ["mass", "pt"]
SIMULATED = pd.DataFrame(STUDY.X, columns=NAMES).assign(
    label=STUDY.y, simulation=STUDY.simulation
)
TARGET = pd.DataFrame(STUDY.X_target, columns=NAMES)
BINNED = ["--estimator", "binned", "--bins", "6", "--quiet"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder of work with the study's files."""
    monkeypatch.chdir(tmp_path)
    write_events("mc.parquet", SIMULATED)
    write_events("data.csv", TARGET)
    return tmp_path


FILES = ["--simulations", "mc.parquet", "--target", "data.csv"]


def kappa_of(path):
    return read_result(path).kappa


def refused(capsys, words):
    assert main(words) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("sktamm: error: ")
    assert "\n" not in line
    return line


def exits(capsys, words):
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code, capsys.readouterr()


# ------------------------------------------------------------------------------ words
def test_the_version_is_told(capsys):
    code, printed = exits(capsys, ["--version"])
    assert (code, printed.out) == (0, f"sktamm {__version__}\n")


COMMANDS = ["demo", "fit", "infer", "report", "diagnose", "compare", "coverage"]
COMMANDS += ["calibrate", "unblind"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_defaults_and_exit_codes(command, capsys):
    code, printed = exits(capsys, [command, "--help"])
    assert code == 0
    assert f"sktamm {command}" in printed.out.split("example", 1)[1]
    assert "exit codes:" in printed.out
    if command != "unblind":
        assert "(default: 0)" in " ".join(printed.out.split())
    assert max(map(len, printed.out.splitlines())) <= 110


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_what_is_required_is_named(command, capsys):
    code, printed = exits(capsys, [command])
    assert code == 2
    assert "the following is required: --" in printed.err


# ----------------------------------------------------------------------------- models
def test_a_saved_model_answers_as_the_fit_did(folder, capsys):
    assert main(["infer", *FILES, *BINNED, "--output", "direct.json"]) == 0
    simulations = FILES[:2]
    assert main(["fit", *simulations, *BINNED, "--model", "m.skops"]) == 0
    assert "m.skops" in capsys.readouterr().out
    words = ["--model", "m.skops", "--target", "data.csv", "--quiet"]
    assert main(["infer", *words, "--output", "saved.json"]) == 0
    direct, saved = read_result("direct.json"), read_result("saved.json")
    assert saved.equals(direct)
    tamm = BinnedTopicTAMM(bins=6, random_state=0)
    tamm.fit(SIMULATED[NAMES], STUDY.y, simulation=STUDY.simulation)
    assert tamm.infer(TARGET, levels=[0.683, 0.954]).equals(direct)
    inputs = [entry["file"] for entry in saved.provenance["inputs"]]
    assert inputs == ["data.csv", "m.skops"]


def test_a_model_stands_alone(folder, capsys):
    main(["fit", *FILES[:2], *BINNED, "--model", "m.skops"])
    capsys.readouterr()
    line = refused(capsys, ["infer", *FILES, "--model", "m.skops", "--quiet"])
    assert "--model must stand without --simulations" in line


def test_what_is_no_model_is_refused(folder, capsys):
    (folder / "bad.skops").write_bytes(b"\x80\x04.")
    words = ["--model", "bad.skops", "--target", "data.csv", "--quiet"]
    assert "bad.skops" in refused(capsys, ["infer", *words])


def test_calibrated_models_are_saved(folder, capsys):
    words = ["calibrate", *FILES[:2], *BINNED, "--inference", "frequentist"]
    assert main([*words, "--model", "c.skops"]) == 0
    assert "corrected by 5 simulations" in capsys.readouterr().out
    words = ["infer", "--model", "c.skops", "--target", "data.csv", "--quiet"]
    assert main([*words, "--output", "c.json"]) == 0
    inner = BinnedTopicTAMM(bins=6, inference="frequentist", random_state=0)
    tamm = CalibratedTAMM(inner).fit(
        SIMULATED[NAMES], STUDY.y, simulation=STUDY.simulation
    )
    result = read_result("c.json")
    np.testing.assert_array_equal(result.interval, tamm.infer(TARGET).interval)
    assert load_model("c.skops").estimator_.get_params()["bins"] == 6


# --------------------------------------------------------------------------- measuring
def test_ranges_and_bins_of_features(folder):
    words = ["--estimator", "binned", "--bins", "4", "7", "--range", "pt=-1:3"]
    assert main(["infer", *FILES, *words, "--quiet", "--output", "r.json"]) == 0
    edges = read_result("r.json").templates.edges
    assert [len(e) for e in edges] == [5, 8]
    assert (edges[1][0], edges[1][-1]) == (-1.0, 3.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--range", "pt"], "FEATURE=LOW:HIGH, got 'pt'"),
        (["--range", "pt=a:b"], "FEATURE=LOW:HIGH"),
        (["--range", "eta=0:1"], "one of the features mass, pt, got 'eta'"),
        (["--range", "pt=0:1", "pt=0:2"], "name every feature once, got 'pt' twice"),
        (["--topics", "2"], "--topics needs --components topics"),
        (["--channel", "a"], "--channel needs --workspace"),
        (["--cut", "mass >"], "cut must be an expression"),
        (["--cut", "eta > 1"], "has no column 'eta'"),
        (["--simulation", "a=x.csv"], "one of --simulations"),
        (["--blind", ""], "seed"),
    ],
)
def test_words_that_mean_nothing_are_refused(folder, capsys, words, said):
    assert said in refused(capsys, ["infer", *FILES, *BINNED, *words])


def test_a_cut_holds_for_simulations_and_data(folder):
    words = ["--cut", "abs(mass) < 1.5 & pt > -1", "--output", "cut.json"]
    assert main(["infer", *FILES, *BINNED, *words]) == 0
    kept = SIMULATED[(SIMULATED.mass.abs() < 1.5) & (SIMULATED.pt > -1)]
    data = TARGET[(TARGET.mass.abs() < 1.5) & (TARGET.pt > -1)]
    tamm = BinnedTopicTAMM(bins=6, random_state=0)
    tamm.fit(kept[NAMES], kept.label, simulation=kept.simulation)
    result = read_result("cut.json")
    np.testing.assert_allclose(result.kappa, tamm.predict(data), rtol=1e-12)
    assert result.provenance["settings"]["cut"] == words[1]


def test_blinding_from_the_measurement_to_the_number(folder, capsys):
    main(["infer", *FILES, *BINNED, "--output", "open.json"])
    words = ["--blind", "our words", "--output", "hidden.json"]
    assert main(["infer", *FILES, *BINNED, *words]) == 0
    printed = capsys.readouterr().out
    assert "BLINDED" in printed
    assert "our words" not in (folder / "hidden.json").read_text()
    line = refused(capsys, ["unblind", "--result", "hidden.json", "--blind", "others"])
    assert "others" not in line
    back = ["unblind", "--result", "hidden.json", "--blind", "our words"]
    assert main([*back, "--output", "back.json"]) == 0
    assert read_result("back.json").equals(read_result("open.json"))
    assert read_result("hidden.json").kappa != read_result("open.json").kappa


def test_checks_are_printed(folder, capsys):
    assert main(["diagnose", *FILES, *BINNED]) == 0
    printed = capsys.readouterr().out
    assert "ok      Does the adapted mixture describe the data?" in printed
    assert "OBJECTS" not in printed
    moved = TARGET + 3.0
    write_events("data.csv", moved)
    assert main(["diagnose", *FILES, *BINNED, "--strict"]) == 1
    printed = capsys.readouterr()
    assert "OBJECTS Do the data lie where there are simulated events?" in printed.out
    assert "strict: 1 of 1 datasets flagged" in printed.err


def test_flags_are_explained_below_the_table(folder, capsys):
    write_events("data.csv", TARGET + 3.0)
    assert main(["infer", *FILES, *BINNED]) == 0
    assert "out_of_range: More events lie beyond" in capsys.readouterr().out


def test_a_report_is_written(folder, capsys):
    pytest.importorskip("matplotlib")
    words = ["--title", "A & B", "--page", "page.html", "--output", "r.json"]
    assert main(["report", *FILES, *BINNED, *words]) == 0
    assert "Report in page.html" in capsys.readouterr().out
    html = (folder / "page.html").read_text()
    assert "<h1>A &amp; B</h1>" in html
    assert "Every simulation in turn played the truth" in html
    result = read_result("r.json")
    shown = re.search(r'data-kappa="([^"]*)"', html)[1]
    assert float(shown) == pytest.approx(result.kappa[0], abs=result.std[0] / 10)
    assert "mc.parquet" in html
    assert str(folder) not in html


def test_a_report_with_families_judges_nothing(folder, capsys):
    pytest.importorskip("matplotlib")
    families = {"1": "scale", "2": "scale", "3": "other", "4": "other"}
    (folder / "f.json").write_text(json.dumps({"families": families, "nominal": 0}))
    assert main(["report", *FILES, *BINNED, "--families", "f.json"]) == 0
    assert "families are declared: the default, not judged" in capsys.readouterr().out


# ----------------------------------------------------------------------------- studies
def test_all_methods_are_compared(folder, capsys):
    words = ["--estimator", "binned", "--bins", "6", "--seed", "1"]
    assert main(["compare", *FILES, *words, "--output", "all.csv", "--quiet"]) == 0
    table = pd.read_csv("all.csv")
    printed = capsys.readouterr()
    for name in table["method"]:
        assert name in printed.out
    assert {"ScoreTAMM", "NeuralRatioTAMM", "one simulation"} <= set(table["method"])
    assert len(table) + printed.err.count("left out") == 8
    free = FreeTemplates().fit(SIMULATED[NAMES], STUDY.y, simulation=STUDY.simulation)
    [row] = table[table["method"] == "all templates free"].to_dict("records")
    assert row["kappa"] == pytest.approx(free.predict(TARGET)[0], abs=1e-3)


def test_coverage_leaves_every_simulation_out_and_goes_on(folder, capsys):
    words = ["coverage", *FILES[:2], *BINNED, "--size", "400", "--experiments", "3"]
    words += ["--kappa", "0.1", "0.4", "--folder", "study", "--inference"]
    words += ["frequentist", "--output", "c.csv"]
    assert main(words) == 0
    first = capsys.readouterr().out
    table = pd.read_csv("c.csv", dtype={"kappa": str})
    assert table["kappa"].tolist() == ["0.1", "0.4", "all"]
    assert table["datasets"].tolist() == [15, 15, 30]
    assert len(list((folder / "study").iterdir())) == 5
    assert main(words) == 0
    assert capsys.readouterr().out == first
    line = refused(capsys, [*words, "--seed", "5"])
    assert "study" in line


def test_who_plays_the_truth_is_not_known(folder, monkeypatch):
    asked = []

    def study(estimator, X, y, **settings):
        asked.append((estimator.simulations_.tolist(), settings["group"], len(X)))
        return coverage_study(estimator, X, y, **settings)

    monkeypatch.setattr("sktamm.cli._studies.coverage_study", study)
    words = ["coverage", *FILES[:2], *BINNED, "--size", "300", "--experiments", "1"]
    assert main([*words, "--inference", "frequentist"]) == 0
    for k, (known, group, size) in enumerate(asked):
        assert known == [j for j in range(5) if j != k]
        assert (group, size) == (str(k), (SIMULATED.simulation == k).sum())


def test_too_few_simulations_for_coverage(folder, capsys):
    write_events("two.csv", SIMULATED[SIMULATED.simulation < 2])
    words = ["coverage", "--simulations", "two.csv", *BINNED]
    assert "at least three simulations" in refused(capsys, words)


# ----------------------------------------------------------------------- configuration
def test_a_configuration_is_written_and_read(folder, capsys):
    words = ["infer", *FILES, *BINNED, "--level", "0.5", "0.9", "--range", "pt=-1:3"]
    assert main([*words, "--output", "a.json"]) == 0
    assert main([*words, "--output", "b.json", "--write-config", "c.toml"]) == 0
    assert not (folder / "b.json").exists()
    text = (folder / "c.toml").read_text()
    assert 'estimator = "binned"' in text
    assert "# cut = ..." in text
    assert main(["infer", "--config", "c.toml"]) == 0
    assert read_result("b.json").equals(read_result("a.json"))
    # What is given on the command line comes first.
    more = ["--level", "0.3", "--output", "d.json"]
    assert main(["infer", "--config", "c.toml", *more]) == 0
    assert read_result("d.json").levels.tolist() == [0.3]
    # The same file serves other commands.
    assert main(["fit", "--config", "c.toml", "--model", "m.skops"]) == 0
    assert load_model("m.skops").get_params()["range"] == [None, (-1.0, 3.0)]


def test_names_with_signs_survive_a_configuration(folder, capsys):
    name = 'pt "x" \\ é\x7f[GeV]'
    for file in ("mc.parquet", "data.csv"):
        frame = SIMULATED if file == "mc.parquet" else TARGET
        write_events(file, frame.rename(columns={"pt": name}))
    words = ["infer", *FILES, *BINNED, "--features", name, "--output", "a.json"]
    assert main([*words, "--write-config", "c.toml"]) == 0
    assert main(["infer", "--config", "c.toml"]) == 0
    assert read_result("a.json").features == (name,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("estimater = 'binned'", "got 'estimater' (do you mean estimator?)"),
        ("[data]\ntarget = 1\n[x]\ntarget = 2", "must name 'target' once"),
        ("level = [[1]]", "must have texts, numbers, Booleans or lists"),
        ("level = 2024-01-01", "must have texts, numbers"),
        ("level = [", "must hold TOML"),
        ("\x00", "must hold TOML"),
    ],
)
def test_broken_configurations_are_refused(folder, capsys, text, said):
    (folder / "c.toml").write_text(text)
    assert said in refused(capsys, ["infer", *FILES, "--config", "c.toml"])


def test_values_of_a_configuration_are_checked_like_words(folder, capsys):
    (folder / "c.toml").write_text("[method]\nestimator = 'best'\n")
    code, printed = exits(capsys, ["infer", *FILES, "--config", "c.toml"])
    assert code == 2
    assert "invalid choice: 'best'" in printed.err


def test_a_configuration_is_no_output(folder, capsys):
    words = ["infer", *FILES, "--write-config", "data.csv"]
    assert "must not be an input" in refused(capsys, words)


def test_json_on_standard_output_is_alone(folder, capsys):
    assert main(["infer", *FILES, *BINNED, "--output", "-"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["features"] == NAMES
    assert "Fraction of class 1" in printed.err


# ------------------------------------------------------ what was said is never ignored
@pytest.fixture
def model(folder):
    assert (
        main(["fit", "--simulations", "mc.parquet", *BINNED, "--model", "m.skops"]) == 0
    )
    return ["infer", "--model", "m.skops", "--quiet"]


@pytest.mark.parametrize(
    "beside",
    [
        ["--positive", "0"],
        ["--prior", "ridge"],
        ["--inference", "frequentist"],
        ["--seed", "5"],
        ["--jobs", "2"],
        ["--bins", "3"],
        ["--range", "mass=0:1"],
        ["--features", "mass"],
        ["--label", "label"],
        ["--families", "f.json"],
        ["--estimator", "auto"],
    ],
)
def test_a_model_takes_no_word_of_its_fit(model, capsys, beside):
    Path("f.json").write_text("{}")
    line = refused(capsys, [*model, "--target", "data.csv", *beside])
    assert f"--model must stand without {beside[0]}," in line


def test_a_model_says_what_it_is(model, capsys):
    assert main([*model, "--target", "data.csv", "--output", "r.json"]) == 0
    origin = read_result("r.json").provenance
    assert origin["settings"]["estimator"] == "BinnedTopicTAMM"
    assert set(origin["settings"]) == {"estimator", "features", "level"}
    assert origin["seed"] == 0
    line = refused(capsys, [*model, "--target", "data.csv", "--weight", "Weight"])
    assert "must have the weight 'Weight', but data.csv lacks it" in line


def test_labels_of_csv_files_are_cut_as_those_of_others(folder):
    write_events("mc.csv", SIMULATED)
    words = ["--target", "t.csv", *BINNED, "--features", *NAMES]
    words += ["--cut", "simulation != 3 and label >= 0"]
    write_events("t.csv", TARGET.assign(simulation=9, label=9))
    for name in ("mc.csv", "mc.parquet"):
        files = ["--simulations", name, "--output", f"{name}.json"]
        assert main(["infer", *files, *words]) == 0
    assert kappa_of("mc.csv.json") == kappa_of("mc.parquet.json")
    kept = SIMULATED[SIMULATED.simulation != 3]
    tamm = BinnedTopicTAMM(bins=6, random_state=0)
    tamm.fit(kept[NAMES], kept.label, simulation=kept.simulation)
    assert kappa_of("mc.csv.json") == tamm.predict(TARGET)


def test_a_comparison_is_blinded_as_a_measurement_is(folder, capsys):
    tables = []
    for blind in ([], ["--blind", "our words"]):
        assert main(["compare", *FILES, *BINNED, *blind, "--output", "c.csv"]) == 0
        table = pd.read_csv("c.csv").set_index("method")
        tables.append(table.filter(like="kappa").iloc[:, 0])
    shift = tables[1] - tables[0]
    assert abs(shift.iloc[0]) > 0.1
    np.testing.assert_allclose(shift, shift.iloc[0], atol=0.02)  # rounded for reading
    assert BLINDED in capsys.readouterr().out


def test_a_comparison_is_written_though_nobody_reads_it(folder, monkeypatch):
    def broken(*words, **choices):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken)
    assert main(["compare", *FILES, *BINNED, "--output", "c.csv"]) == 141
    assert len(pd.read_csv("c.csv")) > 3


def test_ids_that_look_alike_have_folders_of_their_own():
    ids = ["a b", "a/b", "a_b", "b", 3, "\u00e4"]
    folders = [_folder(Path("study"), id_) for id_ in ids]
    assert len(set(folders)) == len(ids)
    assert _folder(Path("study"), 3) == Path("study/without_3")


def test_configurations_come_back(folder, capsys):
    names = ["m\U0001f600ss", "-pt", "a\x7fb"]
    for name in names:
        words = ["coverage", "--simulations", "mc.parquet", f"--features={name}"]
        assert main([*words, "--write-config", "c.toml"]) == 0
        again = read_options(["coverage", "--config", "c.toml"])
        assert again.features == [name]
