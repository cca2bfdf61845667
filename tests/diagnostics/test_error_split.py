"""Parts of the error: they sum to the total and agree with brute force."""

import numpy as np
import pytest

from sktamm import NeuralRatioTAMM
from sktamm.diagnostics import error_split
from sktamm.diagnostics._goodness import draw_rows
from sktamm.diagnostics._open import fits, open_fit
from sktamm.diagnostics._sbc import prior_draws

PARTS = ("target", "simulation", "ratios", "shape")


def parts_of(split):
    return np.array([getattr(split, name)[0] for name in PARTS])


def test_parts_sum_to_the_variance_of_the_fit(fitted, target):
    split = error_split(fitted, target[0])
    assert split.total[0] == pytest.approx(parts_of(split).sum())
    opened = open_fit(fitted, target[0])
    fit = next(fits(fitted, opened.table, opened.model))[2]
    # scoring and exact curvature agree where the model describes the data
    assert split.total[0] == pytest.approx(fit.covariance[0, 0, 0], rel=0.1)
    assert split.to_frame().shape == (1, 6)


def test_the_frequentist_total_is_the_reported_error(tools, target):
    tamm = tools["make"](inference="frequentist")
    split = error_split(tamm, target[0])
    assert np.sqrt(split.total[0]) == pytest.approx(split.std[0], rel=1e-6)


def test_more_of_one_thing_shrinks_its_part(tools):
    few = tools["draw_target"](3000, 1000, 2)[0]
    many = tools["draw_target"](48_000, 16_000, 2)[0]
    small, large = tools["make"](n_events=1000), tools["make"](n_events=20_000)
    few_small, few_large = error_split(small, few), error_split(large, few)
    many_large = error_split(large, many)
    # sixteen times the events: the target's part falls at least sixfold (shapes are
    # learned better too), twenty times the simulated ones: theirs at least tenfold
    assert many_large.target[0] < few_large.target[0] / 6
    assert few_large.simulation[0] < few_small.simulation[0] / 10
    assert few_large.ratios[0] == 0.0


def test_agrees_with_brute_force(tools):
    """Scatter of the maximum at one shape, and over shapes drawn from the prior.

    600 pseudo-experiments each: a variance is known to 2/sqrt(1200) = 6 %; the prior is
    weak enough for the linear error formula, whose own error is allowed 20 %.
    """
    tamm = tools["make"](prior="simulations", n_events=2000)
    X = tools["draw_target"](3000, 1000, 3)[0]
    opened = open_fit(tamm, X)
    model, rng = opened.model, np.random.default_rng(4)
    centre = np.zeros((600, model.n_params))
    centre[:, 0] = 0.25
    shapes = prior_draws(model, 600, rng)
    shapes[:, 0] = 0.25
    split = error_split(tamm, X)
    found = []
    for theta in (centre, shapes):
        pseudo = draw_rows(opened.table, model, theta, 0, rng)
        kappa = [f.optimum.theta[:, 0] for _, _, f in fits(tamm, pseudo, model)]
        found.append(np.concatenate(kappa).var())
    at_one_shape = split.target[0] + split.simulation[0]
    assert found[0] == pytest.approx(at_one_shape, rel=0.2 + 4 * 0.06)
    assert found[1] == pytest.approx(split.total[0], rel=0.2 + 4 * 0.06)


def test_unbinned_parts_are_those_of_the_result(tools):
    X, y, ids = tools["simulate"](4, 2000, 5)
    tamm = NeuralRatioTAMM("logistic", inference="frequentist", random_state=0)
    tamm.fit(X, y, simulation=ids)
    target = tools["draw_target"](1500, 500, 6)[0]
    split, result = error_split(tamm, target), tamm.infer(target)
    for name, key in (("simulation", "std_reference"), ("ratios", "std_ratios")):
        ours = np.sqrt(getattr(split, name)[0])
        assert ours == pytest.approx(result.diagnostics[key][0], rel=1e-3)
    assert np.sqrt(split.total[0]) == pytest.approx(result.std[0], rel=1e-3)
