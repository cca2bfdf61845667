"""The parts of the command line: words, files in, files out, terminal."""

from sktamm.cli._families import load_families
from sktamm.cli._inputs import (
    SimulationFile,
    choose_positive,
    load_simulations,
    load_targets,
)
from sktamm.cli._outputs import (
    check_outputs,
    check_picture,
    print_result,
    result_settings,
    write_files,
)
from sktamm.cli._parser import OWN_OPTIONS, ExitCode, make_parser
from sktamm.cli._terminal import complain, plain_warnings, progress, release_streams

__all__ = [
    "OWN_OPTIONS",
    "ExitCode",
    "SimulationFile",
    "check_outputs",
    "check_picture",
    "choose_positive",
    "complain",
    "load_families",
    "load_simulations",
    "load_targets",
    "make_parser",
    "plain_warnings",
    "print_result",
    "progress",
    "release_streams",
    "result_settings",
    "write_files",
]
