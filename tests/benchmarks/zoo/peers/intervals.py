"""Answers of a row from errors, or from draws of kappa."""

import numpy as np
from scipy import stats

WIDE = 1e3  # an error that reaches all of [0, 1] at any level


def of_error(found, levels):
    """Of kappa, error and validity of every target: kappa +- z error within [0, 1].

    An error that is no number knows nothing, and is not valid.
    """
    kappa, error, valid = (np.array(v, float) for v in zip(*found, strict=True))
    known = np.isfinite(error)
    error, valid = np.where(known, error, WIDE), np.where(known, valid, 0.0)
    reach = error[:, None] * stats.norm.ppf(0.5 + 0.5 * np.array(levels))
    ends = np.stack([kappa[:, None] - reach, kappa[:, None] + reach], axis=1)
    return {
        "kappa": kappa.tolist(),
        "interval": np.clip(ends, 0.0, 1.0).tolist(),
        "flags": [[] if own else ["not_converged"] for own in valid],
    }


def of_draws(draws, levels, flags):
    """Of draws (n_targets, n_draws): mean and equal-tailed intervals."""
    levels = np.array(levels)
    ends = [np.quantile(draws, 0.5 + s * levels / 2, axis=1).T for s in (-1, 1)]
    return {
        "kappa": draws.mean(axis=1).tolist(),
        "interval": np.stack(ends, axis=1).tolist(),
        "flags": flags,
    }
