"""The command line: ``python -m sktamm infer`` and ``python -m sktamm demo``.

``infer`` reads files of simulated and of unlabelled events and measures the signal
fraction; ``demo`` writes the Gaussian study to files and runs the same path on them.
Trouble with files, columns or choices is one line on standard error and exit code 2.
"""

import argparse
import contextlib
import importlib.util
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sktamm.auto import AutoTAMM
from sktamm.cli._families import load_families
from sktamm.cli._inputs import (
    SimulationFile,
    choose_positive,
    load_simulations,
    load_targets,
)
from sktamm.cli._outputs import (
    check_outputs,
    check_picture,
    print_result,
    result_settings,
    write_files,
)
from sktamm.cli._parser import OWN_OPTIONS, ExitCode, make_parser
from sktamm.cli._terminal import complain, plain_warnings, progress, release_streams
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.io import provenance, write_events
from sktamm.mixture import ShrinkagePrior, SimulationsPrior
from sktamm.ratios import DensityRatio
from sktamm.results import FractionResult
from sktamm.tamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM

__all__ = ["main"]

_ESTIMATORS = {
    "auto": AutoTAMM,
    "binned": BinnedTopicTAMM,
    "score": ScoreTAMM,
    "neural": NeuralRatioTAMM,
}
_FAMILY_PRIORS = {
    None: SimulationsPrior,
    "auto": SimulationsPrior,
    "simulations": SimulationsPrior,
    "shrinkage": ShrinkagePrior,
}
# Left in the folder of a demo, which may be replaced by the next one.
_DEMO_MARK = ".sktamm-demo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    try:
        with plain_warnings():
            return _run(arguments)
    except BrokenPipeError:
        return ExitCode.BROKEN_PIPE
    except KeyboardInterrupt:
        complain("interrupted")
        return ExitCode.INTERRUPTED
    finally:
        release_streams()


def _run(arguments: Sequence[str] | None) -> ExitCode:
    """Run a command; what cannot be used becomes one line."""
    try:
        options = make_parser().parse_args(arguments)
        code = {"infer": _infer, "demo": _demo}[options.command](options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        raise
    except (InvalidInputError, IncompatibleChoiceError, TypeError) as error:
        complain(f"error: {error}")
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        complain(f"error: {where}{error.strerror or error}")
    except MemoryError as error:
        complain(f"error: not enough memory: {error}")
    except Exception as error:
        traceback.print_exc()
        complain(f"error: a fault of sktamm, please report it: {error!r}")
        return ExitCode.FAULT
    return ExitCode.UNUSABLE


# ------------------------------------------------------------------------- commands
def _infer(options: argparse.Namespace) -> ExitCode:
    """Measure the fraction of the events of some files, and report it."""
    inputs = [options.simulations, *options.target]
    inputs += [options.families] if options.families else []
    check_outputs({"--output": options.output, "--plot": options.plot}, inputs)
    check_picture(options.plot)
    with contextlib.ExitStack() as last, progress(options.quiet) as advance:
        simulations = load_simulations(options)
        features = list(simulations.X.columns)
        advance()
        target = load_targets(options, features)
        # Before the work, because files may change during it.
        origin = _origin(options, features, inputs)
        advance()
        estimator = _make_estimator(options, simulations)
        estimator.fit(
            simulations.X,
            simulations.label,
            simulation=simulations.simulation,
            sample_weight=simulations.weight,
        )
        advance()
        result = estimator.infer(
            target.X,
            dataset=target.dataset,
            sample_weight=target.weight,
            levels=options.level,
        )
        advance()
        # Printed last, below the bar, and also if a file cannot be written.
        last.callback(print_result, options, result, features, origin)
        write_files(options, result, features, origin)
        advance()
    return _judge(result) if options.strict else ExitCode.DONE


def _demo(options: argparse.Namespace) -> ExitCode:
    """Write the Gaussian study to files and measure it."""
    if options.seed < 0:
        raise InvalidInputError(f"--seed must be at least 0, got {options.seed}.")
    folder = options.directory
    ending = "parquet" if importlib.util.find_spec("pyarrow") else "csv"
    names = [f"simulations.{ending}", f"target.{ending}", "result.json"]
    if importlib.util.find_spec("matplotlib"):
        names += ["result.png"]
    simulations, target, output, *plot = _demo_files(folder, names)
    study = make_gaussian_study(
        n_simulations=options.simulations_per_class,
        n_events=options.events,
        random_state=options.seed,
    )
    events = pd.DataFrame(study.X, columns=["x0", "x1"])
    write_events(simulations, events.assign(label=study.y, simulation=study.simulation))
    write_events(target, pd.DataFrame(study.X_target, columns=["x0", "x1"]))
    words = ["infer", "--simulations", str(simulations), "--target", str(target)]
    words += ["--seed", str(options.seed), "--output", str(output)]
    words += ["--plot", str(plot[0])] if plot else []
    words += ["--quiet"] if options.quiet else []
    print(f"$ python -m sktamm {shlex.join(words)}\n")
    code = _infer(make_parser().parse_args(words))
    print(f"\nTrue signal fraction of these data: {study.kappa:.4f}")
    print(f"Files: {', '.join(sorted(names))} in {folder}")
    return code


def _demo_files(folder: Path, names: list[str]) -> list[Path]:
    """Files of the demo; those of anybody else are not replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in names]
    taken = [path.name for path in files if path.exists()]
    mark = folder / _DEMO_MARK
    if taken and not mark.exists():
        raise InvalidInputError(
            f"--directory must not hold files that the demo did not write, but "
            f"{folder} holds {', '.join(taken)}."
        )
    check_outputs({path.name: path for path in files}, [])
    mark.touch()
    return files


# ---------------------------------------------------------------------------- steps
def _make_estimator(options: argparse.Namespace, simulations: SimulationFile) -> Any:
    chosen = _own_choices(options) | {
        "pos_label": choose_positive(simulations.label, options.positive),
        "n_jobs": options.jobs,
        "random_state": options.seed,
    }
    if options.families is not None:
        declared = load_families(options.families, simulations.simulation)
        chosen |= _with_families(options, declared)
    given = {name: value for name, value in chosen.items() if value is not None}
    estimator = _ESTIMATORS[options.estimator]()
    if options.estimator == "neural":
        estimator.set_params(ratio=DensityRatio())
    return estimator.set_params(**given)


def _with_families(
    options: argparse.Namespace, declared: dict[str, Any]
) -> dict[str, Any]:
    """Parameters that tell the estimator, or its prior, the families."""
    if options.estimator == "auto":
        return declared
    if options.prior not in _FAMILY_PRIORS:
        raise InvalidInputError(
            "--families needs --prior simulations or shrinkage, got --prior "
            f"{options.prior}."
        )
    return {"prior": _FAMILY_PRIORS[options.prior](**declared)}


def _own_choices(options: argparse.Namespace) -> dict[str, Any]:
    """Choices that the estimator has alone; those of another one are refused."""
    own = OWN_OPTIONS[options.estimator]
    for word in dict.fromkeys(word for words in OWN_OPTIONS.values() for word in words):
        if getattr(options, word) is not None and word not in own:
            having = [name for name, words in OWN_OPTIONS.items() if word in words]
            raise InvalidInputError(
                f"--{word} is an option of --estimator {' or '.join(having)}, got "
                f"--estimator {options.estimator}."
            )
    chosen = {name: getattr(options, word) for word, name in own.items()}
    if options.estimator == "neural" and options.classifier in (None, "mlp"):
        chosen["ratio__progress"] = not options.quiet
    return chosen


def _origin(
    options: argparse.Namespace, features: list[str], inputs: list[Path]
) -> dict[str, Any]:
    """Provenance of the result; empty if nothing asks for it, because it reads all."""
    if options.output is None:
        return {}
    return provenance(result_settings(options, features), options.seed, inputs)


def _judge(result: FractionResult) -> ExitCode:
    """Exit code that says whether any result is flagged."""
    flagged = [flags for flags in result.flags if flags]
    if not flagged:
        return ExitCode.DONE
    kinds = ", ".join(sorted({name for flags in flagged for name in flags}))
    complain(f"strict: {len(flagged)} of {len(result.flags)} datasets flagged: {kinds}")
    return ExitCode.FLAGGED
