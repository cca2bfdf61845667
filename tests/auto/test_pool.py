"""The average of posteriors."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from sktamm import BinnedTopicTAMM, ScoreTAMM
from sktamm.auto import PosteriorPool
from sktamm.auto._pool import pooled
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.results import FractionResult, Profile


def _normal(mean, std, flags=()):
    """Result whose density is normal, on a grid of its own."""
    grid = np.linspace(mean - 6 * std, mean + 6 * std, 401)[None]
    return FractionResult(
        dataset=np.array([0]),
        classes=np.array([0, 1]),
        pos_label=1,
        kappa=np.array([mean]),
        std=np.array([std]),
        levels=np.array([0.683, 0.954]),
        interval=np.zeros((1, 2, 2)),
        fractions=np.array([[1 - mean, mean]]),
        weights=(),
        n_events=np.array([1.0]),
        n_effective=np.array([1.0]),
        flags=(tuple(flags),),
        method={"interval": "equal_tailed"},
        profile=Profile(grid, stats.norm.logpdf(grid, mean, std)),
    )


def test_the_pool_of_two_normal_posteriors():
    """Mean, variance and quantiles of a mixture of two normals."""
    one, two = _normal(0.3, 0.02, ["bad_fit"]), _normal(0.4, 0.04, ["singular"])
    result = pooled({"one": one, "two": two})
    np.testing.assert_allclose(result.kappa, 0.35, atol=1e-6)
    variance = (0.02**2 + 0.04**2) / 2 + 0.05**2
    np.testing.assert_allclose(result.std, np.sqrt(variance), rtol=1e-4)

    def below(x):
        return 0.5 * (stats.norm.cdf(x, 0.3, 0.02) + stats.norm.cdf(x, 0.4, 0.04))

    for j, level in enumerate((0.683, 0.954)):
        ends = [
            brentq(lambda x, q=q: below(x) - q, 0, 1)
            for q in (0.5 - level / 2, 0.5 + level / 2)
        ]
        np.testing.assert_allclose(result.interval[0, :, j], ends, atol=1e-4)
    assert result.flags == (("bad_fit", "singular"),)
    np.testing.assert_allclose(result.fractions, [[0.65, 0.35]])
    np.testing.assert_allclose(
        result.diagnostics["disagreement"], 0.1 / np.sqrt(variance), rtol=1e-4
    )


def test_a_narrow_posterior_keeps_its_half_beside_a_wide_one():
    """A thousandth of the width: half of the probability, and the ends of both."""
    result = pooled({"wide": _normal(0.5, 0.08), "narrow": _normal(0.40013, 1e-5)})
    np.testing.assert_allclose(result.kappa, 0.45, atol=1e-4)

    def below(x):
        return 0.5 * (stats.norm.cdf(x, 0.5, 0.08) + stats.norm.cdf(x, 0.40013, 1e-5))

    ends = [brentq(lambda x, q=q: below(x) - q, 0, 1) for q in (0.1585, 0.8415)]
    np.testing.assert_allclose(result.interval[0, :, 0], ends, atol=1e-4)


def test_the_pool_of_one_is_that_one():
    study = make_gaussian_study(4, 1000, random_state=0)
    pool = PosteriorPool([("only", BinnedTopicTAMM(bins=4))])
    pool.fit(study.X, study.y, simulation=study.simulation)
    mixed = pool.infer(study.X_target)
    alone = pool.estimators_["only"].infer(study.X_target)
    np.testing.assert_allclose(mixed.kappa, alone.kappa, rtol=1e-3)
    np.testing.assert_allclose(mixed.std, alone.std, rtol=5e-3)
    np.testing.assert_allclose(mixed.interval, alone.interval, atol=0.02 * alone.std[0])


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_parts_are_parameters_and_answer_without_simulations():
    study = make_gaussian_study(5, 1000, random_state=0)
    pool = PosteriorPool(
        [("binned", BinnedTopicTAMM(bins=3)), ("score", ScoreTAMM("logistic"))]
    ).set_params(binned__bins=4)
    assert pool.get_params()["binned__bins"] == 4
    pool.fit(study.X, study.y, simulation=study.simulation)
    part = pool.take([0, 1, 2, 4])
    assert part.simulations_.tolist() == [0, 1, 2, 4]
    assert part.estimators_["score"].simulations_.tolist() == [0, 1, 2, 4]
    assert pool.simulations_.size == 5
    kappa, std, interval = part.predict(
        study.X_target, return_std=True, return_interval=0.9
    )
    result = part.infer(study.X_target, levels=[0.9])
    np.testing.assert_array_equal(kappa, result.kappa)
    np.testing.assert_array_equal(std, result.std)
    np.testing.assert_array_equal(interval, result.interval[:, :, 0])
    np.testing.assert_array_equal(part.predict(study.X_target), result.kappa)


def test_what_cannot_be_pooled_is_refused():
    with pytest.raises(IncompatibleChoiceError, match="estimators must be a list"):
        PosteriorPool([]).fit([[0.0]], [0])
    no = _normal(0.3, 0.02)
    object.__setattr__(no, "profile", None)
    with pytest.raises(InvalidInputError, match="density of kappa, got none of 'b'"):
        pooled({"a": _normal(0.3, 0.02), "b": no})
