"""Commands that answer many times: all methods on one dataset, simulations left out."""

import argparse
import contextlib
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.base import clone

from sktamm.baselines import (
    FreeTemplates,
    LabelShiftEM,
    PooledSimulations,
    SingleSimulation,
)
from sktamm.cli._estimators import make_estimator
from sktamm.cli._inputs import Simulated, load_simulations, load_target
from sktamm.cli._outputs import check_picture
from sktamm.cli._parser import ExitCode
from sktamm.cli._terminal import complain, progress
from sktamm.coverage import CoverageResult, coverage_study
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError, SktammWarning
from sktamm.io import replacing
from sktamm.results import BLINDED, FractionResult
from sktamm.tamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM

__all__ = ["compare", "coverage"]

# More bins than this, and templates of one feature each, are no comparison.
_FEATURES_OF_BINS = 3


def compare(options: argparse.Namespace) -> ExitCode:
    """Measure with the estimator of the options, its parts and the baselines."""
    with contextlib.ExitStack() as last, progress(options.quiet, 10) as step:
        step("read simulations")
        simulated = load_simulations(options)
        step("read data")
        names = list(getattr(simulated.X, "columns", ()))
        target = load_target(options, names)
        rows, refused = [], dict[str, str]()
        for name, make in _methods(options, simulated):
            step(name)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", SktammWarning)
                    fitted = make().fit(**simulated.events())
                    result = fitted.infer(
                        target.X,
                        levels=options.level,
                        blind=options.blind,
                        **target.question(),
                    )
            except (InvalidInputError, IncompatibleChoiceError, ImportError) as error:
                refused[name] = str(error)
            else:
                rows.append(_row(name, result))
        if not rows:
            raise InvalidInputError(f"No method can measure: {min(refused.values())}")
        table = pd.concat(rows, ignore_index=True)
        # Printed last, below the bar, and also if the file cannot be written.
        for name, why in refused.items():
            last.callback(complain, f"{name} left out: {why}")
        last.callback(print, table.to_string(index=False))
        if options.blind is not None:
            last.callback(print, f"{BLINDED}.")
        _write_table(options, table)
    return ExitCode.DONE


def _methods(
    options: argparse.Namespace, simulated: Simulated
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names and makers of the methods that are compared."""
    wanted = make_estimator(options, simulated)
    shared = {"pos_label": wanted.pos_label}
    seeded = shared | {"random_state": options.seed}
    plain = {"inference": "frequentist", **seeded}
    yield f"{type(wanted).__name__} ({options.estimator})", lambda: wanted
    yield "BinnedTopicTAMM", lambda: BinnedTopicTAMM(**seeded)
    if hasattr(simulated.X, "columns"):
        yield "ScoreTAMM", lambda: ScoreTAMM(**seeded)
        yield "NeuralRatioTAMM", lambda: NeuralRatioTAMM(**seeded)
        yield "EM, label shift", lambda: LabelShiftEM(**seeded)
    yield "one simulation", lambda: SingleSimulation(BinnedTopicTAMM(**plain))
    yield "pooled", lambda: PooledSimulations(BinnedTopicTAMM(**plain))
    yield "all templates free", lambda: FreeTemplates(**shared)


def _row(name: str, result: FractionResult) -> pd.DataFrame:
    table = result.table()
    table.insert(0, "method", name)
    return table


# --------------------------------------------------------------------------- coverage
def coverage(options: argparse.Namespace) -> ExitCode:
    """Let every simulation in turn be the truth for the others."""
    check_picture(options.plot)
    simulated = load_simulations(options)
    if not hasattr(simulated.X, "columns"):
        raise InvalidInputError(
            "coverage needs events, from which datasets are drawn; got histograms."
        )
    estimator = make_estimator(options, simulated)
    ids = simulated.simulation.unique().tolist()
    if len(ids) < 3:
        raise InvalidInputError(
            f"coverage needs at least three simulations, to leave one out, got "
            f"{len(ids)}."
        )
    with progress(options.quiet, len(ids)) as step:
        studies = []
        for id_ in ids:
            step(f"without {id_}")
            studies.append(_without(id_, estimator, simulated, options))
    whole = studies[0].merge(*studies[1:])
    table = _coverage_table(whole)
    with contextlib.ExitStack() as last:
        last.callback(print, table.to_string(index=False))
        _write_table(options, table)
        if options.plot is not None:
            from sktamm.plotting import CoverageDisplay

            with replacing(options.plot) as part:
                CoverageDisplay.from_result(whole).plot().figure_.savefig(part)
    return ExitCode.DONE


def _without(
    id_: Any, estimator: Any, simulated: Simulated, options: argparse.Namespace
) -> CoverageResult:
    """Study of datasets of a simulation that the estimator does not know."""
    own = (simulated.simulation == id_).to_numpy()
    events = {name: value[~own] for name, value in simulated.events().items()}
    weight = None if simulated.weight is None else simulated.weight[own]
    folder = None if options.folder is None else _folder(options.folder, id_)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        fitted = clone(estimator).fit(**events)
        return coverage_study(
            fitted,
            simulated.X[own],
            simulated.label[own],
            sample_weight=weight,
            kappas=options.kappa,
            n_datasets=options.experiments,
            sizes=options.size,
            levels=options.level,
            group=str(id_),
            n_jobs=1,
            checkpoint=folder,
            random_state=options.seed,
        )


def _folder(folder: Path, id_: Any) -> Path:
    """Folder of one simulation; its name may hold anything."""
    name = str(id_)
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    if plain != name:  # another id may look the same
        plain += f"_{zlib.crc32(name.encode()):08x}"
    return folder / f"without_{plain}"


def _coverage_table(study: CoverageResult) -> pd.DataFrame:
    """Coverage with its error, width and bias, by true fraction and in all."""
    rows = []
    cells = study.table().reset_index()
    for frame, name in ((cells, None), (study.table(by=()), "all")):
        for _, cell in frame.iterrows():
            row: dict[str, Any] = {"kappa": name or f"{cell['truth']:g}"}
            for level in study.levels:
                key = f"{level:g}"
                low, high = cell[f"coverage_lower_{key}"], cell[f"coverage_upper_{key}"]
                row[f"covered at {100 * level:g}%"] = (
                    f"{cell[f'coverage_{key}']:.2f} [{low:.2f}, {high:.2f}]"
                )
                row[f"width {100 * level:g}%"] = f"{cell[f'mean_width_{key}']:.3g}"
            row |= {"bias": f"{cell['bias']:.2g}", "rmse": f"{cell['rmse']:.3g}"}
            row |= {"datasets": int(cell["n"]), "failed": int(cell["n_failed"])}
            rows.append(row)
    return pd.DataFrame(rows)


def _write_table(options: argparse.Namespace, table: pd.DataFrame) -> None:
    if options.output is not None:
        with replacing(options.output) as part:
            table.to_csv(part, index=False)
