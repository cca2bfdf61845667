"""What a test of exchangeability found, and its words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sktamm._numerics import FloatArray

__all__ = ["ALL_CLASSES", "FEWEST", "LIMIT", "ExchangeabilityResult"]

#: P-value below which the alarm comes. The stated rate of false alarms is twice this,
#: one of a hundred sets: the rest is room for draws that are not normal, measured by
#: bench_exchangeability.py.
LIMIT = 0.005
#: Fewest simulations of a tested class: three leave two dimensions, in which an odd one
#: must stand off a hundredfold.
FEWEST = 4
# As many names of either kind as one sentence carries.
_MOST_NAMED = 3
#: Label of the classes taken together.
ALL_CLASSES = "all classes"


@dataclass(frozen=True, eq=False)
class ExchangeabilityResult:
    """Whether simulations could be draws of one kind.

    P-values are multiplied by the number of tests of the set: for normal draws, the
    smallest one lies below p in a share of about p of the sets at most.

    Attributes
    ----------
    label : ndarray of shape (n_rows,)
        Class of every simulation; "all classes" of those compared in all classes at
        once, where the classes are paired.
    simulation : ndarray of shape (n_rows,)
        Its id.
    p_odd : ndarray of shape (n_rows,)
        Adjusted p-value that it is one more draw like the others; NaN in classes of
        fewer than four simulations, which are not tested.
    nearest : ndarray of shape (n_rows,)
        Id of the simulation of the class that is nearest; None if it is the only one.
    distance : ndarray of shape (n_rows,)
        Distance to it, in units of the root mean square over the pairs of the class.
    p_near : ndarray of shape (n_rows,)
        Adjusted p-value that the nearest pair of draws is so near; NaN where untested.
    distances : tuple of ndarray of shape (n_simulations, n_simulations)
        One per class, and one of all classes where these are paired;
        the simulations are in the order above.
    limit : float
        P-value below which a simulation is named. Sets of draws that are not normal,
        displaced peaks for instance, then give a false alarm in about a hundredth.
    family : ndarray of shape (n_rows,) or None
        Family of every simulation, "nominal" for the nominal; None where the prior
        takes all for draws of one kind.
    member : str or None
        Estimator of a `PosteriorPool` that was looked at; None without a pool.
    """

    label: NDArray[Any]
    simulation: NDArray[Any]
    p_odd: FloatArray
    nearest: NDArray[Any]
    distance: FloatArray
    p_near: FloatArray
    distances: tuple[FloatArray, ...]
    limit: float = LIMIT
    family: NDArray[Any] | None = None
    member: str | None = None

    @property
    def p_value(self) -> float:
        """Smallest adjusted p-value; NaN if no class was tested."""
        known = np.append(self.p_odd, self.p_near)
        known = known[np.isfinite(known)]
        return float(known.min()) if known.size else float("nan")

    @property
    def odd(self) -> tuple[tuple[Any, Any], ...]:
        """Class and id of the odd simulations, the clearest first."""
        return tuple(
            (self.label[i], self.simulation[i])
            for i in np.argsort(self.p_odd, kind="stable")
            if self.p_odd[i] < self.limit
        )

    @property
    def near_duplicates(self) -> tuple[tuple[Any, Any, Any], ...]:
        """Class and ids of the near-duplicates, the nearest first."""
        pairs: dict[tuple[Any, frozenset[Any]], tuple[Any, Any, Any]] = {}
        for i in np.lexsort((self.distance, self.p_near)):
            if self.p_near[i] < self.limit:
                pair = self.label[i], self.simulation[i], self.nearest[i]
                pairs.setdefault((pair[0], frozenset(pair[1:])), pair)
        return tuple(pairs.values())

    def to_frame(self) -> pd.DataFrame:
        """One row per class and simulation; a column ``family`` where declared."""
        columns = {
            "class": self.label,
            "simulation": self.simulation,
            "p_odd": self.p_odd,
            "nearest": self.nearest,
            "distance": self.distance,
            "p_near": self.p_near,
        }
        if self.family is not None:
            columns["family"] = self.family
        return pd.DataFrame(columns)

    def words(self) -> dict[str, str]:
        """Odd simulations and near-duplicates by name, where there are any."""
        found = {
            "odd simulations": _shown([_name(o) for o in self.odd]),
            "near-duplicates": _shown([_pair(p) for p in self.near_duplicates]),
        }
        return {kind: names for kind, names in found.items() if names}

    def sentence(self) -> str:
        """The warning; it carries a few names of either kind."""
        found = []
        if self.odd:
            found.append("odd: " + _shown([_name(o) for o in self.odd], _MOST_NAMED))
        if self.near_duplicates:
            pairs = [_pair(p) for p in self.near_duplicates]
            found.append("near-duplicates: " + _shown(pairs, _MOST_NAMED))
        return (
            "The simulations are hardly draws of one kind (smallest p-value "
            f"{self.p_value:.1g}; {'; '.join(found)}), as the prior takes them: "
            "declare families in the prior, or leave out near-duplicates and look for "
            "what sets odd ones apart (sktamm.diagnostics.exchangeability)."
        )

    def summary(self) -> str:
        """A few lines of text."""
        lines = self._verdict()
        if self.family is not None:
            lines.append(
                "families declared: the prior does not take these for draws of one kind"
            )
        if self.member is not None:
            lines.append(f"looked at: {self.member} of a pool")
        return "\n".join(lines)

    def _verdict(self) -> list[str]:
        if np.isnan(self.p_value):
            return [f"not tested: every class has fewer than {FEWEST} simulations"]
        verdict = "not exchangeable" if self.p_value < self.limit else "exchangeable"
        lines = [f"{verdict}: smallest p-value {self.p_value:.2g} (limit {self.limit})"]
        lines += [f"{kind}: {names}" for kind, names in self.words().items()]
        untested = dict.fromkeys(self.label[np.isnan(self.p_odd)])
        if untested:
            names = ", ".join(_words(label) for label in untested)
            lines.append(f"not tested, fewer than {FEWEST} simulations: {names}")
        return lines


def _name(odd: tuple[Any, Any]) -> str:
    label, simulation = odd
    return f"{simulation} of {_words(label)}"


def _pair(pair: tuple[Any, Any, Any]) -> str:
    label, first, second = pair
    return f"{first} and {second} of {_words(label)}"


def _words(label: Any) -> str:
    return ALL_CLASSES if str(label) == ALL_CLASSES else f"class {label}"


def _shown(names: Sequence[str], most: int | None = None) -> str:
    shown = ", ".join(names[:most])
    rest = len(names) - len(names[:most])
    return f"{shown} and {rest} more" if rest else shown
