"""The command line: ``python -m sktamm infer`` and ``python -m sktamm demo``.

``infer`` reads files of simulated and of unlabelled events and measures the signal
fraction; ``demo`` writes the Gaussian study to files and runs the same path on them.
Trouble with files, columns or choices is one line on standard error and exit code 2.
"""

import argparse
import contextlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import (
    IncompatibleChoiceError,
    InvalidInputError,
    SktammWarning,
)
from sktamm.io import provenance, read_events, write_events, write_result
from sktamm.results import FractionResult
from sktamm.tamm import BinnedTopicTAMM, NeuralRatioTAMM

__all__ = ["main"]

_ESTIMATORS = {"binned": BinnedTopicTAMM, "neural": NeuralRatioTAMM}
# Options that only one of the estimators has, by the names of its parameters.
_OWN_OPTIONS = {
    "binned": {"bins": "bins"},
    "neural": {
        "classifier": "classifier",
        "members": "n_members",
        "ensemble": "ensemble",
        "folds": "cv",
        "calibration": "calibration",
    },
}
_CLASSIFIERS = ("mlp", "lightgbm", "logistic")
_CALIBRATIONS = ("moments", "temperature", "isotonic")
_PRIORS = ("auto", "dirichlet", "ridge", "simulations", "shrinkage")
_LEVELS = [0.683, 0.954]
_PICTURES = (".png", ".pdf", ".svg")
_STEPS = ("read simulations", "read target", "fit", "infer", "write")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Words after the program's name; None takes those of the process.

    Returns
    -------
    code : int
        0 on success, 2 if the input cannot be used.
    """
    options = _parser().parse_args(arguments)
    with _plain_warnings():
        try:
            options.run(options)
        except (InvalidInputError, IncompatibleChoiceError, TypeError) as error:
            print(f"sktamm: error: {_one_line(error)}", file=sys.stderr)
            return 2
        except OSError as error:
            reason = error.strerror or str(error)
            print(f"sktamm: error: {error.filename}: {reason}", file=sys.stderr)
            return 2
    return 0


# ------------------------------------------------------------------------- commands
def _infer(options: argparse.Namespace) -> FractionResult:
    """Measure the fraction of the events of some files, and report it."""
    _check_outputs(options)
    with _progress(options.quiet) as advance:
        simulations = read_events(options.simulations)
        features = _features(simulations, options)
        advance()
        target = _read_targets(options, features)
        advance()
        estimator = _make_estimator(options)
        estimator.fit(
            simulations[features],
            _column(simulations, options.label, options.simulations),
            simulation=_column(simulations, options.simulation, options.simulations),
            sample_weight=_optional(simulations, options.weight, options.simulations),
        )
        advance()
        result = estimator.infer(
            target[features],
            dataset=_optional(target, options.dataset, options.target[0]),
            sample_weight=_target_weight(target, options),
            levels=options.level,
        )
        advance()
        _write(options, result)
        advance()
    print(_report(result))
    return result


def _demo(options: argparse.Namespace) -> None:
    """Write the Gaussian study to files and measure it."""
    folder = options.directory
    folder.mkdir(parents=True, exist_ok=True)
    study = make_gaussian_study(
        n_simulations=options.simulations_per_class,
        n_events=options.events,
        random_state=options.seed,
    )
    ending = "parquet" if importlib.util.find_spec("pyarrow") else "csv"
    simulations = pd.DataFrame(study.X, columns=["x0", "x1"])
    simulations["label"] = study.y
    simulations["simulation"] = study.simulation
    names = {name: folder / f"{name}.{ending}" for name in ("simulations", "target")}
    write_events(names["simulations"], simulations)
    target = pd.DataFrame(study.X_target, columns=["x0", "x1"])
    write_events(names["target"], target)
    words = ["infer", "--simulations", str(names["simulations"])]
    words += ["--target", str(names["target"]), "--seed", str(options.seed)]
    words += ["--output", str(folder / "result.json")]
    if importlib.util.find_spec("matplotlib"):
        words += ["--plot", str(folder / "result.png")]
    if options.quiet:
        words += ["--quiet"]
    shown = " ".join(f'"{w}"' if " " in w else w for w in words)
    print(f"$ python -m sktamm {shown}\n")
    _infer(_parser().parse_args(words))
    print(f"\nTrue signal fraction of these data: {study.kappa:.4f}")
    print(f"Files: {', '.join(sorted(p.name for p in folder.iterdir()))} in {folder}")


# ---------------------------------------------------------------------------- input
def _features(simulations: pd.DataFrame, options: argparse.Namespace) -> list[str]:
    """Features asked for, or every column that is nothing else."""
    for name in filter(None, (options.label, options.simulation, options.weight)):
        _column(simulations, name, options.simulations)
    if options.features:
        for name in options.features:
            _number_column(simulations, name, options.simulations)
        return list(options.features)
    others = {options.label, options.simulation, options.weight, options.dataset}
    features = [str(name) for name in simulations.columns if name not in others]
    if not features:
        raise InvalidInputError(
            f"{options.simulations.name} must hold features beside "
            f"{', '.join(repr(str(n)) for n in simulations.columns)}."
        )
    for name in features:
        _number_column(simulations, name, options.simulations)
    return features


def _read_targets(options: argparse.Namespace, features: list[str]) -> pd.DataFrame:
    """Events of all target files; several files are one dataset each."""
    columns = [*features, *filter(None, [options.dataset])]
    frames = []
    for path in options.target:
        wanted = None if options.weight else columns
        frame = read_events(path, wanted)
        for name in features:
            _number_column(frame, name, path)
        _optional(frame, options.dataset, path)
        frames.append(frame)
    if len(frames) == 1:
        return frames[0]
    if options.dataset is None:
        options.dataset = "file"
        names = [path.name for path in options.target]
        if len(set(names)) < len(names):
            names = [str(path) for path in options.target]
        if len(set(names)) < len(names):
            raise InvalidInputError(
                f"--target must name different files, got {' '.join(names)}."
            )
        pairs = zip(frames, names, strict=True)
        frames = [frame.assign(file=name) for frame, name in pairs]
    return pd.concat(frames, ignore_index=True)


def _column(frame: pd.DataFrame, name: str, path: Path) -> pd.Series:
    if name not in frame.columns:
        available = ", ".join(repr(str(column)) for column in frame.columns)
        raise InvalidInputError(
            f"{path.name} has no column {name!r}; it has {available}."
        )
    return frame[name]


def _number_column(frame: pd.DataFrame, name: str, path: Path) -> None:
    """Refuse a feature that is missing or holds something else than numbers."""
    column = _column(frame, name, path)
    if not pd.api.types.is_numeric_dtype(column):
        first = next(value for value in column if not isinstance(value, (int, float)))
        raise InvalidInputError(
            f"{path.name} must hold numbers in the feature {name!r}, but it holds "
            f"{first!r}; name the features with --features."
        )


def _optional(frame: pd.DataFrame, name: str | None, path: Path) -> pd.Series | None:
    return None if name is None else _column(frame, name, path)


def _target_weight(
    target: pd.DataFrame, options: argparse.Namespace
) -> pd.Series | None:
    """Weights of the target, where its files have the column."""
    if options.weight is None or options.weight not in target.columns:
        return None
    return target[options.weight]


def _make_estimator(options: argparse.Namespace) -> Any:
    chosen = _own_choices(options) | {
        "n_topics": options.topics,
        "components": options.components,
        "form": options.form,
        "prior": options.prior,
        "inference": options.inference,
        "pos_label": _label(options.positive),
        "n_jobs": options.jobs,
        "random_state": options.seed,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    return _ESTIMATORS[options.estimator](**given)


def _own_choices(options: argparse.Namespace) -> dict[str, Any]:
    """Choices that the estimator has alone; those of another one are refused."""
    for name, own in _OWN_OPTIONS.items():
        given = [word for word in own if getattr(options, word) is not None]
        if given and name != options.estimator:
            raise InvalidInputError(
                f"--{given[0]} is an option of --estimator {name}, got --estimator "
                f"{options.estimator}."
            )
    own = _OWN_OPTIONS[options.estimator]
    chosen = {name: getattr(options, word) for word, name in own.items()}
    if options.estimator == "neural" and chosen["classifier"] in (None, "mlp"):
        chosen["progress"] = not options.quiet
    return chosen


def _label(text: str | None) -> Any:
    """Class label as the file holds it: a whole number if it reads as one."""
    try:
        return int(text) if text is not None else None
    except ValueError:
        return text


# --------------------------------------------------------------------------- output
def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse an output that cannot be written before the work, not after it."""
    for path in (options.output, options.plot):
        if path is not None and path.is_dir():
            raise InvalidInputError(
                f"An output must be a file, but {path} is a folder."
            )
        if path is not None and not path.parent.is_dir():
            raise InvalidInputError(
                f"The folder of {path.name} must exist, but {path.parent} does not."
            )
    if options.plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise InvalidInputError(
            "--plot needs matplotlib: pip install 'sktamm[plot]', or leave it out."
        )
    if options.plot is not None and options.plot.suffix.lower() not in _PICTURES:
        raise InvalidInputError(
            f"--plot must end with one of {', '.join(_PICTURES)}, got "
            f"{options.plot.name}."
        )


def _write(options: argparse.Namespace, result: FractionResult) -> None:
    if options.output is not None:
        settings = {
            name: [str(v) for v in value] if isinstance(value, list) else str(value)
            for name, value in vars(options).items()
            if name in _SETTINGS and value is not None
        }
        inputs = [options.simulations, *options.target]
        write_result(options.output, result, provenance(settings, options.seed, inputs))
    if options.plot is not None:
        _plot(options.plot, result)


_SETTINGS = (
    "label",
    "simulation",
    "weight",
    "dataset",
    "features",
    "positive",
    "estimator",
    *(word for own in _OWN_OPTIONS.values() for word in own),
    "components",
    "topics",
    "form",
    "prior",
    "inference",
    "level",
)


def _plot(path: Path, result: FractionResult) -> None:
    """Mixture, if there are templates, and kappa of the first dataset."""
    from sktamm.plotting import FractionDisplay, save_overview

    if result.templates is not None:
        save_overview(result, path)
    else:
        FractionDisplay.from_result(result).plot().figure_.savefig(path, dpi=150)


def _report(result: FractionResult) -> str:
    """Table of the measurement, one row per dataset."""
    frame = result.to_frame()
    rows = pd.DataFrame({"dataset": frame["dataset"]})
    rows["events"] = frame["n_events"].map("{:g}".format)
    rows["kappa"] = frame["kappa"].map("{:.4f}".format)
    rows["error"] = frame["std"].map("{:.4f}".format)
    for level in result.levels:
        ends = zip(frame[f"lower_{level:g}"], frame[f"upper_{level:g}"], strict=True)
        rows[f"{100 * level:g}% interval"] = [
            f"[{low:.4f}, {high:.4f}]" for low, high in ends
        ]
    if frame["goodness_of_fit"].notna().any():  # unbinned data have none
        rows["fit p-value"] = frame["goodness_of_fit"].map("{:.2g}".format)
    rows["flags"] = frame["flags"].replace("", "none")
    choices = ", ".join(f"{k} {v}" for k, v in result.method.items())
    head = f"Fraction of class {result.pos_label}\n({choices})\n"
    return f"{head}\n{rows.to_string(index=False)}"


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """Bar over the steps on standard error, if it is wanted and tqdm is there."""
    if quiet or importlib.util.find_spec("tqdm") is None:
        yield lambda: None
        return
    from tqdm import tqdm

    names = iter((*_STEPS[1:], "done"))
    layout = "{desc:<17} |{bar:24}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"
    with tqdm(
        total=len(_STEPS), desc=_STEPS[0], bar_format=layout, file=sys.stderr
    ) as bar:

        def advance() -> None:
            bar.set_description_str(next(names), refresh=False)
            bar.update()

        yield advance


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show sktamm's warnings as one clean line each."""

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, SktammWarning):
            print(f"sktamm: warning: {_one_line(message)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", SktammWarning)
        warnings.showwarning = show
        yield


def _one_line(message: Any) -> str:
    return " ".join(str(message).split())


# --------------------------------------------------------------------------- parser
class _Parser(argparse.ArgumentParser):
    """Argument errors in the same single line as every other refusal."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"sktamm: error: {_one_line(message)} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m sktamm", description="Signal fractions from files."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    infer = commands.add_parser("infer", help="measure the signal fraction of a file")
    _add_inputs(infer)
    _add_choices(infer)
    infer.set_defaults(run=_infer)
    demo = commands.add_parser("demo", help="measure the Gaussian study, from files")
    demo.add_argument("--directory", type=Path, default=Path("sktamm-demo"))
    demo.add_argument("--events", type=int, default=20_000, help="per simulation")
    demo.add_argument("--simulations-per-class", type=int, default=10)
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--quiet", action="store_true", help="no progress bar")
    demo.set_defaults(run=_demo)
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
    add("--positive", help="class whose fraction is wanted; the last by default")
    add("--output", type=Path, help="JSON file to write")
    add("--plot", type=Path, help="picture to write, e.g. result.png")
    add("--quiet", action="store_true", help="no progress bar")


def _add_choices(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--estimator",
        choices=sorted(_ESTIMATORS),
        default="binned",
        help="templates in bins, or density ratios of events learned by a classifier",
    )
    add("--bins", type=int, help="bins per feature; binned")
    add("--classifier", choices=_CLASSIFIERS, help="what learns the ratios; neural")
    add("--members", type=int, help="members of the ensemble; neural")
    add("--ensemble", choices=("mean", "wifi"), help="how members are blended; neural")
    add("--folds", type=int, help="folds of cross-fitting; neural")
    add("--calibration", choices=_CALIBRATIONS, help="of the ratios; neural")
    add("--components", choices=("raw", "topics"), help="every simulation, or topics")
    add("--topics", type=int, help="topics per class")
    add("--form", choices=("linear", "exponential"), help="weighted sum or product")
    add("--prior", choices=_PRIORS, help="prior of the blend")
    add("--inference", choices=("bayesian", "frequentist"), help="statistics")
    add("--level", type=float, nargs="+", default=_LEVELS, help="interval levels")
    add("--jobs", type=int, help="threads that share the datasets")
    add("--seed", type=int, default=0, help="seed of everything random")


if __name__ == "__main__":
    sys.exit(main())
