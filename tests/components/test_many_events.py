"""Many events through an unbinned fit: the same answers, in less memory."""

import tracemalloc
import warnings
from functools import partial

import numpy as np
import pytest
from few_as_many import work_in_pieces
from sklearn.base import clone

from sktamm import NeuralRatioTAMM, TAMMRegressor
from sktamm.base import DeferredError
from sktamm.components import RatioComponents
from sktamm.datasets import make_gaussian_study
from sktamm.events import TargetEvents
from sktamm.inference import BayesianInference, FrequentistInference
from sktamm.ratios import DensityRatio

STUDY = make_gaussian_study(4, 600, 700, 1300, random_state=0)
RATIO = DensityRatio("logistic", n_members=2, holdout=0.5)
ESTIMATORS = {
    "exponential": NeuralRatioTAMM(RATIO, projection=None, random_state=0),
    "frequentist": NeuralRatioTAMM(
        RATIO, projection=None, inference="frequentist", random_state=0
    ),
    "linear": NeuralRatioTAMM(RATIO, form="linear", random_state=0),
    "topics": NeuralRatioTAMM(
        RATIO, components="topics", form="linear", random_state=0
    ),
    "no error": TAMMRegressor(
        RatioComponents(RATIO, propagate=False, projection=None), random_state=0
    ),
}


@pytest.fixture(scope="module", params=ESTIMATORS.values(), ids=ESTIMATORS.keys())
def tamm(request):
    return request.param.fit(STUDY.X, STUDY.y, simulation=STUDY.simulation)


@pytest.fixture
def many(monkeypatch):
    """Three hundred events are many, in pieces of 128."""
    return partial(work_in_pieces, monkeypatch, 300, 128)


def _answers(tamm, **question):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = tamm.infer(STUDY.X_target, levels=(0.683, 0.954), **question)
    known = [name for name in result.diagnostics if name != "n_iterations"]
    diagnostics = [np.asarray(result.diagnostics[name], float) for name in known]
    return [result.kappa, result.std, result.interval, *diagnostics], result.flags


def _same(one, other):
    assert one[1] == other[1]
    for few, own in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(own, few, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(other[0][0], one[0][0], rtol=0, atol=1e-8)


def test_the_answer_is_that_of_few_events(tamm, many):
    few = _answers(tamm)
    many()
    table, _ = tamm.tabulate(STUDY.X_target, None, None)
    propagates = tamm.components_.propagate
    assert isinstance(table.error, DeferredError) == propagates
    _same(few, _answers(tamm))


def test_datasets_and_weights_are_those_of_few_events(many):
    tamm = ESTIMATORS["exponential"]
    tamm.fit(STUDY.X, STUDY.y, simulation=STUDY.simulation)
    rng = np.random.default_rng(1)
    question = {
        "dataset": (np.arange(len(STUDY.X_target)) % 5 > 3).astype(int),
        "sample_weight": rng.uniform(0.5, 1.5, len(STUDY.X_target)),
    }
    few = _answers(tamm, **question)
    many()
    _same(few, _answers(tamm, **question))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["frequentist", "linear"])
def test_a_device_makes_the_functions_of_many_events_at_once(name, many):
    pytest.importorskip("torch")
    tamm = clone(ESTIMATORS[name])
    method = {} if name == "frequentist" else {"method": "laplace"}
    kind = FrequentistInference if name == "frequentist" else BayesianInference
    tamm.set_params(inference=kind(**method))
    tamm.fit(STUDY.X, STUDY.y, simulation=STUDY.simulation)
    few = _answers(tamm)
    many()
    tamm.set_params(inference__device="torch")
    tamm.fit(STUDY.X, STUDY.y, simulation=STUDY.simulation)
    other = _answers(tamm)
    for one, own in zip(few[0][:3], other[0][:3], strict=True):
        np.testing.assert_allclose(own, one, rtol=1e-5, atol=1e-6)


def test_memory_per_event_is_bounded(monkeypatch):
    """That of the 8 log ratios and 9 functions of an event and eight numbers more."""
    tamm = ESTIMATORS["exponential"]
    tamm.fit(STUDY.X, STUDY.y, simulation=STUDY.simulation)
    work_in_pieces(monkeypatch, 2000, 2000)
    monkeypatch.setattr("sktamm.mixture._event_densities._BLOCK_ENTRIES", 20_000)
    X = np.tile(STUDY.X_target, (10, 1))

    def peak(n):
        target = TargetEvents(X[:n], None, None, np.zeros(1, dtype=int))
        tracemalloc.start()
        try:
            table = tamm.components_.table(target)
            tamm.solve(table, np.array([0.683]))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2_500)  # what is known of the reference once and for all
    per_event = (peak(10_000) - peak(5_000)) / 5_000
    assert per_event < 8 * (8 + 9 + 8)
