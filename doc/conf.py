"""The documentation site: pages in Markdown, the reference made of the docstrings.

``sphinx-build -W --keep-going -b html doc BUILD`` builds it, without a network;
``-D plot_gallery=0`` leaves the examples unrun.
"""

import importlib
import inspect
import os
import pkgutil
import sys
from collections import defaultdict
from functools import cache

from docutils.nodes import SkipNode
from docutils.utils.math import latex2mathml

import sktamm

# Examples run with one thread, as the tests do.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "sktamm"
author = copyright = "The sktamm developers"
version = release = sktamm.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
if os.environ.get("SKTAMM_DOC_LINKS"):  # links to other projects ask the network
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }

root_doc = "index"
templates_path = ["_templates"]
exclude_patterns = ["_templates", "auto_examples/**/*.ipynb"]
default_role = "py:obj"

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
# The gallery's settings hold a class, which makes its environment anew every time.
suppress_warnings = ["config.cache"]

# --------------------------------------------------------------------- the reference
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
# What scikit-learn adds to every estimator is described there.
METADATA_REQUESTS = [
    f"set_{method}_request"
    for method in (
        "fit",
        "partial_fit",
        "predict",
        "predict_proba",
        "score",
        "split",
        "transform",
    )
]
autodoc_default_options = {"exclude-members": ", ".join(METADATA_REQUESTS)}

# ----------------------------------------------------------------------- the gallery
sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "capture_repr": (),
    "write_computation_times": False,  # its page fetches scripts
}

# -------------------------------------------------------------------------- the site
html_theme = "pydata_sphinx_theme"
html_title = "sktamm"
html_static_path = ["_static"]
html_css_files = ["sktamm.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
}


# ------------------------------------------------ what a page of the reference lists
def modules():
    """Names of the modules with public names, the package first."""
    rooms = [room.name for room in pkgutil.iter_modules(sktamm.__path__)]
    return ["sktamm", *(f"sktamm.{room}" for room in rooms if room[0] != "_")]


@cache
def homes():
    """Module that has the page of a name which several list: the first one."""
    found = {}
    for module in modules():
        for name in importlib.import_module(module).__all__:
            found.setdefault(name, module)
    return found


def names_of(module):
    """Names that a module lists, by the group in which its page shows them.

    "elsewhere" are names whose page is that of another module, "lent" those that other
    rooms of the package use and users need not.
    """
    groups, home = defaultdict(list), homes()
    for name in importlib.import_module(module).__all__:
        if home[name] == module:
            groups[_group(getattr(sys.modules[module], name))].append(name)
        else:
            groups["elsewhere"].append(f"{home[name]}.{name}")
    return groups


def _group(value):
    sections = "----" in (value.__doc__ or "")
    if inspect.isclass(value):
        public = sections or issubclass(value, Exception)
        return "classes" if public else "lent"
    if inspect.isroutine(value):
        return "functions" if sections else "lent"
    return "data"


def in_words(module, name):
    """What a name that is neither class nor function stands for, in a line."""
    value = getattr(sys.modules[module], name)
    shape = getattr(value, "shape", None)
    return f"Array of shape {shape}." if shape else f"``{value!r}``"


def find_elsewhere(app, env, node, shown):
    """Link to a name that stands without its module, where another one has it."""
    name = node["reftarget"]
    if node.get("refdomain") != "py" or name not in homes():
        return None
    target = f"{homes()[name]}.{name}"
    domain, page = env.get_domain("py"), node["refdoc"]
    return domain.resolve_xref(env, page, app.builder, "obj", target, node, shown)


# ------------------------------------------- formulas, readable without a network
def inline_formula(writer, node):
    """MathML of a formula in a sentence."""
    writer.body.append(latex2mathml.tex2mathml(node.astext()))
    raise SkipNode


def displayed_formula(writer, node):
    """MathML of a formula on a line of its own."""
    formula = latex2mathml.tex2mathml(node.astext(), as_block=True)
    writer.body.append(f'<div class="formula">{formula}</div>')
    raise SkipNode


def setup(app):
    """Formulas, links, and what the templates of the reference ask for."""
    app.connect("missing-reference", find_elsewhere)
    inline, displayed = (inline_formula, None), (displayed_formula, None)
    app.add_html_math_renderer("mathml", inline, displayed)
    app.config.html_math_renderer = "mathml"
    app.config.autosummary_context["names_of"] = names_of
    app.config.autosummary_context["in_words"] = in_words
