"""A mixture whose sums over rows run on a device, between NumPy arrays.

What calls a mixture often, or with many fits at once, are its log posterior and the
derivatives of it: these go to the device and come back, everything else is asked of the
mixture in NumPy. Chains, which stay on the device, take the mixture `there`.
"""

from typing import Any

import numpy as np

from sktamm._arrays import to_numpy
from sktamm._numerics import FloatArray
from sktamm.mixture._made_rows import Rows
from sktamm.mixture._model import MixtureModel, RowData

__all__ = ["PlacedMixture", "placed"]


def placed(model: MixtureModel, xp: Any) -> Any:
    """The mixture as functions of NumPy arrays that a namespace computes."""
    return model if xp is np else PlacedMixture(model, model.moved(xp), xp)


class PlacedMixture:
    """The part of a mixture that takes time, on a device; the rest from its host."""

    def __init__(self, host: MixtureModel, there: MixtureModel, xp: Any):
        self.host, self.there, self.xp = host, there, xp

    def __getattr__(self, name: str) -> Any:
        """Whatever is no sum over rows, from the mixture in NumPy."""
        if name == "host":  # not yet there while it is copied
            raise AttributeError(name)
        return getattr(self.host, name)

    def take_rows(self, rows: Rows) -> "PlacedMixture":
        """The same mixture of events at some of the rows."""
        host: Any = self.host
        there: Any = self.there
        return PlacedMixture(host.take_rows(rows), there.take_rows(rows), self.xp)

    def value(self, theta: FloatArray, data: RowData) -> FloatArray:
        """Log posterior, shape (n_fits,)."""
        return to_numpy(self._on_device("value", theta, data))

    def value_and_gradient(
        self, theta: FloatArray, data: RowData
    ) -> tuple[FloatArray, ...]:
        """Log posterior (n_fits,) and its gradient (n_fits, n_params)."""
        return tuple(map(to_numpy, self._on_device("value_and_gradient", theta, data)))

    def step_terms(self, theta: FloatArray, data: RowData) -> tuple[FloatArray, ...]:
        """Value, gradient and information of a scoring step."""
        return tuple(map(to_numpy, self._on_device("step_terms", theta, data)))

    def hessian(self, theta: FloatArray, data: RowData) -> FloatArray:
        """Exact Hessian of the log posterior, shape (n_fits, n_params, n_params)."""
        return to_numpy(self._on_device("hessian", theta, data))

    def newton(
        self, theta: FloatArray, data: RowData, information: FloatArray
    ) -> FloatArray:
        """Minus the Hessian, given what ``step_terms`` takes for it."""
        return information if self.host.rows_are_events else -self.hessian(theta, data)

    def _on_device(self, name: str, theta: FloatArray, data: RowData) -> Any:
        ask = getattr(self.there, name)
        return ask(self.xp.asarray(theta), data.on(self.xp))
