"""The reference sample of density ratios: calibrated rows and calibrated members.

From held-out events and the members' ratios there to what every later event needs: the
weights of the rows, the shares of the members that are kept, their tilts, their blend.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm.base import RatioError, ReferenceSample
from sktamm.functions import low_degree
from sktamm.learning import settled_weights
from sktamm.ratios._blend import Blend, fit_blend
from sktamm.ratios._log_linear import LogLinear, Shrinkage, fit_shrinkage
from sktamm.ratios._moments import (
    Coordinates,
    Moments,
    SmoothFunctions,
    rake,
    tilt,
)
from sktamm.ratios._sample import HeldOut, relative_to_mixture

__all__ = ["CONTROL", "RatioReference", "fit_reference", "ratio_functions"]

# Largest degree and number of the smooth functions of the reference, as many as
# `max_functions` allows the prior: rules of thumb.
CONTROL = (5, 240)


@dataclass(frozen=True, eq=False)
class RatioReference:
    """Reference rows of some sources and how to treat members at other events."""

    rows: HeldOut  # Reference rows: probabilities as weights, members after their tilts
    functions: SmoothFunctions  # Functions of the log-linear model and of the tilts
    slope: NDArray[np.float32]  # (n_sources, n_functions, n_members), tilts
    # (n_sources, n_functions, n_functions), statistical covariance of the tilts
    slope_covariance: FloatArray
    blend: Blend  # Blend of the tilted members
    log_ratio: FloatArray  # (n_rows, n_sources), log ratios at the reference rows
    sample: ReferenceSample  # Origin of the rows
    log_linear: LogLinear | None  # What the members are drawn towards, if they are
    shrinkage: Shrinkage | None  # By how much

    def refined(
        self, X: FloatArray, members: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Members at events after shrinkage and tilts.

        ``X`` (n_events, n_features), ``members`` (n_events, n_sources, n_members) ->
        (n_events, n_sources, n_members): shrunk and tilted log ratios.
        """
        if self.log_linear is None and not self.slope.any():
            return members
        values = self.functions.evaluate(X)
        if self.log_linear is not None and self.shrinkage is not None:
            base = self.log_linear.logits_of(values)
            members = relative_to_mixture(self.shrinkage.apply(members, base))
        return members + _tilts(values, self.slope)

    @cached_property
    def _smooth(self) -> FloatArray:
        """Functions of the tilts' errors at the reference rows, none without tilts."""
        return self._uncertain(self.rows.X)

    @cached_property
    def _deviations(self) -> NDArray[np.float32]:
        """Functions of the members' errors at the reference rows."""
        return self._functions_of_error(self.rows.members)

    def _functions_of_error(self, members: NDArray[np.float32]) -> NDArray[np.float32]:
        deviations = self.blend.deviations(members)
        if self.shrinkage is None or not self.blend.centred:
            return deviations
        return self.shrinkage.widen(deviations)

    def _uncertain(self, X: FloatArray) -> FloatArray:
        """Functions whose tilts have an error, at events."""
        if not self.slope_covariance.any():
            return np.zeros((len(X), 0))
        return self.functions.evaluate(X)

    def error(self, X: FloatArray, members: NDArray[np.float32]) -> RatioError:
        """Error of the log ratios at events.

        ``X`` (n_events, n_features), ``members`` (n_events, n_sources, n_members).
        Returns random coefficients of known functions.
        """
        smooth = self._uncertain(X)
        size = smooth.shape[1]
        return RatioError(
            rows=self._functions_of_error(members),
            reference=self._deviations,
            covariance=self.blend.covariance,
            smooth_rows=smooth,
            smooth_reference=self._smooth,
            smooth_covariance=self.slope_covariance[:, :size, :size],
        )


def fit_reference(
    held: HeldOut,
    source_class: NDArray[np.intp],
    moments: Moments,
    log_linear: LogLinear | None,
    ensemble: str,
    calibration: str | None,
    *,
    shared_sample: bool,
) -> RatioReference:
    """Calibrate the rows; shrink, tilt and blend the members.

    ``source_class`` (n_sources,).
    """
    drawn = held.weight if (held.weight < 0).any() else None
    if drawn is not None:
        held = replace(held, weight=settled_weights(held.X, held.source, drawn))
    values = moments.functions.evaluate(held.X)
    weight, raked = rake(held.weight, values, moments.mean.mean(axis=0))
    shrinkage, learned, base = None, held.members, held.log_linear
    if log_linear is not None and base is not None:
        rows = (held.source, weight, source_class)
        shrinkage = fit_shrinkage(learned.mean(axis=2), base, *rows)
        learned = relative_to_mixture(shrinkage.apply(learned, base))
    functions = ratio_functions(moments.functions.coordinates)
    columns = _columns(functions, moments.functions)
    smooth, own = values[:, columns], moments.select(columns)
    n_sources, n_members = held.members.shape[1:]
    slope = np.zeros((n_sources, columns.size, n_members), np.float32)
    covariance = np.zeros((n_sources, columns.size, columns.size))
    if calibration == "moments":
        for i in range(n_members):
            found = tilt(learned[:, :, i], weight, smooth, own)
            slope[:, :, i], covariance = found
    members = learned + _tilts(smooth, slope)
    refined = replace(held, weight=weight, members=members, log_linear=None)
    later = None if calibration == "moments" else calibration
    blend = fit_blend(
        refined, ensemble, later, shared_sample=shared_sample, drawn_weight=drawn
    )
    control = values if raked else values[:, :0]
    known = moments.covariance_of_mean()[: control.shape[1], : control.shape[1]]
    return RatioReference(
        rows=refined,
        functions=functions,
        slope=slope,
        slope_covariance=covariance,
        blend=blend,
        log_ratio=blend.log_ratio(members),
        sample=ReferenceSample(held.source, control, known, drawn),
        log_linear=log_linear,
        shrinkage=shrinkage,
    )


def ratio_functions(coordinates: Coordinates) -> SmoothFunctions:
    """Functions of the log-linear model and of the tilts."""
    degree = low_degree(coordinates.half_.size)
    return SmoothFunctions(coordinates, degree, CONTROL[1])


def _columns(some: SmoothFunctions, functions: SmoothFunctions) -> NDArray[np.intp]:
    """Where some functions stand among all."""
    known = {order: j for j, order in enumerate(functions.orders)}
    return np.array([known[order] for order in some.orders], dtype=np.intp)


def _tilts(values: FloatArray, slope: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the tilts add, shape (n_rows, n_sources, n_members)."""
    n_sources, n_functions, n_members = slope.shape
    flat = slope.transpose(1, 0, 2).reshape(n_functions, -1)
    added = values.astype(np.float32) @ flat
    return added.reshape(len(values), n_sources, n_members)
