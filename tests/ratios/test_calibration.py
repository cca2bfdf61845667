"""Calibrations keep the normalisation; closure finds what is wrong and where."""

import numpy as np
import pytest
from scipy import stats

from sktamm.ratios._calibration import (
    Calibration,
    closure_table,
    fit_calibration,
)
from sktamm.ratios._sample import HeldOut

CENTRES = np.array([-0.7, 0.0, 0.9])


def held_out(sizes=(2000, 1000, 3000), seed=0, weighted=False):
    """Events of three normals, balanced, and their exact log ratios."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(3), sizes)
    X = rng.normal(CENTRES[source])[:, None]
    weight = rng.uniform(0.5, 1.5, source.size) if weighted else np.ones(source.size)
    held = HeldOut(X, source, weight, np.zeros((source.size, 3, 0), np.float32))
    log_p = stats.norm.logpdf(X, CENTRES)
    log_ratio = log_p - np.log(np.exp(log_p).mean(axis=1, keepdims=True))
    return HeldOut(X, source, held.balanced(3), held.members), log_ratio


def distorted(log_ratio, factor):
    """Too much or too little confidence, as a softmax would show it."""
    values = factor * log_ratio
    return values - np.log(np.exp(values).mean(axis=1, keepdims=True))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_calibrated_ratios_are_normalised_and_right(kind, factor, weighted):
    """On average under the reference; isotonic steps are coarse in the tails."""
    held, exact = held_out(weighted=weighted)
    wrong = distorted(exact, factor)
    found = fit_calibration(kind, wrong, held).apply(wrong)
    assert found.shape == exact.shape
    np.testing.assert_allclose(held.weight @ np.exp(found), 1.0, rtol=1e-9)
    miss, before = (
        np.sqrt(held.weight @ (np.exp(r) - np.exp(exact)) ** 2).mean()
        for r in (found, wrong)
    )
    limit = 4 / np.sqrt(len(exact)) if kind == "temperature" else 0.1
    assert miss < limit
    assert factor == 1.0 or miss < 0.4 * before


def test_no_calibration_changes_nothing():
    held, exact = held_out()
    calibration = fit_calibration(None, exact, held)
    assert calibration.apply(exact) is exact
    assert Calibration().apply(exact) is exact


def test_temperature_does_not_see_what_all_sources_share():
    """Only differences of log ratios matter, as in a softmax."""
    held, exact = held_out()
    shared = np.random.default_rng(1).normal(size=(len(exact), 1))
    answers = []
    for values in (2 * exact, 2 * exact + shared):
        answers.append(fit_calibration("temperature", values, held).apply(values))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


@pytest.mark.parametrize("far", [-500.0, 500.0])
@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_extreme_ratios_stay_finite(kind, far):
    held, exact = held_out()
    calibration = fit_calibration(kind, exact, held)
    values = np.array([[far, 0.0, 0.0], [far, far, far]])
    assert np.isfinite(calibration.apply(values)).all()


def test_isotonic_takes_negative_weights():
    held, exact = held_out()
    sign = np.random.default_rng(1).choice([-1.0, 1.0], len(exact), p=[0.1, 0.9])
    signed = HeldOut(held.X, held.source, sign, held.members)
    signed = HeldOut(held.X, held.source, signed.balanced(3), held.members)
    found = fit_calibration("isotonic", exact, signed).apply(exact)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(signed.weight @ np.exp(found), 1.0, rtol=1e-9)


def test_isotonic_learns_the_density_of_signed_weights():
    """Events of one source beside negative ones are as if they were not there."""
    held, exact = held_out((4000, 3000, 5000))
    extra, beside = held_out((8000, 6000, 10_000), 1)
    near = np.abs(extra.X[:, 0]) < 1.0
    X = np.vstack([held.X, extra.X[near], extra.X[near] + 1e-3])
    source = np.append(held.source, np.zeros(2 * near.sum(), dtype=int))
    sign = np.repeat([1.0, 1.0, -1.0], [len(held.X), near.sum(), near.sum()])
    logs = np.concatenate([exact, beside[near], beside[near]])
    signed = HeldOut(X, source, sign, np.zeros((len(X), 3, 0), np.float32))
    signed = HeldOut(X, source, signed.balanced(3), signed.members)
    miss, best = (
        np.sqrt(held.weight @ (np.exp(r) - np.exp(exact)) ** 2).mean()
        for r in (
            fit_calibration("isotonic", logs, signed).apply(exact),
            fit_calibration("isotonic", exact, held).apply(exact),
        )
    )
    assert miss < 1.5 * best  # 8 times with the negative weights left out


# ----------------------------------------------------------------------------- closure
def test_closure_of_exact_ratios_is_uniform():
    """P-values of 150 samples: uniform within three sigmas and a tenth."""
    tables = [
        closure_table(h.X, h.source, h.weight, r)
        for h, r in (held_out((400, 300, 500), seed) for seed in range(50))
    ]
    p_values = np.concatenate([table["p_value"] for table in tables])
    distance = stats.kstest(p_values, "uniform").statistic
    assert distance < 1.63 / np.sqrt(p_values.size) + 0.1


def test_closure_points_at_the_wrong_ratio():
    held, exact = held_out()
    wrong = exact.copy()
    wrong[:, 1] += 0.3 * np.sin(2 * held.X[:, 0])
    table = closure_table(held.X, held.source, held.weight, wrong)
    assert table["p_value"][1] < 1e-6
    assert table["p_value"][[0, 2]].min() > 1e-4
    assert table["chi2_per_degree"].argmax() == 1


def test_closure_counts_what_it_says():
    held, exact = held_out()
    table = closure_table(held.X, held.source, held.weight, exact)
    mass = held.weight[:, None] * np.exp(exact)
    np.testing.assert_allclose(table["normalisation"], mass.sum(axis=0))
    size = mass.sum(axis=0) ** 2 / (mass**2).sum(axis=0)
    np.testing.assert_allclose(table["effective_size"], size)
    np.testing.assert_allclose(table["largest_log_ratio"], exact.max(axis=0))


def test_closure_of_a_constant_feature_says_nothing():
    held, exact = held_out()
    constant = np.zeros_like(held.X)
    alone = closure_table(constant, held.source, held.weight, exact)
    assert (alone["p_value"] == 1.0).all()
    both = closure_table(np.hstack([held.X, constant]), held.source, held.weight, exact)
    assert np.isfinite(both["p_value"]).all()
