"""Smooth functions on the rows, for priors and for smoothing."""

from sktamm.functions._basis import (
    BinBasis,
    NoBasis,
    PolynomialBasis,
    SplineBasis,
    degrees_of,
    legendre_products,
    low_degree,
    multi_orders,
    number_of_orders,
    orthonormal_map,
    orthonormalise,
)

__all__ = [
    "BinBasis",
    "NoBasis",
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
