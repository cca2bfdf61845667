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


def one_line(message: Any) -> str:
    """Put any message on a single line."""
    return " ".join(str(message).split())


def complain(message: Any) -> None:
    """Write one line to standard error, above any bar."""
    bars = sys.modules.get("tqdm")
    write = print if bars is None else bars.tqdm.write
    write(f"sktamm: {one_line(message)}", file=sys.stderr)


@contextlib.contextmanager
def progress(quiet: bool, n_steps: int) -> Iterator[Callable[[str], None]]:
    """Line on standard error that names the step that runs, if tqdm is there."""
    if quiet or importlib.util.find_spec("tqdm") is None:
        yield lambda name: None
        return
    from tqdm import tqdm

    layout = "{desc:<17} |{bar:24}| {n_fmt}/{total_fmt} [{elapsed}]"
    with tqdm(total=n_steps, bar_format=layout, file=sys.stderr) as bar:
        begun = False

        def begin(name: str) -> None:
            nonlocal begun
            bar.update(1 if begun else 0)
            begun = True
            bar.set_description_str(name)

        yield begin
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
