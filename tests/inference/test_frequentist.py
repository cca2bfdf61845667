"""Maximum likelihood: the ordinary fit for one simulation; errors that are right."""

import numpy as np
import pytest
from scipy import optimize, stats

from sktamm.base import ComponentTable, Simulations
from sktamm.inference import FrequentistInference
from sktamm.inference._base import made_regular
from sktamm.mixture import ExponentialForm, RidgePrior, SimulationsPrior

BINS = 15
LEVELS = np.array([0.6827, 0.9545])


def _templates(size, spread=0.3, seed=0):
    """Background and signal probabilities, (2, size, BINS), different in shape."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, BINS)
    centres = np.stack([-0.8 * x, 1.5 * x - 1.0 * x**2])
    tilt = spread * rng.normal(size=(2, size, 2))
    logs = centres[:, None] + tilt @ np.stack([x, x**2])
    return np.exp(logs) / np.exp(logs).sum(axis=2, keepdims=True)


def _table(templates, weight, variance=None):
    size = templates.shape[1]
    flat = templates.reshape(2 * size, BINS)
    reference = flat.mean(axis=0)
    logs = np.log(flat / reference).T
    classes = np.repeat([0, 1], size)
    described = Simulations(
        logs, logs, None, classes, np.arange(2 * size), np.eye(2 * size), False
    )
    weight = np.atleast_2d(weight).astype(float)
    variance = weight if variance is None else np.atleast_2d(variance)
    none = np.zeros((BINS, 0))
    return ComponentTable(
        logs, weight, variance, logs, reference, classes, 2, 1, described, none, none,
        None, True,
    )  # fmt: skip


def _infer(table, inference=None, prior=None, bounded=False, levels=LEVELS):
    prior = SimulationsPrior() if prior is None else prior
    inference = FrequentistInference() if inference is None else inference
    return inference.infer(
        table,
        ExponentialForm().build(table, prior),
        levels,
        informative=prior.informative,
        bounded=bounded,
        seed=np.random.SeedSequence(0),
        n_jobs=None,
    )


def _log_likelihood(templates, counts):
    b, s = templates[:, 0]
    return lambda k: counts @ np.log(k * s + (1 - k) * b)


def _counts(templates, kappa, n_events, n_datasets, seed=1):
    b, s = templates[:, 0]
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_events, kappa * s + (1 - kappa) * b, n_datasets)


@pytest.mark.parametrize("kappa", [0.02, 0.3, 0.98])
def test_one_simulation_is_the_ordinary_mixture_fit(kappa):
    """Estimate, standard error and profile interval of a one-parameter likelihood."""
    templates = _templates(1)
    counts = _counts(templates, kappa, 4000, 5)
    answer = _infer(
        _table(templates, counts), FrequentistInference(covariance="hessian")
    )
    for i, row in enumerate(counts):
        log_l = _log_likelihood(templates, row)
        around = answer.kappa[i] + 3 * answer.std[i] * np.array([-1, 1])
        best = optimize.minimize_scalar(
            lambda k, f=log_l: -f(k), bounds=around, options={"xatol": 1e-9}
        ).x
        b, s = templates[:, 0]
        p = best * s + (1 - best) * b
        std = (row @ ((s - b) / p) ** 2) ** -0.5
        assert answer.kappa[i] == pytest.approx(best, abs=1e-4 * std)
        assert answer.std[i] == pytest.approx(std, rel=1e-4)
        for j, level in enumerate(LEVELS):
            drop = stats.chi2.ppf(level, 1) / 2
            ends = [
                optimize.brentq(
                    lambda k, f=log_l, d=drop, m=best: f(k) - f(m) + d, best, far
                )
                for far in (best - 4 * std, best + 4 * std)
            ]
            np.testing.assert_allclose(answer.interval[i, :, j], ends, atol=2e-3 * std)


def test_iminuit_agrees_on_the_ordinary_mixture_fit():
    cost = pytest.importorskip("iminuit.cost")
    from iminuit import Minuit

    templates = _templates(1)
    counts = _counts(templates, 0.3, 4000, 1)
    b, s = templates[:, 0]
    edges = np.arange(BINS + 1.0)
    ends = np.concatenate([[0], np.cumsum(s)]), np.concatenate([[0], np.cumsum(b)])

    def model(x, signal, background):
        cdf = signal * ends[0] + background * ends[1]
        return np.interp(x, edges, cdf)

    fit = Minuit(cost.ExtendedBinnedNLL(counts[0], edges, model), 1000, 3000)
    fit.migrad()
    fraction = fit.values[0] / (fit.values[0] + fit.values[1])
    answer = _infer(_table(templates, counts))
    assert answer.kappa[0] == pytest.approx(fraction, abs=0.01 * answer.std[0])


WEIGHTS = {
    "unweighted": lambda x, rng: np.ones(x.shape),
    "random": lambda x, rng: rng.choice([0.2, 1.0, 3.0], x.shape),
    "negative": lambda x, rng: rng.choice([-1.0, 1.0], x.shape, p=[0.1, 0.9]),
    "of the bin": lambda x, rng: 0.3 + 2.0 * x / BINS,
}


def _weighted_contents(kind, templates, kappa, n_events, n_datasets):
    """Poisson numbers of events whose weighted distribution is the mixture."""
    rng = np.random.default_rng(2)
    b, s = templates[:, 0]
    p = kappa * s + (1 - kappa) * b
    if kind == "of the bin":
        p = p / (0.3 + 2.0 * np.arange(BINS) / BINS)
        p /= p.sum()
    weight, variance = np.zeros((2, n_datasets, BINS))
    for i in range(n_datasets):
        x = rng.choice(BINS, rng.poisson(n_events), p=p)
        w = WEIGHTS[kind](x, rng)
        weight[i] = np.bincount(x, w, minlength=BINS)
        variance[i] = np.bincount(x, w**2, minlength=BINS)
    return weight, variance


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("size", [1, 3])
def test_the_sandwich_is_the_scatter_of_pseudo_experiments(kind, size):
    """300 experiments: scatter within four sigmas of the error, estimate unbiased.

    The ridge is a regulariser around the truth here, so the sandwich describes the
    experiments alone.
    """
    n = 300
    templates = _templates(size, spread=0.15)
    centre = np.exp(np.log(templates).mean(axis=1, keepdims=True))
    centre /= centre.sum(axis=2, keepdims=True)
    weight, variance = _weighted_contents(kind, centre, 0.3, 6000, n)
    answer = _infer(_table(templates, weight, variance), prior=RidgePrior(20.0))
    scatter, claimed = answer.kappa.std(ddof=1), np.sqrt(np.mean(answer.std**2))
    assert scatter / claimed == pytest.approx(1.0, abs=4 / np.sqrt(2 * n))
    bias = answer.kappa.mean() - 0.3
    assert abs(bias) < 4 * scatter / np.sqrt(n)
    assert answer.diagnostics["converged"].all()


def test_unbounded_intervals_cover_at_every_fraction():
    """Exact coverage within four binomial sigmas, also at the boundary."""
    templates = _templates(1)
    n = 400
    for kappa in (0.0, 0.3, 1.0):
        counts = _counts(templates, kappa, 3000, n)
        answer = _infer(_table(templates, counts))
        inside = (answer.interval[:, 0] <= kappa) & (kappa <= answer.interval[:, 1])
        error = np.sqrt(LEVELS * (1 - LEVELS) / n)
        assert (np.abs(inside.mean(axis=0) - LEVELS) < 4 * error).all()


def test_wald_and_profile_agree_in_large_samples():
    templates = _templates(3)
    counts = _counts(templates, 0.3, 1_000_000, 3)
    prior = SimulationsPrior()
    table = _table(templates, counts)
    wald = _infer(table, FrequentistInference("wald"), prior)
    profile = _infer(table, FrequentistInference("profile"), prior)
    np.testing.assert_array_equal(wald.kappa, profile.kappa)
    np.testing.assert_array_equal(wald.std, profile.std)
    difference = np.abs(wald.interval - profile.interval)
    assert (difference < 0.05 * wald.std[:, None, None]).all()


def test_an_informative_prior_covers_truths_drawn_from_it():
    """Truths from the prior, a free shape each: four binomial sigmas at both levels."""
    n, size = 400, 4
    templates = _templates(size)
    table = _table(templates, np.ones((1, BINS)))
    model = ExponentialForm().build(table, SimulationsPrior())
    rng = np.random.default_rng(3)
    theta = rng.normal(size=(n, model.n_params))
    theta[:, 0] = rng.uniform(0.2, 0.8, n)
    mean = 3000 * model.row_density(theta) * model.reference_weight
    answer = _infer(_table(templates, rng.poisson(mean)))
    truth = theta[:, 0]
    pulls = (answer.kappa - truth) / answer.std
    assert abs(np.mean(pulls**2) - 1) < 4 * np.sqrt(2 / n)
    inside = (truth >= answer.interval[:, 0].T) & (truth <= answer.interval[:, 1].T)
    error = np.sqrt(LEVELS * (1 - LEVELS) / n)
    assert (np.abs(inside.mean(axis=1) - LEVELS) < 4 * error).all()


def test_bounded_differs_from_unbounded_only_beyond_the_boundary():
    templates = _templates(1)
    counts = np.concatenate(
        [_counts(templates, 0.0, 500, 30), _counts(templates, 0.5, 500, 30)]
    )
    table = _table(templates, counts)
    free, bounded = _infer(table), _infer(table, bounded=True)
    assert (free.kappa < 0).any()
    assert (free.interval[:30, 0] < 0).any()
    np.testing.assert_allclose(bounded.kappa, np.clip(free.kappa, 0, 1), atol=1e-12)
    assert (bounded.interval >= 0).all()
    assert (bounded.interval <= 1).all()
    assert (bounded.interval[:, 0] <= bounded.interval[:, 1]).all()
    inside = (free.kappa > 0) & (free.interval[:, 0, 1] > 0)
    np.testing.assert_allclose(
        bounded.interval[inside], free.interval[inside], atol=2e-3 * free.std.max()
    )


def test_a_bounded_profile_ends_relative_to_the_bounded_maximum():
    """A downward fluctuation: the upper limit is above zero, at the exact fall."""
    templates = _templates(1)
    b, s = templates[:, 0]
    counts = np.round(500 * (b - 0.15 * (s - b)))
    answer = _infer(_table(templates, counts), bounded=True)
    log_l = _log_likelihood(templates, counts)
    for j, level in enumerate(LEVELS):
        drop = stats.chi2.ppf(level, 1) / 2
        end = optimize.brentq(lambda k, d=drop: log_l(k) - log_l(0.0) + d, 0, 0.5)
        assert answer.interval[0, 1, j] == pytest.approx(end, abs=0.02 * answer.std[0])
    assert answer.kappa[0] == 0.0
    assert answer.interval[0, 0].tolist() == [0.0, 0.0]


def test_doubling_all_weights_changes_nothing():
    templates = _templates(3)
    weight, variance = _weighted_contents("random", templates, 0.3, 3000, 2)
    once = _infer(_table(templates, weight, variance))
    twice = _infer(_table(templates, 2 * weight, 4 * variance))
    np.testing.assert_allclose(once.kappa, twice.kappa, rtol=1e-9)
    np.testing.assert_allclose(once.std, twice.std, rtol=1e-9)
    np.testing.assert_allclose(once.interval, twice.interval, rtol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_batches_do_not_change_the_numbers(batch_size):
    templates = _templates(3)
    table = _table(templates, _counts(templates, 0.3, 2000, 7))
    whole = _infer(table)
    parts = _infer(table, FrequentistInference(batch_size=batch_size))
    np.testing.assert_allclose(whole.kappa, parts.kappa, rtol=1e-6)
    np.testing.assert_allclose(whole.interval, parts.interval, rtol=1e-5)
    assert parts.curve_kappa.shape == whole.curve_kappa.shape


def test_the_goodness_of_fit_is_uniform_when_the_model_is_right():
    templates = _templates(3)
    n = 400
    answer = _infer(
        _table(templates, _counts(templates, 0.3, 5000, n)), prior=RidgePrior(0.1)
    )
    p = answer.diagnostics["goodness_of_fit"]
    assert stats.kstest(p, "uniform").pvalue > 1e-4


def test_too_few_iterations_are_flagged():
    templates = _templates(3)
    table = _table(templates, _counts(templates, 0.9, 5000, 3))
    answer = _infer(table, FrequentistInference(max_iter=1))
    assert not answer.diagnostics["converged"].any()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e20])
def test_covariance_of_a_singular_fit_is_finite(scale):
    information = scale * np.array([[[1.0, 1.0], [1.0, 1.0]]])
    inverse = np.linalg.inv(made_regular(information))
    assert np.isfinite(inverse).all()
