"""Errors beyond the target: derivatives of a Newton step, found by moving things."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sktamm.base import ComponentTable, ReferenceSample, Simulations
from sktamm.inference._optimise import maximise
from sktamm.mixture import (
    DirichletPrior,
    EventMixture,
    ExponentialForm,
    LinearForm,
    RidgePrior,
    RowData,
    ShrinkagePrior,
    SimulationsPrior,
)
from sktamm.mixture._event_densities import EventExponential, EventLinear
from sktamm.mixture._sensitivity import extra_variance

STEP = 1e-5
CHOICES = {
    "linear": (LinearForm(), DirichletPrior(1.5)),
    "ridge": (ExponentialForm(), RidgePrior()),
    "simulations": (ExponentialForm(), SimulationsPrior()),
    "shrinkage": (ExponentialForm(), ShrinkagePrior()),
}


@pytest.fixture(params=CHOICES.values(), ids=CHOICES.keys())
def choice(request):
    return request.param


def _moved(model, table, *, rows=0.0, reference=0.0, weight=0.0):
    """The mixture with other log ratios and reference weights, all else as it was.

    The coefficients that a prior has taken from the simulations stay.
    """
    rows = rows + np.zeros_like(table.log_ratio)
    reference = reference + np.zeros_like(table.reference_log_ratio)
    weight = table.reference_weight + weight
    densities = []
    for c, old in enumerate(model.events):
        columns = table.components_of(c)
        if isinstance(old, EventLinear):
            logs = table.log_ratio[:, columns] + rows[:, columns]
            ours = table.reference_log_ratio[:, columns] + reference[:, columns]
            norm = np.log(weight @ np.exp(ours))
            densities.append(EventLinear(np.exp(logs - norm), np.exp(ours - norm)))
            continue
        offset, directions = old.blend
        densities.append(
            EventExponential(
                old.offset + rows[:, columns] @ offset,
                old.features + rows[:, columns] @ directions,
                old.reference_offset + reference[:, columns] @ offset,
                old.reference_features + reference[:, columns] @ directions,
                weight,
                old.blend,
            )
        )
    positive = model.free_classes[0]
    spans = model.spans_simulations
    return EventMixture(densities, model.blocks, positive, weight, spans)


def _shift(model, table, theta, direction, data, change):
    """Derivative of the Newton step of kappa under a change of unit size."""
    gradients = [
        _moved(
            model, table, **{name: sign * STEP * x for name, x in change.items()}
        ).value_and_gradient(theta, data)[1]
        for sign in (1, -1)
    ]
    return float(direction[0] @ (gradients[0] - gradients[1])[0] / (2 * STEP))


def _problem(event_table, choice, n_classes=2, **options):
    table = event_table(n_classes, n_rows=25, n_datasets=1, **options)
    model = choice[0].build(table, choice[1])
    data = RowData(table.row_weight)
    rng = np.random.default_rng(7)
    theta = 0.3 * rng.normal(size=(1, model.n_params))
    theta[:, : model.n_fractions] = rng.uniform(0.1, 0.4, (1, model.n_fractions))
    direction = rng.normal(size=(1, model.n_params))
    return model, table, theta, direction, data


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_error_of_ratios_is_that_of_moved_ratios(event_table, choice, n_classes):
    """Every coefficient of members and of smooth functions moves kappa as claimed."""
    problem = _problem(event_table, choice, n_classes, n_terms=2, n_smooth=3)
    model, table, theta, direction, data = problem
    error = table.error
    n_components, n_terms = error.rows.shape[1:]
    n_smooth = error.smooth_rows.shape[1]
    members = np.zeros((n_components, n_terms))
    smooth = np.zeros((n_components, n_smooth))
    for k in range(n_components):
        only = np.arange(n_components) == k
        for t in range(n_terms):
            members[k, t] = _shift(
                *problem,
                {
                    "rows": error.rows[:, k, t, None] * only,
                    "reference": error.reference[:, k, t, None] * only,
                },
            )
        for j in range(n_smooth):
            smooth[k, j] = _shift(
                *problem,
                {
                    "rows": error.smooth_rows[:, j, None] * only,
                    "reference": error.smooth_reference[:, j, None] * only,
                },
            )
    expected = members.ravel() @ error.covariance @ members.ravel()
    for k in range(n_components):
        expected += smooth[k] @ error.smooth_covariance[k] @ smooth[k]
    found = extra_variance(model, theta, direction, data, table)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    # one coefficient alone, where nothing can cancel
    for k, t in ((0, 0), (n_components - 1, 1)):
        one = np.zeros_like(error.covariance)
        one[k * n_terms + t, k * n_terms + t] = 1.0
        alone = replace(
            error,
            covariance=one,
            smooth_covariance=np.zeros_like(error.smooth_covariance),
        )
        single = _with_error(table, alone)
        found = extra_variance(model, theta, direction, data, single)[1]
        np.testing.assert_allclose(found, members[k, t] ** 2, rtol=1e-4, atol=1e-10)


def _with_error(table, error):
    simulations = replace(table.simulations, error=error)
    return replace(table, error=error, simulations=simulations)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_control", [0, 2])
def test_the_error_of_the_reference_is_that_of_moved_weights(
    event_table, choice, n_classes, n_control
):
    """Sources are strata; known means take away what controls explain."""
    problem = _problem(event_table, choice, n_classes, n_control=n_control)
    model, table, theta, direction, data = problem
    weight, sample = table.reference_weight, table.reference_sample
    unit = np.eye(weight.size)
    influence = np.array([_shift(*problem, {"weight": row}) for row in unit])
    assert abs(weight @ influence) < 1e-4 * np.abs(weight * influence).sum()
    known = 0.0
    if n_control:
        design = np.column_stack([np.ones(weight.size), sample.control])
        root = np.sqrt(weight)
        slope = np.linalg.lstsq(design * root[:, None], influence * root, rcond=None)[
            0
        ][1:]
        centred = sample.control - weight @ sample.control
        influence = influence - centred @ slope
        known = slope @ sample.covariance @ slope
    expected = known
    for k in np.unique(sample.source):
        own = sample.source == k
        mean = weight[own] @ influence[own] / weight[own].sum()
        n = own.sum()
        expected += n / (n - 1) * (weight[own] ** 2 @ (influence[own] - mean) ** 2)
    found = extra_variance(model, theta, direction, data, table)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_rows_drawn_with_signed_weights_have_the_error_of_those(event_table, choice):
    """Three times as large at every row, in whatever sign: nine times the variance."""
    model, table, theta, direction, data = _problem(event_table, choice)
    sign = np.where(np.arange(table.reference_weight.size) % 3, 3.0, -3.0)
    drawn = sign * table.reference_weight
    sample = replace(table.reference_sample, drawn_weight=drawn)
    signed = replace(table, reference_sample=sample)
    one, nine = (
        extra_variance(model, theta, direction, data, t)[0] for t in (table, signed)
    )
    known = replace(sample, drawn_weight=0.0 * drawn)
    rest = replace(table, reference_sample=known)
    least = extra_variance(model, theta, direction, data, rest)[0]
    np.testing.assert_allclose(nine - least, 9.0 * (one - least))


def test_nothing_unknown_adds_nothing(event_table, choice):
    model, table, theta, direction, data = _problem(event_table, choice)
    known = replace(_with_error(table, None), reference_sample=None)
    for values in extra_variance(model, theta, direction, data, known):
        np.testing.assert_array_equal(values, 0.0)


def test_fits_of_a_batch_do_not_touch_each_other(event_table, choice):
    table = event_table(n_rows=25, n_terms=2, n_smooth=1, n_datasets=3)
    model = choice[0].build(table, choice[1])
    data = RowData(table.row_weight)
    theta = model.start(3)
    theta[:, 0] = [0.2, 0.3, 0.4]
    direction = np.random.default_rng(0).normal(size=theta.shape)
    together = extra_variance(model, theta, direction, data, table)
    for i in range(3):
        one = slice(i, i + 1)
        alone = extra_variance(
            model, theta[one], direction[one], data.take(np.array([i])), table
        )
        np.testing.assert_allclose([v[i] for v in together], np.ravel(alone))


# ------------------------------------------------------------ against new references
CENTRES = np.array([-0.1, 0.1, 1.4, 1.6])
CLASS = np.array([0, 0, 1, 1])


def _log_ratio(x, weight=None):
    log_p = stats.norm.logpdf(x[:, None], CENTRES)
    return log_p - np.log(np.exp(log_p).mean(axis=1, keepdims=True))


def _drawn_table(x, n_each, rng):
    """Exact ratios, normalised on a random reference of so many rows per source."""
    source = np.repeat(np.arange(4), n_each)
    reference = rng.normal(CENTRES[source])
    weight = np.full(source.size, 1.0 / source.size)
    logs = _log_ratio(reference)
    norm = np.log(weight @ np.exp(logs))
    rows, logs = _log_ratio(x) - norm, logs - norm
    none = np.zeros((len(x), 0)), np.zeros((source.size, 0))
    simulations = Simulations(
        rows, logs, None, CLASS, np.array([0, 1, 0, 1]), np.eye(4), False
    )
    return ComponentTable(
        log_ratio=rows,
        row_weight=np.ones((1, len(x))),
        row_variance=np.ones((1, len(x))),
        reference_log_ratio=logs,
        reference_weight=weight,
        component_class=CLASS,
        n_classes=2,
        positive=1,
        simulations=simulations,
        basis=none[0],
        reference_basis=none[1],
        relative_variance=None,
        binned=False,
        reference_sample=ReferenceSample(source, none[1], np.zeros((0, 0))),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "ridge", "simulations"])
def test_the_error_of_the_reference_is_the_scatter_over_references(name):
    """Variance of kappa over 400 references of one target, within four sigmas."""
    form, prior = CHOICES[name]
    rng = np.random.default_rng(11)
    signal = rng.random(4000) < 0.3
    x = rng.normal(np.where(signal, 1.5, 0.0))
    n_trials = 400
    kappa, claimed = np.empty(n_trials), np.empty(n_trials)
    for i in range(n_trials):
        table = _drawn_table(x, 250, rng)
        model = form.build(table, prior)
        data = RowData(table.row_weight)
        blends = slice(model.n_fractions, None)
        first = maximise(model, model.start(1), data, fixed=blends)
        fit = maximise(model, first.theta, data)
        assert fit.converged.all()
        kappa[i] = fit.theta[0, 0]
        direction = np.linalg.inv(-model.hessian(fit.theta, data))[:, :, 0]
        claimed[i] = extra_variance(model, fit.theta, direction, data, table)[0][0]
    ratio = kappa.var(ddof=1) / claimed.mean()
    # 250 rows per source leave corrections of relative order 1 / 250 of the rows
    assert ratio == pytest.approx(1.0, abs=4 * np.sqrt(2 / n_trials) + 0.05)
