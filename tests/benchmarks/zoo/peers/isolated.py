"""Peers whose libraries clash with ours run in a virtual environment of their own.

An environment is made once, in the folder ``peers`` of ``SKTAMM_CACHE``, from pinned
versions. A worker there reads names of files, a line for every question, and answers
each with a file: arrays go in as npz, answers come out as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cases import CACHE

FOLDER = CACHE / "peers"


@cache
def python_of(name: str, *requirements: str) -> Path | None:
    """Python of an environment with these requirements, or None where pip fails."""
    folder = FOLDER / name
    python, made = folder / "bin/python", folder / "made.txt"
    if made.exists() and made.read_text().split() == list(requirements):
        return python
    print(f"making an environment for {' '.join(requirements)}", file=sys.stderr)
    commands = (
        [sys.executable, "-m", "venv", "--clear", folder],
        [python, "-m", "pip", "install", "-q", *requirements],
    )
    for command in commands:
        if subprocess.run(command, env=_clean(), check=False).returncode:
            print(f"{name} is left out: pip failed", file=sys.stderr)
            return None
    made.write_text("\n".join(requirements))
    return python


class Worker:
    """A process that answers questions, started with the first and again if it died."""

    def __init__(self, python: Path, script: Path):
        self.command = [str(python), str(script)]
        self.process: subprocess.Popen | None = None

    def ask(self, **arrays: Any) -> Any:
        """The answer to a question that these arrays put."""
        if self.process is None:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=_clean(),
            )
        with tempfile.TemporaryDirectory() as folder:
            question, answer = Path(folder, "question.npz"), Path(folder, "answer.json")
            np.savez(question, **arrays)
            print(question, answer, sep="\t", file=self.process.stdin, flush=True)
            if self.process.stdout.readline().strip() != "done":
                self.close()
                raise RuntimeError(f"the worker {self.command[-1]} died")
            found = json.loads(answer.read_text())
        if "error" in found:
            raise RuntimeError(found["error"])
        return found

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            with self.process:
                self.process.stdin.close()
            self.process = None


def _clean() -> dict[str, str]:
    """The environment without our packages; one thread, as all rows have."""
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return own | {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}
