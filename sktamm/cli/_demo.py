"""The Gaussian study in files, as users have them, measured by the command for them."""

import argparse
import importlib.util
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from sktamm.cli._outputs import check_outputs
from sktamm.cli._parser import ExitCode
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.io import write_events

__all__ = ["demo"]

# Left in the folder of a demo, which may be replaced by the next one.
_MARK = ".sktamm-demo"


def demo(
    options: argparse.Namespace, run: Callable[[Sequence[str]], ExitCode]
) -> ExitCode:
    """Write the Gaussian study to files and measure it with the words for it."""
    if options.seed < 0:
        raise InvalidInputError(f"--seed must be at least 0, got {options.seed}.")
    folder = options.directory
    ending = "parquet" if importlib.util.find_spec("pyarrow") else "csv"
    names = [f"simulations.{ending}", f"target.{ending}", "result.json"]
    if importlib.util.find_spec("matplotlib"):
        names += ["result.png"]
    simulations, target, output, *plot = _files(folder, names)
    study = make_gaussian_study(
        n_simulations=options.simulations_per_class,
        n_events=options.events,
        random_state=options.seed,
    )
    events = pd.DataFrame(study.X, columns=["x0", "x1"])
    write_events(simulations, events.assign(label=study.y, simulation=study.simulation))
    write_events(target, pd.DataFrame(study.X_target, columns=["x0", "x1"]))
    files = ["--simulations", str(simulations), "--target", str(target)]
    files += ["--seed", str(options.seed)]
    words = ["infer", *files, "--output", str(output)]
    words += ["--plot", str(plot[0])] if plot else []
    words += ["--quiet"] if options.quiet else []
    print(f"$ sktamm {shlex.join(words)}\n")
    code = run(words)
    print(f"\nTrue signal fraction of these data: {study.kappa:.4f}")
    print(f"Files: {', '.join(sorted(names))} in {folder}")
    if plot:
        print(f"\nWhether to believe it: sktamm report {shlex.join(files)}")
    return code


def _files(folder: Path, names: list[str]) -> list[Path]:
    """Files of the demo; those of anybody else are not replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in names]
    taken = [path.name for path in files if path.exists()]
    mark = folder / _MARK
    if taken and not mark.exists():
        raise InvalidInputError(
            f"--directory must not hold files that the demo did not write, but "
            f"{folder} holds {', '.join(taken)}."
        )
    check_outputs({path.name: path for path in files}, [])
    mark.touch()
    return files
