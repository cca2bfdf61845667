"""The command line: words, files in, files out, terminal."""

from sktamm.cli._main import main

__all__ = ["main"]
