"""The summary of a coverage study, in words."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sktamm.coverage._result import CoverageResult

__all__ = ["describe"]


def describe(result: "CoverageResult") -> str:
    """Readable account: what was studied, coverage by level, failures, flags."""
    lines = [", ".join(f"{k}: {v}" for k, v in result.settings.items())]
    row = result.table(by=()).iloc[0]
    n, n_groups = result.truth.size, int(row.n_groups)
    lines.append(
        f"{n} pseudo-experiments, {n_groups} {_plural('group', n_groups)}, "
        f"{result.seconds.sum():.1f} s of work"
    )
    for level in result.levels:
        lines.append(_coverage_line(row, f"{level:g}"))
    if n_groups > 1:
        lines += _group_lines(result.coverage_quantiles(quantiles=(0.1, 0.5, 0.9)))
    if "higgsml" in row:
        lines.append(f"HiggsML score {row.higgsml:.3f}")
    lines.append(
        f"bias {row.bias:+.5f}, rmse {row.rmse:.5f}, "
        f"pull mean {row.pull_mean:+.3f}, pull std {row.pull_std:.3f}"
    )
    lines += _counted("failed fits", result.failure[result.failed], n)
    words = [name for text in result.flags for name in text.split()]
    lines += _counted("flags", np.array(words, dtype=str), n)
    return "\n".join(line for line in lines if line)


def _coverage_line(row: pd.Series, level: str) -> str:
    lower, upper = row[f"coverage_lower_{level}"], row[f"coverage_upper_{level}"]
    return (
        f"level {level}: coverage {row[f'coverage_{level}']:.4f} "
        f"[{lower:.4f}, {upper:.4f}], "
        f"p-value {row[f'p_value_{level}']:.3g}, "
        f"mean width {row[f'mean_width_{level}']:.5f}, "
        f"interval score {row[f'interval_score_{level}']:.5f}"
    )


def _group_lines(table: pd.DataFrame) -> list[str]:
    """Coverage of the groups at every level."""
    return [
        f"level {level:g}, by group: worst tenth {row.worst_tenth:.4f} "
        f"(exact intervals {row.exact_worst_tenth:.4f}), "
        f"quantiles 10 % {row['q0.1']:.4f}, 50 % {row['q0.5']:.4f}, "
        f"90 % {row['q0.9']:.4f}"
        for level, row in table.iterrows()
    ]


def _counted(name: str, words: NDArray[Any], n: int) -> list[str]:
    """How often each word occurs, most frequent first."""
    if not words.size:
        return [f"{name}: none"]
    counts = pd.Series(words).value_counts()
    lines = [f"  {count} x {word}" for word, count in counts.items()]
    total = f" {len(words)} of {n}" if name == "failed fits" else ""
    return [f"{name}:{total}", *lines]


def _plural(noun: str, n: int) -> str:
    return noun if n == 1 else f"{noun}s"
