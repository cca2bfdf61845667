"""Files, streams and exit codes of the command line: nothing lost, one line each."""

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.cli import main
from sktamm.cli._outputs import check_outputs
from sktamm.exceptions import InvalidInputError
from sktamm.results import rounded

ROOT = Path(__file__).parents[2]
WORDS = (
    "--estimator",
    "binned",
    "--inference",
    "frequentist",
    "--bins",
    "6",
    "--quiet",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder to work in, with simulations and target in it."""
    rng = np.random.default_rng(0)
    label, simulation = np.arange(1200) % 2, np.arange(1200) // 2 % 4
    x = rng.normal(1.5 * label + 0.1 * simulation, 1)
    frame = pd.DataFrame({"x": x, "label": label, "simulation": simulation})
    frame.to_csv(tmp_path / "sim.csv", index=False)
    target = rng.normal(np.arange(600) % 3 // 2 * 1.5, 1)
    pd.DataFrame({"x": target}).to_csv(tmp_path / "data.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words, simulations="sim.csv", target="data.csv"):
    files = ["--simulations", simulations, "--target", target]
    return main(["infer", *files, *WORDS, *map(str, words)])


def refusal(capsys, code):
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    (line,) = printed.err.strip().splitlines()
    assert line.startswith("sktamm: error: ")
    return line


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


# --------------------------------------------------------------------------- outputs
@pytest.mark.parametrize("option", ["--output", "--plot"])
@pytest.mark.parametrize("name", ["sim.csv", "data.csv"])
@pytest.mark.parametrize("way", ["plain", "relative", "absolute", "symbolic", "hard"])
def test_an_input_is_never_an_output(folder, capsys, option, name, way):
    (folder / "sub").mkdir()
    output = {"relative": f"sub/../{name}", "absolute": folder / name}.get(way, name)
    if way == "symbolic":
        output = "link.png"
        os.symlink(name, output)
    if way == "hard":
        output = "link.png"
        os.link(name, output)
    before = contents(folder)
    line = refusal(capsys, run(option, output))
    assert f"{option} must not be an input" in line
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("output", "plot"),
    [
        ("a.png", "a.png"),
        ("a.png", "./a.png"),
        ("A.png", "a.png"),
        ("link.png", "a.png"),
        ("Caf\u00e9.png", "Cafe\u0301.png"),
    ],
)
def test_two_outputs_are_two_files(folder, capsys, output, plot):
    os.symlink("a.png", "link.png")
    line = refusal(capsys, run("--output", output, "--plot", plot))
    assert "--plot must not be the file of --output" in line
    assert not (folder / "a.png").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_no_outputs_and_no_inputs(folder, capsys):
    os.mkfifo("pipe.csv")
    os.symlink("pipe.csv", "link.json")
    for path in ("pipe.csv", "link.json"):
        assert "must be a regular file" in refusal(capsys, run("--output", path))
    assert "must be a regular file" in refusal(capsys, run(target="pipe.csv"))


def test_devices_are_no_outputs(folder):
    # Only the check: a run that failed it would replace the device of this machine.
    os.symlink(os.devnull, "null.json")
    for path in (os.devnull, "null.json"):
        with pytest.raises(InvalidInputError, match="must be a regular file"):
            check_outputs({"--output": Path(path)}, [])


def test_the_file_of_standard_output_is_not_replaced(folder):
    with open("table.txt", "w") as table:
        words = ["--simulations", "sim.csv", "--target", "data.csv", *WORDS]
        done = call(["infer", *words, "--output", "table.txt"], stdout=table)
    assert done.returncode == 2
    assert "- is standard output" in done.stderr
    assert Path("table.txt").read_text() == ""


def test_what_cannot_be_written_is_refused_before_the_work(folder, capsys, monkeypatch):
    (folder / "old.json").write_text("old")
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may all
    for name in ("old.json", "new.json"):
        assert "must be writable" in refusal(capsys, run("--output", name))
    assert (folder / "old.json").read_text() == "old"


def test_standard_output_takes_json_alone(folder, capsys):
    assert run("--output", "-") == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    (dataset,) = document["datasets"]
    assert rounded(dataset["kappa"], dataset["std"]) in printed.err
    assert not (folder / "-").exists()
    assert ".png" in refusal(capsys, run("--plot", "-"))


@pytest.mark.parametrize(
    ("option", "name"), [("--output", "a.json"), ("--plot", "a.png")]
)
def test_a_failed_write_keeps_the_old_file_and_prints_the_result(
    folder, capsys, monkeypatch, option, name
):
    (folder / name).write_text("old")
    before = contents(folder)

    def full(*_):
        raise OSError(28, "No space left on device", name)

    monkeypatch.setattr("os.replace", full)
    assert run(option, name) == 2
    printed = capsys.readouterr()
    assert printed.err == f"sktamm: error: {name}: No space left on device\n"
    assert "Fraction of class 1" in printed.out
    assert contents(folder) == before


def test_a_picture_that_fails_half_way_is_not_there(folder, capsys, monkeypatch):
    (folder / "a.png").write_text("old")

    def half(result, path, **_):
        Path(path).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("sktamm.plotting.save_overview", half)
    assert run("--plot", "a.png") == 130
    assert (folder / "a.png").read_text() == "old"
    assert set(contents(folder)) == {"a.png", "data.csv", "sim.csv"}


def test_a_picture_replaces_the_old_one(folder):
    (folder / "a.png").write_text("old")
    assert run("--plot", "a.png") == 0
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_replaces_its_own_files_only(folder, capsys):
    words = ["demo", "--events", "200", "--simulations-per-class", "3", "--quiet"]
    (folder / "result.json").write_text("mine")
    line = refusal(capsys, main([*words, "--directory", str(folder)]))
    assert "did not write" in line
    assert (folder / "result.json").read_text() == "mine"
    for _ in range(2):
        assert main([*words, "--directory", str(folder / "demo")]) == 0


# ---------------------------------------------------------------------------- inputs
@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_truncated_gzip_is_refused(folder, capsys, part):
    whole = gzip.compress((folder / "sim.csv").read_bytes())
    (folder / "cut.csv.gz").write_bytes(whole[: int(part * len(whole))])
    line = refusal(capsys, run(simulations="cut.csv.gz"))
    assert "cut.csv.gz is not readable as CSV" in line


def test_damaged_gzip_is_refused(folder, capsys):
    whole = bytearray(gzip.compress((folder / "sim.csv").read_bytes()))
    for k in range(20, len(whole) - 20, 500):
        damaged = whole.copy()
        damaged[k : k + 8] = b"\xff" * 8
        (folder / "bad.csv.gz").write_bytes(damaged)
        assert "bad.csv.gz" in refusal(capsys, run(simulations="bad.csv.gz"))


# ------------------------------------------------------------------------ exit codes
def call(words, code="from sktamm.cli import main; sys.exit(main())", **options):
    """Run the command line in a process of its own."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    options = {"stdout": subprocess.PIPE, "timeout": 120} | options
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}", *words],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        **options,
    )


@pytest.mark.parametrize("words", [("infer",), ("infer", "--help")])
def test_a_broken_pipe_is_quiet(folder, words):
    reader, writer = os.pipe()
    os.close(reader)
    files = ["--simulations", "sim.csv", "--target", "data.csv", *WORDS]
    done = call([*words, *files], stdout=writer)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line(folder):
    words = ["infer", "--simulations", "sim.csv", "--target", "data.csv", *WORDS]
    with open("/dev/full", "w") as full:
        done = call(words, stdout=full)
    assert done.stderr == "sktamm: error: No space left on device\n"
    assert done.returncode == 2


INTERRUPTED = """
import os, signal, time
from sktamm import BinnedTopicTAMM
from sktamm.cli import main

# A shell's background job ignores the signal, and so would its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

def fit(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

BinnedTopicTAMM.fit = fit
sys.exit(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_an_interrupt_is_one_line(folder):
    words = ["infer", "--simulations", "sim.csv", "--target", "data.csv", *WORDS]
    done = call([*words, "--output", "a.json"], INTERRUPTED)
    assert done.stderr == "sktamm: interrupted\n"
    assert done.stdout == ""
    assert done.returncode == 128 + signal.SIGINT
    assert set(contents(folder)) == {"data.csv", "sim.csv"}


def test_strict_tells_flagged_results_from_healthy_ones(folder, capsys):
    assert run("--strict") == 0
    assert capsys.readouterr().err == ""
    (pd.read_csv("data.csv") + 50).to_csv("far.csv", index=False)
    assert run(target="far.csv") == 0
    capsys.readouterr()
    assert run("--strict", "--output", "far.json", target="far.csv") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    flags = json.loads(Path("far.json").read_text())["datasets"][0]["flags"]
    assert last == (
        f"sktamm: strict: 1 of 1 datasets flagged: {', '.join(sorted(flags))}"
    )


def test_a_fault_has_a_code_and_a_traceback(folder, capsys, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr(BinnedTopicTAMM, "fit", fail)
    assert run() == 3
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "a fault of sktamm" in error.splitlines()[-1]


def test_too_little_memory_is_one_line(folder, capsys, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(BinnedTopicTAMM, "fit", fail)
    assert "not enough memory" in refusal(capsys, run())


def test_warnings_stand_above_the_bar(folder, capsys):
    pytest.importorskip("tqdm")
    frame = pd.read_csv("sim.csv")
    frame[frame.simulation == 0].to_csv("one.csv", index=False)
    words = ["--simulations", "one.csv", "--target", "data.csv", *WORDS]
    assert main(["infer", *(word for word in words if word != "--quiet")]) == 0
    error = capsys.readouterr().err.replace("\r", "\n")
    lines = [line for line in error.splitlines() if "sktamm: warning" in line]
    assert lines
    assert all(line.startswith("sktamm: warning: ") for line in lines)


@pytest.mark.parametrize(
    "words", [("--help",), ("infer", "--help"), ("demo", "--help")]
)
def test_the_help_lists_the_exit_codes(capsys, words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    codes = capsys.readouterr().out.split("exit codes:\n")[1].splitlines()
    assert [int(line.split()[0]) for line in codes] == [0, 1, 2, 3, 130, 141]


def test_seeds_of_the_demo_are_checked(folder, capsys):
    assert "--seed must be at least 0" in refusal(
        capsys, main(["demo", "--seed", "-1"])
    )
