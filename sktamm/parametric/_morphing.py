"""Morphing: a polynomial family of densities from a few of its members.

With monomials m(theta), dsigma(z, theta) = m(theta) . f(z) for some functions f. Known
at benchmarks theta_b, the rows m(theta_b) of the morphing matrix M, it is known
everywhere,

    dsigma(z, theta) = sum_b w_b(theta) dsigma(z, theta_b),    w(theta) = m(theta) M^+,

the shortest weights if there are more benchmarks than monomials (arXiv:1805.12244; for
coupling scans ATL-PHYS-PUB-2015-047). They multiply the errors of the members.
"""

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray
from sktamm._sklearn import at_least, check_parameters
from sktamm.exceptions import InvalidInputError
from sktamm.parametric._monomials import (
    IntArray,
    monomial_derivatives,
    monomial_name,
    monomial_powers,
    monomials,
    read_reference,
    read_theta,
)

__all__ = ["MorphingBasis", "weights_function"]

CRITERIA = ("condition", "max_norm", "mean_squared")
_RANK_TOL = 1e-10  # relative; singular values below it are rounding
_BATCH = 128  # sets of benchmarks that are tried at once; a matter of speed


class MorphingBasis(BaseEstimator):
    """Weights that make any member of a polynomial family from its benchmarks.

    Parameters
    ----------
    n_parameters : int
        Number of parameters.
    max_power : int, default=2
        Largest total power of the monomials.
    theta_ref : array-like of shape (n_parameters,), default=None
        Reference point, also of `joint_derivatives` and others; None is zeros.
    components : array-like of int, shape (n_components, n_parameters), default=None
        Powers of the monomials; None is all up to ``max_power``, graded.
    benchmarks : array-like of shape (n_benchmarks, n_parameters)
        Points where the density is known; at least as many as monomials.

    Attributes
    ----------
    components_ : ndarray of int, shape (n_components, n_parameters)
        Powers of the monomials.
    benchmarks_ : ndarray of shape (n_benchmarks, n_parameters)
        Points where the density is known.
    theta_ref_ : ndarray of shape (n_parameters,)
        Reference point.
    matrix_ : ndarray of shape (n_benchmarks, n_components)
        Morphing matrix: monomials at the benchmarks.
    condition_number_ : float
        Condition of the morphing matrix.
    scaled_condition_number_ : float
        The same with every parameter in units of its largest benchmark value.

    References
    ----------
    Brehmer, Louppe, Pavez, Cranmer, arXiv:1805.12244.

    Examples
    --------
    >>> from sktamm.parametric import MorphingBasis
    >>> basis = MorphingBasis(1, benchmarks=[[0], [-1], [1]])
    >>> basis.weights([0.5])
    array([ 0.75 , -0.125,  0.375])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_parameters": [at_least(1)],
        "max_power": [at_least(0)],
        "theta_ref": ["array-like", Real, None],
        "components": ["array-like", None],
        "benchmarks": ["array-like", Real, None],
    }

    def __init__(
        self,
        n_parameters: int,
        max_power: int = 2,
        *,
        theta_ref: ArrayLike | None = None,
        components: ArrayLike | None = None,
        benchmarks: ArrayLike | None = None,
    ):
        self.n_parameters = n_parameters
        self.max_power = max_power
        self.theta_ref = theta_ref
        self.components = components
        self.benchmarks = benchmarks

    @classmethod
    def from_search(
        cls,
        bounds: ArrayLike,
        criterion: str = "max_norm",
        *,
        max_power: int = 2,
        theta_ref: ArrayLike | None = None,
        components: ArrayLike | None = None,
        n_benchmarks: int | None = None,
        fixed: ArrayLike | None = None,
        n_trials: int = 512,
        n_refinements: int = 2048,
        n_points: int = 256,
        random_state: int | None = 0,
    ) -> Self:
        """Choose benchmarks whose weights stay short within bounds.

        The best of random sets is improved by moving one benchmark at a time.

        Parameters
        ----------
        bounds : array-like of shape (n_parameters, 2)
            Lower and upper end of every parameter.
        criterion : {"max_norm", "mean_squared", "condition"}, default="max_norm"
            What to make small: the largest length of the weights within the bounds,
            their mean squared length, or the condition of the matrix in units of the
            bounds.
        max_power : int, default=2
            Largest total power of the monomials.
        theta_ref : array-like of shape (n_parameters,), default=None
            Reference point, which is a benchmark unless ``fixed`` says otherwise.
        components : array-like of int, shape (n_components, n_parameters), default=None
            Powers of the monomials; None is all up to ``max_power``.
        n_benchmarks : int, default=None
            Number of benchmarks; None is that of the monomials.
        fixed : array-like of shape (n_fixed, n_parameters), default=None
            Benchmarks to keep; None is ``theta_ref`` alone.
        n_trials, n_refinements : int, default=512, 2048
            Number of random sets, and of moves.
        n_points : int, default=256
            Number of points within the bounds, besides their corners, to look at.
        random_state : int or None, default=0
            Seed.

        Returns
        -------
        basis : MorphingBasis
            Basis with the benchmarks found.
        """
        limits = _read_bounds(bounds)
        if criterion not in CRITERIA:
            raise InvalidInputError(
                f"criterion must be one of {', '.join(CRITERIA)}, got {criterion!r}."
            )
        basis = cls(len(limits), max_power, theta_ref=theta_ref, components=components)
        kept = basis.theta_ref_[None] if fixed is None else fixed
        kept, _ = read_theta(kept, len(limits), "fixed")
        rng = np.random.default_rng(random_state)
        search = _Search(basis.components_, limits, criterion, n_points, rng)
        free = _count_free(n_benchmarks, len(basis.components_), len(kept))
        found = search.run(kept, free, n_trials, n_refinements)
        basis.benchmarks = found
        basis._pseudo_inverse()
        return basis

    @property
    def components_(self) -> IntArray:
        """Powers of the monomials."""
        check_parameters(self)
        if self.components is None:
            return monomial_powers(self.n_parameters, self.max_power)
        powers = np.asarray(self.components)
        usable = powers.ndim == 2 and powers.shape[1] == self.n_parameters
        if not usable or not (powers >= 0).all() or (powers != np.rint(powers)).any():
            raise InvalidInputError(
                f"components must hold {self.n_parameters} non-negative integer powers "
                f"for every monomial, got {self.components!r}."
            )
        return powers.astype(np.int64)

    @property
    def theta_ref_(self) -> FloatArray:
        """Reference point."""
        return read_reference(self.theta_ref, self.n_parameters)

    @property
    def benchmarks_(self) -> FloatArray:
        """Points where the density is known."""
        if self.benchmarks is None:
            raise InvalidInputError(
                "benchmarks must hold the points where the density is known, got None; "
                "MorphingBasis.from_search chooses good ones."
            )
        points = np.atleast_2d(np.asarray(self.benchmarks, dtype=float))
        return read_theta(points, self.n_parameters, "benchmarks")[0]

    @property
    def matrix_(self) -> FloatArray:
        """Monomials at the benchmarks."""
        return monomials(self.benchmarks_, self.components_)

    @property
    def condition_number_(self) -> float:
        """Condition of the morphing matrix."""
        self._pseudo_inverse()
        return float(np.linalg.cond(self.matrix_))

    @property
    def scaled_condition_number_(self) -> float:
        """Condition with every parameter in units of its largest benchmark value."""
        self._pseudo_inverse()
        scaled = self.benchmarks_ / _scale(self.benchmarks_)
        return float(np.linalg.cond(monomials(scaled, self.components_)))

    def weights(
        self, theta: ArrayLike, *, cross_sections: ArrayLike | None = None
    ) -> FloatArray:
        """Weights of the benchmarks in the density at theta.

        Parameters
        ----------
        theta : array-like of shape (n_parameters,) or (n_theta, n_parameters)
            Points.
        cross_sections : array-like of shape (n_benchmarks,), default=None
            Cross sections at the benchmarks, in any unit. Given, weights are those of
            the normalised densities, w_b sigma_b / sum w sigma.

        Returns
        -------
        weights : ndarray of shape (n_benchmarks,) or (n_theta, n_benchmarks)
            Weights of the differential cross sections, or of the densities.
        """
        inverse = self._pseudo_inverse()
        points, single = read_theta(theta, self.n_parameters)
        weights = monomials(points, self.components_) @ inverse
        if cross_sections is not None:
            sigma = self._read_cross_sections(cross_sections)
            weights = weights * sigma / (weights @ sigma)[:, None]
        return weights[0] if single else weights

    def weights_gradient(self, theta: ArrayLike) -> FloatArray:
        """Derivatives of the weights, ([n_theta,] n_benchmarks, n_parameters)."""
        return self._derivative(theta, 1)

    def weights_hessian(self, theta: ArrayLike) -> FloatArray:
        """Second derivatives of the weights, ([n_theta,] n_benchmarks, p, p)."""
        return self._derivative(theta, 2)

    def _derivative(self, theta: ArrayLike, order: int) -> FloatArray:
        points, single = read_theta(theta, self.n_parameters)
        change = monomial_derivatives(points, self.components_, order)
        change = np.einsum("tm...,mb->tb...", change, self._pseudo_inverse())
        return change[0] if single else change

    def _pseudo_inverse(self) -> FloatArray:
        """M^+, found with every parameter in units of its largest benchmark value."""
        scale, powers = _scale(self.benchmarks_), self.components_
        matrix = monomials(self.benchmarks_ / scale, powers)
        _check_rank(matrix, powers)
        inverse = np.linalg.pinv(matrix, rcond=_RANK_TOL)
        # m(theta / scale) = m(theta) / m(scale)
        return inverse / monomials(scale, powers)[:, None]

    def _read_cross_sections(self, cross_sections: ArrayLike) -> FloatArray:
        sigma = np.asarray(cross_sections, dtype=float)
        if sigma.shape != (len(self.benchmarks_),) or not (sigma > 0).all():
            raise InvalidInputError(
                "cross_sections must hold one positive number per benchmark, "
                f"{len(self.benchmarks_)}, got {cross_sections!r}."
            )
        return sigma


def weights_function(basis: MorphingBasis) -> Callable[[FloatArray], FloatArray]:
    """``basis.weights`` of one point (n_parameters,), all else found once."""
    inverse = basis._pseudo_inverse()
    return partial(_weights_at, powers=basis.components_, inverse=inverse)


def _weights_at(
    theta: FloatArray, *, powers: IntArray, inverse: FloatArray
) -> FloatArray:
    return (monomials(theta[None], powers) @ inverse)[0]


def _scale(benchmarks: FloatArray) -> FloatArray:
    largest = np.abs(benchmarks).max(axis=0)
    return np.where(largest > 0, largest, 1.0)


def _check_rank(matrix: FloatArray, powers: IntArray) -> None:
    """Refuse benchmarks that leave monomials open, and name these."""
    _, size, right = np.linalg.svd(matrix)
    rank = int((size > _RANK_TOL * size[0]).sum())
    if rank == len(powers):
        return
    # A monomial is determined if its unit vector has no part in the null space.
    open_part = np.linalg.norm(right[rank:], axis=0)
    names = [monomial_name(p) for p in powers[open_part > 1e-6]]
    raise InvalidInputError(
        f"benchmarks must determine all {len(powers)} monomials, but the rank of the "
        f"morphing matrix of these {len(matrix)} is {rank}; they leave open "
        f"{', '.join(names)}."
    )


def _read_bounds(bounds: ArrayLike) -> FloatArray:
    limits = np.asarray(bounds, dtype=float)
    usable = limits.ndim == 2 and limits.shape[1:] == (2,) and len(limits) > 0
    if not usable or not np.isfinite(limits).all() or (np.diff(limits) <= 0).any():
        raise InvalidInputError(
            "bounds must hold a lower and a higher finite end for every parameter, got "
            f"{bounds!r}."
        )
    return limits


def _count_free(n_benchmarks: Any, n_components: int, n_fixed: int) -> int:
    number = n_components if n_benchmarks is None else n_benchmarks
    if not isinstance(number, Integral) or number < max(n_components, n_fixed):
        raise InvalidInputError(
            f"n_benchmarks must be an integer of at least {n_components}, the number "
            f"of monomials, and {n_fixed}, the number of fixed ones, got "
            f"{n_benchmarks!r}."
        )
    return int(number) - n_fixed


class _Search:
    """Random search for benchmarks, in units where the bounds are [-1, 1]."""

    def __init__(
        self,
        powers: IntArray,
        limits: FloatArray,
        criterion: str,
        n_points: int,
        rng: np.random.Generator,
    ):
        self.powers, self.limits, self.criterion = powers, limits, criterion
        self.rng = rng
        n = len(limits)
        corners = np.array(np.meshgrid(*[(-1.0, 1.0)] * n)).reshape(n, -1).T
        # Of ten parameters there would be a thousand corners.
        points = np.concatenate([corners[:256], rng.uniform(-1, 1, (n_points, n))])
        # Only the set of polynomials matters for weights, not its basis; monomials of
        # theta itself, not of its distance from the middle, span that of components.
        self.scale = np.abs(limits).max(axis=1)
        self.targets = monomials(self._to_theta(points) / self.scale, powers)

    def _to_theta(self, units: FloatArray) -> FloatArray:
        low, high = self.limits.T
        return 0.5 * (low + high) + 0.5 * (high - low) * units

    def run(
        self, kept: FloatArray, n_free: int, n_trials: int, n_refinements: int
    ) -> FloatArray:
        """Benchmarks of the smallest criterion."""
        n = len(self.limits)
        trials = self.rng.uniform(-1.0, 1.0, (max(n_trials, 1), n_free, n))
        best, cost = trials[0], np.inf
        for start in range(0, len(trials), _BATCH):
            best, cost = self._better(best, cost, kept, trials[start : start + _BATCH])
        rounds = -(-n_refinements // _BATCH) if n_free else 0
        for step in np.geomspace(1.0, 0.02, max(rounds, 1))[:rounds]:
            moved = np.repeat(best[None], _BATCH, axis=0)
            which = self.rng.integers(n_free, size=_BATCH)
            moved[np.arange(_BATCH), which] += step * self.rng.normal(size=(_BATCH, n))
            best, cost = self._better(best, cost, kept, np.clip(moved, -1.0, 1.0))
        return np.concatenate([kept, self._to_theta(best)])

    def _better(
        self, best: FloatArray, cost: float, kept: FloatArray, trials: FloatArray
    ) -> tuple[FloatArray, float]:
        costs = self._costs(kept, trials)
        i = int(np.argmin(costs))
        return (trials[i], float(costs[i])) if costs[i] < cost else (best, cost)

    def _costs(self, kept: FloatArray, trials: FloatArray) -> FloatArray:
        fixed = np.broadcast_to(kept, (len(trials), *kept.shape))
        points = np.concatenate([fixed, self._to_theta(trials)], axis=1) / self.scale
        matrix = monomials(points, self.powers)
        if self.criterion == "condition":
            return np.linalg.cond(matrix)
        weights = self.targets @ np.linalg.pinv(matrix, rcond=_RANK_TOL)
        squares = (weights**2).sum(axis=2)
        cost = squares.max(axis=1) if self.criterion == "max_norm" else squares.mean(1)
        # The pseudo-inverse hides directions that are missing.
        size = np.linalg.svd(matrix, compute_uv=False)
        full = (size > _RANK_TOL * size[:, :1]).sum(axis=1) == len(self.powers)
        return np.where(full, cost, np.inf)
