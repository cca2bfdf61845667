"""Copies of events with large targets: how many, of which weight, drawn from what."""

import numpy as np
import pytest
from scipy.stats import norm

from sktamm.datasets import make_smeft_toy
from sktamm.datasets._smeft_toy import SmeftToy
from sktamm.exceptions import InvalidInputError
from sktamm.parametric import FractionalSmearing


def _keep(Z, rng):
    return Z


def test_numbers_of_the_toy():
    # A million quantiles of N(0, 1) stand for the integral over z.
    z = norm.ppf((np.arange(1_000_000) + 0.5) / 1_000_000)[:, None]
    target = SmeftToy(X=z, Z=z, theta_ref=0.0).joint_derivatives
    smearing = FractionalSmearing(threshold=0.5)
    smearing.fit_resample(z, target, _keep)
    assert smearing.copied_fraction_ == pytest.approx(0.00264, abs=5e-6)
    assert smearing.growth_ == pytest.approx(1.0710, abs=5e-5)
    assert smearing.n_copies_.max() == 69


def test_a_sample_has_the_numbers_of_the_toy():
    toy = make_smeft_toy(200_000, random_state=0)
    smearing = FractionalSmearing(random_state=0)
    smearing.fit_resample(toy.Z, toy.joint_derivatives, toy.smear)
    # Five binomial standard errors; the threshold moves with the sample by less.
    error = np.sqrt(0.00264 / 200_000)
    assert smearing.copied_fraction_ == pytest.approx(0.00264, abs=5 * error)


def test_means_stay_as_they_are():
    rng = np.random.default_rng(1)
    Z, weight = rng.normal(size=(500, 2)), rng.uniform(0.5, 2.0, 500)
    target = np.exp(2 * Z)
    X, y, w, parent = FractionalSmearing().fit_resample(
        Z, target, _keep, sample_weight=weight
    )
    assert len(X) > 520
    np.testing.assert_array_equal(X, Z[parent])
    np.testing.assert_array_equal(y, target[parent])
    np.testing.assert_allclose(np.bincount(parent, w), weight)
    np.testing.assert_allclose(w @ y, weight @ target)


def test_several_targets_take_the_largest_number():
    rng = np.random.default_rng(2)
    Z = rng.normal(size=(400, 2))
    numbers = []
    for target in (np.exp(2 * Z[:, 0]), np.exp(2 * Z[:, 1]), np.exp(2 * Z)):
        smearing = FractionalSmearing(threshold=0.2)
        smearing.fit_resample(Z, target, _keep)
        numbers.append(smearing.n_copies_)
    np.testing.assert_array_equal(numbers[2], np.maximum(*numbers[:2]))


def test_the_formula():
    target = np.array([1.0, 1.0, 1.0, 1.0, 16.0])  # mean 4, standard deviation 6
    for threshold, number in ((0.0, 4), (0.5, 3), (1.0, 2), (2.0, 1)):
        smearing = FractionalSmearing(threshold)
        smearing.fit_resample(np.zeros((5, 1)), target, _keep)
        assert smearing.n_copies_.tolist() == [1, 1, 1, 1, number]
        smearing.fit_resample(np.zeros((5, 1)), -target, _keep)
        assert smearing.n_copies_.tolist() == [1, 1, 1, 1, number]


def test_constant_targets_are_not_copied():
    smearing = FractionalSmearing()
    target = np.column_stack([np.full(7, 0.1), np.zeros(7)])
    _, _, weight, _ = smearing.fit_resample(np.zeros((7, 1)), target, _keep)
    assert smearing.growth_ == 1.0
    assert (weight == 1).all()


def test_limits_and_uniform_copies():
    toy = make_smeft_toy(20_000, random_state=0)
    arguments = toy.Z, toy.joint_derivatives, toy.smear
    limited = FractionalSmearing(max_copies=5)
    limited.fit_resample(*arguments)
    assert limited.n_copies_.max() == 5
    uniform = FractionalSmearing(n_copies=10, random_state=0)
    X, _, weight, parent = uniform.fit_resample(*arguments)
    assert X.shape == (200_000, 1)
    assert (weight == 0.1).all()
    np.testing.assert_array_equal(parent, np.arange(20_000).repeat(10))
    # Responses differ between copies, as N(z, 0.7); five standard errors.
    spread = (X - toy.Z[parent]).std()
    assert spread == pytest.approx(0.7, abs=5 * 0.7 / np.sqrt(400_000))
    again = FractionalSmearing(n_copies=10, random_state=0).fit_resample(*arguments)
    np.testing.assert_array_equal(X, again[0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"threshold": -1}, "threshold must be"),
        ({"max_copies": 0}, "max_copies must be"),
        ({"n_copies": 2.5}, "n_copies must be"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(InvalidInputError, match=message):
        FractionalSmearing(**parameters).fit_resample([[0.0]], [1.0], _keep)


def test_input_is_checked():
    smearing = FractionalSmearing()
    with pytest.raises(InvalidInputError, match="target must hold one row"):
        smearing.fit_resample([[0.0]], [1.0, 2.0], _keep)
    with pytest.raises(InvalidInputError, match="target must hold finite"):
        smearing.fit_resample([[0.0]], [np.nan], _keep)
    with pytest.raises(InvalidInputError, match="smear must return"):
        smearing.fit_resample([[0.0]], [1.0], lambda Z, rng: Z[:0])


def test_signs_of_weights_do_not_hide_large_targets():
    target, weight = np.array([100.0, 1, 1, 1, 1, 1]), np.array([-1.0, 1, 1, 1, 1, 1])
    numbers = []
    for sample_weight in (weight, np.abs(weight)):
        smearing = FractionalSmearing()
        smearing.fit_resample(
            target[:, None], target, _keep, sample_weight=sample_weight
        )
        numbers.append(smearing.n_copies_.tolist())
    assert numbers[0] == numbers[1] == [3, 1, 1, 1, 1, 1]


def test_contradictions_and_other_things_than_functions_are_refused():
    with pytest.raises(InvalidInputError, match="max_copies must be None"):
        FractionalSmearing(max_copies=2, n_copies=5).fit_resample([[0]], [1], _keep)
    with pytest.raises(InvalidInputError, match="smear must be a function"):
        FractionalSmearing().fit_resample([[0]], [1], None)
