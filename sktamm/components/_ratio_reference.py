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
from sktamm.components._basis import number_of_orders
from sktamm.components._blend import Blend, fit_blend
from sktamm.components._log_linear import Shares, fit_shares
from sktamm.components._moments import (
    Coordinates,
    Moments,
    SmoothFunctions,
    rake,
    tilt,
)
from sktamm.components._ratio_sample import HeldOut

__all__ = ["CONTROL", "RatioReference", "fit_reference", "ratio_functions"]

# Largest degree and number of the smooth functions of the reference.
CONTROL = (5, 240)
# Of the ratios: the third degree where it has few functions, else the second.
_CUBIC = 70


@dataclass(frozen=True, eq=False)
class RatioReference:
    """Reference rows of some sources and how to treat members at other events.

    Attributes
    ----------
    rows : HeldOut
        Reference rows: probabilities as weights, members after their tilts.
    functions : SmoothFunctions
        Functions of the calibrations.
    columns : ndarray of int
        Which of them tilt the ratios.
    slope : ndarray of shape (n_sources, n_columns, n_members)
        Tilts.
    slope_covariance : ndarray of shape (n_sources, n_columns, n_columns)
        Statistical covariance of the tilts.
    blend : Blend
        Blend of the tilted members.
    log_ratio : ndarray of shape (n_rows, n_sources)
        Log ratios at the reference rows.
    sample : ReferenceSample
        Origin of the rows.
    shares : Shares
        How much of the members is kept beyond the log-linear model.
    averages : ndarray of shape (n_sources, n_sources)
        Averages over the sources of each class.
    """

    rows: HeldOut
    functions: SmoothFunctions
    columns: NDArray[np.intp]
    slope: NDArray[np.float32]
    slope_covariance: FloatArray
    blend: Blend
    log_ratio: FloatArray
    sample: ReferenceSample
    shares: Shares
    averages: FloatArray

    def refined(
        self,
        X: FloatArray,
        members: NDArray[np.float32],
        log_linear: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Members at events after shrinkage and tilts.

        Parameters
        ----------
        X : ndarray of shape (n_events, n_features)
            Events.
        members : ndarray of shape (n_events, n_sources, n_members)
            Log ratios of the classifier.
        log_linear : ndarray of shape (n_events, n_sources) or None
            Those of the log-linear model.

        Returns
        -------
        members : ndarray of shape (n_events, n_sources, n_members)
            Shrunk and tilted log ratios.
        """
        if log_linear is not None:
            members = self.shares.apply(members, log_linear, self.averages)
        if not self.slope.any():
            return members
        values = self.functions.evaluate(X)[:, self.columns]
        return members + _tilts(values, self.slope)

    @cached_property
    def _smooth(self) -> FloatArray:
        """Functions of the tilts' errors at the reference rows, none without tilts."""
        return self.functions.evaluate(self.rows.X)[:, self._uncertain]

    @cached_property
    def _deviations(self) -> NDArray[np.float32]:
        """Functions of the members' errors at the reference rows."""
        return self._functions_of_error(self.rows.members)

    def _functions_of_error(self, members: NDArray[np.float32]) -> NDArray[np.float32]:
        deviations = self.blend.deviations(members)
        if not self.blend.centred:
            return deviations
        return self.shares.widen(deviations, self.averages)

    @property
    def _uncertain(self) -> NDArray[np.intp]:
        """Functions whose tilts have an error."""
        return self.columns if self.slope_covariance.any() else self.columns[:0]

    def error(self, X: FloatArray, members: NDArray[np.float32]) -> RatioError:
        """Error of the log ratios at events.

        Parameters
        ----------
        X : ndarray of shape (n_events, n_features)
            Events.
        members : ndarray of shape (n_events, n_sources, n_members)
            Refined members there.

        Returns
        -------
        error : RatioError
            Random coefficients of known functions.
        """
        columns = self._uncertain
        return RatioError(
            rows=self._functions_of_error(members),
            reference=self._deviations,
            covariance=self.blend.covariance,
            smooth_rows=self.functions.evaluate(X)[:, columns],
            smooth_reference=self._smooth,
            smooth_covariance=self.slope_covariance[:, : columns.size, : columns.size],
        )


def fit_reference(
    held: HeldOut,
    source_class: NDArray[np.intp],
    moments: Moments,
    ensemble: str,
    calibration: str | None,
    *,
    shared_sample: bool,
) -> RatioReference:
    """Calibrate the rows; shrink, tilt and blend the members.

    Parameters
    ----------
    held : HeldOut
        Held-out rows with the members' log ratios to the equal mixture.
    source_class : ndarray of int, shape (n_sources,)
        Class of every source.
    moments : Moments
        Smooth moments of all events of the sources.
    ensemble : {"mean", "wifi"}
        How members are blended.
    calibration : {"moments", "temperature", "isotonic"} or None
        Calibration of the ratios.
    shared_sample : bool
        Whether members were trained on bootstraps of one sample.

    Returns
    -------
    reference : RatioReference
        Calibrated reference.
    """
    values = moments.functions.evaluate(held.X)
    weight, raked = rake(held.weight, values, moments.mean.mean(axis=0))
    same = source_class[:, None] == source_class
    averages = same / same.sum(axis=0)
    shares, learned = Shares(), held.members
    if held.log_linear is not None:
        mean = learned.mean(axis=2)
        shares = fit_shares(mean, held.log_linear, held.source, weight, averages)
        learned = shares.apply(learned, held.log_linear, averages)
    columns = _tilt_columns(moments.functions)
    own = moments.select(columns)
    n_sources, n_members = held.members.shape[1:]
    slope = np.zeros((n_sources, columns.size, n_members), np.float32)
    covariance = np.zeros((n_sources, columns.size, columns.size))
    if calibration == "moments":
        part = values[:, columns]
        for i in range(n_members):
            found = tilt(learned[:, :, i], weight, part, own)
            slope[:, :, i], covariance = found
    members = learned + _tilts(values[:, columns], slope)
    rows = replace(held, weight=weight, members=members)
    later = None if calibration == "moments" else calibration
    blend = fit_blend(rows, ensemble, later, shared_sample=shared_sample)
    control = values if raked else values[:, :0]
    known = moments.covariance_of_mean()[: control.shape[1], : control.shape[1]]
    return RatioReference(
        rows=rows,
        functions=moments.functions,
        columns=columns,
        slope=slope,
        slope_covariance=covariance,
        blend=blend,
        log_ratio=blend.log_ratio(members),
        sample=ReferenceSample(held.source, control, known),
        shares=shares,
        averages=averages,
    )


def ratio_functions(coordinates: Coordinates) -> SmoothFunctions:
    """Functions of the log-linear model and of the tilts.

    Parameters
    ----------
    coordinates : Coordinates
        Fitted coordinates.

    Returns
    -------
    functions : SmoothFunctions
        Some of those of `CONTROL`.
    """
    d = coordinates.half_.size
    degree = 3 if number_of_orders(d, 3) <= _CUBIC else 2
    return SmoothFunctions(coordinates, degree, CONTROL[1])


def _tilt_columns(functions: SmoothFunctions) -> NDArray[np.intp]:
    known = {order: j for j, order in enumerate(functions.orders)}
    wanted = ratio_functions(functions.coordinates).orders
    return np.array([known[o] for o in wanted if o in known], dtype=np.intp)


def _tilts(values: FloatArray, slope: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the tilts add, shape (n_rows, n_sources, n_members)."""
    n_sources, n_functions, n_members = slope.shape
    flat = slope.transpose(1, 0, 2).reshape(n_functions, -1)
    added = values.astype(np.float32) @ flat
    return added.reshape(len(values), n_sources, n_members)
