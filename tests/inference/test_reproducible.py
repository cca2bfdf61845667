"""Draws repeat: for any number of workers, and for other names of the simulations."""

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from sktamm import TAMMRegressor
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.inference import BayesianInference, FrequentistInference

INFERENCE = BayesianInference("hmc", n_chains=4, n_warmup=40, n_draws=30, max_draws=60)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4, n_events=2000, n_signal=500, n_background=4500, random_state=0
    )


def draws(study, n_jobs=1, simulation=None, form="linear", seed=0):
    inference = clone(INFERENCE).set_params(batch_size=2)
    tamm = TAMMRegressor(
        TemplateComponents(bins=4),
        form,
        inference=inference,
        n_jobs=n_jobs,
        random_state=seed,
    )
    ids = study.simulation if simulation is None else simulation
    tamm.fit(study.X, study.y, simulation=ids)
    dataset = np.arange(len(study.X_target)) % 5
    return np.stack(
        [d[:, :30] for d in tamm.infer(study.X_target, dataset=dataset).draws]
    )


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SamplingWarning")
@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_draws_do_not_depend_on_the_workers(study, form):
    one = draws(study, 1, form=form)
    np.testing.assert_array_equal(one, draws(study, 2, form=form))
    np.testing.assert_array_equal(one, draws(study, 3, form=form))
    assert (one != draws(study, 1, form=form, seed=1)).all()


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize(
    ("method", "batch_size", "n_jobs", "many", "preferred"),
    [
        ("hmc", 2, 2, 1000, "processes"),
        ("hmc", 2, 1, 1000, "threads"),
        ("hmc", 5, 2, 1000, "threads"),
        ("laplace", 2, 2, 6, "threads"),
        ("laplace", 2, 2, 5, "processes"),
        ("laplace", 2, 1, 5, "threads"),
    ],
)
def test_chains_of_bins_and_many_fits_run_in_processes(
    study, monkeypatch, method, batch_size, n_jobs, many, preferred
):
    """Small steps of two threads wait for each other, longer than one takes."""
    monkeypatch.setattr("sktamm.inference._base._MANY_DATASETS", many)
    asked = []

    def parallel(**settings):
        asked.append(settings["prefer"])
        return joblib.Parallel(n_jobs=1)

    monkeypatch.setattr("sktamm.inference._base.Parallel", parallel)
    inference = clone(INFERENCE).set_params(method=method, batch_size=batch_size)
    tamm = TAMMRegressor(
        TemplateComponents(bins=4), inference=inference, n_jobs=n_jobs, random_state=0
    )
    tamm.fit(study.X, study.y, simulation=study.simulation)
    dataset = np.arange(len(study.X_target)) % 5
    several = tamm.infer(study.X_target, dataset=dataset)
    assert asked == [preferred]
    assert several.kappa.shape == (5,)


@pytest.mark.parametrize(
    "inference", [FrequentistInference(), BayesianInference("laplace")]
)
def test_fits_are_the_same_in_processes(study, monkeypatch, inference):
    inference = clone(inference).set_params(batch_size=2)
    tamm = TAMMRegressor(
        TemplateComponents(bins=4), "exponential", inference=inference, random_state=0
    )
    tamm.fit(study.X, study.y, simulation=study.simulation)
    dataset = np.arange(len(study.X_target)) % 5
    here = tamm.infer(study.X_target, dataset=dataset)
    monkeypatch.setattr("sktamm.inference._base._MANY_DATASETS", 5)
    there = tamm.set_params(n_jobs=2).infer(study.X_target, dataset=dataset)
    for name in ("kappa", "std", "interval", "flags"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SamplingWarning")
@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_draws_do_not_depend_on_the_order_of_simulations(study, form):
    renamed = np.array([30, 10, 20, 0])[study.simulation]
    np.testing.assert_allclose(
        draws(study, form=form), draws(study, simulation=renamed, form=form), rtol=1e-6
    )
