"""What says a version says the same one: package, change log, citation, oldest pins."""

import configparser
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

import sktamm

ROOT = Path(__file__).parents[1]

# Every environment has the torch that the README installs.
NOT_PINNED = {"torch"}
EXTRAS = ("plot", "io", "hep", "arviz", "distributed", "test")


def text(*names):
    return ROOT.joinpath(*names).read_text(encoding="utf-8")


def sections():
    """Version and date of every released section, the newest first."""
    log = text("doc", "changelog.md")
    first, *released = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", log, re.MULTILINE)
    assert first == ("Unreleased", "")
    return released


def lowest_versions():
    """Lowest version of every requirement that setup.cfg states as ``name>=``."""
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = options["options"]["install_requires"].splitlines()
    for extra in EXTRAS:
        lines += options["options.extras_require"][extra].splitlines()
    stated = [Requirement(line) for line in lines if line.strip()]
    return [
        (requirement.name, bound.version)
        for requirement in stated
        for bound in requirement.specifier
        if bound.operator == ">=" and requirement.name not in NOT_PINNED
    ]


def test_package_and_citation_have_the_version_of_the_newest_section():
    version, date = sections()[0]
    assert sktamm.__version__ == version
    citation = text("CITATION.cff")
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [version]
    assert re.findall(r"^date-released: (.*)$", citation, re.MULTILINE) == [date]


def test_released_sections_descend_and_have_a_day():
    versions = [Version(version) for version, _ in sections()]
    dates = [date for _, date in sections()]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)


def test_the_oldest_versions_are_those_that_the_package_asks_for():
    lines = text(".ci", "oldest.txt").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    pinned = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
    lowest = lowest_versions()
    assert {name for name, _ in lowest} <= set(pinned)
    for name, version in lowest:
        assert Version(pinned[name]) == Version(version), name
