"""Events drawn at the benchmarks of a basis, with their joint ratios."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.parametric._monomials import IntArray

__all__ = ["BenchmarkSample"]


class BenchmarkSample:
    """Events with their joint ratios, by the benchmark that they were drawn at."""

    def __init__(
        self,
        y: FloatArray,
        weight: FloatArray | None,
        benchmark: ArrayLike | None,
        reference: int,
    ):
        self.weight = np.ones(len(y)) if weight is None else weight
        drawn = np.full(len(y), reference) if benchmark is None else benchmark
        self.drawn = _read_benchmark(drawn, y.shape)
        self.reference = np.flatnonzero(self.drawn == reference)
        if not self.weight[self.reference].sum() > 0:
            raise InvalidInputError(
                f"benchmark must have events drawn at theta_ref, number {reference}, "
                "with weights of a positive sum."
            )
        if (y[:, reference] == 0).any():
            raise InvalidInputError(
                "y must not be zero at theta_ref, where an event of weight zero does "
                f"not occur, but {(y[:, reference] == 0).sum()} of {len(y)} are."
            )
        self.ratio = y / y[:, [reference]]  # of differential cross sections

    def cross_section(self, b: int) -> float:
        """Ratio of the cross sections at benchmark b and the reference point."""
        at, of = self.reference, np.flatnonzero(self.drawn == b)
        if self.drawn[at[0]] == b:
            return 1.0
        share = self.weight[at] / self.weight[at].sum()
        mean = float(share @ self.ratio[at, b])
        if mean <= 0:
            raise InvalidInputError(
                f"y must give benchmark {b} a positive cross section, got {mean:g} "
                "times that of theta_ref; cross_sections takes known ones."
            )
        usable = self.ratio[at, b].min() > 0 and self.weight[of].sum() > 0
        if not of.size or not usable or self.ratio[of, b].min() <= 0:
            return mean
        there = self.weight[of] / self.weight[of].sum()
        logs = np.log(self.ratio[at, b]), np.log(self.ratio[of, b])
        return _bridge(logs, (share, there))

    def mixture(self, b: int, total: float) -> tuple[IntArray, FloatArray, FloatArray]:
        """Rows, joint ratios and weights of the balanced mixture with benchmark b."""
        at, of = self.reference, np.flatnonzero(self.drawn == b)
        share = self.weight[at] / self.weight[at].sum()
        if not of.size:
            ratio = self.ratio[at, b] / total
            return at, ratio, 0.5 * len(at) * share * (1.0 + ratio)
        there = self.weight[of] / self.weight[of].sum()
        rows = np.concatenate([at, of])
        weight = 0.5 * len(rows) * np.concatenate([share, there])
        return rows, self.ratio[rows, b] / total, weight


def _bridge(
    log_ratio: tuple[FloatArray, FloatArray], share: tuple[FloatArray, FloatArray]
) -> float:
    """Cross section ratio from E_ref[1 - s] = E_b[s], bounded terms (Bennett 1976)."""

    def excess(log_total: float) -> float:
        here = share[0] @ expit(log_ratio[0] - log_total)
        return float(here - share[1] @ expit(log_total - log_ratio[1]))

    low = min(logs.min() for logs in log_ratio) - 1.0
    high = max(logs.max() for logs in log_ratio) + 1.0
    return float(np.exp(brentq(excess, low, high, xtol=1e-12)))


def _read_benchmark(benchmark: ArrayLike, shape: tuple[int, ...]) -> IntArray:
    drawn = np.asarray(benchmark)
    if drawn.shape != (shape[0],) or not np.isin(drawn, np.arange(shape[1])).all():
        raise InvalidInputError(
            f"benchmark must hold numbers from 0 to {shape[1] - 1} for each of the "
            f"{shape[0]} events, got {benchmark!r}."
        )
    return drawn.astype(np.int64)
