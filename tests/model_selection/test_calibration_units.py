"""Simulations that play the truth: matching, pseudo-datasets, sizes."""

import numpy as np
import pytest

from sktamm.events import read_simulations
from sktamm.exceptions import InvalidInputError
from sktamm.model_selection._calibration_units import (
    design_near,
    draw_datasets,
    find_units,
)

N = 400


def _events(n_simulations=(4, 4), names=None, weight=None):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], np.multiply(n_simulations, N))
    number = np.concatenate([np.repeat(np.arange(n), N) for n in n_simulations])
    X = rng.normal(size=(y.size, 2)) + 0.1 * number[:, None]
    ids = number if names is None else names(y, number)
    return read_simulations(X, y, simulation=ids, sample_weight=weight)


def _units(events, seed=0):
    return find_units(events, np.random.default_rng(seed))


def test_simulations_with_a_common_id_stay_together():
    units = _units(_events())
    assert sorted(unit.ids.tolist() for unit in units) == [[k, k] for k in range(4)]
    for unit in units:
        assert [rows.size for rows in unit.events] == [N, N]


def test_others_are_matched_once_each_and_reproducibly():
    events = _events((3, 5), lambda y, k: k + 100 * y)
    units = _units(events)
    assert len(units) == 3
    assert sorted(int(unit.ids[0]) for unit in units) == [0, 1, 2]
    assert len({int(unit.ids[1]) for unit in units}) == 3
    again = _units(events)
    assert [u.ids.tolist() for u in units] == [u.ids.tolist() for u in again]


def test_names_do_not_matter():
    plain = _units(_events((3, 5), lambda y, k: k + 100 * y))
    other = _units(_events((3, 5), lambda y, k: 10 * ((k + 2) % 5) + y))
    for one, two in zip(plain, other, strict=True):
        np.testing.assert_array_equal(one.X, two.X)


def test_one_simulation_is_refused():
    with pytest.raises(InvalidInputError, match="at least two simulations"):
        _units(_events((4, 1)))


def test_pseudo_datasets_are_drawn_without_replacement():
    [unit, *_] = _units(_events())
    design = design_near(np.array([[0.7, 0.3]]), np.array([300.0]), 1)
    counts = draw_datasets(unit, design, 5, np.random.SeedSequence(0)).toarray()
    assert counts.shape == (2 * N, 5)
    assert counts.max() == 1.0
    np.testing.assert_allclose(counts.sum(axis=0), design.size.round()[0], atol=1)
    signal = counts[unit.events[1]].sum(axis=0)
    expected = design.fractions[0, 1] * design.size[0]
    # Five binomial numbers of variance n p (1 - p): 5 sigma, false alarm 3e-6.
    assert np.abs(signal - expected).max() < 5.0 * np.sqrt(0.7 * expected)


def test_target_beyond_the_simulations_gets_smaller_pseudo_datasets():
    [unit, *_] = _units(_events())
    design = design_near(np.array([[0.9, 0.1]]), np.array([1e6]), 1)
    counts = draw_datasets(unit, design, 3, np.random.SeedSequence(0)).toarray()
    background = counts[unit.events[0]].sum(axis=0)
    # n + 6 sqrt(n) = 400 has the solution n = 297.
    assert (background > 297 - 5 * np.sqrt(297)).all()
    assert (background <= N).all()
    share = counts[unit.events[1]].sum(axis=0) / counts.sum(axis=0)
    assert np.abs(share - design.fractions[0, 1]).max() < 5 * np.sqrt(0.09 / 330)


def test_weights_are_kept_and_make_datasets_larger():
    rng = np.random.default_rng(1)
    weight = np.where(rng.random(8 * N) < 0.1, -1.0, 1.0)
    [unit, *_] = _units(_events(weight=weight))
    for rows in unit.events:
        assert unit.weight[rows].mean() == pytest.approx(1.0)
    design = design_near(np.array([[0.5, 0.5]]), np.array([128.0]), 1)
    counts = draw_datasets(unit, design, 1, np.random.SeedSequence(0))
    assert counts.sum() == pytest.approx(128.0 * unit.squares.mean(), abs=1)
    assert unit.squares.min() > 1.2


def test_near_targets_share_a_kind_and_the_kind_is_near():
    kappa = np.array([0.0, 0.0901, 0.0902, 0.5, 1.0])
    design = design_near(np.column_stack([1 - kappa, kappa]), np.full(5, 55_000.0), 1)
    assert design.kind[1] == design.kind[2]
    assert len(design.size) == 4
    found = design.fractions[design.kind, 1]
    assert np.abs(found - kappa).max() < 0.0125
    assert found.min() > 0.0
    assert found.max() < 1.0
    np.testing.assert_allclose(design.fractions.sum(axis=1), 1.0)
    assert np.abs(np.log2(design.size / 55_000.0)).max() <= 1 / 16 + 1e-12


def test_kind_of_a_target_does_not_depend_on_the_others():
    fractions = np.array([[0.2, 0.5, 0.3], [0.6, 0.0, 0.4], [0.0, 0.0, 1.0]])
    size = np.array([900.0, 70.0, 5_000.0])
    design = design_near(fractions, size, 2)
    for i in range(3):
        alone = design_near(fractions[[i]], size[[i]], 2)
        np.testing.assert_array_equal(alone.key[0], design.key[design.kind[i]])
    assert design.fractions[design.kind[1], 1] == 0.0
