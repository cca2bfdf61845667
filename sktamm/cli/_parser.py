"""The words of the command line: commands, options, exit codes."""

import argparse
import enum
from pathlib import Path
from typing import Any, NoReturn

from sktamm.cli._terminal import one_line

__all__ = ["OWN_OPTIONS", "STANDARD_OUTPUT", "ExitCode", "make_parser"]

# Options that not all estimators have, by the names of their parameters.
_BLEND = {
    "form": "form",
    "prior": "prior",
    "inference": "inference",
}
_TOPICS = {"components": "components", "topics": "n_topics"}
OWN_OPTIONS: dict[str, dict[str, str]] = {
    "auto": {},
    "binned": {"bins": "bins", **_TOPICS, **_BLEND},
    "score": {"bins": "bins", "classifier": "classifier", "folds": "cv", **_BLEND},
    "neural": {
        "classifier": "ratio__classifier",
        "members": "ratio__n_members",
        "ensemble": "ratio__ensemble",
        "folds": "ratio__cv",
        "calibration": "ratio__calibration",
        **_TOPICS,
        **_BLEND,
    },
}
STANDARD_OUTPUT = Path("-")

_CLASSIFIERS = ("mlp", "lightgbm", "logistic")
_CALIBRATIONS = ("moments", "temperature", "isotonic")
_PRIORS = ("auto", "dirichlet", "ridge", "simulations", "shrinkage")
_LEVELS = [0.683, 0.954]


class ExitCode(enum.IntEnum):
    """How a command ended.

    1 is what Python itself returns on a fault, so that a fault is caught and told
    apart; 130 and 141 are what shells report for SIGINT and SIGPIPE.
    """

    DONE = 0
    FLAGGED = 1
    UNUSABLE = 2
    FAULT = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_MEANING = {
    ExitCode.DONE: "done",
    ExitCode.FLAGGED: "done, but a result is flagged (only with --strict)",
    ExitCode.UNUSABLE: "arguments, inputs or outputs cannot be used",
    ExitCode.FAULT: "a fault of sktamm, with its traceback",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.BROKEN_PIPE: "the reader of the output went away",
}


_EPILOG = "\n".join(
    ["exit codes:", *(f"  {code:<4} {_MEANING[code]}" for code in ExitCode)]
)


class _Parser(argparse.ArgumentParser):
    """Argument errors in the same single line as every other refusal."""

    def __init__(self, **words: Any) -> None:
        kept_lines = argparse.RawDescriptionHelpFormatter
        super().__init__(epilog=_EPILOG, formatter_class=kept_lines, **words)

    def error(self, message: str) -> NoReturn:
        code = ExitCode.UNUSABLE
        self.exit(
            code, f"sktamm: error: {one_line(message)} (see {self.prog} --help)\n"
        )

    def print_help(self, file: Any = None) -> None:
        # argparse says nothing when the reader went away, print does.
        print(self.format_help(), end="", file=file, flush=True)


def make_parser() -> argparse.ArgumentParser:
    """Build the parser of ``python -m sktamm``."""
    parser = _Parser(
        prog="python -m sktamm", description="Signal fractions from files."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    infer = commands.add_parser("infer", help="measure the signal fraction of a file")
    _add_inputs(infer)
    _add_choices(infer)
    _add_outputs(infer)
    demo = commands.add_parser("demo", help="measure the Gaussian study, from files")
    demo.add_argument("--directory", type=Path, default=Path("sktamm-demo"))
    demo.add_argument("--events", type=int, default=20_000, help="per simulation")
    demo.add_argument("--simulations-per-class", type=int, default=10)
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--simulations", type=Path, required=True, help="CSV or Parquet, labelled")
    add("--target", type=Path, required=True, nargs="+", help="one dataset per file")
    add("--label", default="label", help="column of the class")
    add("--simulation", default="simulation", help="column of the simulation id")
    add("--weight", help="column of event weights")
    add("--dataset", help="column of dataset ids in the target")
    add("--features", nargs="+", help="columns to use; all others by default")
    add(
        "--families",
        type=Path,
        help='JSON file for a nominal with variations and other generators: {"families"'
        ': {ID: FAMILY, ...}, "nominal": ID, "alternatives": [FAMILY, ...]}, the last '
        "one may be left out",
    )
    add("--positive", help="class whose fraction is wanted; the last by default")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--output",
        type=Path,
        help="JSON file to write; - is standard output, the table then goes to "
        "standard error",
    )
    add("--plot", type=Path, help="picture to write, e.g. result.png")
    add("--quiet", action="store_true", help="no progress bar")
    add("--strict", action="store_true", help="exit code 1 when a result is flagged")


def _add_choices(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--estimator",
        choices=sorted(OWN_OPTIONS),
        default="auto",
        help="templates in bins of the features or of a learned score, density ratios "
        "of events learned by a classifier, or what measures simulations left out best",
    )
    add("--bins", type=int, help="bins per feature or score; binned, score")
    add("--classifier", choices=_CLASSIFIERS, help="what learns; score, neural")
    add("--members", type=int, help="members of the ensemble; neural")
    add("--ensemble", choices=("mean", "wifi"), help="how members are blended; neural")
    add("--folds", type=int, help="folds of cross-fitting; score, neural")
    add("--calibration", choices=_CALIBRATIONS, help="of the ratios; neural")
    add(
        "--components",
        choices=("raw", "topics"),
        help="every simulation, or topics; binned, neural",
    )
    add("--topics", type=int, help="topics per class; binned, neural")
    add(
        "--form",
        choices=("linear", "exponential"),
        help="weighted sum or product; not auto",
    )
    add("--prior", choices=_PRIORS, help="prior of the blend; not auto")
    add("--inference", choices=("bayesian", "frequentist"), help="statistics; not auto")
    add("--level", type=float, nargs="+", default=_LEVELS, help="interval levels")
    add("--jobs", type=int, help="threads that share the datasets")
    add("--seed", type=int, default=0, help="seed of everything random")
