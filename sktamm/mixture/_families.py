"""Simulations that are not exchangeable: a nominal, variations, other generators.

With the differences d_k = l_k - l_0 from the nominal l_0, the truth of a class is

    l_0 + sum_f x_f,    x_f independent between the families f.

Variations of one parameter, by one standard deviation up or down, have the covariance

    C_f = sum_(k in f) d_k d_k' / n_f,

a unit normal along d for one that is varied to one side only, and for a pair along a =
(d_up - d_down) / 2 and along what both have in common, b = (d_up + d_down) / 2. With b
= 0 it is exponential template morphing, exp(l_0 + z a) with z ~ N(0, 1).

Alternatives, such as other generators, are draws of a population from which the nominal
comes as well: C_f of n_f draws with a known mean is unbiased. What one more does is a
Student t of n_f + 1 degrees with the scale

    [n_f C_f + p diag(C_f)] / (n_f + 1)

as for `ShrinkagePrior`, p the number of smooth functions; in the span of the
differences, for `SimulationsPrior`, p is their rank and the target C_f itself.

Members of a family that nearly agree are one: their mean takes their place. Those that
nearly agree with the nominal are none.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse.csgraph import connected_components

from sktamm._numerics import FloatArray
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture._features import Features

__all__ = ["ClassFamilies", "Grouping"]

# Rules of thumb: two members that differ by less than a tenth of their distance from
# the nominal, or as equal ones do in nineteen of twenty cases, are one.
_NEARLY = 0.1
_USUAL = 0.95
# More than an up and a down variation of one parameter.
_ALTERNATIVES = 3


class ClassFamilies(NamedTuple):
    """The simulations of one class by what they are."""

    nominal: int
    # (n_densities, n_variations), differences from it over the root of their number
    variations: FloatArray
    alternatives: list[FloatArray]  # (n_densities, n_members) of every family


class Grouping:
    """Families by id of all but the nominal; alternatives None: of three or more."""

    def __init__(
        self, families: Any, nominal: Any, alternatives: Collection[Any] | None
    ):
        if not isinstance(families, Mapping) or nominal is None:
            raise IncompatibleChoiceError(
                "families must be a mapping from simulation id to the name of its "
                f"family, together with nominal, got families={families!r} and "
                f"nominal={nominal!r}."
            )
        several = isinstance(nominal, (list, tuple, set, frozenset, np.ndarray))
        self.nominal = list(nominal) if several else [nominal]
        self.members: dict[Any, list[Any]] = {}
        for key, name in families.items():
            self.members.setdefault(name, []).append(key)
        self.alternatives = self._alternatives(alternatives)
        self.family = dict(families)
        both = [key for key in self.nominal if key in self.family]
        if both:
            raise IncompatibleChoiceError(
                "families must name the family of every simulation but the nominal, "
                f"got one of the nominal {both[0]!r} as well."
            )

    def _alternatives(self, given: Collection[Any] | None) -> list[Any]:
        """Families of alternatives, in the order of the families."""
        if given is None:
            sizes = {name: len(keys) for name, keys in self.members.items()}
            return [name for name, size in sizes.items() if size >= _ALTERNATIVES]
        named = not isinstance(given, str) and isinstance(given, Collection)
        if not named or any(name not in self.members for name in given):
            raise IncompatibleChoiceError(
                "alternatives must be a list of names of families, which are "
                f"{sorted(map(str, self.members))}, got {given!r}."
            )
        return [name for name in self.members if name in given]

    def words(self) -> str:
        """What was declared, for results."""
        parts = [
            f"{name} ({', '.join(map(str, keys))})"
            + (" as alternatives" if name in self.alternatives else "")
            for name, keys in self.members.items()
        ]
        nominal = ", ".join(map(str, self.nominal))
        return "; ".join([f"nominal {nominal}", *parts])

    def check(self, source_class: NDArray[np.intp], source_id: NDArray[Any]) -> None:
        """Refuse simulations that were not declared, or classes without the nominal."""
        ids = source_id.tolist()
        known = {*self.family, *self.nominal}
        missing = [key for key in ids if key not in known]
        unknown = sorted(map(repr, self.family.keys() - set(ids)))
        if missing:
            others = f", but one of {', '.join(unknown)}" if unknown else ""
            raise IncompatibleChoiceError(
                "families must name the family of every simulation but the nominal; "
                f"got none of {missing[0]!r}{others}."
            )
        for c in np.unique(source_class):
            own = [key for key, k in zip(ids, source_class, strict=True) if k == c]
            found = [key for key in own if key in self.nominal]
            if len(found) != 1:
                raise IncompatibleChoiceError(
                    "nominal must be one simulation of every class, got "
                    f"{self.nominal!r}, of which class number {c} has {found!r} "
                    f"among {own!r}."
                )

    def of_class(self, features: Features, ids: Sequence[Any]) -> ClassFamilies:
        """Differences from the nominal by family."""
        nominal = next(k for k, key in enumerate(ids) if key in self.nominal)
        variations = [np.zeros((len(ids), 0))]
        alternatives = []
        for name in self.members:
            rows = [k for k, key in enumerate(ids) if self.family.get(key) == name]
            found = _distinct(features, nominal, rows)
            if found.shape[1] and name in self.alternatives:
                alternatives.append(found)
            elif found.shape[1]:
                variations.append(found / np.sqrt(found.shape[1]))
        return ClassFamilies(nominal, np.hstack(variations), alternatives)


# ------------------------------------------------------------------ private functions
def _distinct(features: Features, nominal: int, rows: Iterable[int]) -> FloatArray:
    """Differences of some densities from the nominal, near-duplicates averaged."""
    rows = list(rows)
    unit = np.eye(features.n_densities)
    differences = unit[:, rows] - unit[:, [nominal]]
    values = features.weighted(features.padded(differences))
    size = (values**2).sum(axis=0)
    kept = np.flatnonzero(size > _NEARLY**2 * size.max(initial=0.0))
    same = [
        [_agree(features, values, rows, size, i, j) for j in kept.tolist()]
        for i in kept.tolist()
    ]
    if not same:
        return np.zeros((features.n_densities, 0))
    number, label = connected_components(np.array(same), directed=False)
    groups = [kept[label == k] for k in range(number)]
    return np.stack([differences[:, own].mean(axis=1) for own in groups], axis=1)


def _agree(
    features: Features,
    values: FloatArray,
    rows: Sequence[int],
    size: FloatArray,
    i: int,
    j: int,
) -> bool:
    """Whether two members of a family are nearly the same."""
    apart = values[:, i] - values[:, j]
    squares = float(apart @ apart)
    if squares <= _NEARLY**2 * min(size[i], size[j]):
        return True
    # Up and down variations lie nearer to the nominal than to each other.
    if features.relative_variance is None or squares >= min(size[i], size[j]):
        return False
    variance = features.relative_variance[:, [rows[i], rows[j]]].sum(axis=1)
    weight = np.maximum(features.reference_weight, 0.0)
    noise = np.maximum(weight * variance, np.finfo(float).tiny)
    chi2 = float((apart**2 / noise).sum())
    return chi2 <= float(stats.chi2.ppf(_USUAL, max(weight.size - 1, 1)))
