"""The error of a finite reference sample, from its rows as they are."""

import numpy as np
import pytest

from sktamm.base import ReferenceSample
from sktamm.mixture._sensitivity import _Strata


class Table:
    """A table of nothing but reference rows."""

    def __init__(self, n_functions, drawn):
        rng = np.random.default_rng(n_functions)
        n_rows = 5_000
        self.reference_weight = rng.dirichlet(np.full(n_rows, 5.0))
        self.reference_sample = ReferenceSample(
            rng.integers(0, 4, n_rows),
            rng.normal(2.0, 1.0, (n_rows, n_functions)),
            1e-5 * np.eye(n_functions),
            rng.normal(1.0, 0.5, n_rows) / n_rows if drawn else None,
        )


def direct(influence, table):
    """Weighted regression on the control functions, then strata one by one."""
    sample, weight = table.reference_sample, table.reference_weight
    design = np.column_stack([np.ones(weight.size), sample.control])
    root = np.sqrt(weight)[:, None]
    found = np.linalg.lstsq(root * design, root[:, 0] * influence, rcond=None)[0]
    influence = influence - design @ found
    total = found[1:] @ sample.covariance @ found[1:]
    drawn = weight if sample.drawn_weight is None else sample.drawn_weight
    for k in range(4):
        own = sample.source == k
        mean = np.average(influence[own], weights=weight[own])
        square = (drawn[own] * (influence[own] - mean)) ** 2
        total += square.sum() * own.sum() / (own.sum() - 1)
    return total


@pytest.mark.parametrize("n_functions", [0, 1, 5])
@pytest.mark.parametrize("drawn", [False, True])
def test_variance_of_strata_with_control_functions(n_functions, drawn):
    table = Table(n_functions, drawn)
    rng = np.random.default_rng(9)
    control = table.reference_sample.control
    influence = rng.normal(size=len(control)) + control.sum(axis=1)
    np.testing.assert_allclose(
        _Strata(table).variance(influence), direct(influence, table), rtol=1e-6
    )
