"""A display as SVG to stand in a page: no sizes, colours that follow the page."""

import io
import re
from typing import Any

from sktamm.plotting._marks import drawing

__all__ = ["to_svg"]

# What is black or nearly so takes the colour of the page's text, and the pale band that
# of the variable --band: pages have light and dark colours.
_THEMED = {"#000000": "currentColor", "#222222": "currentColor"}
_THEMED |= {"#e5e5e5": "var(--band, #e5e5e5)", "#e6e6e6": "var(--band, #e6e6e6)"}
_HEAD = re.compile(r"<svg [^>]*?viewBox=\"(?P<box>[^\"]*)\"[^>]*>", re.DOTALL)
_NAMED = re.compile(r'(?P<before>\bid="|href="#|url\(#)(?P<name>[^")]+)')


def to_svg(display: Any, name: str, words: str) -> str:
    """Draw a display as one ``svg`` element of a page.

    Parameters
    ----------
    display : Display
        Any display; it is drawn on a figure of its own size.
    name : str
        What identifies the picture in the page: a word that starts with a letter.
    words : str
        What it shows, for readers who cannot see it.

    Returns
    -------
    svg : str
        Element without width and height, which is the same whenever it is drawn.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.plotting import FractionDisplay, to_svg
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM().fit(study.X, study.y, simulation=study.simulation)
    >>> display = FractionDisplay.from_result(tamm.infer(study.X_target))
    >>> to_svg(display, "kappa", "posterior of kappa").startswith("<svg role=")
    True
    """
    matplotlib = drawing("matplotlib")
    file = io.StringIO()
    # Letters as outlines: the page's reader may lack the font.
    settings = {"svg.hashsalt": "sktamm", "svg.fonttype": "path"}
    with matplotlib.rc_context(settings):
        display.plot()
        absent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        display.figure_.savefig(
            file, format="svg", transparent=True, metadata=absent, bbox_inches="tight"
        )
    drawing().close(display.figure_)
    return _for_page(file.getvalue(), name, words)


def _for_page(svg: str, name: str, words: str) -> str:
    """The element alone, its identifiers apart from those of other pictures."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head = _HEAD.search(svg)
    if head is None:
        raise ValueError("no svg element")  # matplotlib always writes one
    body = _NAMED.sub(rf"\g<before>{name}-\g<name>", svg[head.end() :])
    body = body.replace("xlink:href", "href")
    for colour, themed in _THEMED.items():
        body = body.replace(colour, themed)
    lines = (line.strip() for line in body.splitlines())
    kept = "\n".join(line for line in lines if line)
    label = words.translate({ord(c): f"&#{ord(c)};" for c in "<>&\"'"})
    first = f'<svg role="img" aria-label="{label}" viewBox="{head["box"]}"'
    return f'{first} style="fill: currentColor">\n{kept}'
