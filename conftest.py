"""For all tests and examples of docstrings: pictures are drawn without a screen."""

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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    """Of a failure that is expected, keep the last line: half a second of parsing."""
    expected = item.get_closest_marker("xfail") or (
        call.excinfo and isinstance(call.excinfo.value, pytest.xfail.Exception)
    )
    if call.excinfo and expected:
        call.excinfo.traceback = call.excinfo.traceback[-1:]
