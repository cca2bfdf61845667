"""What goes to standard error: one clean line per trouble, and a bar of the steps."""

import contextlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from sktamm.exceptions import SktammWarning

__all__ = [
    "Progress",
    "StepTeller",
    "complain",
    "one_line",
    "plain_warnings",
    "progress",
    "release_streams",
]


def one_line(message: Any) -> str:
    """Put any message on a single line."""
    return " ".join(str(message).split())


def complain(message: Any) -> None:
    """Write one line to standard error, above any bar."""
    bars = sys.modules.get("tqdm")
    write = print if bars is None else bars.tqdm.write
    write(f"sktamm: {one_line(message)}", file=sys.stderr)


class Progress:
    """A line that names the step that runs; one that is silent without a bar."""

    def __init__(self, bar: Any = None):
        self._bar = bar
        self._step = ""

    def __call__(self, step: str) -> None:
        """Begin a step; the one before has ended."""
        if self._bar is not None:
            self._bar.update(1 if self._step else 0)
            self._bar.set_description_str(step)
        self._step = step

    def tell(self, part: str) -> None:
        """Name a part of the step."""
        if self._bar is not None:
            self._bar.set_description_str(f"{self._step}: {part}")


class StepTeller:
    """Callback of scikit-learn that names the parts of a fit on the line."""

    def __init__(self, step: Progress):
        self._step = step

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to prepare."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to clear up."""

    def on_fit_task_begin(self, estimator: Any, context: Any, **told: Any) -> None:
        """Name a task that is not the whole fit."""
        if context.parent is not None:
            self._step.tell(context.task_name)

    def on_fit_task_end(self, estimator: Any, context: Any, **told: Any) -> bool:
        """Let the fit go on."""
        return False


@contextlib.contextmanager
def progress(quiet: bool, n_steps: int) -> Iterator[Progress]:
    """Line on standard error that names the step that runs, if tqdm is there."""
    if quiet or importlib.util.find_spec("tqdm") is None:
        yield Progress()
        return
    from tqdm import tqdm

    layout = "{desc:<26} |{bar:24}| {n_fmt}/{total_fmt} [{elapsed}]"
    with tqdm(total=n_steps, bar_format=layout, file=sys.stderr) as bar:
        yield Progress(bar)
        bar.update(1)
        bar.set_description_str("done")


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Show sktamm's warnings as one clean line each."""

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, SktammWarning):
            complain(f"warning: {one_line(message)}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", SktammWarning)
        warnings.showwarning = show
        yield


def release_streams() -> None:
    """Give up what a stream cannot take any more, so that Python's end is quiet."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
