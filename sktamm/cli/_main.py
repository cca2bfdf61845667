"""The command line: ``sktamm``, or ``python -m sktamm``.

Commands read files of simulated and of unlabelled events; ``demo`` writes the Gaussian
study to files and runs the same path on them. Trouble with files, columns or choices is
one line on standard error and exit code 2.
"""

import sys
import traceback
from collections.abc import Sequence

from sktamm.cli import _commands, _studies
from sktamm.cli._config import read_options, write_config
from sktamm.cli._demo import demo
from sktamm.cli._inputs import input_files
from sktamm.cli._outputs import check_outputs
from sktamm.cli._parser import ExitCode
from sktamm.cli._terminal import complain, plain_warnings, release_streams
from sktamm.exceptions import (
    CheckpointError,
    IncompatibleChoiceError,
    InvalidInputError,
)

__all__ = ["main"]

_UNUSABLE = (InvalidInputError, IncompatibleChoiceError, CheckpointError, TypeError)
_COMMANDS = {
    "fit": _commands.fit,
    "infer": _commands.infer,
    "report": _commands.report,
    "diagnose": _commands.diagnose,
    "calibrate": _commands.calibrate,
    "unblind": _commands.unblind,
    "compare": _studies.compare,
    "coverage": _studies.coverage,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    try:
        with plain_warnings():
            return _run(arguments)
    except BrokenPipeError:
        return ExitCode.BROKEN_PIPE
    except KeyboardInterrupt:
        complain("interrupted")
        return ExitCode.INTERRUPTED
    finally:
        release_streams()


def _run(arguments: Sequence[str] | None) -> ExitCode:
    """Run a command; what cannot be used becomes one line."""
    try:
        code = _command(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        raise
    except _UNUSABLE as error:
        complain(f"error: {error}")
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        complain(f"error: {where}{error.strerror or error}")
    except MemoryError as error:
        complain(f"error: not enough memory: {error}")
    except Exception as error:
        traceback.print_exc()
        complain(f"error: a fault of sktamm, please report it: {error!r}")
        return ExitCode.FAULT
    return ExitCode.UNUSABLE


def _command(arguments: Sequence[str] | None) -> ExitCode:
    """Run one command; outputs are checked before any work."""
    options = read_options(arguments)
    if options.command == "demo":
        return demo(options, _command)
    written = [*options.outputs, "write_config"]
    outputs = {f"--{n.replace('_', '-')}": getattr(options, n, None) for n in written}
    check_outputs(outputs, input_files(options))
    if options.write_config is not None:
        write_config(options)
        return ExitCode.DONE
    return _COMMANDS[options.command](options)
