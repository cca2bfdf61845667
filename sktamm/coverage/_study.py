"""Coverage studies: many pseudo-experiments of known truth, in parallel, resumable.

A task of joblib is the path of a folder and the index of a batch: estimator and events
lie in the folder and are memory-mapped; a finished batch is a file there.
"""

import hashlib
import os
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as replace_fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sktamm._numerics import FloatArray
from sktamm._validation import read_ids, read_weight, refuse_masked
from sktamm.coverage._checkpoint import Checkpoint, forget, run_batch
from sktamm.coverage._files import content_digest
from sktamm.coverage._measures import check_different
from sktamm.coverage._plan import Plan, check_seed, make_plan
from sktamm.coverage._pseudo import LabelledEvents
from sktamm.coverage._result import CoverageResult
from sktamm.coverage._threads import one_thread
from sktamm.coverage._work import DrawnDatasets, Generator, Work, measure, seeded
from sktamm.exceptions import (
    CheckpointError,
    FitFailedWarning,
    InvalidInputError,
    SktammWarning,
)
from sktamm.tamm import check_askable, check_levels, classes_of, final_step

__all__ = ["coverage_study"]

FORMAT_VERSION = 2
# Seconds between looks at what other processes have finished: short for a batch.
_PATIENCE = 0.2


def coverage_study(
    estimator: Any,
    X: Any,
    y: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    kappas: float | Sequence[float] | NDArray[Any],
    n_datasets: int,
    sizes: int | Sequence[int] | NDArray[Any],
    levels: Sequence[float] | NDArray[Any] = (0.683, 0.954),
    misspecification: Callable[..., Any] | None = None,
    strengths: float | Sequence[float] | NDArray[Any] | None = None,
    batch_size: int = 20,
    replace: bool | str = "auto",
    group: Any = None,
    n_jobs: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    random_state: int | None = 0,
    progress: bool = False,
) -> CoverageResult:
    """Measure how often the intervals of an estimator contain the truth.

    Pseudo-experiments of every combination of ``kappas``, ``sizes`` and ``strengths``
    are drawn and measured. Random numbers follow from the index of the experiment, so
    that the result is the same, bit for bit at a given ``batch_size``, for any number
    of workers, any backend of joblib and after any interruption.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator of fractions, or Pipeline or search ending in one.
    X : array-like of shape (n_events, n_features), or callable
        Labelled events from which datasets are drawn, best of none of the simulations
        that the estimator was fitted to; or a generator, ``sample(kappa, size, rng)``,
        that returns the events of one dataset.
    y : array-like of shape (n_events,), default=None
        Class of every event; None with a generator.
    sample_weight : array-like of shape (n_events,), default=None
        Weights, not negative: events are drawn in proportion, with replacement.
    kappas : float or sequence of float
        True fractions from 0 to 1; with a generator true values of any parameter.
    n_datasets : int
        Number of experiments of every fraction, size and strength.
    sizes : int or sequence of int
        Numbers of events of a dataset.
    levels : sequence of float, default=(0.683, 0.954)
        Levels of the intervals, different ones.
    misspecification : callable, default=None
        ``misspecification(X, y, strength)`` returns the events deformed. It is called
        once per strength; with a generator once per dataset, with y None.
    strengths : float or sequence of float, default=None
        Strengths to deform the events by.
    batch_size : int, default=20
        Experiments that are fitted together, and lost together when a worker dies. The
        result may depend on it, to rounding.
    replace : bool or "auto", default="auto"
        Whether events are drawn with replacement; "auto" does so only where there are
        weights or too few events.
    group : id, default=None
        Set of simulations behind the estimator. Merged studies of several groups get
        honest errors. None takes a hash of the fitted estimator.
    n_jobs : int, default=None
        Number of workers, as in joblib; None leaves it to ``joblib.parallel_config``,
        which also chooses other backends, "dask" for example. Each worker uses one
        thread.
    checkpoint : path-like, default=None
        Folder for finished batches. The same call with the same folder resumes, at the
        same time as another process shares its work, and another call is refused.
        Workers on other machines must share the folder.
    random_state : int or None, default=0
        Seed. An estimator without a seed of its own gets it, too.
    progress : bool, default=False
        Show a progress bar with the remaining time; needs tqdm.

    Returns
    -------
    result : CoverageResult
        One row per experiment, and their tables.

    Raises
    ------
    CheckpointError
        If the checkpoint is of another study or damaged, or the disk is full.

    Warns
    -----
    FitFailedWarning
        If fits failed. They are kept with their reason and count as misses.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.coverage import coverage_study
    >>> from sktamm.datasets import make_gaussian_study
    >>> train = make_gaussian_study(n_simulations=4, n_events=1000, random_state=1)
    >>> tamm = BinnedTopicTAMM(bins=4, random_state=0)
    >>> tamm = tamm.fit(train.X, train.y, simulation=train.simulation)
    >>> study = coverage_study(
    ...     tamm, train.X_target, train.y_target, kappas=[0.1], sizes=500, n_datasets=5
    ... )
    >>> study.to_frame().shape
    (5, 14)
    """
    check_askable(estimator)
    _check_source(X, y, sample_weight, replace, misspecification, strengths)
    levels = check_levels(levels)
    check_different(levels)
    seed = check_seed(random_state)
    estimator = seeded(estimator, seed)
    plan = make_plan(
        kappas=kappas,
        sizes=sizes,
        strengths=0.0 if strengths is None else strengths,
        n_datasets=n_datasets,
        levels=levels,
        batch_size=batch_size,
        seed=seed,
        group=_digest(estimator) if group is None else str(group),
        fractions=not callable(X),
    )
    if callable(X):
        work = Work(estimator, plan, Generator(X, misspecification))
        events: dict[int, Any] = {}
    else:
        X, labelled = _read_labelled(estimator, X, y, sample_weight, plan, replace)
        work = Work(estimator, plan, DrawnDatasets(labelled))
        events = _deform(X, y, misspecification, plan.strengths)
    with _folder(checkpoint) as folder:
        files = Checkpoint(folder)
        if checkpoint is not None:
            files.agree(_manifest(work, events, named=group is not None))
        files.store(work, events)
        del events
        _run(files, plan, n_jobs, progress)
        result = files.collect(plan)
    return _finish(result, work)


def _check_source(
    X: Any, y: Any, sample_weight: Any, replace: Any, deform: Any, strengths: Any
) -> None:
    if (deform is None) != (strengths is None):
        raise InvalidInputError(
            "misspecification and strengths must be given together, got "
            f"misspecification={deform!r} and strengths={strengths!r}."
        )
    if callable(X):
        if y is not None or sample_weight is not None or replace != "auto":
            raise InvalidInputError(
                "y, sample_weight and replace must be left out where X is a "
                "generator, which draws its own events."
            )
    elif y is None:
        raise InvalidInputError(
            "y must hold the class of every event, got None; only a generator, a "
            "callable X, goes without."
        )


def _read_labelled(
    estimator: Any, X: Any, y: Any, sample_weight: Any, plan: Plan, replace: Any
) -> tuple[Any, LabelledEvents]:
    refuse_masked(X, "X")
    X = X if hasattr(X, "iloc") else np.asarray(X)
    labels = read_ids(y, "y")
    if labels.shape != (len(X),):
        raise InvalidInputError(
            f"y must hold one class per event, {len(X)}, got shape {labels.shape}."
        )
    labelled = LabelledEvents.of(
        labels,
        *classes_of(estimator, labels),
        read_weight(sample_weight, len(X)),
        replace=replace,
        largest=(int(plan.size.max()), float(plan.truth.max())),
    )
    return X, labelled


def _deform(
    X: Any, y: Any, deform: Callable[..., Any] | None, strengths: FloatArray
) -> dict[int, Any]:
    """Events at every strength, by its index."""
    if deform is None:
        return {0: X}
    events = {}
    for i, strength in enumerate(strengths.tolist()):
        deformed = deform(X, y, strength)
        events[i] = deformed if hasattr(deformed, "iloc") else np.asarray(deformed)
        if len(events[i]) != len(X):
            raise InvalidInputError(
                f"misspecification must return all {len(X)} events, got "
                f"{len(events[i])} at strength {strength:g}."
            )
    return events


@contextmanager
def _folder(checkpoint: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Absolute path of the checkpoint, or of a folder that lives as long as needed."""
    if checkpoint is not None:
        folder = Path(checkpoint).absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"{folder} cannot be the folder of a study: {error.strerror}."
            ) from error
        yield folder
        return
    with TemporaryDirectory(prefix="sktamm-") as temporary:
        yield Path(temporary)


def _run(files: Checkpoint, plan: Plan, n_jobs: int | None, progress: bool) -> None:
    """Run the batches that are not finished, or wait for who is at work on them."""
    missing = files.missing(plan)
    done = plan.n_experiments - sum(plan.experiments(i).size for i in missing)
    call = uuid.uuid4().hex
    try:
        # Threads share warning filters and thread limits with this one: holding them
        # here keeps the tasks from restoring them for each other.
        with warnings.catch_warnings(), one_thread(), _bar(plan, done, progress) as bar:
            warnings.simplefilter("ignore", SktammWarning)
            while missing:
                ready = [i for i in missing if files.is_ready(i)]
                for batch in _run_batches(str(files.folder), call, ready, n_jobs):
                    missing.remove(batch)
                    bar(plan.experiments(batch).size)
                if missing and not ready:
                    time.sleep(_PATIENCE)
    finally:
        forget()


def _run_batches(
    folder: str, call: str, batches: Sequence[int], n_jobs: int | None
) -> Iterator[int]:
    """Run batches, each as one task, and tell which of them are finished."""
    parallel = joblib.Parallel(
        n_jobs=n_jobs, batch_size=1, return_as="generator_unordered"
    )
    tasks = (joblib.delayed(run_batch)(folder, call, i) for i in batches)
    return (batch for batch in parallel(tasks) if batch is not None)


@contextmanager
def _bar(plan: Plan, done: int, progress: bool) -> Iterator[Callable[[int], Any]]:
    """Function to tell of finished experiments."""
    if not progress:
        yield lambda n_experiments: None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "progress=True needs tqdm: pip install 'sktamm[io]'."
        ) from error
    with tqdm(total=plan.n_experiments, initial=done, unit="experiment") as bar:
        yield bar.update


def _manifest(work: Work, events: Mapping[int, Any], *, named: bool) -> dict[str, Any]:
    """What the study is, plain settings first: an interrupted one knows itself."""
    plan = work.plan
    return {
        "format": FORMAT_VERSION,
        "estimator": _words(work.estimator),
        "kappas": sorted(set(plan.truth.tolist())),
        "sizes": sorted(set(plan.size.tolist())),
        "strengths": plan.strengths.tolist(),
        "n_experiments": plan.n_experiments,
        "levels": plan.levels.tolist(),
        "batch_size": plan.batches[0].stop,
        "random_state": plan.seed,
        "group": plan.group if named else None,
        "experiments": content_digest(plan.truth, plan.size, plan.strengths[plan.part]),
        "data": content_digest(*events.values(), *work.source.content(plan)),
        "answers": _first_answers(work, events),
    }


def _first_answers(work: Work, events: Mapping[int, Any]) -> list[float] | str:
    """What the estimator says to the first experiment: no hash knows it better."""
    with one_thread():
        answers, failure = measure(work, np.zeros(1, dtype=np.intp), events.__getitem__)
    if failure[0]:
        return failure[0]
    numbers = [answers.kappa, answers.std, answers.interval.ravel()]
    return np.nan_to_num(np.concatenate(numbers)).tolist()


def _words(estimator: Any) -> str:
    """Class and parameters of an estimator, without addresses in memory."""
    try:
        text = estimator.__repr__(N_CHAR_MAX=1_000_000)
    except TypeError:
        text = repr(estimator)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _digest(estimator: Any) -> str:
    """Short hash of a fitted estimator."""
    try:
        return str(joblib.hash(estimator))[:8]
    except Exception:  # what plain pickle refuses, functions of a script for example
        import cloudpickle

        return hashlib.sha256(cloudpickle.dumps(estimator)).hexdigest()[:8]


def _finish(result: CoverageResult, work: Work) -> CoverageResult:
    """Add the words of the study, and warn of failed fits."""
    name = type(final_step(work.estimator)).__name__
    settings = {"estimator": name, "datasets": work.source.words()}
    result = replace_fields(result, settings=settings)
    failed = result.failure[result.failed]
    if failed.size:
        reasons = pd.Series(failed).value_counts()
        warnings.warn(
            f"{failed.size} of {result.failed.size} fits failed and count as misses, "
            f"most often ({reasons.iloc[0]} times): {reasons.index[0]}",
            FitFailedWarning,
            stacklevel=3,
        )
    return result
