"""Results made from exact probabilities of the Gaussian study."""

import numpy as np
import pytest

from sktamm.datasets import bin_probabilities, draw_gaussian_parameters
from sktamm.datasets._gaussian_parameters import as_target
from sktamm.results import AdaptedTemplates, FractionResult, Profile

TRUTH = as_target(None, 2)

KAPPA = 1 / 11
N_EVENTS = 55_000


def class_probabilities(parameters, edges):
    """Background and signal, each (n_simulations, n_rows)."""
    return [
        bin_probabilities(
            getattr(parameters, f"{name}_means"),
            getattr(parameters, f"{name}_covariances"),
            edges,
        ).reshape(parameters.n_simulations, -1)
        for name in ("background", "signal")
    ]


def with_flow(values, shape):
    """Put empty flow bins around a grid of bins."""
    grid = values.reshape(*values.shape[:-1], *shape)
    padding = [(0, 0)] * (grid.ndim - len(shape)) + [(1, 1)] * len(shape)
    return np.pad(grid, padding).reshape(*values.shape[:-1], -1)


def make_templates(rng, *, n_datasets, edges, flow):
    shape = tuple(len(e) - 1 for e in edges)
    simulated = class_probabilities(draw_gaussian_parameters(12, rng), edges)
    truth = np.concatenate(class_probabilities(TRUTH, edges))
    mixture = (1 - KAPPA) * truth[0] + KAPPA * truth[1]
    counts = rng.multinomial(N_EVENTS, mixture, size=n_datasets).astype(float)
    adapted = np.broadcast_to(truth, (n_datasets, *truth.shape))
    values = [
        counts,
        counts,
        np.stack([s.mean(axis=0) for s in simulated]),
        np.concatenate(simulated),
        adapted,
    ]
    if flow:
        values = [with_flow(v, shape) for v in values]
        shape = tuple(n + 2 for n in shape)
    return AdaptedTemplates(
        edges=edges,
        shape=shape,
        flow=flow,
        feature_names=("x0", "x1"),
        counts=values[0],
        variances=values[1],
        nominal=values[2],
        simulated=values[3],
        source_class=np.repeat([0, 1], 12),
        adapted=values[4],
    )


def make_result(
    *, n_datasets=1, curve="draws", flow=False, edges=None, templates=True, seed=0
):
    rng = np.random.default_rng(seed)
    edges = edges or (np.linspace(-2, 2, 11),) * 2
    std = np.full(n_datasets, 0.012)
    kappa = KAPPA + std * rng.standard_normal(n_datasets)
    grid = kappa[:, None] + std[:, None] * np.linspace(-4, 4, 201)
    z = np.array([1.0, 2.0])
    return FractionResult(
        dataset=np.arange(n_datasets),
        classes=np.array([0, 1]),
        pos_label=1,
        kappa=kappa,
        std=std,
        levels=np.array([0.683, 0.954]),
        interval=kappa[:, None, None]
        + std[:, None, None] * np.array([[-1], [1]]) * z[None, None, :],
        fractions=np.column_stack([1 - kappa, kappa]),
        weights=(np.full((n_datasets, 3), 1 / 3), np.full((n_datasets, 3), 1 / 3)),
        n_events=np.full(n_datasets, float(N_EVENTS)),
        n_effective=np.full(n_datasets, float(N_EVENTS)),
        diagnostics={
            "converged": np.ones(n_datasets, dtype=bool),
            "goodness_of_fit": np.full(n_datasets, 0.43),
        },
        flags=((),) * n_datasets,
        method={"components": "topics", "form": "linear", "inference": "bayesian"},
        draws=kappa[:, None, None] + 0.012 * rng.standard_normal((n_datasets, 4, 1000))
        if curve == "draws"
        else None,
        profile=Profile(grid, -0.5 * ((grid - kappa[:, None]) / std[:, None]) ** 2)
        if curve == "profile"
        else None,
        templates=make_templates(rng, n_datasets=n_datasets, edges=edges, flow=flow)
        if templates
        else None,
    )


@pytest.fixture(autouse=True)
def _settings():
    """Leave the settings alone."""
    plt = pytest.importorskip("matplotlib.pyplot")
    before = dict(plt.rcParams)
    yield
    assert dict(plt.rcParams) == before


@pytest.fixture
def fake_result():
    """Factory of results with known numbers."""
    return make_result
