"""Priors: the covariance of log densities that they state is the one they have."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sktamm.base import ComponentTable, Simulations
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture import (
    DirichletPrior,
    ExponentialForm,
    LinearForm,
    RidgePrior,
    ShrinkagePrior,
    SimulationsPrior,
)
from sktamm.mixture._penalties import GaussianPenalty, StudentPenalty
from sktamm.mixture._priors import matched_concentration

BINS, BASIS = 30, 4
SPAN_PRIORS = [RidgePrior(), SimulationsPrior(), ShrinkagePrior()]


def _orthonormal(values, weight):
    root = np.sqrt(weight)[:, None]
    axes = np.linalg.qr(np.hstack([root, root * values]))[0]
    return axes[:, 1:] / root


def _table(size, in_basis=False, seed=0, n_topics=None):
    """One class of interest (the second) with ``size`` simulations on bins."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(BINS, 5.0))
    basis = _orthonormal(rng.normal(size=(BINS, BASIS)), weight)
    classes = np.repeat([0, 1], [2, size])
    logs = 0.3 * rng.normal(size=(BINS, 2 + size))
    if in_basis:
        logs = basis @ (0.3 * rng.normal(size=(BASIS, 2 + size)))
    logs -= np.log(weight @ np.exp(logs))
    described = Simulations(
        logs, logs, None, classes, np.arange(2 + size), np.eye(2 + size), False
    )
    table = ComponentTable(
        log_ratio=logs,
        row_weight=np.ones((1, BINS)),
        row_variance=np.ones((1, BINS)),
        reference_log_ratio=logs,
        reference_weight=weight,
        component_class=classes,
        n_classes=2,
        positive=1,
        simulations=described,
        basis=basis,
        reference_basis=basis,
        relative_variance=None,
        binned=True,
    )
    return table if n_topics is None else _with_topics(table, n_topics, rng)


def _with_topics(table, n_topics, rng):
    """Components are topics, of which the simulations are Dirichlet blends."""
    classes = np.repeat([0, 1], n_topics)
    logs = 0.8 * rng.normal(size=(BINS, 2 * n_topics))
    logs -= np.log(table.reference_weight @ np.exp(logs))
    source = table.simulations.source_class
    shares = np.zeros((source.size, 2 * n_topics))
    for c in range(2):
        block = np.ix_(source == c, classes == c)
        shares[block] = rng.dirichlet(np.full(n_topics, 4.0), (source == c).sum())
    return replace(
        table,
        log_ratio=logs,
        reference_log_ratio=logs,
        component_class=classes,
        simulations=replace(table.simulations, weights=shares),
    )


def _covariance(expansion):
    """Prior covariance of the centred log density, between reference rows."""
    features = expansion.features
    values = features.reference @ expansion.directions
    values = values - features.reference_weight @ values
    return values @ values.T


def _centred_logs(table, class_index=1):
    logs = table.reference_log_ratio[:, table.components_of(class_index)]
    logs = logs - table.reference_weight @ logs
    return logs - logs.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_simulations_prior_has_the_empirical_covariance(size):
    table = _table(size)
    logs = _centred_logs(table)
    expected = (1 + 1 / size) * logs @ logs.T / (size - 1)
    actual = _covariance(SimulationsPrior().expand(table, 1))
    np.testing.assert_allclose(actual, expected, atol=1e-7)


@pytest.mark.parametrize("strength", [0.5, 1.0, 4.0])
def test_ridge_prior_has_exponents_of_its_precision(strength):
    table = _table(4)
    logs = _centred_logs(table)
    actual = _covariance(RidgePrior(strength).expand(table, 1))
    np.testing.assert_allclose(actual, logs @ logs.T / strength, atol=1e-7)


@pytest.mark.parametrize("size", [2, 3, 5, 12])
@pytest.mark.parametrize("tails", ["student", "gaussian"])
def test_shrinkage_prior_has_the_stated_scale_in_the_basis(size, tails):
    """(1 + 1/K) [(K - 1) S + p diag S] / K, the scale of the Student t.

    The Gaussian is without the factor (K - 1 + p) / K of the predictive scale.
    """
    table = _table(size, in_basis=True)
    actual = _covariance(ShrinkagePrior(tails=tails).expand(table, 1))
    weighted = table.reference_weight[:, None] * table.basis
    c = _centred_logs(table).T @ weighted
    s = c.T @ c / (size - 1)
    scale = ((size - 1) * s + BASIS * np.diag(np.diag(s))) * (1 + 1 / size) / size
    if tails == "gaussian":
        scale *= size / (size - 1 + BASIS)
    np.testing.assert_allclose(weighted.T @ actual @ weighted, scale, atol=1e-6)


def test_the_isotropic_target_keeps_the_trace():
    table = _table(4, in_basis=True)
    weighted = table.reference_weight[:, None] * table.basis
    traces = [
        np.trace(weighted.T @ _covariance(prior.expand(table, 1)) @ weighted)
        for prior in (ShrinkagePrior(), ShrinkagePrior(target="isotropic"))
    ]
    np.testing.assert_allclose(traces[0], traces[1], rtol=1e-6)


def test_what_the_basis_leaves_stays_with_the_spread_of_the_simulations():
    """Seen in the complement of the basis, the prior is the simulations' covariance."""
    size = 5
    table = _table(size)
    root = np.sqrt(table.reference_weight)[:, None]
    inside = root * table.basis
    complement = np.eye(BINS) - inside @ inside.T
    prior = ShrinkagePrior(tails="gaussian").expand(table, 1)
    actual = complement @ (root * _covariance(prior) * root.T) @ complement
    rest = complement @ (root * _centred_logs(table))
    expected = (1 + 1 / size) * rest @ rest.T / (size - 1)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    bare = ShrinkagePrior(span=False).expand(table, 1)
    left = complement @ (root * _covariance(bare) * root.T) @ complement
    np.testing.assert_allclose(left, 0.0, atol=1e-9)


def test_noise_of_the_templates_alone_makes_no_directions():
    """Simulations that differ by statistics only keep to the smooth functions."""
    rng = np.random.default_rng(1)
    table = _table(6)
    variance = np.full(table.log_ratio.shape, 0.02)
    noise = np.sqrt(variance) * rng.normal(size=variance.shape)
    described = replace(
        table.simulations,
        log_ratio=noise,
        reference_log_ratio=noise,
        relative_variance=variance,
    )
    noisy = replace(table, simulations=described, relative_variance=variance)
    expansion = ShrinkagePrior().expand(noisy, 1)
    assert expansion.directions.shape[1] <= BASIS
    known = replace(noisy, simulations=replace(described, relative_variance=None))
    assert ShrinkagePrior().expand(known, 1).directions.shape[1] > BASIS


def test_tails_are_a_student_t_of_k_degrees_or_a_gaussian():
    table = _table(6)
    student = ShrinkagePrior().expand(table, 1).penalty
    assert isinstance(student, StudentPenalty)
    assert student.degrees == 6
    gaussian = ShrinkagePrior(tails="gaussian").expand(table, 1).penalty
    assert type(gaussian) is GaussianPenalty
    np.testing.assert_array_equal(gaussian.precision, np.eye(len(gaussian.precision)))


@pytest.mark.parametrize("prior", SPAN_PRIORS, ids=str)
def test_the_centre_is_the_mean_log_density(prior):
    table = _table(4)
    expansion = prior.expand(table, 1)
    centre = expansion.features.reference @ expansion.offset
    expected = table.log_ratio[:, table.components_of(1)].mean(axis=1)
    np.testing.assert_allclose(centre, expected)


@pytest.mark.parametrize("prior", [*SPAN_PRIORS, ShrinkagePrior(target="isotropic")])
def test_the_order_of_simulations_changes_nothing(prior):
    table = _table(5)
    order = np.array([0, 1, 6, 3, 5, 2, 4])
    logs = table.log_ratio[:, order]
    moved = replace(
        table,
        log_ratio=logs,
        reference_log_ratio=logs,
        simulations=replace(
            table.simulations, log_ratio=logs, reference_log_ratio=logs
        ),
    )
    first, second = (_covariance(prior.expand(t, 1)) for t in (table, moved))
    np.testing.assert_allclose(first, second, atol=1e-7)


@pytest.mark.parametrize("prior", SPAN_PRIORS, ids=str)
def test_directions_are_orthogonal_under_the_reference(prior):
    expansion = prior.expand(_table(6), 1)
    values = expansion.features.weighted(expansion.directions)
    gram = values.T @ values
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-10)


@pytest.mark.parametrize("prior", SPAN_PRIORS, ids=str)
def test_one_simulation_has_no_directions(prior):
    expansion = prior.expand(_table(1), 1)
    assert expansion.directions.shape[1] == 0
    model = ExponentialForm().build(_table(1), prior)
    assert model.densities[1].n_params == 0


def test_matched_dirichlet_has_mean_and_variance_of_the_simulations():
    """Blends drawn from the prior against the simulations it learned from."""
    table = _table(400, n_topics=3)
    alpha = matched_concentration(table, 1)
    rows = table.simulations.of_class(1)
    columns = table.components_of(1)
    shares = table.simulations.weights[np.ix_(rows, columns)]
    ratio = np.exp(table.reference_log_ratio[:, columns])
    np.testing.assert_allclose(alpha / alpha.sum(), shares.mean(axis=0))
    mean = alpha / alpha.sum()
    law = (np.diag(mean) - np.outer(mean, mean)) / (alpha.sum() + 1)
    sample = np.cov(shares.T) * (1 + 1 / rows.size)
    variance = [
        table.reference_weight @ np.einsum("it,tu,iu->i", ratio, c, ratio)
        for c in (law, sample)
    ]
    np.testing.assert_allclose(variance[0], variance[1], rtol=1e-9)
    # and near the concentration that made the shares: 12, within four sigmas
    assert abs(alpha.sum() / 12 - 1) < 4 * np.sqrt(2 / (2 * rows.size))


def test_a_matched_dirichlet_needs_topics():
    with pytest.raises(IncompatibleChoiceError, match="needs components='topics'"):
        LinearForm().build(_table(3), DirichletPrior("simulations"))


@pytest.mark.parametrize(
    "prior",
    [
        RidgePrior(0.0),
        SimulationsPrior(-1.0),
        ShrinkagePrior(float("nan")),
        ShrinkagePrior(target="oblique"),
        ShrinkagePrior(tails="none"),
    ],
    ids=str,
)
def test_senseless_parameters_are_refused(prior):
    with pytest.raises(IncompatibleChoiceError, match="must be"):
        prior.expand(_table(3), 1)


@pytest.mark.parametrize("value", [0.0, -1.0, "mean", None])
def test_senseless_concentrations_are_refused(value):
    with pytest.raises(IncompatibleChoiceError, match="concentration must be"):
        DirichletPrior(value).weight_penalty(_table(3), 1)


@pytest.mark.parametrize(
    ("form", "prior", "missing"),
    [
        (LinearForm(), ShrinkagePrior(), "weight_penalty"),
        (ExponentialForm(), DirichletPrior(), "expand"),
    ],
)
def test_a_form_names_the_method_that_a_prior_lacks(form, prior, missing):
    with pytest.raises(IncompatibleChoiceError, match=missing):
        form.build(_table(3), prior)


# ------------------------------------------------------------- noise of the templates
def _described(table, logs, variance=None):
    """The same table with other simulations of the second class."""
    full = table.log_ratio.copy()
    full[:, 2:] = logs
    known = None if variance is None else np.full(full.shape, variance)
    described = replace(
        table.simulations,
        log_ratio=full,
        reference_log_ratio=full,
        relative_variance=known,
    )
    return replace(table, simulations=described, relative_variance=known)


def _in_basis(table, expansion):
    weighted = table.reference_weight[:, None] * table.basis
    return weighted.T @ _covariance(expansion) @ weighted


def test_noise_of_the_templates_is_no_spread_of_the_simulations():
    """Variances of 0.04 under noise of known size, from 400 simulations."""
    size, variance = 400, 0.8
    table, rng = _table(size), np.random.default_rng(5)
    logs = table.basis @ (0.2 * rng.normal(size=(BASIS, size)))
    noise = np.sqrt(variance) * rng.normal(size=logs.shape)
    prior = ShrinkagePrior(tails="gaussian", span=False)
    found = np.diag(_in_basis(table, prior.expand(_described(table, logs), 1)))
    noisy = _described(table, logs + noise, variance)
    corrected = np.diag(_in_basis(table, prior.expand(noisy, 1)))
    blind = _described(table, logs + noise)
    inflated = np.diag(_in_basis(table, prior.expand(blind, 1)))
    sigma = 0.04 * np.sqrt(2 / size) * 2  # of a sum of spread and noise
    assert (np.abs(found - 0.04) < 4 * sigma).all()
    assert (np.abs(corrected - 0.04) < 4 * sigma).all()
    assert (inflated > 0.04 + 4 * sigma).all(), "the test has no power"


def test_at_most_half_of_a_spread_is_taken_for_noise():
    table = _table(4)
    logs = table.log_ratio[:, 2:]
    prior = ShrinkagePrior(tails="gaussian", span=False)
    all_of_it, half = (
        _in_basis(table, prior.expand(_described(table, logs, variance), 1))
        for variance in (None, 1e3)
    )
    np.testing.assert_allclose(half, 0.5 * all_of_it, atol=1e-9)


def test_equal_simulations_with_noise_have_no_directions():
    table = _table(4)
    equal = np.zeros((BINS, 4))
    expansion = ShrinkagePrior().expand(_described(table, equal, 0.1), 1)
    assert expansion.directions.shape[1] == 0


@pytest.mark.parametrize(("excess", "kept"), [(0.7, 0), (1.8, 1)])
def test_what_exceeds_the_noise_of_the_templates_is_a_direction(excess, kept):
    """Beside the basis: against the largest eigenvalue of noise (Marchenko, Pastur)."""
    size, variance = 6, 0.02
    table, rng = _table(size), np.random.default_rng(2)
    root = np.sqrt(table.reference_weight)[:, None]
    inside = np.hstack([root, root * table.basis])
    largest = []
    for _ in range(50):
        noise = np.sqrt(variance) * root * rng.normal(size=(BINS, size))
        noise -= inside @ (inside.T @ noise)
        noise -= noise.mean(axis=1, keepdims=True)
        largest.append(np.linalg.norm(noise, 2) ** 2)
    pattern = rng.normal(size=(BINS, 1))
    pattern -= inside @ (inside.T @ pattern)
    pattern /= np.linalg.norm(pattern)
    sign = np.tile([1.0, -1.0], size // 2) / np.sqrt(size)
    logs = np.sqrt(excess * np.mean(largest)) * pattern / root * sign
    expansion = ShrinkagePrior().expand(_described(table, logs, variance), 1)
    assert expansion.directions.shape[1] == kept


@pytest.mark.parametrize(("effect", "kept"), [(3e-5, 1), (1e-3, 2)])
def test_directions_that_no_data_could_see_are_left_out(effect, kept):
    """Below one in 10^4 of a density, which 10^8 events could tell."""
    table, rng = _table(3), np.random.default_rng(6)
    patterns = _orthonormal(rng.normal(size=(BINS, 2)), table.reference_weight)
    logs = patterns @ np.array([[1.0, -1.0, 0.0], [effect, effect, -2 * effect]])
    expansion = SimulationsPrior().expand(_with_logs(table, logs), 1)
    assert expansion.directions.shape[1] == kept


def _with_logs(table, logs):
    described = _described(table, logs)
    full = described.simulations.log_ratio
    return replace(described, log_ratio=full, reference_log_ratio=full)


# ------------------------------------------------------------------ shrinkage and span
def test_the_isotropic_target_has_one_variance():
    size = 5
    table = _table(size, in_basis=True)
    prior = ShrinkagePrior(target="isotropic", tails="gaussian")
    weighted = table.reference_weight[:, None] * table.basis
    c = _centred_logs(table).T @ weighted
    s = c.T @ c / (size - 1)
    rho = BASIS / (size - 1 + BASIS)
    expected = (1 - rho) * s + rho * np.trace(s) / BASIS * np.eye(BASIS)
    actual = _in_basis(table, prior.expand(table, 1))
    np.testing.assert_allclose(actual, (1 + 1 / size) * expected, atol=1e-6)


def test_bins_without_an_order_share_one_variance():
    """Whatever the target is; and in whichever basis, as the noise is shared too."""
    table = replace(_table(5, in_basis=True), unordered=True)
    prior = ShrinkagePrior(tails="gaussian")
    isotropic = ShrinkagePrior(target="isotropic", tails="gaussian")
    expected = _in_basis(table, isotropic.expand(replace(table, unordered=False), 1))
    np.testing.assert_allclose(
        _in_basis(table, prior.expand(table, 1)), expected, atol=1e-6
    )
    turned = stats.ortho_group.rvs(BASIS, random_state=0)
    variance = np.full((len(table.reference_weight), 5), 0.01)
    variance[::2] *= 3.0
    rotated = table.basis @ turned
    noisy = replace(table.simulations, relative_variance=np.tile(variance, 2))
    there = replace(table, simulations=noisy)
    other = replace(there, basis=rotated, reference_basis=rotated)
    one = _in_basis(there, prior.expand(there, 1))
    assert np.abs(one - expected).max() > 1e-3
    np.testing.assert_allclose(_in_basis(there, prior.expand(other, 1)), one, atol=1e-9)


@pytest.mark.parametrize("target", ["diagonal", "isotropic"])
def test_without_smooth_functions_the_span_is_left(target):
    table = _table(4)
    bare = replace(table, basis=table.basis[:, :0], reference_basis=table.basis[:, :0])
    shrunk = _covariance(ShrinkagePrior(target=target).expand(bare, 1))
    plain = _covariance(SimulationsPrior().expand(bare, 1))
    np.testing.assert_allclose(shrunk, plain * 3 / 4, atol=1e-7)


def test_rounding_makes_no_variance_negative():
    """Functions of which the simulations hold next to nothing."""
    for seed in range(20):
        table = _table(2, seed=seed)
        size = 10.0 ** np.array([-9.0, -9.0, 0.0, 0.0])[:, None]
        part = np.random.default_rng(seed).normal(size=(BASIS, 2)) * size
        expansion = ShrinkagePrior().expand(_with_logs(table, table.basis @ part), 1)
        assert np.isfinite(expansion.directions).all()


# ------------------------------------------------------------ concentrations at an end
def _shared(shares):
    """A table of simulations with given shares of the topics of the second class."""
    shares = np.asarray(shares, dtype=float)
    table = _table(len(shares), n_topics=shares.shape[1])
    weights = table.simulations.weights.copy()
    rows = table.simulations.of_class(1)
    weights[np.ix_(rows, table.components_of(1))] = shares
    return replace(table, simulations=replace(table.simulations, weights=weights))


def test_simulations_at_the_corners_leave_the_weakest_concentration():
    alpha = matched_concentration(_shared([[1, 0], [0, 1], [1, 0], [0, 1]]), 1)
    np.testing.assert_allclose(alpha, [0.05, 0.05])


def test_equal_simulations_give_the_strongest_concentration():
    alpha = matched_concentration(_shared([[0.25, 0.75]] * 4), 1)
    np.testing.assert_allclose(alpha, [2.5e5, 7.5e5])


def test_a_topic_that_no_simulation_has_keeps_a_little():
    """A tenth of an equal share: the density of a Dirichlet needs more than nothing."""
    alpha = matched_concentration(_shared([[0.2, 0.8, 0], [0.6, 0.4, 0]]), 1)
    mean = np.array([0.4, 0.6, 0.1 / 3])
    np.testing.assert_allclose(alpha / alpha[0], mean / mean[0])


def test_one_simulation_of_one_topic_has_nothing_to_learn():
    np.testing.assert_array_equal(matched_concentration(_shared([[1.0]]), 1), [1.0])
