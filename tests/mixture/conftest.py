"""Small tables of learned ratios whose every number is known."""

from dataclasses import replace

import numpy as np
import pytest

from sktamm.base import ComponentTable, RatioError, ReferenceSample, Simulations


def make_event_table(
    n_classes=2,
    sizes=(3, 4, 2),
    *,
    n_reference=40,
    n_rows=None,
    n_terms=0,
    n_smooth=0,
    n_control=0,
    n_datasets=3,
    seed=0,
):
    """Random densities at reference rows, and at other rows if their number is given.

    Without it rows are the reference rows, as in the binned table that shares them.
    """
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(n_classes), sizes[:n_classes])
    n_components = classes.size
    weight = rng.dirichlet(np.full(n_reference, 5.0))
    reference = 0.5 * rng.normal(size=(n_reference, n_components))
    reference -= np.log(weight @ np.exp(reference))
    root = np.sqrt(weight)[:, None]
    raw = np.hstack([root, root * rng.normal(size=(n_reference, 2))])
    basis = np.linalg.qr(raw)[0][:, 1:] / root
    rows, row_basis = reference, basis
    if n_rows is not None:
        rows = 0.5 * rng.normal(size=(n_rows, n_components))
        row_basis = rng.normal(size=(n_rows, 2))
    counts = rng.integers(1, 50, (n_datasets, len(rows))).astype(float)
    error = make_error(rng, len(rows), n_reference, n_components, n_terms, n_smooth)
    simulations = Simulations(
        rows,
        reference,
        None,
        classes,
        np.arange(n_components),
        np.eye(n_components),
        False,
        error,
    )
    control = rng.normal(size=(n_reference, n_control))
    sample = ReferenceSample(
        np.arange(n_reference) % n_components,
        control,
        0.01 * np.eye(n_control),
    )
    return ComponentTable(
        log_ratio=rows,
        row_weight=counts,
        row_variance=counts,
        reference_log_ratio=reference,
        reference_weight=weight,
        component_class=classes,
        n_classes=n_classes,
        positive=n_classes - 1,
        simulations=simulations,
        basis=row_basis,
        reference_basis=basis,
        relative_variance=None,
        binned=False,
        reference_sample=sample,
        error=error,
    )


def make_error(rng, n_rows, n_reference, n_components, n_terms, n_smooth):
    """Random functions with a random covariance of their coefficients."""
    n = n_components * n_terms
    root = rng.normal(size=(n, n))
    smooth = rng.normal(size=(n_components, n_smooth, n_smooth))
    return RatioError(
        rows=rng.normal(size=(n_rows, n_components, n_terms)).astype(np.float32),
        reference=rng.normal(size=(n_reference, n_components, n_terms)).astype(
            np.float32
        ),
        covariance=root @ root.T,
        smooth_rows=rng.normal(size=(n_rows, n_smooth)),
        smooth_reference=rng.normal(size=(n_reference, n_smooth)),
        smooth_covariance=smooth @ smooth.swapaxes(1, 2),
    )


@pytest.fixture(scope="session")
def event_table():
    """Factory of tables of unbinned data."""
    return make_event_table


@pytest.fixture(scope="session")
def as_binned():
    """The same numbers as bins; only where rows are the reference rows."""
    return lambda table: replace(table, binned=True, reference_sample=None, error=None)
