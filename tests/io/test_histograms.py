"""Histograms of ROOT files."""

import sys

import numpy as np
import pandas as pd
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.io import Histogram, HistogramAxis, read_histogram
from sktamm.templates import is_histogram

hist = pytest.importorskip("hist")
uproot = pytest.importorskip("uproot")


def axis(n=4, low=0.0, high=1.0, label="m [GeV]"):
    return hist.axis.Regular(n, low, high, label=label)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """File with a histogram of every kind, and what is none."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("root") / "some.root"
    x, y, z = rng.normal(0.5, 0.4, (3, 1000))
    weight = rng.uniform(0.5, 1.5, 1000)
    with uproot.recreate(path) as out:
        out["plain"] = hist.Hist(axis()).fill(x)
        out["weighted"] = hist.Hist(axis(), storage=hist.storage.Weight()).fill(
            x, weight=weight
        )
        edges = hist.axis.Variable([0.0, 0.1, 0.5, 2.0])
        out["folder/two"] = hist.Hist(axis(), edges).fill(x, y)
        out["three"] = hist.Hist(axis(2), axis(3), axis(4)).fill(x, y, z)
        mean = hist.storage.WeightedMean()  # the mean of counts needs a newer uproot
        errors = {"fSumw2": np.ones(6)}
        profile = hist.Hist(axis(), storage=mean, metadata=errors)
        out["profile"] = profile.fill(x, sample=y)
        out["tree"] = {"x": x}
    return path, x, y, z, weight


def test_contents_variances_edges_and_labels(file):
    path, x, _, _, weight = file
    plain, weighted = (read_histogram(f"{path}:{n}") for n in ("plain", "weighted"))
    edges = np.linspace(0.0, 1.0, 5)
    counts = np.histogram(x, edges)[0]
    np.testing.assert_array_equal(plain.values(), counts)
    np.testing.assert_array_equal(plain.variances(), counts)
    flow = [(x < 0).sum(), *counts, (x >= 1).sum()]
    np.testing.assert_array_equal(plain.values(flow=True), flow)
    sums = np.histogram(x, edges, weights=weight)[0]
    squares = np.histogram(x, edges, weights=weight**2)[0]
    np.testing.assert_allclose(weighted.values(), sums)
    np.testing.assert_allclose(weighted.variances(), squares)
    np.testing.assert_allclose(weighted.counts(), sums**2 / squares)
    np.testing.assert_allclose(weighted.axes[0].edges, edges)
    assert weighted.axes[0].label == "m [GeV]"
    assert is_histogram(weighted)


def test_two_and_three_axes(file):
    path, x, y, z, _ = file
    two = read_histogram(f"{path}:folder/two")
    edges = [np.linspace(0.0, 1.0, 5), [0.0, 0.1, 0.5, 2.0]]
    np.testing.assert_array_equal(two.values(), np.histogram2d(x, y, edges)[0])
    assert two.axes[1][1] == (0.1, 0.5)
    three = read_histogram(str(path) + ":three")
    ends = [np.linspace(0.0, 1.0, n + 1) for n in (2, 3, 4)]
    counts = np.histogramdd(np.array([x, y, z]).T, ends)[0]
    np.testing.assert_array_equal(three.values(), counts)
    assert three.values(flow=True).sum() == 1000


def test_fit_and_predict_take_them_as_they_take_those_of_hist(tmp_path):
    """Through a file and back: the same kappa, and names from the labels."""
    study = make_gaussian_study(n_simulations=3, n_events=2000, random_state=0)
    bins = [axis(4, -2.0, 2.0, "u"), axis(4, -2.0, 2.0, "v")]
    made, y, ids = [], [], []
    for c in (0, 1):
        for k in range(3):
            own = (study.y == c) & (study.simulation == k)
            made.append(hist.Hist(*bins).fill(*study.X[own].T))
            y.append(c)
            ids.append(k)
    target = hist.Hist(*bins).fill(*study.X_target.T)
    with uproot.recreate(tmp_path / "sim.root") as out:
        for number, histogram in enumerate([*made, target]):
            out[f"h{number}"] = histogram
    read = [read_histogram(f"{tmp_path / 'sim.root'}:h{n}") for n in range(7)]
    tamm = BinnedTopicTAMM(inference="frequentist")
    expected = tamm.fit(made, y, simulation=ids).predict(target)
    found = tamm.fit(read[:6], y, simulation=ids).predict(read[6])
    assert found[0] == pytest.approx(expected[0], rel=1e-9)
    assert tamm.feature_names_in_.tolist() == ["u", "v"]
    events = pd.DataFrame(study.X_target, columns=["u", "v"])
    assert tamm.predict(events)[0] == pytest.approx(expected[0], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (":nothing", "got 'nothing' and the histograms plain, weighted"),
        ("", "got '' and the histograms plain"),
        (":", "got '' and the histograms plain"),
        (":profile", "got a TProfile"),
        (":tree", "got a (ROOT::RNTuple|TTree)"),
        (":folder", "got a ReadOnlyDirectory"),
        (":folder/none", "got 'folder/none'"),
    ],
)
def test_what_is_no_histogram_is_refused_with_what_is_there(name, match, file):
    with pytest.raises(InvalidInputError, match=match) as caught:
        read_histogram(f"{file[0]}{name}")
    assert "\n" not in str(caught.value)


def test_missing_broken_and_empty_files_are_refused(tmp_path, file):
    with pytest.raises(InvalidInputError, match=r"no\.root must be a ROOT file"):
        read_histogram(tmp_path / "no.root:h")
    with uproot.recreate(tmp_path / "empty.root"):
        pass
    with pytest.raises(InvalidInputError, match="an empty file"):
        read_histogram(f"{tmp_path / 'empty.root'}:h")
    with uproot.recreate(tmp_path / "tree.root") as out:
        out["tree"] = {"x": np.ones(2)}
    with pytest.raises(InvalidInputError, match="no histogram among tree"):
        read_histogram(f"{tmp_path / 'tree.root'}:h")
    (tmp_path / "text.root").write_text("no file of ROOT")
    with pytest.raises(InvalidInputError, match="not readable as ROOT"):
        read_histogram(f"{tmp_path / 'text.root'}:h")


def test_files_with_wrong_bytes_are_read_or_refused_in_one_sentence(tmp_path, file):
    """A few hundred of them; nothing else comes out."""
    whole = bytearray(file[0].read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "broken.root"
    refused = []
    for _ in range(300):
        broken = whole.copy()
        for place in rng.integers(len(broken), size=rng.integers(1, 20)):
            broken[place] = rng.integers(256)
        cut = len(broken) if rng.random() < 0.7 else rng.integers(len(broken))
        path.write_bytes(bytes(broken[:cut]))
        try:
            read_histogram(f"{path}:weighted")
        except InvalidInputError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert not any("\n" in sentence for sentence in refused)


def test_uproot_is_named_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'sktamm\[io\]'"):
        read_histogram(tmp_path / "some.root:h")


def test_histograms_and_axes_cannot_be_changed():
    made = Histogram([HistogramAxis([0.0, 1.0, 2.0], "x")], [0, 1, 2, 0], [0, 1, 2, 0])
    with pytest.raises(ValueError, match="read-only"):
        made.values()[0] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        made.axes[0].edges[0] = 5.0
    assert made.axes[0] == HistogramAxis([0, 1, 2])
    assert made.axes[0] != HistogramAxis([0, 1, 3])
    assert list(made.axes[0]) == [(0.0, 1.0), (1.0, 2.0)]
    assert made.axes[0][-1] == (1.0, 2.0)
    with pytest.raises(IndexError):
        made.axes[0][2]
    assert "sum 3" in repr(made)
