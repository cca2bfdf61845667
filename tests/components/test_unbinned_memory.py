"""What an unbinned fit keeps per event: no second copy of what the table holds."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logsumexp

from sktamm import NeuralRatioTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.mixture import ExponentialForm, ShrinkagePrior
from sktamm.ratios._sample import relative_to_mixture

STUDY = make_gaussian_study(n_simulations=3, n_events=600, random_state=0)


@pytest.fixture(scope="module")
def tamm():
    tamm = NeuralRatioTAMM("logistic", projection=None, random_state=0)
    return tamm.fit(STUDY.X, STUDY.y, simulation=STUDY.simulation)


def test_one_dataset_of_all_events_is_not_copied(tamm):
    table, _ = tamm.tabulate(STUDY.X_target[:500], None, None)
    model = ExponentialForm().build(table, ShrinkagePrior())
    part, rows = table.select(slice(0, 1))
    assert np.array_equal(rows, np.arange(500))
    assert part.log_ratio is table.log_ratio
    assert part.basis is table.basis
    assert part.simulations is table.simulations
    for own, density in zip(model.take_rows(rows).events, model.events, strict=True):
        assert own.features is density.features
        assert own._last is None


def test_datasets_of_some_events_have_rows_of_their_own(tamm):
    counts = np.zeros((500, 2), dtype=np.uint8)
    counts[::2, 0] = counts[1::5, 1] = 1
    for given in (counts, sparse.csr_array(counts)):
        table, _ = tamm.tabulate(STUDY.X_target[:500], given, None)
        part, rows = table.select(slice(0, 1))
        np.testing.assert_array_equal(rows, np.arange(0, 500, 2))
        np.testing.assert_array_equal(part.log_ratio, table.log_ratio[::2])


def test_priors_keep_the_reference_alone(tamm):
    table, _ = tamm.tabulate(STUDY.X_target[:500], None, None)
    penalty = ShrinkagePrior().expand(table, 0).penalty
    known = penalty.left_out.args[0]
    assert known.rows is known.reference


def test_blocks_of_ratios_are_those_of_all_rows():
    logs = np.random.default_rng(0).normal(size=(70_000, 3, 2)).astype(np.float32)
    whole = logs - (logsumexp(logs, axis=1, keepdims=True) - np.log(3))
    np.testing.assert_allclose(relative_to_mixture(logs), whole, rtol=0, atol=2e-6)
