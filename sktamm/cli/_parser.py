"""The words of the command line: commands, options with their defaults, exit codes.

Options say nothing of their defaults to argparse, so that what was given can be told
from what was not: a configuration file fills the rest, and the defaults what it leaves.
"""

import argparse
import enum
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from sktamm.cli._terminal import one_line

__all__ = [
    "OF_THE_FIT",
    "OWN_OPTIONS",
    "STANDARD_OUTPUT",
    "Command",
    "ExitCode",
    "make_parser",
]

# Options that not all estimators have, by the names of their parameters.
_BLEND = {
    "form": "form",
    "prior": "prior",
    "inference": "inference",
}
_TOPICS = {"components": "components", "topics": "n_topics"}
OWN_OPTIONS: dict[str, dict[str, str]] = {
    "auto": {},
    "binned": {"bins": "bins", "range": "range", **_TOPICS, **_BLEND},
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
# What a model was told when it was fitted.
OF_THE_FIT = frozenset(
    {
        *("simulations", "simulation", "label", "features", "families", "workspace"),
        *("channel", "positive", "estimator", "jobs", "seed"),
        *(word for own in OWN_OPTIONS.values() for word in own),
    }
)
STANDARD_OUTPUT = Path("-")

_CLASSIFIERS = ("mlp", "lightgbm", "logistic")
_CALIBRATIONS = ("moments", "temperature", "isotonic")
_PRIORS = ("auto", "dirichlet", "ridge", "simulations", "shrinkage")


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
_CODES = "\n".join(
    ["exit codes:", *(f"  {code:<4} {_MEANING[code]}" for code in ExitCode)]
)


@dataclass
class Command:
    """A command: its parser, and what its options are by default."""

    name: str
    parser: argparse.ArgumentParser
    defaults: dict[str, Any] = field(default_factory=dict)
    required: list[tuple[str, ...]] = field(default_factory=list)  # one of each
    groups: dict[str, list[argparse.Action]] = field(default_factory=dict)
    headings: dict[str, Any] = field(default_factory=dict)
    outputs: list[str] = field(
        default_factory=list
    )  # options that name what is written


class _Parser(argparse.ArgumentParser):
    """Argument errors in the same single line as every other refusal."""

    def __init__(self, **words: Any) -> None:
        words["epilog"] = "\n\n".join(filter(None, [words.get("epilog"), _CODES]))
        words.setdefault("formatter_class", _Layout)
        super().__init__(**words)

    def error(self, message: str) -> NoReturn:
        code = ExitCode.UNUSABLE
        self.exit(
            code, f"sktamm: error: {one_line(message)} (see {self.prog} --help)\n"
        )

    def print_help(self, file: Any = None) -> None:
        # argparse says nothing when the reader went away, print does.
        print(self.format_help(), end="", file=file, flush=True)


class _Layout(argparse.RawDescriptionHelpFormatter):
    """Help in two columns as wide as the terminal; examples keep their lines."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, 100)
        super().__init__(prog, max_help_position=26, width=width)


class _Group:
    """Options of one heading; their defaults are kept by the command."""

    def __init__(self, command: Command, title: str):
        self._command = command
        if title not in command.groups:
            command.groups[title] = []
            command.headings[title] = command.parser.add_argument_group(title)
        self._group, self._own = command.headings[title], command.groups[title]

    def add_output(self, *names: str, **words: Any) -> None:
        """A file that is written."""
        self.add(*names, type=Path, metavar="FILE", **words)
        self._command.outputs.append(self._own[-1].dest)

    def add(self, *names: str, default: Any = None, help: str, **words: Any) -> None:
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        if shown is not None and shown is not False:
            help = f"{help} (default: {shown})"
        action = self._group.add_argument(
            *names, default=argparse.SUPPRESS, help=help, **words
        )
        self._command.defaults[action.dest] = default
        self._own.append(action)


def make_parser() -> tuple[argparse.ArgumentParser, dict[str, Command]]:
    """Build the parser of ``sktamm``, and its commands by name."""
    parser = _Parser(
        prog="sktamm",
        description="Signal fractions of data from several imperfect simulations.",
    )
    version = f"sktamm {metadata.version('sktamm')}"
    parser.add_argument("--version", action="version", version=version)
    places = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    made = {}
    for name, (words, example, add) in _COMMANDS.items():
        own = places.add_parser(
            name, help=words, description=f"{_sentence(words)}", epilog=example
        )
        made[name] = Command(name, own)
        for fill in add:
            fill(made[name])
    return parser, made


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


# ---------------------------------------------------------------------------- options
def _simulated(command: Command) -> None:
    add = _Group(command, "simulations").add
    command.required.append(("simulations", "simulation", "workspace"))
    add(
        "--simulations",
        nargs="+",
        metavar="FILE",
        help="labelled events: CSV, Parquet, Feather, NumPy or ROOT (file.root:tree); "
        "patterns such as 'mc*.root:events' are files too",
    )
    add(
        "--simulation",
        nargs="+",
        metavar="COLUMN|ID=FILE",
        default=["simulation"],
        help="column of the simulation id; or one file per simulation, "
        "herwig=h.root pythia=p.root, or per simulation and class, herwig:signal=h.csv "
        "(a ROOT histogram too, as h.root:folder/mass)",
    )
    add("--label", metavar="COLUMN", default="label", help="column of the class")
    add("--weight", metavar="COLUMN", help="column of event weights")
    _features(add)
    add(
        "--families",
        type=Path,
        metavar="FILE",
        help='JSON for a nominal with variations and other generators: {"families": '
        '{ID: FAMILY, ...}, "nominal": ID, "alternatives": [FAMILY, ...]}, the last '
        "one may be left out",
    )
    add(
        "--workspace",
        type=Path,
        metavar="FILE",
        help="pyhf workspace: its samples are classes, its shape variations families "
        "of simulations, its observations the data",
    )
    add("--channel", nargs="+", help="channels of the workspace (default: all)")
    add(
        "--positive",
        metavar="CLASS",
        help="class whose fraction is wanted (default: the last)",
    )


def _features(add: Any) -> None:
    add(
        "--features",
        nargs="+",
        metavar="COLUMN",
        help="columns to use (default: all without another role)",
    )
    add(
        "--cut",
        metavar="EXPRESSION",
        help="events to keep, in simulations and data: 'pt > 20 and abs(eta) < 2.5'",
    )


def _data(command: Command) -> None:
    add = _Group(command, "data").add
    command.required.append(("target", "workspace"))
    add(
        "--target",
        nargs="+",
        metavar="FILE",
        help="unlabelled events, one dataset per file, or ROOT histograms",
    )
    add("--dataset", metavar="COLUMN", help="column of dataset ids in the target")


def _method(command: Command) -> None:
    add = _Group(command, "method").add
    add(
        "--estimator",
        choices=sorted(OWN_OPTIONS),
        default="auto",
        help="templates in bins of the features or of a learned score, density ratios "
        "of events learned by a classifier, or what measures simulations left out best",
    )
    add(
        "--bins",
        type=int,
        nargs="+",
        help="bins per feature or score, one number or one per feature; binned, score",
    )
    add(
        "--range",
        nargs="+",
        metavar="FEATURE=LOW:HIGH",
        help="ends of the bins of some features, such as mass=100:150; binned",
    )
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
    add("--jobs", type=int, help="threads that share the datasets")
    add("--seed", type=int, default=0, help="seed of everything random")


def _model_in(command: Command) -> None:
    add = _Group(command, "model").add
    command.required[0] = (*command.required[0], "model")
    add(
        "--model",
        type=Path,
        metavar="FILE",
        help="fitted model that sktamm fit wrote, instead of simulations and method",
    )


def _model_out(command: Command) -> None:
    command.required.append(("model",))
    add = _Group(command, "output").add_output
    add("--model", help="model to write, e.g. model.skops")


def _measurement(command: Command) -> None:
    _levels(command)
    _Group(command, "measurement").add(
        "--strict",
        action="store_true",
        default=False,
        help="exit code 1 when a result is flagged",
    )


def _levels(command: Command) -> None:
    add = _Group(command, "measurement").add
    add(
        "--level",
        type=float,
        nargs="+",
        default=[0.683, 0.954],
        help="levels of the intervals",
    )
    add(
        "--blind",
        metavar="SEED",
        help="hide kappa by an offset that these words "
        "determine, until sktamm unblind is given the same",
    )


def _result_out(command: Command) -> None:
    add = _Group(command, "output").add_output
    add(
        "--output",
        help="JSON file to write; - is standard output, the table then "
        "goes to standard error",
    )
    add("--plot", help="picture to write, e.g. result.png")


def _page_out(command: Command) -> None:
    group = _Group(command, "output")
    group.add_output("--page", default=Path("report.html"), help="page to write")
    group.add("--title", metavar="WORDS", help="heading of the page")
    group.add_output("--output", help="JSON file of the result to write")


def _table_out(command: Command) -> None:
    add = _Group(command, "output").add_output
    add("--output", help="CSV file of the table to write")


def _study(command: Command) -> None:
    add = _Group(command, "study").add
    add(
        "--kappa",
        type=float,
        nargs="+",
        default=[0.05, 0.15, 0.35],
        help="true fractions",
    )
    add("--size", type=int, default=5000, help="events of a dataset")
    add(
        "--experiments",
        type=int,
        default=20,
        help="datasets per simulation left out and fraction",
    )
    add(
        "--level",
        type=float,
        nargs="+",
        default=[0.683, 0.954],
        help="levels of the intervals",
    )
    add(
        "--folder",
        type=Path,
        help="folder of what is done, with which the same "
        "command goes on after an interruption",
    )
    _table_out(command)
    _Group(command, "output").add_output(
        "--plot", help="picture to write, e.g. coverage.png"
    )


def _unblinding(command: Command) -> None:
    add = _Group(command, "result").add
    command.required += [("result",), ("blind",)]
    add("--result", type=Path, metavar="FILE", help="blinded result, a JSON file")
    add("--blind", metavar="SEED", help="the words it was blinded with")
    _result_out(command)


def _common(command: Command) -> None:
    add = _Group(command, "run").add
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of options; what is given here comes first",
    )
    add(
        "--write-config",
        type=Path,
        metavar="FILE",
        help="write such a file of the "
        "options given, with all others as comments, and end; - is standard output",
    )
    add("--quiet", action="store_true", default=False, help="no progress bar")


def _demo(command: Command) -> None:
    add = _Group(command, "demo").add
    add(
        "--directory", type=Path, default=Path("sktamm-demo"), help="where the files go"
    )
    add("--events", type=int, default=20_000, help="events per simulation")
    add("--simulations-per-class", type=int, default=10, help="number of simulations")
    add("--seed", type=int, default=0, help="seed of everything random")
    add("--quiet", action="store_true", default=False, help="no progress bar")


_MEASURED = (_simulated, _data, _method, _model_in, _measurement)
_FILES = "--simulations sim.csv --target data.csv"
# What a command does, an example, and its options.
_COMMANDS: dict[str, tuple[str, str, Sequence[Any]]] = {
    "demo": (
        "write the Gaussian study to files and measure it",
        "example:\n  sktamm demo",
        (_demo,),
    ),
    "fit": (
        "learn from simulations and save the model",
        "example:\n  sktamm fit --simulations mc.parquet --model model.skops",
        (_simulated, _method, _model_out, _common),
    ),
    "infer": (
        "measure the signal fraction of data",
        f"examples:\n  sktamm infer {_FILES} --output result.json\n"
        "  sktamm infer --model model.skops --target run1.root:events run2.root:events",
        (*_MEASURED, _result_out, _common),
    ),
    "report": (
        "measure, and put all that is known of the number on one page",
        f"example:\n  sktamm report {_FILES} --page report.html",
        (*_MEASURED, _page_out, _common),
    ),
    "diagnose": (
        "measure, and print what each check finds",
        f"example:\n  sktamm diagnose {_FILES}",
        (*_MEASURED, _common),
    ),
    "compare": (
        "measure with every method and baseline",
        f"example:\n  sktamm compare {_FILES} --output methods.csv",
        (_simulated, _data, _method, _levels, _table_out, _common),
    ),
    "coverage": (
        "let every simulation in turn be the truth for the others",
        "example:\n  sktamm coverage --simulations mc.parquet --estimator binned "
        "--folder study",
        (_simulated, _method, _study, _common),
    ),
    "calibrate": (
        "learn from simulations, correct the intervals by simulations left out, and "
        "save the model",
        "example:\n  sktamm calibrate --simulations mc.parquet --estimator binned "
        "--model calibrated.skops",
        (_simulated, _method, _model_out, _common),
    ),
    "unblind": (
        "show a result that was blinded",
        "example:\n  sktamm unblind --result blinded.json --blind 'our words' "
        "--output result.json",
        (_unblinding,),
    ),
}
