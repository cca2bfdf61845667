"""Draws repeat: for any number of workers, and for other names of the simulations."""

import numpy as np
import pytest
from sklearn.base import clone

from sktamm import TAMMRegressor
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.inference import BayesianInference

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


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SamplingWarning")
@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_draws_do_not_depend_on_the_order_of_simulations(study, form):
    renamed = np.array([30, 10, 20, 0])[study.simulation]
    np.testing.assert_allclose(
        draws(study, form=form), draws(study, simulation=renamed, form=form), rtol=1e-6
    )
