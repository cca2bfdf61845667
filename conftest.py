"""Pictures of tests and of docstring examples: drawn without a screen, then closed."""

import os
import sys

import pytest

os.environ["MPLBACKEND"] = "Agg"  # read when matplotlib is first imported


@pytest.fixture(autouse=True)
def close_figures():
    """Close what pyplot holds on to."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
