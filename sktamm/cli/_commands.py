"""Commands on files: each reads, works in named steps, and reports last."""

import argparse
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sktamm.auto import AutoTAMM
from sktamm.cli._counting import count_target
from sktamm.cli._estimators import make_estimator
from sktamm.cli._inputs import (
    Simulated,
    Target,
    load_simulations,
    load_target,
    refuse_beside,
)
from sktamm.cli._outputs import (
    check_picture,
    origin_of,
    print_result,
    write_result_files,
)
from sktamm.cli._parser import OF_THE_FIT, ExitCode
from sktamm.cli._terminal import Progress, StepTeller, complain, progress
from sktamm.io import load_model, read_result, save_model
from sktamm.model_selection import CalibratedTAMM
from sktamm.results import FractionResult

__all__ = ["calibrate", "diagnose", "fit", "infer", "report", "unblind"]


def fit(options: argparse.Namespace) -> ExitCode:
    """Learn from simulations and save the model."""
    with progress(options.quiet, 3) as step:
        estimator, _ = _fitted(options, step, lambda made: made)
        step("write")
        save_model(options.model, estimator)
    print(f"{type(estimator).__name__} fitted, in {options.model}")
    return ExitCode.DONE


def calibrate(options: argparse.Namespace) -> ExitCode:
    """Learn, and correct the intervals by simulations left out."""
    with progress(options.quiet, 3) as step:
        calibrated, _ = _fitted(options, step, CalibratedTAMM)
        step("write")
        save_model(options.model, calibrated)
    n = len(calibrated.units_)
    print(f"Intervals are corrected by {n} simulations left out; in {options.model}")
    return ExitCode.DONE


def infer(options: argparse.Namespace) -> ExitCode:
    """Measure the fraction of the events of some files, and report it."""
    check_picture(options.plot)
    with contextlib.ExitStack() as last, progress(options.quiet, 5) as step:
        estimator, _ = _model(options, step, lambda made: made)
        target, origin = _asked(options, step, estimator)
        step("infer")
        result = _measure(estimator, target, options)
        step("write")
        # Printed last, below the bar, and also if a file cannot be written.
        last.callback(print_result, options, result, origin)
        write_result_files(options, result, origin)
    return _judge(result) if options.strict else ExitCode.DONE


def report(options: argparse.Namespace) -> ExitCode:
    """Measure, and write a page of all that is known of the number."""
    from sktamm.report import make_report

    check_picture(options.page, needs="--page")
    with contextlib.ExitStack() as last, progress(options.quiet, 5) as step:
        estimator, simulated = _model(options, step, _judged)
        target, origin = _asked(options, step, estimator, counts=False)
        step("infer and draw")
        made = make_report(
            estimator,
            target.X,
            **target.question(),
            simulated=_drawn(simulated),
            levels=options.level,
            blind=options.blind,
            origin=origin,
            title=options.title,
        )
        step("write")
        last.callback(print, f"\nReport in {options.page}")
        last.callback(print_result, options, made.result, origin)
        made.save(options.page)
        write_result_files(options, made.result, origin)
    return _judge(made.result) if options.strict else ExitCode.DONE


def diagnose(options: argparse.Namespace) -> ExitCode:
    """Measure, and print what each check finds."""
    from sktamm.report import find_checks

    with progress(options.quiet, 4) as step:
        estimator, _ = _model(options, step, lambda made: made)
        target, _ = _asked(options, step, estimator)
        step("infer")
        result = _measure(estimator, target, options)
    print(result.summary())
    for i, name in enumerate(result.dataset):
        print(f"\nChecks of dataset {name}" if result.kappa.size > 1 else "\nChecks")
        for check in find_checks(result, i):
            print(f"  {'ok     ' if check.passed else 'OBJECTS'} {check.question}")
            for line in (*check.found, *check.advice):
                print(f"            {line}")
    return _judge(result) if options.strict else ExitCode.DONE


def unblind(options: argparse.Namespace) -> ExitCode:
    """Show a result that was blinded, and write it."""
    check_picture(options.plot)
    result = read_result(options.result).unblinded(options.blind)
    origin = dict(result.provenance)
    print_result(options, result, origin)
    write_result_files(options, result, origin)
    return ExitCode.DONE


# ------------------------------------------------------------------------------ steps
def _fitted(
    options: argparse.Namespace, step: Progress, wrap: Callable[[Any], Any]
) -> tuple[Any, Simulated]:
    """An estimator fitted to the simulations of the files, and these."""
    step("read simulations")
    simulated = load_simulations(options)
    estimator = wrap(make_estimator(options, simulated))
    step("fit")
    return fit_telling(estimator, simulated, step), simulated


def fit_telling(estimator: Any, simulated: Simulated, step: Progress) -> Any:
    """Fit, and name the parts of the fit where the estimator tells them."""
    tells = hasattr(estimator, "set_callbacks")  # since scikit-learn 1.9
    if tells:
        estimator.set_callbacks(StepTeller(step))
    fitted = estimator.fit(**simulated.events())
    if tells:
        estimator.set_callbacks()  # the line is of this run alone
    return fitted


def _model(
    options: argparse.Namespace, step: Progress, wrap: Callable[[Any], Any]
) -> tuple[Any, Simulated | None]:
    """A saved model, or one that is fitted now, with its simulations."""
    if options.model is None:
        return _fitted(options, step, wrap)
    rule = "--model must stand without {}, as it is fitted already."
    refuse_beside(options, OF_THE_FIT, rule)
    step("read model")
    return load_model(options.model), None


def _asked(
    options: argparse.Namespace, step: Progress, estimator: Any, counts: bool = True
) -> tuple[Target, dict[str, Any]]:
    """Data with the features of the estimator, and where the result will come from."""
    step("read data")
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        n = int(getattr(estimator, "n_features_in_", 0))
        names = [f"x{j}" for j in range(n)]
    features = [str(name) for name in names]
    counted = count_target(estimator, options, features) if counts else None
    target = counted or load_target(options, features)
    # Before the work, because files may change during it.
    return target, origin_of(options, features, estimator)


def _measure(
    estimator: Any, target: Target, options: argparse.Namespace
) -> FractionResult:
    keywords = {"levels": options.level, "blind": options.blind}
    given = {name: value for name, value in keywords.items() if value is not None}
    result: FractionResult = estimator.infer(target.X, **target.question(), **given)
    return result if target.names is None else replace(result, dataset=target.names)


def _judged(estimator: Any) -> Any:
    """The estimator with a judgement by simulations left out, for a page."""
    if isinstance(estimator, AutoTAMM):
        return estimator
    shared = ("pos_label", "random_state")
    own = {name: getattr(estimator, name) for name in shared}
    return AutoTAMM([(type(estimator).__name__, estimator)], **own)


def _drawn(simulated: Simulated | None) -> dict[str, Any] | None:
    """Simulated events for figures; None for histograms and saved models."""
    if simulated is None or not hasattr(simulated.X, "columns"):
        return None
    return simulated.events()


def _judge(result: FractionResult) -> ExitCode:
    """Exit code that says whether any result is flagged."""
    flagged = [flags for flags in result.flags if flags]
    if not flagged:
        return ExitCode.DONE
    kinds = ", ".join(sorted({name for flags in flagged for name in flags}))
    complain(f"strict: {len(flagged)} of {len(result.flags)} datasets flagged: {kinds}")
    return ExitCode.FLAGGED
