"""A result as a table to read, one row per dataset."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sktamm.results._digits import rounded

if TYPE_CHECKING:
    from sktamm.results._record import FractionResult

__all__ = ["result_table"]


def result_table(result: "FractionResult") -> pd.DataFrame:
    """Texts of the numbers that are quoted, one row per dataset."""
    n, std = result.kappa.size, result.std
    columns = {
        "dataset": [str(name) for name in result.dataset],
        "events": [f"{events:.10g}" for events in result.n_events],
        "blinded kappa" if result.is_blinded else "kappa": [
            rounded(result.kappa[i], std[i]) for i in range(n)
        ],
        "error": [rounded(std[i], std[i]) for i in range(n)],
    }
    for j, level in enumerate(result.levels):
        columns[f"{100 * level:.10g}% interval"] = [
            f"[{rounded(low, error)}, {rounded(high, error)}]"
            for (low, high), error in zip(result.interval[:, :, j], std, strict=True)
        ]
    p_value = result.diagnostics.get("goodness_of_fit", np.full(n, np.nan))
    if np.isfinite(p_value).any():  # unbinned data have none
        columns["fit p-value"] = [f"{p:.2g}" for p in p_value]
    columns["flags"] = [" ".join(names) or "none" for names in result.flags]
    return pd.DataFrame(columns, dtype=object)
