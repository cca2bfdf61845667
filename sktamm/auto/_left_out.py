"""Every simulation plays the truth for the candidates without it.

What counts is the interval score (Gneiting and Raftery 2007) of pseudo-datasets of the
simulation left out. A simulation is one piece of evidence, whatever their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sktamm._numerics import FloatArray, interval_score

__all__ = ["LeftOutScores", "judged"]


@dataclass(frozen=True, eq=False)
class LeftOutScores:
    """How candidates measured simulations that they did not know.

    Attributes
    ----------
    names : tuple of str, length n_candidates
        Candidates, the default first.
    chosen : str
        The one that answers.
    simulations : tuple of ndarray of shape (n_classes,), length n_units
        Ids, one of every class, of the simulations that played the truth.
    truth : ndarray of shape (n_datasets,)
        Fractions of the pseudo-datasets.
    level : float
        Level of the intervals.
    kappa : ndarray of shape (n_candidates, n_units, n_datasets)
        Estimates.
    interval : ndarray of shape (n_candidates, n_units, n_datasets, 2)
        Intervals.
    """

    names: tuple[str, ...]
    chosen: str
    simulations: tuple[NDArray[Any], ...]
    truth: FloatArray
    level: float
    kappa: FloatArray
    interval: FloatArray

    @cached_property
    def interval_score(self) -> FloatArray:
        """Mean interval score of every simulation, (n_candidates, n_units)."""
        low, high = self.interval[..., 0], self.interval[..., 1]
        scores: FloatArray = interval_score(self.truth, low, high, self.level)
        return scores.mean(axis=-1)

    @cached_property
    def coverage(self) -> FloatArray:
        """Share of pseudo-datasets covered, shape (n_candidates,)."""
        low, high = self.interval[..., 0], self.interval[..., 1]
        inside = (low <= self.truth) & (self.truth <= high)
        return inside.mean(axis=(1, 2))

    @cached_property
    def gain(self) -> FloatArray:
        """Log of the default's score over the candidate's, (n_candidates, n_units)."""
        logs = np.log(self.interval_score)
        return np.asarray(logs[:1] - logs)

    @cached_property
    def p_value(self) -> FloatArray:
        """Of the mean gains if no candidate had any, shape (n_candidates,)."""
        # Paired t over simulations, times the number of candidates (Bonferroni).
        one = paired_p_values(self.gain)
        return np.minimum(one * max(len(self.names) - 1, 1), 1.0)

    def to_frame(self) -> pd.DataFrame:
        """One row per candidate.

        Columns ``interval_score`` (geometric mean over simulations), ``gain``,
        ``p_value``, ``coverage``, ``half_width``, ``bias`` and ``chosen``.
        """
        width = np.diff(self.interval, axis=-1).mean(axis=(1, 2))[:, 0]
        columns = {
            "interval_score": np.exp(np.log(self.interval_score).mean(axis=1)),
            "gain": self.gain.mean(axis=1),
            "p_value": self.p_value,
            "coverage": self.coverage,
            "half_width": 0.5 * width,
            "bias": (self.kappa - self.truth).mean(axis=(1, 2)),
            "chosen": [name == self.chosen for name in self.names],
        }
        return pd.DataFrame(columns, index=pd.Index(self.names, name="candidate"))

    def why(self) -> str:
        """The choice in a sentence."""
        mean = np.exp(np.log(self.interval_score).mean(axis=1))
        scores = zip(self.names, mean, strict=True)
        shown = "; ".join(f"{name} {score:.3g}" for name, score in scores)
        best = self.names.index(self.chosen)
        surely = f"{self.chosen} surely better, p = {self.p_value[best]:.2g}"
        why = surely if best else f"none surely better than {self.names[0]}"
        return f"interval scores {shown} ({why})"

    def __repr__(self) -> str:
        """Short form: how many candidates and simulations, and what was chosen."""
        return (
            f"LeftOutScores(n_candidates={len(self.names)}, "
            f"n_simulations={len(self.simulations)}, chosen={self.chosen!r})"
        )


def paired_p_values(gain: FloatArray) -> FloatArray:
    """One-sided p-values of mean gains, a simulation being one piece of evidence."""
    n = gain.shape[1]
    error = gain.std(axis=1, ddof=1) / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > 0, gain.mean(axis=1) / error, 0.0)
    return np.asarray(stats.t.sf(t, n - 1))


def judged(
    names: tuple[str, ...],
    simulations: tuple[NDArray[Any], ...],
    truth: FloatArray,
    level: float,
    asked: Sequence[Sequence[Any]],
    significance: float,
) -> LeftOutScores:
    """Scores of candidates, and the choice: the default, or who surely beats it."""
    kappa = np.array([[answer.kappa for answer in own] for own in asked])
    interval = np.array([[answer.interval[..., 0] for answer in own] for own in asked])
    kappa = np.where(np.isfinite(kappa), kappa, 0.5)
    interval[~np.isfinite(interval).all(axis=-1)] = 0.0, 1.0
    found = LeftOutScores(names, names[0], simulations, truth, level, kappa, interval)
    better = np.where(found.p_value < significance, found.gain.mean(axis=1), 0.0)
    return replace(found, chosen=names[int(better.argmax())])
