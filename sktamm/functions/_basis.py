"""Smooth functions on the rows for the function-space prior.

Functions of d coordinates in [-1, 1] are products of one-dimensional ones, of limited
total order, made orthonormal under the reference and orthogonal to the constant,

    E_ref[psi_j] = 0,    E_ref[psi_j psi_k] = delta_jk,

so that the coefficients of a log density are E_ref[psi_j ln p]. Functions of one degree
are made orthonormal symmetrically (Lowdin 1950), psi = R (E_ref[R R'])^(-1/2) with R
the part of the normalised functions that lower degrees leave. The order and the scale
of the coordinates then change nothing; a sequence would favour whoever comes first.
"""

import itertools
from dataclasses import dataclass
from math import comb
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from sklearn.base import BaseEstimator

from sktamm._numerics import FloatArray
from sktamm._sklearn import at_least, check_parameters
from sktamm.exceptions import InvalidInputError

__all__ = [
    "BinBasis",
    "NoBasis",
    "OrthonormalMap",
    "PolynomialBasis",
    "SplineBasis",
    "degrees_of",
    "legendre_products",
    "low_degree",
    "multi_orders",
    "number_of_orders",
    "orthonormal_map",
    "orthonormalise",
]

IntArray = NDArray[np.intp]
# Relative: what is left of a function that others span is rounding below it.
_RANK_TOLERANCE = 1e-6
# Of functions of bins: an answer takes 3 s for 200 and 22 s for 400 of two classes.
_MOST_BINS = 1000
_FEW = 70  # functions: degree three up to five features (55), not in six (83)


class PolynomialBasis(BaseEstimator):
    """Legendre polynomials up to a total degree.

    Parameters
    ----------
    degree : int, default=3
        Largest total degree over all coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.functions import PolynomialBasis
    >>> PolynomialBasis(degree=2).evaluate(np.zeros((4, 2))).shape
    (4, 5)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "degree": [at_least(1)],
    }

    def __init__(self, degree: int = 3):
        self.degree = degree

    def evaluate(self, coordinates: FloatArray) -> FloatArray:
        """Values of the functions, the constant left out.

        Parameters
        ----------
        coordinates : ndarray of shape (n_rows, n_features)
            Coordinates in [-1, 1].

        Returns
        -------
        values : ndarray of shape (n_rows, n_functions)
            Not yet orthonormal under any reference.
        """
        check_parameters(self)
        orders = multi_orders(coordinates.shape[1], self.degree)
        return legendre_products(coordinates, orders)

    def degrees(self, n_coordinates: int) -> IntArray:
        """Total degree of every function."""
        return np.array([sum(o) for o in multi_orders(n_coordinates, self.degree)])


class SplineBasis(BaseEstimator):
    """Cubic B-splines in every coordinate, with products of low-order polynomials.

    Parameters
    ----------
    n_knots : int, default=5
        Equidistant knots per coordinate, ends included.
    interaction_degree : int, default=2
        Largest total degree of the polynomial products between coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.functions import SplineBasis
    >>> SplineBasis(n_knots=4).evaluate(np.zeros((2, 1))).shape
    (2, 8)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_knots": [at_least(2)],
        "interaction_degree": [at_least(1)],
    }

    def __init__(self, n_knots: int = 5, interaction_degree: int = 2):
        self.n_knots = n_knots
        self.interaction_degree = interaction_degree

    def evaluate(self, coordinates: FloatArray) -> FloatArray:
        """Values of the functions, the constant left out up to redundancy."""
        check_parameters(self)
        inner = np.linspace(-1.0, 1.0, self.n_knots)
        knots = np.concatenate([[-1.0] * 3, inner, [1.0] * 3])
        clipped = np.clip(coordinates, -1.0, 1.0)
        splines = [
            BSpline.design_matrix(column, knots, 3).toarray() for column in clipped.T
        ]
        parts = [PolynomialBasis(self.interaction_degree).evaluate(coordinates)]
        return np.hstack(parts + splines)

    def degrees(self, n_coordinates: int) -> IntArray:
        """Degrees of the polynomials; one higher degree for all splines together."""
        low = PolynomialBasis(self.interaction_degree).degrees(n_coordinates)
        splines = n_coordinates * (self.n_knots + 2)
        return np.concatenate([low, np.full(splines, self.interaction_degree + 1)])


class NoBasis(BaseEstimator):
    """No smooth functions: the prior keeps to the span of the simulations.

    Their principal components under the reference are then the only directions.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.functions import NoBasis
    >>> NoBasis().evaluate(np.zeros((2, 1))).shape
    (2, 0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def evaluate(self, coordinates: FloatArray) -> FloatArray:
        """Return an empty set of functions."""
        return np.zeros((coordinates.shape[0], 0))

    def degrees(self, n_coordinates: int) -> IntArray:
        """None."""
        return np.zeros(0, dtype=np.intp)


class BinBasis(BaseEstimator):
    """A function for every bin: bins without an order, such as labels and clusters.

    Function-space priors take them alike: no bin comes before another.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.functions import BinBasis
    >>> BinBasis().evaluate(np.array([[-1.0], [0.0], [1.0]]))
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def evaluate(self, coordinates: FloatArray) -> FloatArray:
        """One function per row.

        Parameters
        ----------
        coordinates : ndarray of shape (n_rows, n_features)
            Of bins; their values do not matter.

        Returns
        -------
        values : ndarray of shape (n_rows, n_rows)
            One in its own row, zero elsewhere.

        Raises
        ------
        InvalidInputError
            If there are more than a thousand rows.
        """
        n_rows = len(coordinates)
        if n_rows > _MOST_BINS:
            raise InvalidInputError(
                "basis 'bins' has a function for every bin that a simulation fills, of "
                f"which there must be at most {_MOST_BINS}, got {n_rows}."
            )
        return np.eye(n_rows)


def degrees_of(basis: Any, n_coordinates: int) -> IntArray | None:
    """Degrees of the functions of a basis; None if an object of a user has none."""
    if not hasattr(basis, "degrees"):
        return None
    return np.asarray(basis.degrees(n_coordinates), dtype=np.intp)


def multi_orders(n_coordinates: int, degree: int) -> list[tuple[int, ...]]:
    """Orders of the products up to a total degree, the constant left out."""
    orders = []
    for total in range(1, degree + 1):
        chosen = itertools.combinations_with_replacement(range(n_coordinates), total)
        counts = [tuple(map(c.count, range(n_coordinates))) for c in chosen]
        orders += sorted(counts)
    return orders


def low_degree(d: int) -> int:
    """Degree of the polynomials of d coordinates that stand for smooth functions."""
    return 3 if number_of_orders(d, 3) <= _FEW else 2


def number_of_orders(n_coordinates: int, degree: int) -> int:
    """Length of `multi_orders`."""
    return comb(n_coordinates + degree, degree) - 1


def legendre_products(
    coordinates: FloatArray, orders: list[tuple[int, ...]]
) -> FloatArray:
    """Products over coordinates of the Legendre polynomials of every multi-order.

    ``coordinates`` (n_rows, n_coordinates) -> (n_rows, n_orders): one column per
    multi-order.
    """
    highest = max(max(order) for order in orders)
    tables = [np.polynomial.legendre.legvander(u, highest) for u in coordinates.T]
    columns = []
    for order in orders:
        factors = [t[:, o] for t, o in zip(tables, order, strict=True) if o]
        columns.append(np.prod(factors, axis=0))
    return np.column_stack(columns)


def orthonormalise(
    values: FloatArray,
    reference_values: FloatArray,
    reference_weight: FloatArray,
    degrees: IntArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Make functions orthonormal under the reference and orthogonal to one."""
    mapped = orthonormal_map(reference_values, reference_weight, degrees)
    return mapped.apply(values), mapped.apply(reference_values)


@dataclass(frozen=True, eq=False)
class OrthonormalMap:
    """Linear map that makes functions orthonormal under a reference."""

    mean: FloatArray  # (n_functions,), means under the reference
    kept: list[int]  # Functions that do not depend on earlier ones
    matrix: FloatArray  # (n_basis, n_basis), map of the centred functions that are kept

    def apply(self, values: FloatArray) -> FloatArray:
        """Orthonormal functions from values of shape (n_rows, n_functions)."""
        return (values - self.mean)[:, self.kept] @ self.matrix


def orthonormal_map(
    reference_values: FloatArray,
    reference_weight: FloatArray,
    degrees: IntArray | None = None,
) -> OrthonormalMap:
    """Learn the map from functions at the reference rows.

    ``reference_values`` (n_reference, n_functions), ``reference_weight``
    (n_reference,), ``degrees`` (n_functions,).
    """
    mean = reference_weight @ reference_values
    centred = reference_values - mean
    root = np.sqrt(np.maximum(reference_weight, 0.0))[:, None]
    sizes = np.linalg.norm(root * reference_values, axis=0)
    matrix = root * centred
    triangle = np.linalg.qr(matrix, mode="r")
    kept = list(range(len(sizes)))
    # Its diagonal holds what earlier columns leave of each: is one of them nothing?
    if (
        len(matrix) <= len(sizes)
        or (np.abs(np.diag(triangle)) <= _RANK_TOLERANCE * sizes).any()
    ):
        kept = _independent(matrix, sizes)
        triangle = np.linalg.qr(matrix[:, kept], mode="r")
    triangle *= np.sign(np.diag(triangle))[:, None]
    inverse = np.linalg.inv(triangle)
    if degrees is not None:
        axes = matrix[:, kept] @ inverse
        for degree in np.unique(degrees[kept]):
            own = np.flatnonzero(degrees[kept] == degree)
            rest = axes[:, own].T @ matrix[:, degrees == degree]
            inverse[:, own] = inverse[:, own] @ _symmetric(rest)
    return OrthonormalMap(mean, kept, inverse)


def _symmetric(rest: FloatArray) -> FloatArray:
    """Rotation of axes (n, n) that treats functions (n, n_functions) on them alike.

    The nearest to the functions, normalised, where these are independent; else their
    principal axes.
    """
    norm = np.linalg.norm(rest, axis=0)
    known = norm > _RANK_TOLERANCE * norm.max(initial=0.0)
    left, _, right = np.linalg.svd(rest[:, known] / norm[known], full_matrices=False)
    return left @ right if left.shape[0] == right.shape[1] else left


def _independent(matrix: FloatArray, sizes: FloatArray) -> list[int]:
    """Columns that are not, up to a share of their sizes, combinations of earlier ones.

    Columns are orthogonal to one vector already, so one fewer than the rows can be
    independent.
    """
    kept: list[int] = []
    directions = np.zeros((matrix.shape[0], 0))
    for j, column in enumerate(matrix.T):
        if len(kept) == matrix.shape[0] - 1:
            break
        rest = column - directions @ (directions.T @ column)
        rest -= directions @ (directions.T @ rest)
        norm = np.linalg.norm(rest)
        if norm > _RANK_TOLERANCE * sizes[j]:
            directions = np.column_stack([directions, rest / norm])
            kept.append(j)
    return kept
