"""Three and four classes: the posterior of the fractions against brute force.

The referee draws fractions evenly from the simplex, which is the prior, and weighs them
by the exact likelihood of events with known densities.
"""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM
from sktamm.functions import PolynomialBasis
from sktamm.inference import BayesianInference, _weighing
from sktamm.inference._curve import log_det
from sktamm.inference._optimise import maximise
from sktamm.ratios import DensityRatio

CENTRES = np.array([0.0, 0.8, 1.6, 2.4])


class _Exact(ClassifierMixin, BaseEstimator):
    """Posterior odds of unit normals in the first feature, all sources alike."""

    def __init__(self, centres=tuple(CENTRES)):
        self.centres = centres

    def fit(self, X, y, sample_weight=None):
        """Know everything."""
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        """Normalised densities."""
        density = stats.norm.pdf(X[:, :1] - np.array(self.centres)[self.classes_])
        return density / density.sum(axis=1, keepdims=True)


def _events(n_classes, n, rng, fractions):
    label = rng.choice(n_classes, n, p=fractions)
    return rng.normal(CENTRES[label])[:, None]


def _referee(density, counts, n_classes):
    """Means and widths of all fractions, and the 68.3 % interval of the last one.

    The second draw is from a Dirichlet about twice as wide as what the first one says.
    """
    rng = np.random.default_rng(0)
    alpha = np.ones(n_classes)
    for _ in range(2):
        fractions = rng.dirichlet(alpha, 200_000)
        log = -stats.dirichlet(alpha).logpdf(np.maximum(fractions, 1e-300).T)
        for part in np.array_split(np.arange(len(fractions)), 200):
            log[part] += np.log(fractions[part] @ density) @ counts
        weight = np.exp(log - log.max())
        weight /= weight.sum()
        mean = weight @ fractions
        std = np.sqrt(weight @ (fractions - mean) ** 2)
        alpha = np.maximum(0.25 * mean * ((mean * (1 - mean) / std**2).min() - 1), 0.3)
    assert 1 / (weight**2).sum() > 5000
    order = np.argsort(fractions[:, -1])
    ends = np.interp([0.1585, 0.8415], np.cumsum(weight[order]), fractions[order, -1])
    return mean, std, ends


def _check(result, mean, std, ends, share):
    fractions = result.fractions[0]
    assert fractions.min() > 0
    assert fractions.sum() == pytest.approx(1.0, abs=1e-12)
    assert (np.abs(fractions - mean) < share * std).all()
    assert result.std[0] == pytest.approx(std[-1], rel=0.04)
    np.testing.assert_allclose(result.interval[0, :, 0], ends, atol=share * std[-1])
    assert result.kappa[0] == pytest.approx(fractions[-1], abs=1e-12)


FRACTIONS = {3: [0.2, 0.7, 0.1], 4: [0.5, 0.1, 0.3, 0.1]}


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize(
    ("n", "n_classes"),
    [
        (30, 3),
        (300, 4),
        pytest.param(30, 4, marks=pytest.mark.slow),
        pytest.param(300, 3, marks=pytest.mark.slow),
    ],
)
def test_events_of_known_densities(n_classes, n):
    rng = np.random.default_rng(n + n_classes)
    y = np.repeat(np.arange(n_classes), 50_000)
    X = rng.normal(CENTRES[y])[:, None]
    tamm = NeuralRatioTAMM(
        DensityRatio(_Exact(), n_members=1, calibration=None, shrink=False),
        propagate=False,
        inference=BayesianInference(interval="equal_tailed"),
        random_state=0,
    ).fit(X, y)
    target = _events(n_classes, n, rng, FRACTIONS[n_classes])
    density = stats.norm.pdf(target[:, 0] - CENTRES[:n_classes, None])
    result = tamm.infer(target, levels=[0.683])
    # The reference normalises the ratios to half a per cent, which overlaps amplify.
    _check(result, *_referee(density, np.ones(n), n_classes), share=0.1)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize(
    ("n_classes", "method"),
    [
        (3, "laplace"),
        (4, "laplace"),
        (3, "auto"),
        pytest.param(4, "auto", marks=pytest.mark.slow),
    ],
)
def test_bins_of_known_templates(n_classes, method):
    rng = np.random.default_rng(5)
    edges = np.linspace(-2, 5, 15)
    y = np.repeat(np.arange(n_classes), 200_000)
    X = rng.normal(CENTRES[y])[:, None]
    inference = BayesianInference(method, interval="equal_tailed", min_ess=8000)
    tamm = BinnedTopicTAMM(bins=[edges], inference=inference, random_state=0)
    tamm.fit(X, y)
    target = _events(n_classes, 200, rng, FRACTIONS[n_classes])
    result = tamm.infer(target, levels=[0.683])
    density = tamm.components_.probability_[
        np.argsort(tamm.components_.templates_.source_class)
    ]
    counts = result.templates.counts[0][tamm.components_.rows_.number]
    # 2 048 points and 8 000 draws know an end to about a twentieth of the width.
    _check(result, *_referee(density, counts, n_classes), share=0.06)


# ----------------------------------------------------- blends of several simulations
def _targets_and_simulations(n_classes, n, spread, seed, size=50_000):
    """Four simulations per class whose centres and widths scatter, and one truth."""
    rng = np.random.default_rng(seed)
    y, simulation = (
        np.repeat(v, size) for v in np.indices((n_classes, 4)).reshape(2, -1)
    )
    shift = spread * rng.normal(size=(n_classes, 4))
    width = np.exp(0.5 * spread * rng.normal(size=(n_classes, 4)))
    normal = rng.normal(size=y.size)
    X = (CENTRES[y] + shift[y, simulation] + width[y, simulation] * normal)[:, None]
    label = rng.choice(n_classes, n, p=FRACTIONS[n_classes])
    truth = spread * rng.normal(size=n_classes)
    return X, y, simulation, rng.normal(CENTRES[label] + truth[label])[:, None]


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize(
    ("n_classes", "n", "spread"),
    [(3, 300, 0.3), (3, 60, 0.2), (4, 200, 0.2), (4, 1000, 0.1)],
)
def test_blends_are_integrated_as_chains_do(n_classes, n, spread):
    """Data that leave the blends free: their volume changes with the fractions.

    Three functions per class. With eight, of which four classes and 1 000 events leave
    most free, one of the fractions is off by a sixth of its width.
    """
    X, y, simulation, target = _targets_and_simulations(n_classes, n, spread, n)
    laplace, chains = (
        BinnedTopicTAMM(
            bins=[np.linspace(-3, 5, 17)],
            basis=PolynomialBasis(3),
            inference=BayesianInference(
                method, interval="equal_tailed", min_ess=2000, max_draws=1000
            ),
            random_state=0,
        )
        .fit(X, y, simulation=simulation)
        .infer(target, levels=[0.683])
        for method in ("laplace", "hmc")
    )
    # Blends are not quite normal; the rest is the noise of points and of draws.
    noise = sum(1.0 / r.diagnostics["ess_bulk"][0] for r in (laplace, chains))
    std = chains.std[0]
    atol = (0.05 + 3.0 * np.sqrt(noise)) * std
    np.testing.assert_allclose(laplace.fractions, chains.fractions, atol=atol)
    np.testing.assert_allclose(laplace.interval, chains.interval, atol=1.5 * atol)
    assert laplace.std[0] == pytest.approx(std, rel=0.04 + 2.0 * np.sqrt(0.5 * noise))


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_maxima_start_from_those_of_the_nearest_points(monkeypatch):
    """From the joint maximum alone they would take 11 300 steps, not 5 700."""
    steps = []

    def counted(*arguments, **choices):
        found = maximise(*arguments, **choices)
        steps.append(found.n_iterations.sum())
        return found

    monkeypatch.setattr(_weighing, "maximise", counted)
    X, y, simulation, target = _targets_and_simulations(3, 300, 0.3, 300)
    tamm = BinnedTopicTAMM(
        bins=[np.linspace(-3, 5, 17)],
        inference=BayesianInference("laplace"),
        random_state=0,
    )
    tamm.fit(X, y, simulation=simulation).infer(target)
    assert sum(steps) < 7000


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_a_point_that_has_all_the_weight_is_poor_sampling(monkeypatch):
    def only_the_first(self, fractions):
        return np.where(np.arange(len(fractions)) == 0, 1e6, 0.0)

    monkeypatch.setattr(_weighing._Conditional, "log_density", only_the_first)
    X, y, simulation, target = _targets_and_simulations(3, 300, 0.3, 300)
    tamm = BinnedTopicTAMM(
        bins=[np.linspace(-3, 5, 17)],
        inference=BayesianInference("laplace"),
        random_state=0,
    )
    result = tamm.fit(X, y, simulation=simulation).infer(target)
    assert "poor_sampling" in result.flags[0]
    assert np.isfinite(result.fractions).all()


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_points_without_a_number_have_no_weight(monkeypatch):
    def failing(model, theta, rows, n_given):
        return np.where(theta[:, 0] > 0.3, np.nan, log_det(model, theta, rows, n_given))

    monkeypatch.setattr(_weighing, "log_det", failing)
    X, y, simulation, target = _targets_and_simulations(3, 300, 0.3, 300)
    tamm = BinnedTopicTAMM(
        bins=[np.linspace(-3, 5, 17)],
        inference=BayesianInference("laplace"),
        random_state=0,
    )
    result = tamm.fit(X, y, simulation=simulation).infer(target)
    assert 0.0 < result.interval[0, 0, -1] < result.interval[0, 1, -1] < 0.35
