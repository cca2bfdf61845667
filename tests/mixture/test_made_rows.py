"""Functions at many rows: made block by block, they are those of an array."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from few_as_many import work_in_pieces

from sktamm._numerics import row_pieces
from sktamm.base import DeferredError, RatioError
from sktamm.mixture import (
    DirichletPrior,
    ExponentialForm,
    LinearForm,
    RidgePrior,
    RowData,
    ShrinkagePrior,
)
from sktamm.mixture._made_rows import MadeRows, StackedRows, ratios_at, rows_of

RNG = np.random.default_rng(3)
LOGS, BASIS = RNG.normal(size=(40, 7)), RNG.normal(size=(40, 3))
COLUMNS = np.array([2, 3, 4, 5])
COEFFICIENTS = RNG.normal(size=(7, 5))
BLENDS = np.hstack([LOGS[:, COLUMNS], BASIS]) @ COEFFICIENTS
BLOCK = slice(11, 24)


@pytest.fixture
def many(monkeypatch):
    """Ten rows are many, in pieces of seven."""
    return partial(work_in_pieces, monkeypatch, 10, 7)


def _kinds():
    stacked = StackedRows(LOGS, COLUMNS, BASIS)
    return [
        (stacked @ COEFFICIENTS, BLENDS),
        (ratios_at(LOGS, COLUMNS), np.exp(LOGS[:, COLUMNS])),
    ]


def test_pieces_hold_every_row_once(many):
    assert row_pieces(40) == [slice(0, 40)]
    many()
    assert row_pieces(10) == [slice(0, 10)]
    rows = np.concatenate([np.arange(40)[piece] for piece in row_pieces(40)])
    np.testing.assert_array_equal(rows, np.arange(40))
    assert max(piece.stop - piece.start for piece in row_pieces(40)) == 7


def test_blocks_and_sums_are_those_of_the_array(many):
    many()
    for made, array in _kinds():
        assert isinstance(made, MadeRows)
        assert made.shape == array.shape
        params = RNG.normal(size=(2, array.shape[1]))
        weight = RNG.normal(size=(2, 13))

        def check(made=made, array=array, params=params, weight=weight):
            blended, total = made.blended(params, BLOCK), made.total(weight, BLOCK)
            np.testing.assert_allclose(blended, params @ array[BLOCK].T, rtol=1e-12)
            np.testing.assert_allclose(total, weight @ array[BLOCK], rtol=1e-12)

        check()
        np.testing.assert_allclose(made[BLOCK], array[BLOCK], rtol=1e-12)
        assert made.keeps(BLOCK)
        check()
        np.testing.assert_allclose(made.T[:, BLOCK], array[BLOCK].T, rtol=1e-12)
        np.testing.assert_allclose(made[3:9], array[3:9], rtol=1e-12)


def test_some_rows_are_those_of_the_array(many):
    many()
    few, some = np.array([1, 5, 30]), np.sort(RNG.permutation(40)[:20])
    for made, array in _kinds():
        for rows in (few, slice(9, 15)):
            taken = rows_of(made, rows)
            assert isinstance(taken, np.ndarray)
            np.testing.assert_allclose(taken, array[rows], rtol=1e-12)
        for rows in (some, slice(5, 33)):
            taken = rows_of(made, rows)
            assert isinstance(taken, MadeRows)
            np.testing.assert_allclose(taken[4:17], array[rows][4:17], rtol=1e-12)


def test_one_blend_is_an_array(many):
    many()
    one = StackedRows(LOGS, COLUMNS, BASIS) @ COEFFICIENTS[:, 0]
    np.testing.assert_allclose(one, BLENDS[:, 0], rtol=1e-12)


class _Rows:
    """Makes an error from the numbers of its rows."""

    def __init__(self, error):
        self.error = error

    def __call__(self, X):
        return self.error.take_rows(X[:, 0].astype(int))


def _deferred(error):
    numbers = np.arange(float(len(error.rows)))[:, None]
    return DeferredError(numbers, _Rows(error), error.none)


@pytest.mark.parametrize(
    "choice",
    [
        (ExponentialForm(), ShrinkagePrior()),
        (ExponentialForm(), RidgePrior()),
        (LinearForm(), DirichletPrior()),
    ],
)
def test_a_mixture_of_many_rows_is_that_of_few(event_table, choice, many):
    """All that is summed over rows, and all that is known at each one."""
    table = event_table(3, n_rows=40, n_datasets=2, n_terms=2, n_smooth=3)
    rng = np.random.default_rng(5)

    def everything(table):
        model = choice[0].build(table, choice[1])
        theta, direction = 0.3 * rng.normal(size=(2, 2, model.n_params))
        theta[:, : model.n_fractions] = rng.uniform(0.1, 0.4, (2, model.n_fractions))
        data, rows = RowData(table.row_weight), np.arange(3, 40, 2)
        part, own = model.take_rows(rows), RowData(data.observed[:, rows])
        return model, [
            *model.step_terms(theta, data),
            *model.value_and_gradient(theta, data),
            model.hessian(theta, data),
            model.class_log_density(theta),
            model.row_density(theta),
            model.score_along(theta, direction),
            *model.extra_variance(theta, direction, data, table).values(),
            model.value(theta, data.take(np.array([1, 1]))),
            part.hessian(theta, own),
            part.score_along(theta, direction),
        ]

    _, few = everything(table)
    rng = np.random.default_rng(5)
    many()
    error = _deferred(table.error)
    simulations = replace(table.simulations, error=error)
    model, other = everything(replace(table, error=error, simulations=simulations))
    assert all(isinstance(density.features, MadeRows) for density in model.events)
    for one, same in zip(few, other, strict=True):
        np.testing.assert_allclose(same, one, rtol=1e-9, atol=1e-12)


def test_data_of_one_dataset_again_and_again_take_no_memory(many):
    data = RowData(np.arange(40.0)[None])
    copied = data.take(np.zeros(3, dtype=int)).observed
    many()
    shared = data.take(np.zeros(3, dtype=int))
    again = shared.take(np.array([2, 0])).observed
    assert copied.strides[0]
    assert shared.observed.strides[0] == again.strides[0] == 0
    np.testing.assert_array_equal(shared.observed, copied)
    np.testing.assert_array_equal(again, copied[:2])
    assert RowData(copied).take(np.array([1])).observed.strides[0]


def test_a_deferred_error_makes_what_it_stands_for(event_table, many):
    error = event_table(2, n_rows=40, n_terms=2, n_smooth=3).error
    many()
    deferred = _deferred(error)
    some = deferred.take_rows(np.arange(0, 40, 2))
    assert isinstance(some, DeferredError)
    part = some.take_rows(slice(2, 9))
    assert isinstance(part, RatioError)
    np.testing.assert_array_equal(part.rows, error.rows[4:18:2])
    np.testing.assert_array_equal(part.smooth_rows, error.smooth_rows[4:18:2])
    assert deferred.none.rows.shape == (0, *error.rows.shape[1:])


def test_pieces_of_a_mixture_keep_what_the_reference_says(event_table, many):
    table = event_table(2, n_rows=40)
    many()
    model = ExponentialForm().build(table, ShrinkagePrior())
    for rows, part in model.pieces(model.start(1)):
        assert part.n_rows == rows.stop - rows.start
        for density, own in zip(model.events, part.events, strict=True):
            assert own._last is density._last is not None
