"""The parts of the command line: words, files in, files out, terminal."""

from sktamm.cli._inputs import choose_positive, load_simulations, load_targets
from sktamm.cli._outputs import (
    check_outputs,
    check_picture,
    report,
    result_settings,
    write_outputs,
)
from sktamm.cli._parser import OWN_OPTIONS, STANDARD_OUTPUT, ExitCode, make_parser
from sktamm.cli._terminal import complain, plain_warnings, progress, release_streams

__all__ = [
    "OWN_OPTIONS",
    "STANDARD_OUTPUT",
    "ExitCode",
    "check_outputs",
    "check_picture",
    "choose_positive",
    "complain",
    "load_simulations",
    "load_targets",
    "make_parser",
    "plain_warnings",
    "progress",
    "release_streams",
    "report",
    "result_settings",
    "write_outputs",
]
