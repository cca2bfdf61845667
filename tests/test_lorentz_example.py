"""The equivariant base learner of the examples: what it may not see, and learns."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sktamm.parametric import DerivativeRatioRegressor

pytest.importorskip("lgatr")
pytestmark = pytest.mark.torch
EXAMPLE = Path(__file__).parents[1] / "examples" / "lorentz_regressor.py"
SMALL = {"max_epochs": 2, "device": "cpu", "random_state": 0}


@pytest.fixture(scope="module")
def example():
    return SimpleNamespace(**runpy.run_path(str(EXAMPLE)))


def table(p):
    return p.reshape(len(p), -1)


def boost(rapidity, axis):
    out = np.eye(4)
    out[0, 0] = out[axis, axis] = np.cosh(rapidity)
    out[0, axis] = out[axis, 0] = np.sinh(rapidity)
    return out


def relative_change(model, p, transformation):
    before = model.predict(table(p))
    after = model.predict(table(p @ transformation.T))
    return np.abs(after - before).max() / np.abs(before - before.mean()).max()


def test_without_beams_no_lorentz_transformation_is_seen(example):
    p = example.momenta(300, 3)
    model = example.LorentzRegressor(beams=False, **SMALL)
    model.fit(table(p), example.squared_mass(p))
    turns = example.rotation(0.7, 1, 2), example.rotation(1.1, 2, 3), boost(0.4, 1)
    for change in turns:
        assert relative_change(model, p[:50], change) < 1e-2  # single precision


def test_beams_leave_rotations_about_them(example):
    p = example.momenta(300, 3)
    y = np.log(example.squared_mass(p)) + np.abs(p[:, 0, 3]) / p[:, 0, 0]
    model = example.LorentzRegressor(**SMALL).fit(table(p), y)
    assert relative_change(model, p[:50], example.rotation(0.7, 1, 2)) < 1e-2
    assert relative_change(model, p[:50], example.rotation(0.7, 1, 3)) > 1e-2


def test_a_mass_is_learned(example):
    p, test = example.momenta(6000, 2), example.momenta(1000, 2, seed=1)
    model = example.LorentzRegressor(beams=False, device="cpu", random_state=0)
    model.fit(table(p), np.sqrt(example.squared_mass(p)))
    assert model.score(table(test), np.sqrt(example.squared_mass(test))) > 0.9
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_it_serves_as_base_learner(example):
    p = example.momenta(400, 2)
    X = np.column_stack([table(p), p[:, 0, 0] > 50])  # one feature is a scalar
    learner = example.LorentzRegressor(2, **SMALL)
    one, two = (
        DerivativeRatioRegressor(learner).fit(X, example.derivatives(p)).predict(X)
        for _ in range(2)
    )
    assert one.shape == (400, 2)
    np.testing.assert_array_equal(one, two)


def test_the_weights_count(example):
    p = example.momenta(200, 2)
    X, y, weight = table(p), example.squared_mass(p), np.arange(200) % 2
    plain = example.LorentzRegressor(**SMALL).fit(X, y).predict(X)
    other = example.LorentzRegressor(**SMALL).fit(X, y, weight).predict(X)
    assert np.abs(other - plain).max() > 0


def test_too_few_columns_are_refused(example):
    p = example.momenta(20, 2)
    with pytest.raises(ValueError, match="4 columns for each of n_particles=3"):
        example.LorentzRegressor(3).fit(table(p), example.squared_mass(p))
