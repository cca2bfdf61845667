"""A report in Chromium: kappa is read, links lead somewhere, nothing is fetched.

Needs Debian's packages chromium and chromium-driver, which .ci/run installs. With
SKTAMM_SCREENSHOTS=FOLDER the pages are kept as pictures, to be looked at.
"""

import base64
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.report import make_report
from sktamm.results import rounded

webdriver = pytest.importorskip("selenium.webdriver")
pytest.importorskip("matplotlib")

# Names, width, colours, and medium of what is looked at.
VIEWS = [
    ("wide", 1200, "light", "screen"),
    ("dark", 1200, "dark", "screen"),
    ("phone", 390, "light", "screen"),
    ("phone-dark", 390, "dark", "screen"),
    ("print", 800, "dark", "print"),
]
# Contrast of every text with what lies behind it, as WCAG 2.2 defines it.
CONTRAST = r"""
const part = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const luminance = colour => {
  const [r, g, b] = colour.match(/[\d.]+/g).map(v => part(v / 255));
  return .2126 * r + .7152 * g + .0722 * b;
};
const behind = e => {
  for (; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!colour.endsWith(", 0)")) return colour;
  }
  return "rgb(255, 255, 255)";
};
const texts = document.querySelectorAll("p, td, th, dt, dd, figcaption, h1, svg");
return [...texts].map(e => {
  const a = luminance(getComputedStyle(e).color), b = luminance(behind(e));
  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
});
"""
every_view = pytest.mark.parametrize("view", VIEWS, ids=[view[0] for view in VIEWS])


@pytest.fixture(scope="module")
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    study = make_gaussian_study(n_simulations=5, n_events=2000, random_state=0)
    tamm = BinnedTopicTAMM(bins=6).fit(study.X, study.y, simulation=study.simulation)
    run = np.where(np.arange(len(study.X_target)) % 3 == 0, "odd", "even")
    made = make_report(tamm, study.X_target, dataset=run)
    path = tmp_path_factory.mktemp("report") / "report.html"
    made.save(path)
    return made, path


def look(browser, path, view):
    """Open a page as a reader has it."""
    name, width, scheme, medium = view
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {
            "media": medium,
            "features": [{"name": "prefers-color-scheme", "value": scheme}],
        },
    )
    size = {"width": width, "height": 900, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", size | {"mobile": width < 600}
    )
    browser.get(path.as_uri())
    if folder := os.environ.get("SKTAMM_SCREENSHOTS"):
        shot = browser.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True}
        )
        Path(folder, f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


@every_view
def test_kappa_is_read_from_the_page(browser, report, view):
    made, path = report
    look(browser, path, view)
    shown = browser.find_elements("css selector", ".value")
    pairs = zip(made.result.kappa, made.result.std, strict=True)
    wanted = [rounded(*pair) for pair in pairs]
    assert [element.text for element in shown] == wanted
    assert all(element.is_displayed() for element in shown)


@every_view
def test_nothing_is_wider_than_the_page(browser, report, view):
    look(browser, report[1], view)
    wide = browser.execute_script(
        "return document.documentElement.scrollWidth > window.innerWidth"
    )
    assert not wide
    script = (
        "return [...document.querySelectorAll('svg')].map(s => s.clientWidth > 100"
        " && s.clientHeight > 50)"
    )
    drawn = browser.execute_script(script)
    assert len(drawn) == 2 * 4 + 1
    assert all(drawn)


@every_view
def test_text_can_be_told_from_the_page(browser, report, view):
    look(browser, report[1], view)
    contrast = browser.execute_script(CONTRAST)
    assert min(contrast) >= 4.5  # WCAG 2.2, 1.4.3, level AA


def test_links_lead_somewhere(browser, report):
    look(browser, report[1], VIEWS[0])
    links = browser.find_elements("css selector", "a[href]")
    assert len(links) >= 8
    for k in range(len(links)):
        link = browser.find_elements("css selector", "a[href]")[k]
        name = link.get_attribute("href").split("#")[1]
        link.click()
        target = browser.find_element("id", name)
        assert target.is_displayed()
        assert browser.current_url.endswith(f"#{name}")


def test_nothing_is_fetched_from_outside(browser, report):
    browser.get_log("performance")
    look(browser, report[1], VIEWS[0])
    entries = [json.loads(entry["message"]) for entry in browser.get_log("performance")]
    asked = [
        entry["message"]["params"]["request"]["url"]
        for entry in entries
        if entry["message"]["method"] == "Network.requestWillBeSent"
    ]
    assert {url.split("#")[0] for url in asked} == {report[1].as_uri()}
