"""The equivariant base learner: what it may not see, learns and refuses."""

import pickle
import sys

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.parametric import DerivativeRatioRegressor, LorentzRegressor

lgatr = pytest.importorskip("lgatr")
pytestmark = pytest.mark.torch
SMALL = {"max_epochs": 2, "device": "cpu", "random_state": 0}


def momenta(n_events, n_particles, seed=0):
    """Massless particles, isotropic, of exponential energies."""
    rng = np.random.default_rng(seed)
    p = rng.normal(size=(n_events, n_particles, 3))
    p *= rng.exponential(50.0, (n_events, n_particles, 1)) / np.linalg.norm(
        p, axis=2, keepdims=True
    )
    return np.concatenate([np.linalg.norm(p, axis=2, keepdims=True), p], axis=2)


def squared_mass(p):
    total = p.sum(axis=1)
    return total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(axis=1)


def table(p):
    return p.reshape(len(p), -1)


def rotation(angle, axes):
    out = np.eye(4)
    i, j = axes
    out[i, i] = out[j, j] = np.cos(angle)
    out[i, j], out[j, i] = -np.sin(angle), np.sin(angle)
    return out


def boost(rapidity, axis):
    out = np.eye(4)
    out[0, 0] = out[axis, axis] = np.cosh(rapidity)
    out[0, axis] = out[axis, 0] = np.sinh(rapidity)
    return out


def relative_change(model, p, transformation):
    before = model.predict(table(p))
    after = model.predict(table(p @ transformation.T))
    return np.abs(after - before).max() / np.abs(before - before.mean()).max()


def test_without_beams_no_lorentz_transformation_is_seen():
    p = momenta(300, 3)
    model = LorentzRegressor(beams=False, **SMALL).fit(table(p), squared_mass(p))
    for change in (rotation(0.7, (1, 2)), rotation(1.1, (2, 3)), boost(0.4, 1)):
        assert relative_change(model, p[:50], change) < 1e-2  # single precision


def test_beams_leave_rotations_about_them():
    p = momenta(300, 3)
    y = np.log(squared_mass(p)) + np.abs(p[:, 0, 3]) / p[:, 0, 0]
    model = LorentzRegressor(**SMALL).fit(table(p), y)
    assert relative_change(model, p[:50], rotation(0.7, (1, 2))) < 1e-2
    assert relative_change(model, p[:50], rotation(0.7, (1, 3))) > 1e-2


def test_a_mass_is_learned():
    p, test = momenta(6000, 2), momenta(1000, 2, seed=1)
    model = LorentzRegressor(beams=False, max_epochs=20, device="cpu", random_state=0)
    model.fit(table(p), np.sqrt(squared_mass(p)))
    y = np.sqrt(squared_mass(test))
    assert model.score(table(test), y) > 0.9
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_it_serves_as_base_learner_and_survives_pickling():
    p = momenta(400, 2)
    first = squared_mass(p) / squared_mass(p).mean() - 1.0
    derivatives = np.column_stack([first, 0.1 * first**2])
    X = np.column_stack([table(p), p[:, 0, 0] > 50])
    model = DerivativeRatioRegressor(LorentzRegressor(2, **SMALL)).fit(X, derivatives)
    assert model.predict(X[:5]).shape == (5, 2)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X[:5]), model.predict(X[:5]))


def test_the_seed_and_the_weights_count():
    p = momenta(200, 2)
    X, y = table(p), squared_mass(p)
    one, two = (LorentzRegressor(**SMALL).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    weight = np.where(np.arange(200) % 2 == 0, 1.0, 0.0)
    other = LorentzRegressor(**SMALL).fit(X, y, sample_weight=weight).predict(X)
    assert np.abs(other - one).max() > 0


@parametrize_with_checks(
    [LorentzRegressor(batch_size=20, device="cpu", random_state=0)],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": "training is stochastic",
    },
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"n_particles": 3}, "4 columns for each of n_particles=3"),
        ({"n_particles": 0, "beams": False}, "particles, at least 1"),
        ({"n_blocks": 0}, "n_blocks must be a positive integer, got 0"),
        ({"batch_size": 0.5}, "batch_size must be a positive integer, got 0.5"),
        ({"learning_rate": -1.0}, "learning_rate must be positive, got -1.0"),
    ],
)
def test_refusals(choice, message):
    p = momenta(20, 2)
    with pytest.raises(InvalidInputError, match=message):
        LorentzRegressor(**choice).fit(table(p), squared_mass(p))


def test_unknown_devices_are_refused():
    p = momenta(20, 2)
    with pytest.raises(IncompatibleChoiceError, match="device must be one of"):
        LorentzRegressor(device="gpu").fit(table(p), squared_mass(p))


def test_without_the_package_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "lgatr", None)
    monkeypatch.delattr("sktamm.learning.lorentz", raising=False)
    monkeypatch.delitem(sys.modules, "sktamm.learning.lorentz", raising=False)
    p = momenta(20, 2)
    with pytest.raises(IncompatibleChoiceError, match="needs lgatr: pip install"):
        LorentzRegressor().fit(table(p), squared_mass(p))
