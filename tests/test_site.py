"""The site has every page and every public name; slow: it builds without a warning."""

import importlib.util
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sktamm

ROOT = Path(__file__).parents[1]
DOC = ROOT / "doc"


@pytest.fixture(scope="module")
def conf():
    """Settings of the site, a module."""
    pytest.importorskip("docutils")
    spec = importlib.util.spec_from_file_location("site_conf", DOC / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed(path):
    """Entries of the tables of contents of a page."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^```\{toctree\}\n(.*?)^```", text, flags=re.DOTALL | re.M)
    lines = [line for part in found for line in part.splitlines()]
    entries = [line for line in lines if line and not line.startswith(":")]
    pages = [re.sub(r"^.*<(.*)>$", r"\1", entry) for entry in entries]
    return [posixpath.join(path.parent.relative_to(DOC).as_posix(), p) for p in pages]


def test_every_page_is_in_a_table_of_contents():
    pages = {path.relative_to(DOC).with_suffix("").as_posix() for path in pages_of()}
    reached = {
        posixpath.normpath(entry) for path in pages_of() for entry in listed(path)
    }
    assert pages - reached == {"index"}
    assert reached - pages == {"api/index", "auto_examples/index"}


def pages_of():
    return list(DOC.rglob("*.md"))


def test_the_reference_has_every_module_and_each_name_once(conf):
    index = (DOC / "api" / "index.rst").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^   (sktamm\S*)$", index, re.M)) == sorted(
        conf.modules()
    )
    homes = conf.homes()
    for module in conf.modules():
        groups = conf.names_of(module)
        elsewhere = [path.rpartition(".")[2] for path in groups.pop("elsewhere", [])]
        own = [name for names in groups.values() for name in names]
        assert sorted(own + elsewhere) == sorted(
            importlib.import_module(module).__all__
        )
        assert all(homes[name] == module for name in own)


def test_what_users_call_is_not_among_the_lent_names(conf):
    for module in conf.modules():
        for name in conf.names_of(module)["lent"]:
            value = getattr(importlib.import_module(module), name)
            assert "Parameters\n" not in (value.__doc__ or ""), f"{module}.{name}"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_knows_every_name(conf, tmp_path):
    for library in ("sphinx_gallery", "pydata_sphinx_theme", "myst_parser"):
        pytest.importorskip(library)
    for folder in ("doc", "examples"):
        own = shutil.ignore_patterns("generated", "auto_examples", "_build")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=own)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
    command += ["-D", "plot_gallery=0", "-b", "html", "doc", "site"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    known = inventory(tmp_path / "site" / "objects.inv")
    for name, module in conf.homes().items():
        assert f"{module}.{name}" in known
    assert "sktamm.AutoTAMM.fit" in known
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'(?:src|stylesheet" href)="(?:https?:)?//', text), page


def inventory(path):
    """Names of the Python objects that the site describes."""
    from sphinx.util.inventory import InventoryFile

    with path.open("rb") as file:
        found = InventoryFile.load(file, "", lambda base, location: location)
    return {
        name
        for kind, names in found.items()
        if kind.startswith("py:")
        for name in names
    }


def test_the_version_of_the_site_is_that_of_the_package(conf):
    assert conf.release == sktamm.__version__
