"""What goes to standard error: one clean line per trouble, and a bar of the steps."""

import contextlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from sktamm.exceptions import SktammWarning

__all__ = ["complain", "one_line", "plain_warnings", "progress", "release_streams"]

_STEPS = ("read simulations", "read target", "fit", "infer", "write")


def one_line(message: Any) -> str:
    """Put any message on a single line."""
    return " ".join(str(message).split())


def complain(message: Any) -> None:
    """Write one line to standard error, above any bar."""
    bars = sys.modules.get("tqdm")
    write = print if bars is None else bars.tqdm.write
    write(f"sktamm: {one_line(message)}", file=sys.stderr)


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Callable[[], None]]:
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
