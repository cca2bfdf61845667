"""Draws of all parameters of the mixture: fractions and blends, as one answer has them.

    chains          the positions that Hamiltonian Monte Carlo visits
    Laplace         a normal in log ratios of the fractions, kappa as its posterior
    frequentist     a normal of the curvature, kappa with its standard error

Kappa is drawn from the answer, which knows of errors that the rows do not have, and the
rest follows it as the local covariance says.
"""

from typing import Any

import numpy as np
from scipy import special

from sktamm._numerics import FloatArray
from sktamm.base import ComponentTable
from sktamm.inference._base import Answer, Batch, Fit, made_regular
from sktamm.inference._sampling import sample_posterior
from sktamm.inference._simplex import OnSimplex
from sktamm.inference._targets import posterior_space

__all__ = ["parameter_draws"]


def parameter_draws(
    inference: Any,
    table: ComponentTable,
    model: Any,
    answer: Answer,
    n_draws: int,
    *,
    bounded: bool,
    seed: np.random.SeedSequence,
) -> FloatArray:
    """Draws theta (n_draws, n_params) of the only dataset of a table."""
    model = inference.on_device(model)
    if not table.binned:
        table, rows = table.select(slice(0, 1))
        model = model.take_rows(rows)
    fit = inference._fit(Batch(table, model, slice(0, 1), bounded))
    if answer.draws is not None:
        return _visited(inference, fit, n_draws, seed)
    rng = np.random.default_rng(seed)
    if inference.has_posterior:
        return _around(fit, answer, n_draws, rng)
    theta = _normal(fit, answer, n_draws, rng)
    if bounded:
        theta[:, 0] = np.clip(theta[:, 0], 0.0, 1.0)
    return theta


def _visited(
    inference: Any, fit: Fit, n_draws: int, seed: np.random.SeedSequence
) -> FloatArray:
    """Positions of chains as long as those of the answer, thinned."""
    model = fit.model
    space = posterior_space(model, fit.data.rows, fit.optimum.theta)
    chains, choice = seed.spawn(2)
    posterior = sample_posterior(
        space.target,
        space.start,
        space.covariance,
        [chains],
        monitor=space.theta,
        min_ess=inference.min_ess,
        n_chains=inference.n_chains,
        n_warmup=inference.n_warmup,
        n_draws=inference.n_draws,
        max_draws=inference.max_draws,
        n_leapfrog=space.n_leapfrog,
        target_acceptance=space.target_acceptance,
        xp=model.xp,
    )
    values = posterior.values[0].reshape(-1, model.n_params)
    rng = np.random.default_rng(choice)
    return values[rng.choice(len(values), n_draws, replace=n_draws > len(values))]


def _around(
    fit: Fit, answer: Answer, n_draws: int, rng: np.random.Generator
) -> FloatArray:
    """Normal draws in log ratios of the fractions, kappa put on its posterior."""
    model, simplex = fit.model, OnSimplex(fit.model)
    position = simplex.position(answer.theta)
    precision = made_regular(simplex.precision(position, fit.data.rows))
    covariance = np.asarray(np.linalg.inv(precision))
    root = np.linalg.cholesky(covariance[0])
    unit = rng.standard_normal((n_draws, model.n_params))
    theta = simplex.theta(position + unit @ root.T)
    slope = _slope_of_kappa(simplex, position) @ root
    # the share of draws below, in a normal along this slope
    share = special.ndtr(unit @ slope / np.linalg.norm(slope))
    kappa = _quantiles(answer, share)
    others = slice(1, model.n_fractions)
    theta[:, others] *= ((1.0 - kappa) / (1.0 - theta[:, 0]))[:, None]
    theta[:, 0] = kappa
    return theta


def _slope_of_kappa(simplex: OnSimplex, position: FloatArray) -> FloatArray:
    """Derivative of kappa by the position, (n_params,)."""
    free = simplex.theta(position)[0, : simplex.n_fractions]
    fractions = np.append(free, 1.0 - free.sum())
    slope = np.zeros(simplex.n_params)
    change = fractions[0] * (simplex.contrast[0] - fractions @ simplex.contrast)
    slope[: simplex.n_fractions] = change
    return slope


def _quantiles(answer: Answer, share: FloatArray) -> FloatArray:
    """Values of kappa with these shares (n_draws,) of its posterior below them."""
    kappa, logs = answer.curve_kappa[0], answer.curve_log_density[0]
    density = np.exp(logs - logs.max())
    step = 0.5 * (density[1:] + density[:-1]) * np.diff(kappa)
    below = np.append(0.0, np.cumsum(step))
    return np.interp(share, below / below[-1], kappa)


def _normal(
    fit: Fit, answer: Answer, n_draws: int, rng: np.random.Generator
) -> FloatArray:
    """Normal draws: kappa with its standard error, the rest as it goes with kappa."""
    covariance = fit.covariance[0]
    along = covariance[:, 0] / covariance[0, 0]
    rest = covariance - np.outer(along, covariance[0])
    values, vectors = np.linalg.eigh(rest)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    moved = answer.std[0] * rng.standard_normal(n_draws)
    unit = rng.standard_normal((n_draws, len(values)))
    return answer.theta + moved[:, None] * along + unit @ root.T
