"""Histograms of hist from a result."""

import numpy as np
import pandas as pd
import pytest

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, TAMMRegressor
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.exports import to_hist


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4, n_events=3000, n_signal=800, n_background=3200, random_state=3
    )


@pytest.fixture(scope="module")
def tamm(study):
    tamm = BinnedTopicTAMM(bins=[4, 6], inference="frequentist")
    return tamm.fit(study.X, study.y, simulation=study.simulation)


def test_data_and_mixture_have_the_numbers_of_the_result(study, tamm):
    dataset = np.arange(len(study.X_target)) % 2
    weight = np.full(len(dataset), 0.5)
    result = tamm.infer(study.X_target, dataset=dataset, sample_weight=weight)
    for i in (0, 1):
        found = to_hist(result, i)
        own = study.X_target[dataset == i]
        edges = result.templates.edges
        inside = [np.clip(x, e[0], e[-1]) for x, e in zip(own.T, edges, strict=True)]
        counts = np.histogramdd(np.array(inside).T, edges)[0]
        np.testing.assert_allclose(found.data.values(), 0.5 * counts)
        np.testing.assert_allclose(found.data.variances(), 0.25 * counts)
        expected = result.n_events[i] * result.fractions[i]
        for c in (0, 1):
            adapted = expected[c] * result.templates.adapted[i, c].reshape(4, 6)
            np.testing.assert_allclose(found.adapted[c].values(), adapted)
            assert found.nominal[c].values().sum() == pytest.approx(expected[c])
        mixture = sum(h.values() for h in found.adapted.values())
        np.testing.assert_allclose(found.mixture.values(), mixture)
        assert found.mixture.variances() is None


def test_axes_have_edges_names_and_flow_bins(study):
    components = TemplateComponents(bins=3, range=[(-1.0, 1.0)] * 2, flow="bins")
    tamm = TAMMRegressor(components, inference="frequentist")
    tamm.fit(study.X, study.y, simulation=study.simulation)
    result = tamm.infer(study.X_target)
    found = to_hist(result)
    assert [axis.name for axis in found.data.axes] == ["x0", "x1"]
    np.testing.assert_allclose(found.data.axes[0].edges, np.linspace(-1.0, 1.0, 4))
    assert found.data.values(flow=True).sum() == len(study.X_target)
    assert found.data.values().sum() < len(study.X_target)
    assert found.data.values(flow=True).shape == (5, 5)


def test_predict_takes_the_data_again(study):
    """The same kappa."""
    names = list(study.feature_names)
    X, target = (pd.DataFrame(v, columns=names) for v in (study.X, study.X_target))
    tamm = BinnedTopicTAMM(bins=4, inference="frequentist")
    tamm.fit(X, study.y, simulation=study.simulation)
    result = tamm.infer(target)
    assert tamm.predict(to_hist(result).data)[0] == pytest.approx(result.kappa[0])


def test_a_feature_of_a_name_that_hist_keeps_for_itself(study):
    frame = pd.DataFrame(study.X, columns=["weight", "x"])
    target = pd.DataFrame(study.X_target, columns=["weight", "x"])
    tamm = BinnedTopicTAMM(bins=3, inference="frequentist")
    with pytest.warns(UserWarning, match="weight"):
        tamm.fit(frame, study.y, simulation=study.simulation)
    axis = to_hist(tamm.infer(target)).data.axes[0]
    assert axis.label == "weight"


def test_refusals(study, tamm):
    result = tamm.infer(study.X_target)
    for wrong in (1, -1, True, "0"):
        with pytest.raises(InvalidInputError, match="dataset must be a position"):
            to_hist(result, wrong)
    ratios = NeuralRatioTAMM("logistic", form="linear", random_state=0)
    ratios.fit(study.X, study.y, simulation=study.simulation)
    with pytest.raises(InvalidInputError, match="must have templates"):
        to_hist(ratios.infer(study.X_target))
    with pytest.raises(InvalidInputError, match="not blinded"):
        to_hist(result.blinded("a long sentence"))
