r"""Could the simulations of a class be draws of one kind? A test without data.

Every simulation k of a class is a point, the coefficients of the root of its density
relative to the average p of the class, a_k = E_p[2 sqrt(p_k / p) psi], with smooth
functions psi orthonormal under p: a difference of points is twice a Hellinger distance,
and displaced peaks scatter more nearly normally there than in means or logarithms. If
the points are normal, of any mean and any covariance, their centred matrix A keeps its
distribution when its rows are rotated (Lauter, Glimm and Kropf 1998). Given the
spectrum of G = A A', whose eigenvalues are w_j, every fixed contrast c of the
simulations (unit length, sum zero) then has

    c' G c  ~  sum_j w_j u_j^2,    u uniform on the unit sphere of K - 1 dimensions,

exactly, however few simulations and many functions there are. A simulation against the
mean of the others is one contrast, a pair of simulations another: a value in the upper
tail of the first is an odd simulation, in the lower tail of the second near-duplicates.
As several odd ones hide each other, the farthest are taken out in turn, and all up to
the last with a small p-value are odd (Rosner 1983). Pairs are judged by the leading
directions alone: on a curved family of two parameters, which spans more directions
than two, pairs are near in all of them at once.

Where one generator makes all classes, its points in them, side by side, are one more
test: it is odd, or twice there, in all of them.

Simulations of unequal size scatter unequally: points are divided by s_k, where s_k^2 is
the spread of the class plus the statistical variance of k. For one function and no
errors the test of the odd ones is that of Grubbs (1950).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.exceptions import ExchangeabilityWarning
from sktamm.functions import orthonormalise
from sktamm.mixture import sphere_tails
from sktamm.tamm._exchangeable_result import (
    ALL_CLASSES,
    FEWEST,
    LIMIT,
    ExchangeabilityResult,
)

__all__ = [
    "ALL_CLASSES",
    "FEWEST",
    "LIMIT",
    "ExchangeabilityResult",
    "compare_simulations",
    "look_at_exchangeability",
]

# More simulations wait for the diagnostic: with these it takes a tenth of a second.
_MOST_IN_FIT = 50
# Share of the variance that the leading directions of the pairs hold at least, chosen
# of .7 to 1 on exchangeable sets (bench_exchangeability.py): false alarms of pairs on
# peaks of a large shift, K = 10: .12 of the sets with all directions, .007 with these.
_LEADING = 0.9
# Odd ones that are looked for: a quarter of the simulations, and two at least.
_ODD_SHARE = 4
_BISECTIONS = 40  # to 1e-12 of the interval

Indices = NDArray[np.intp]


def compare_simulations(
    components: Any, classes: NDArray[Any]
) -> ExchangeabilityResult:
    """Test the simulations of fitted components.

    ``classes`` (n_classes,).
    """
    groups = _groups(components, classes)
    n_tested = sum(len(group.ids) >= FEWEST for group in groups)
    parts = [_compare(group, n_tested) for group in groups]
    columns = {name: [part[name] for part in parts] for name in parts[0]}
    distances = columns.pop("distances")
    joined: dict[str, Any] = {n: np.concatenate(v) for n, v in columns.items()}
    return ExchangeabilityResult(**joined, distances=tuple(distances))


def _compare(group: "_Group", n_tested: int) -> dict[str, Any]:
    """Columns of the result for one group."""
    size = group.ids.size
    spread = _Spread(group.points, group.variance)
    distances = spread.distances()
    nearest = np.full(size, None, dtype=object)
    distance, p_odd, p_near = np.full((3, size), np.nan)
    if size > 1:
        index = spread.nearest()
        nearest[:] = group.ids[index]
        distance = distances[np.arange(size), index]
    if size >= FEWEST:
        p_odd, p_near = _p_values(spread, n_tested)
    return {
        "label": np.full(size, group.label, dtype=object),
        "simulation": group.ids,
        "p_odd": p_odd,
        "nearest": nearest,
        "distance": distance,
        "p_near": p_near,
        "distances": distances,
    }


def look_at_exchangeability(estimator: Any) -> ExchangeabilityResult | None:
    """Test of binned simulations, with a warning below the limit.

    None where nothing was tested: few simulations or very many, no bins, or an
    estimator that does not take the simulations for draws of one kind, because its
    prior is told their families, or nothing adapts.
    """
    binned = estimator.components_.binning_ is not None
    shapes = estimator.components_.shapes() if binned else None
    told = getattr(estimator.prior_, "families", None) is not None
    if shapes is None or told:
        return None
    if not hasattr(estimator.inference_, "maxima"):
        return None
    most = np.bincount(shapes.source_class).max()
    if not FEWEST <= most <= _MOST_IN_FIT:
        return None
    result = compare_simulations(estimator.components_, estimator.classes_)
    if result.p_value < LIMIT:
        warnings.warn(result.sentence(), ExchangeabilityWarning, stacklevel=4)
    return result


# ------------------------------------------------------------------------- the test
class _Spread:
    """Points of a class, their scales, and the Gram matrix of what they scatter by."""

    def __init__(self, points: FloatArray, variance: FloatArray):
        self.points, self.variance = points, variance
        self.scale = np.sqrt(_between(points, variance) + variance)
        if not self.scale.min() > 0:  # known exactly, and equal
            self.scale = np.ones(len(points))
        self.axis = 1.0 / self.scale / np.linalg.norm(1.0 / self.scale)
        scaled = points / self.scale[:, None]
        scaled = scaled - self.axis[:, None] * (self.axis @ scaled)
        self.gram = scaled @ scaled.T

    def of(self, rows: Indices) -> "_Spread":
        return _Spread(self.points[rows], self.variance[rows])

    def weights(self) -> FloatArray:
        """The w_j: eigenvalues of G, but for that of the axis of the mean."""
        return np.maximum(np.linalg.eigvalsh(self.gram)[1:], 0.0)

    def from_mean(self) -> FloatArray:
        """c' G c of every simulation against the others, shape (n_simulations,)."""
        return np.diag(self.gram) / (1.0 - self.axis**2)

    def of_pairs(self, points: FloatArray | None = None) -> FloatArray:
        """c' G c of all pairs, shape (n_simulations, n_simulations)."""
        points = self.points if points is None else points
        square = ((points[:, None] - points) ** 2).sum(axis=2)
        return np.asarray(square / (self.scale[:, None] ** 2 + self.scale**2))

    def distances(self) -> FloatArray:
        """Roots of these in units of their root mean square."""
        pairs = self.of_pairs()
        size = len(pairs)
        mean = pairs.sum() / max(size * (size - 1), 1)
        return np.asarray(np.sqrt(pairs / mean) if mean > 0 else pairs)

    def nearest(self) -> Indices:
        """Nearest other simulation of each."""
        pairs = self.of_pairs()
        np.fill_diagonal(pairs, np.inf)
        return np.argmin(pairs, axis=1)


def _between(points: FloatArray, variance: FloatArray) -> float:
    """Variance B of the class: sum_k |a_k - a|^2 / (B + v_k) = K - 1, if not negative.

    The mean a weighs alike (Paule and Mandel 1982): the estimate of a random-effects
    analysis, to which points of large variance give little.
    """

    def excess(between: float) -> float:
        weight = 1.0 / (between + variance)
        moved = points - weight @ points / weight.sum()
        return float(weight @ (moved**2).sum(axis=1)) - (len(points) - 1.0)

    centred = points - points.mean(axis=0)
    high = float((centred**2).sum())
    if not high > 0 or (variance.min() > 0 and excess(0.0) <= 0):
        return 0.0
    low = 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _p_values(spread: _Spread, n_groups: int) -> tuple[FloatArray, FloatArray]:
    """Adjusted p-values: half of the rate is for the odd ones, half for the pairs."""
    p_odd = _odd(spread, n_groups)
    p_near = np.full(p_odd.size, np.nan)
    rest = np.flatnonzero(p_odd >= LIMIT)
    if rest.size < FEWEST:
        rest = np.arange(p_odd.size)
    below = _near(spread.of(rest))
    # K (K - 1) / 2 pairs, and twice for the two halves.
    p_near[rest] = np.minimum(1.0, n_groups * rest.size * (rest.size - 1) * below)
    return p_odd, p_near


def _odd(spread: _Spread, n_groups: int) -> FloatArray:
    """Adjusted p-values of simulations; those of the odd ones as they are taken out."""
    size = len(spread.points)
    rest, taken, p_taken = np.arange(size), [], []
    for _ in range(min(max(2, size // _ODD_SHARE), size - FEWEST + 1)):
        part = spread.of(rest)
        farthest = int(np.argmax(part.from_mean()))
        p_taken.append(_from_mean(part, n_groups, [farthest])[0])
        taken.append(rest[farthest])
        rest = np.delete(rest, farthest)
    # Whoever was taken out before an odd one is at least as odd.
    found = np.minimum.accumulate(p_taken[::-1])[::-1]
    odd = np.array(taken)[found < LIMIT]
    p_value = np.empty(size)
    p_value[odd] = found[: odd.size]
    rest = np.setdiff1d(np.arange(size), odd)
    p_value[rest] = _from_mean(spread.of(rest), n_groups, slice(None))
    return p_value


def _from_mean(spread: _Spread, n_groups: int, chosen: Any) -> FloatArray:
    """Adjusted p-values of some simulations against all of these."""
    above = sphere_tails(spread.weights(), spread.from_mean()[chosen])[0]
    return np.minimum(1.0, 2.0 * n_groups * len(spread.points) * above)


def _near(spread: _Spread) -> FloatArray:
    """P-value of the nearest pair of every simulation, in the leading directions."""
    values, vectors = np.linalg.eigh(spread.gram)
    values = np.maximum(values, 0.0)
    total = values.sum()
    if not total > 0:
        return np.ones(values.size)
    smaller = np.cumsum(values) <= (1.0 - _LEADING) * total
    values[smaller] = 0.0
    part = spread.scale[:, None] * vectors * np.sqrt(values)
    pairs = spread.of_pairs(part)
    np.fill_diagonal(pairs, np.inf)
    return sphere_tails(values[1:], pairs.min(axis=1))[1]


# ----------------------------------------------------------------------- the points
@dataclass(frozen=True, eq=False)
class _Group:
    """Simulations that are compared: ids (K,), points (K, p), their variances (K,)."""

    label: Any
    ids: NDArray[Any]
    points: FloatArray
    variance: FloatArray


def _groups(components: Any, classes: NDArray[Any]) -> list[_Group]:
    """Every class, and the classes together where one generator makes them all."""
    shapes = components.shapes()
    groups = []
    for c, label in enumerate(classes):
        own = np.flatnonzero(shapes.source_class == c)
        own = own[np.argsort(shapes.source_id[own], kind="stable")]
        points = _points(shapes.content[own], shapes.functions)
        # Roots of counts have all the same variance, whatever they count.
        noise = points.shape[1] / shapes.n_effective[own]
        groups.append(_Group(label, shapes.source_id[own], points, noise))
    if shapes.paired and len(groups) > 1:
        groups.append(_together(groups))
    return groups


def _points(share: FloatArray, functions: FloatArray) -> FloatArray:
    """Coefficients of the roots of densities from contents of shape (K, n_rows).

    Without functions the roots themselves are the points.
    """
    share = share / share.sum(axis=1, keepdims=True)
    average = share.mean(axis=0)
    filled = average > 0
    root = 2.0 * np.sqrt(share[:, filled])
    if functions.shape[1] == 0:
        return root
    values, weight = functions[filled], average[filled]
    values = orthonormalise(values, values, weight)[1]
    return np.asarray(root @ (np.sqrt(weight)[:, None] * values))


def _together(groups: Sequence[_Group]) -> _Group:
    """Points of all classes side by side, each class in units of its scatter."""
    scatter = [((g.points - g.points.mean(axis=0)) ** 2).sum() for g in groups]
    units = [s if s > 0 else 1.0 for s in scatter]
    points = [g.points / np.sqrt(u) for g, u in zip(groups, units, strict=True)]
    variance = [g.variance / u for g, u in zip(groups, units, strict=True)]
    return _Group(
        ALL_CLASSES, groups[0].ids, np.hstack(points), np.sum(variance, axis=0)
    )
