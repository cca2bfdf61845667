"""Posterior draws for both generations of ArviZ."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from sktamm.exceptions import InvalidInputError
from sktamm.exports import to_arviz
from sktamm.results import FractionResult

xarray = pytest.importorskip("xarray")


def result_of(draws, dataset=("a", "b"), **more):
    size = len(dataset)
    return FractionResult(
        dataset=np.array(dataset),
        classes=np.array([0, 1]),
        pos_label=1,
        kappa=np.full(size, 0.3),
        std=np.full(size, 0.1),
        levels=np.array([0.683]),
        interval=np.zeros((size, 2, 1)),
        fractions=np.full((size, 2), 0.5),
        weights=(),
        n_events=np.ones(size),
        n_effective=np.ones(size),
        method={"inference": "bayesian", "form": "linear"},
        draws=draws,
        **more,
    )


def draws_of(*lengths):
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=(4, length)) for length in lengths)


def check(posterior, draws, length):
    assert posterior["kappa"].dims == ("chain", "draw", "dataset")
    assert posterior["kappa"].shape == (4, length, len(draws))
    for i, own in enumerate(draws):
        found = posterior["kappa"].isel(dataset=i).values
        np.testing.assert_array_equal(found, own[:, :length])
    assert posterior.attrs["form"] == "linear"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_arviz_that_is_installed():
    arviz = pytest.importorskip("arviz")
    draws = draws_of(100, 120)
    container = to_arviz(result_of(draws))
    check(container["posterior"], draws, 100)
    assert container["posterior"]["dataset"].values.tolist() == ["a", "b"]
    table = arviz.summary(container)
    assert list(table.index) == ["kappa[a]", "kappa[b]"]
    mean = float(draws[0].mean())
    assert float(table["mean"].iloc[0]) == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize("version", ["1.0.0", "1.3.0", "12.1"])
def test_arviz_from_1_on_takes_a_tree(version, monkeypatch):
    """Its container is xarray's; 1.3 itself, which needs Python 3.12, has seen it."""
    monkeypatch.setitem(sys.modules, "arviz", SimpleNamespace(__version__=version))
    draws = draws_of(50, 50)
    tree = to_arviz(result_of(draws))
    assert isinstance(tree, xarray.DataTree)
    check(tree["posterior"], draws, 50)


def test_arviz_before_1_takes_inference_data(monkeypatch):
    fake = SimpleNamespace(__version__="0.17.0", InferenceData=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "arviz", fake)
    draws = draws_of(50)
    container = to_arviz(result_of(draws, dataset=(7,)))
    check(container.posterior, draws, 50)


def test_ids_of_mixed_types_are_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", SimpleNamespace(__version__="1.0"))
    result = result_of(draws_of(10, 10), dataset=np.array(["a", 1], dtype=object))
    found = to_arviz(result)["posterior"]["dataset"].values
    assert found.tolist() == ["a", "1"]


def test_no_draws_no_library_and_blinding_are_refused(monkeypatch):
    with pytest.raises(InvalidInputError, match="must have posterior draws"):
        to_arviz(result_of(None))
    blinded = result_of(draws_of(5, 5)).blinded("a long sentence")
    with pytest.raises(InvalidInputError, match="not blinded"):
        to_arviz(blinded)
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'sktamm\[arviz\]'"):
        to_arviz(result_of(draws_of(5, 5)))
