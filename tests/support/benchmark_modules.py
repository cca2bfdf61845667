"""Scripts of tests/benchmarks as modules: found by name, forgotten afterwards."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def importing(monkeypatch, *folders):
    """Yield ``__import__`` for modules in these folders."""
    before = set(sys.modules)
    for folder in folders:
        monkeypatch.syspath_prepend(folder)
    yield __import__
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and BENCHMARKS in Path(file).parents:
            del sys.modules[name]
