"""Columns of the zoo's table, with errors from resampling sets."""

import numpy as np

from sktamm._numerics import interval_score
from sktamm.coverage import higgsml_score

COLUMNS = [
    "row",
    "sets",
    "cov 68.3",
    "worst tenth",
    "cov 95.5",
    "worst tenth",
    "bias",
    "RMSE",
    "half-width",
    "IS 68",
    "HiggsML",
    "flagged",
    "not converged",
    "failed",
    "s",
]
LEVELS = (0.683, 0.955)
WORST = 0.1
N_RESAMPLED = 1000


def row_of(name, found):
    """Cells of one line of the table from the answers of all sets."""
    truth, kappa, low, high = arrays_of(found)
    covered = (low <= truth[..., None]) & (truth[..., None] <= high)
    flags = [flags for f in found for flags in f["flags"]]
    cells = [name, str(len(found))]
    for level in (0, 1):
        share = covered[..., level].mean(axis=1)
        cells.append(f"{share.mean():.2f} ± {error_of(share):.2f}")
        cells.append(f"{worst(share):.2f}")
    shift = kappa - truth
    width = (high - low)[..., 0]
    score = interval_score(truth, low[..., 0], high[..., 0], LEVELS[0]).mean(axis=1)
    ends = low[..., 0].ravel(), high[..., 0].ravel()
    return [
        *cells,
        f"{shift.mean():+.4f}",
        f"{np.sqrt((shift**2).mean()):.4f}",
        f"{0.5 * width.mean():.4f}",
        f"{score.mean():.4f} ± {error_of(score):.4f}",
        f"{higgsml_score(truth.ravel(), *ends, level=LEVELS[0]):.2f}",
        f"{np.mean([bool(own) for own in flags]):.2f}",
        f"{np.mean([bad(own) for own in flags]):.2f}",
        str(sum(map(failed, flags))),
        f"{np.mean([f['seconds'] for f in found]):.1f}",
    ]


def short_of(found):
    """Interval score, coverage at both levels and failures of all sets in one cell."""
    truth, _, low, high = arrays_of(found)
    covered = (low <= truth[..., None]) & (truth[..., None] <= high)
    at_68, at_95 = covered.mean(axis=(0, 1))
    score = interval_score(truth, low[..., 0], high[..., 0], LEVELS[0]).mean()
    failures = sum(failed(flags) for f in found for flags in f["flags"])
    note = f", {failures} failed" if failures else ""
    return f"{score:.3g} ({at_68:.2f}/{at_95:.2f}){note}"


def arrays_of(found):
    """Truth, kappa: (sets, targets); lower, upper ends: (sets, targets, levels)."""
    truth = np.array([f["truth"] for f in found])
    kappa = np.array([f["kappa"] for f in found])
    low, high = np.moveaxis(np.array([f["interval"] for f in found]), 2, 0)
    return truth, kappa, low, high


def error_of(values):
    """Standard error of the mean, from resampling sets; unknown for one set."""
    n = len(values)
    if n < 2:
        return np.nan
    drawn = np.random.default_rng(0).integers(0, n, (N_RESAMPLED, n))
    # n resampled sets spread like n - 1 new ones.
    return np.std(values[drawn].mean(axis=1)) * np.sqrt(n / (n - 1))


def worst(share):
    """Mean coverage of the tenth of the sets that is covered least."""
    number = max(1, round(WORST * len(share)))
    return np.sort(share)[:number].mean()


def bad(flags):
    """Whether a fit did not converge or failed."""
    return any("not_converged" in f for f in flags) or failed(flags)


def failed(flags):
    """Whether a row gave no answer."""
    return any(f.startswith("failed: ") for f in flags)
