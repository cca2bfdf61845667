"""The report: numbers, checks and figures on one page, names of users as text."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sktamm import AutoTAMM, BinnedTopicTAMM, NeuralRatioTAMM, infer
from sktamm.coverage import coverage_study
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.report import make_report
from sktamm.report._checks import _QUESTIONS, find_checks
from sktamm.results import FLAGS, rounded

pytest.importorskip("matplotlib")

STUDY = make_gaussian_study(n_simulations=5, n_events=2000, random_state=0)
EVIL = "<script>alert('x')</script>"
# Elements that have no end in HTML.
VOID = {"meta", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """Elements and attributes of a page; ends have to match."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name):
        return [
            attributes[name] for _, attributes in self.elements if name in attributes
        ]


@pytest.fixture(scope="module")
def binned():
    names = [EVIL, "pt & eta"]
    X = pd.DataFrame(STUDY.X, columns=names)
    tamm = BinnedTopicTAMM(bins=6).fit(X, STUDY.y, simulation=STUDY.simulation)
    target = pd.DataFrame(STUDY.X_target[::20], columns=names)
    return tamm, target


def test_a_page_is_well_formed_and_whole(binned):
    html = make_report(*binned).html
    page = Page(html)
    assert html.startswith("<!doctype html>")
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    links = page.all("href")
    assert {link[1:] for link in links} <= set(ids)
    assert all(link.startswith("#") for link in links)
    for outside in ("src", "data", "action", "poster"):
        assert not page.all(outside)
    assert "@import" not in html
    assert set(re.findall(r"url\(([^)]*)\)", html)) <= {f"#{name}" for name in ids}
    assert not {tag for tag, _ in page.elements} & {"script", "iframe", "object"}
    # Addresses that name a grammar are not fetched.
    assert set(re.findall(r"https?://[^\s\"'<>]*", html)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }


def test_names_of_users_are_text(binned):
    html = make_report(*binned, title=EVIL).html
    assert "<script" not in html
    assert EVIL in "".join(Page(html).text)
    assert "pt &amp; eta" in html


def test_numbers_are_those_of_the_result(binned):
    tamm, target = binned
    report = make_report(tamm, target, levels=[0.5, 0.9])
    result = infer(tamm, target, levels=[0.5, 0.9])
    assert report.result.equals(result)
    page = Page(report.html)
    kappa = rounded(result.kappa[0], result.std[0])
    assert page.all("data-kappa") == [kappa]
    text = "".join(page.text)
    for j, level in enumerate(["50 %", "90 %"]):
        ends = [rounded(end, result.std[0]) for end in result.interval[0, :, j]]
        assert f"{level}: [{ends[0]}, {ends[1]}]" in text


def test_the_same_input_gives_the_same_page(binned):
    assert make_report(*binned).html == make_report(*binned).html


def test_every_dataset_has_its_section(binned):
    tamm, target = binned
    run = np.array(["b", EVIL, "a"])[np.arange(len(target)) % 3]
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(target))
    report = make_report(tamm, target, dataset=run, sample_weight=weight)
    page = Page(report.html)
    assert [f"dataset-{i}" in page.all("id") for i in (1, 2, 3, 4)] == [True] * 3 + [
        False
    ]
    text = "".join(page.text)
    for i in range(3):
        alone = run == report.result.dataset[i]
        own = infer(tamm, target[alone], sample_weight=weight[alone])
        assert f"{own.kappa[0]:.3f}" in text
    assert report.html.count('class="answer') == 3
    assert report.html.count("How far the estimate moves") == 2 * 3  # label and caption


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_flags_are_said_in_words(binned):
    tamm, target = binned
    html = make_report(tamm, target + 3.0).html
    assert 'class="answer flagged"' in html
    assert "of the checks object" in html
    text = "".join(Page(html).text)
    assert FLAGS["out_of_range"] in text
    healthy = make_report(tamm, target).html
    assert "No check objects" in healthy
    assert 'class="objects"' not in healthy


def test_every_flag_belongs_to_a_question():
    assert {flag for question in _QUESTIONS for flag in question.flags} == set(FLAGS)


def test_flags_of_others_are_checks_by_themselves(binned):
    tamm, target = binned
    result = replace(infer(tamm, target), flags=(("strange", "bad_fit"),))
    first, second, *others = find_checks(result, 0)
    assert {first.question, second.question} >= {"strange"}
    assert all(check.passed for check in others)


def test_features_that_are_not_binned_are_drawn_with_weighted_events():
    own = STUDY.simulation < 3
    simulated = {
        "X": STUDY.X[own],
        "y": STUDY.y[own],
        "simulation": STUDY.simulation[own],
    }
    tamm = NeuralRatioTAMM("logistic", inference="frequentist", random_state=0)
    tamm.fit(**simulated)
    target = STUDY.X_target[:5000]
    with_events = make_report(tamm, target, simulated=simulated).html
    assert "x0: data, and the classes" in with_events
    assert "x1: data, and the classes" in with_events
    assert "x1: data" not in make_report(tamm, target).html
    hidden = make_report(tamm, target, simulated=simulated, blind="a secret").html
    assert "x1: data" not in hidden
    assert "needs a result that is not blinded" in hidden


def test_the_choice_and_coverage_of_left_out_simulations_are_there():
    candidates = [(f"{n} bins", BinnedTopicTAMM(bins=n)) for n in (6, 4)]
    auto = AutoTAMM(candidates, n_datasets=1)
    auto.fit(STUDY.X, STUDY.y, simulation=STUDY.simulation)
    text = "".join(Page(make_report(auto, STUDY.X_target[::20]).html).text)
    share = 100 * auto.left_out_.coverage[auto.left_out_.names.index(auto.chosen_)]
    assert f"contained the true fraction in {share:.0f} ±" in text
    assert "of 20 pseudo-datasets from 5 simulations" in text
    assert auto.left_out_.why() in text


def test_a_coverage_study_is_shown(binned):
    tamm, _ = binned
    X = pd.DataFrame(STUDY.X, columns=[EVIL, "pt & eta"])
    keywords = {"kappas": [0.2], "sizes": 500, "n_datasets": 10, "random_state": 0}
    study = coverage_study(tamm, X, STUDY.y, **keywords)
    html = make_report(*binned, coverage=study).html
    assert 'id="coverage"' in html
    assert "coverage" not in Page(make_report(*binned).html).all("id")


def test_blinded_reports_hide_kappa(binned):
    tamm, target = binned
    simulated = {"X": target, "y": np.arange(len(target)) % 2}
    open_report = make_report(tamm, target)
    report = make_report(tamm, target, blind="a long secret", simulated=simulated)
    kappa, std = open_report.result.kappa[0], open_report.result.std[0]
    assert rounded(kappa, std) not in report.html
    assert "BLINDED" in report.html
    assert "a long secret" not in report.html
    assert report.result.unblinded("a long secret").equals(open_report.result)
    assert "data, and the classes" not in report.html


def test_histograms_are_reported(binned):
    hist = pytest.importorskip("hist")
    rng = np.random.default_rng(0)

    def histogram(mean, n):
        return (
            hist.Hist.new.Reg(12, -3, 5, name="m").Weight().fill(rng.normal(mean, 1, n))
        )

    y = [0, 1] * 4
    sim = [0, 0, 1, 1, 2, 2, 3, 3]
    made = [histogram(2.0 * c + 0.1 * k, 5000) for c, k in zip(y, sim, strict=True)]
    tamm = BinnedTopicTAMM().fit(made, y, simulation=sim)
    data = histogram(0.1, 4000) + histogram(2.1, 1000)
    html = make_report(tamm, [data]).html
    assert "m: data, and the classes" in html


def test_matrices_of_counts_are_refused(binned):
    tamm, target = binned
    with pytest.raises(InvalidInputError, match="one id per event in a report"):
        make_report(tamm, target, dataset=np.ones((len(target), 2), int))


def test_it_is_saved_whole(binned, tmp_path):
    report = make_report(*binned)
    report.save(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == report.html
    assert "FractionResult" in repr(report)
