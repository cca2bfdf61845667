"""The mixture: fractions times class densities, as a function of all parameters.

    log L(theta) = sum_i [ a_i ln p_i - e_i p_i ] + ln prior,    p_i = sum_c f_c q_ci

``a`` are the (discounted) sums of weights of the rows. ``e`` is zero unless statistical
errors of the templates discount some rows more than others, when the Poisson form keeps
the estimate unbiased. Parameters are theta = (f without the dependent class, z_1, z_2,
...): fractions are free real numbers whose sum is one.
"""

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sktamm._arrays import namespace, to_numpy
from sktamm._numerics import FloatArray, row_pieces, smallest_of
from sktamm.base import ComponentTable
from sktamm.mixture._densities import ClassDensity, Evaluation
from sktamm.mixture._penalties import Penalty
from sktamm.mixture._tension import Inflation, correlations, smallest_of_classes

IntArray = NDArray[np.intp]

__all__ = ["Block", "MixtureModel", "RowData", "near_simplex"]

# Ten times the whole: unbiased estimates of a fraction scatter around [0, 1], and one
# that lies further away than this knows nothing of it.
_FARTHEST = 10.0


@dataclass(frozen=True, eq=False)
class RowData:
    """Data of a batch of fits."""

    observed: FloatArray  # (n_fits, n_rows), a_i: discounted sums of weights
    expected: FloatArray | None = None  # (n_fits, n_rows), e_i; None for zero

    def take(self, index: np.ndarray) -> "RowData":
        """Data of some of the fits."""
        expected = None if self.expected is None else _taken(self.expected, index)
        return RowData(_taken(self.observed, index), expected)

    def on(self, xp: Any) -> "RowData":
        """The same data as arrays of a namespace."""
        expected = None if self.expected is None else xp.asarray(self.expected)
        return RowData(xp.asarray(self.observed), expected)


def _taken(values: FloatArray, index: np.ndarray) -> FloatArray:
    """Rows (n_fits, n_rows) of some fits; one long row for all of them is no copy."""
    if not isinstance(values, np.ndarray):
        return values[index]
    same = len(values) == 1 or values.strides[0] == 0
    if not same or len(row_pieces(values.shape[1])) < 2:
        return values[index]
    return np.broadcast_to(values[:1], (len(values[index, :1]), values.shape[1]))


@dataclass(frozen=True, eq=False)
class Block:
    """A penalty and the columns of theta, counted after the fractions, it acts on."""

    columns: np.ndarray
    penalty: Penalty

    def moved(self, xp: Any) -> "Block":
        """The same block with its arrays in a namespace."""
        return Block(xp.asarray(self.columns), self.penalty.moved(xp))


@dataclass(frozen=True, eq=False)
class _State:
    """Everything the derivatives at one theta share."""

    fractions: FloatArray
    parts: list[Evaluation]
    density: FloatArray
    ratio: list[FloatArray]


class MixtureModel:
    """Log posterior of fractions and blend parameters, batched over fits.

    Parameters
    ----------
    densities : sequence of ClassDensity
        One per class.
    blocks : sequence of Block
        Priors of the blend parameters.
    positive : int
        Index of the class whose fraction is kappa, always the first entry of theta.
    reference_weight : ndarray of shape (n_reference,)
        Probabilities of the reference rows under p_ref.

    Attributes
    ----------
    n_classes, n_fractions, n_params : int
        Classes, free fractions, and all parameters theta.
    slices : list of slice
        Columns of theta that hold the blend of every class.
    """

    def __init__(
        self,
        densities: Sequence[ClassDensity],
        blocks: Sequence[Block],
        positive: int,
        reference_weight: FloatArray,
    ):
        self.reference_weight = reference_weight
        self.densities = list(densities)
        self.blocks = list(blocks)
        self.n_classes = len(self.densities)
        others = [c for c in range(self.n_classes) if c != positive]
        self.free_classes = [positive, *others[:-1]]
        self.dependent_class = others[-1]
        self.n_fractions = self.n_classes - 1
        ends = np.cumsum([self.n_fractions, *(d.n_params for d in self.densities)])
        self.slices = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self.n_params = int(ends[-1])

    #: Whether rows are events: many, and normalised by a finite reference sample.
    rows_are_events = False
    #: Functions for the arrays of `there`.
    xp: Any = np

    @property
    def there(self) -> Self:
        """The mixture whose functions take and give arrays of ``xp``."""
        return self

    def moved(self, xp: Any) -> Self:
        """The same mixture with all arrays in a namespace; log posteriors only."""
        new = copy.copy(self)
        new.xp = xp
        new.densities = [density.moved(xp) for density in self.densities]
        new.blocks = [block.moved(xp) for block in self.blocks]
        return new

    def reference_noise(self, theta: FloatArray, data: RowData) -> FloatArray:
        """Factor by which a finite reference adds to the variance of the target."""
        return np.ones(len(theta))

    def reference_size(self, theta: FloatArray) -> FloatArray:
        """Effective number of reference rows behind a class; bins have all."""
        return np.full(len(theta), np.inf)

    def ran_away(self, theta: FloatArray) -> NDArray[np.bool_]:
        """Whether fits are where the reference knows no normalisation, (n_fits,)."""
        return np.zeros(len(theta), dtype=bool)

    def extra_variance(
        self,
        theta: FloatArray,
        direction: FloatArray,
        data: RowData,
        table: ComponentTable,
    ) -> dict[str, FloatArray]:
        """Variances of kappa beyond that of the target, by their source, (n_fits,)."""
        return {}

    @property
    def is_linear(self) -> bool:
        """Whether every class is a linear blend."""
        return all(density.is_linear for density in self.densities)

    def entries_per_fit(self, n_rows: int) -> int:
        """Numbers that one fit needs in memory at once."""
        rows = n_rows + self.reference_weight.size
        return self.n_params * (self.n_params + rows)

    def rounding(self, data: RowData) -> float:
        """Noise of the log posterior from the precision of its numbers."""
        observed = to_numpy(data.observed)
        largest = float(np.abs(observed).sum(axis=1).max(initial=0.0))
        return float(np.finfo(float).eps) * largest

    def linear_parts(self) -> tuple[list[FloatArray], list[FloatArray]]:
        """Ratios (n_rows, n_components) and alphas of every class, if linear."""
        densities: list[Any] = self.densities
        penalties: list[Any] = [block.penalty for block in self.blocks]
        return [d.ratio for d in densities], [p.concentration for p in penalties]

    # ------------------------------------------------------------------ parameters
    def fractions(self, theta: FloatArray) -> FloatArray:
        """Fractions of all classes, shape (n_fits, n_classes)."""
        shape = (theta.shape[0], self.n_classes)
        full: FloatArray = namespace(theta).empty(shape)
        for j, c in enumerate(self.free_classes):
            full[:, c] = theta[:, j]
        full[:, self.dependent_class] = 1.0 - theta[:, : self.n_fractions].sum(axis=1)
        return full

    def start(self, n_fits: int) -> FloatArray:
        """Equal fractions and the average of the simulations: knows no truth."""
        theta = np.zeros((n_fits, self.n_params))
        theta[:, : self.n_fractions] = 1.0 / self.n_classes
        return theta

    def class_log_density(self, theta: FloatArray) -> FloatArray:
        """ln q_c at the rows, shape (n_fits, n_classes, n_rows)."""
        parts = [
            d.evaluate(theta[:, s]).log_density
            for d, s in zip(self.densities, self.slices, strict=True)
        ]
        return np.stack(parts, axis=1)

    def weights(self, theta: FloatArray) -> tuple[FloatArray, ...]:
        """Weights of the components of every class, as a user reads them."""
        return tuple(
            density.weights(theta[:, columns])
            for density, columns in zip(self.densities, self.slices, strict=True)
        )

    def row_density(self, theta: FloatArray) -> FloatArray:
        """p at the rows relative to the reference, shape (n_fits, n_rows)."""
        return self._state(theta).density

    def fraction_score(self, theta: FloatArray, weight: FloatArray) -> FloatArray:
        """Efficient score of kappa at rows (n_fits, n_rows), blends as known."""
        density = np.exp(self.class_log_density(theta))
        total = np.einsum("bc,bci->bi", self.fractions(theta), density)
        ratio = density / total[:, None]
        scores = ratio[:, self.free_classes] - ratio[:, [self.dependent_class]]
        information = np.einsum("bi,bji,bki->bjk", weight, scores, scores)
        information += (
            1e-9
            * np.trace(information, axis1=1, axis2=2)[:, None, None]
            * np.eye(self.n_fractions)
        )
        unit = np.eye(self.n_fractions)[:, :1]
        direction = np.linalg.solve(information, np.tile(unit, (len(theta), 1, 1)))
        return np.einsum("bj,bji->bi", direction[:, :, 0], scores)

    def statistical_variance(self, theta: FloatArray) -> FloatArray:
        """Relative variance of p_i from the components, (n_fits, n_rows)."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            errors = [e / self.row_density(theta) for e in self.class_errors(theta)]
        return np.sum(np.square(errors), axis=0)

    def class_errors(self, theta: FloatArray) -> list[FloatArray]:
        """Errors f_c q_c delta_c of p_i that every class makes, (n_fits, n_rows)."""
        state = self._state(theta)
        out = []
        for c, density in enumerate(self.densities):
            part = state.parts[c]
            relative = np.sqrt(density.statistical_variance(part))
            out.append(state.fractions[:, [c]] * np.exp(part.log_density) * relative)
        return out

    # --------------------------------------------------------------- log posterior
    def _state(self, theta: FloatArray) -> _State:
        parts = [
            density.evaluate(theta[:, columns])
            for density, columns in zip(self.densities, self.slices, strict=True)
        ]
        fractions = self.fractions(theta)
        exp = namespace(theta).exp
        q = [exp(part.log_density) for part in parts]
        p: Any = sum(fractions[:, c, None] * q[c] for c in range(self.n_classes))
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            ratio = [values / p for values in q]
        return _State(fractions, parts, p, ratio)

    def value(self, theta: FloatArray, data: RowData) -> FloatArray:
        """Log posterior, shape (n_fits,); -inf where the density is not positive."""
        return self.log_likelihood(theta, data) + self.log_prior(theta)

    def log_likelihood(self, theta: FloatArray, data: RowData) -> FloatArray:
        """The part of the data alone."""
        return self._log_likelihood(self._state(theta), data)

    def _log_likelihood(self, state: _State, data: RowData) -> FloatArray:
        p, xp = state.density, namespace(state.density)
        positive = p > 0
        log_p = xp.log(xp.where(positive, p, 1.0))
        total = xp.einsum("bi,bi->b", data.observed, log_p)
        if data.expected is not None:
            total = total - xp.einsum("bi,bi->b", data.expected, p)
        inside = positive.all(axis=1) & near_simplex(state.fractions)
        return xp.where(inside, total, -np.inf)

    def log_prior(self, theta: FloatArray) -> FloatArray:
        """Log prior density of the blend parameters, shape (n_fits,)."""
        total: FloatArray = namespace(theta).zeros((theta.shape[0],))
        for _, params, penalty in self._priors(theta):
            total += penalty.value(params)
        return total

    def _priors(
        self, theta: FloatArray
    ) -> Iterator[tuple[IntArray, FloatArray, Penalty]]:
        """Columns of theta, parameters and prior of every blend."""
        for block in self.blocks:
            columns = self.n_fractions + block.columns
            yield columns, theta[:, columns], block.penalty

    def prior_tension(
        self,
        theta: FloatArray,
        covariance: FloatArray | None = None,
        inflation: Inflation = 1.0,
    ) -> FloatArray:
        """P-value (n_fits,) of the blend under its prior, the smallest of the classes.

        ``covariance`` (n_fits, n_params, n_params), the posterior one, judges what the
        data alone say where they say something; None judges the parameters as they are.
        ``inflation`` is the variance of their noise over what the covariance knows of.
        """
        values = []
        for columns, params, penalty in self._priors(theta):
            if covariance is None:
                values.append(penalty.tail_probability(params))
                continue
            own = covariance[:, columns[:, None], columns]
            values.append(penalty.tension(params, own, inflation))
        if covariance is None or len(values) < 2:
            return smallest_of(np.array(values))
        related = self._tension_correlations(theta, covariance, inflation)
        return smallest_of_classes(np.array(values), related)

    def prior_score_variance(self, information: FloatArray) -> FloatArray:
        """Q Var(z) Q, of the score of priors of precision Q, for left-out truths."""
        factor = np.ones(self.n_params)
        for block in self.blocks:
            if block.columns.size:
                usual = block.penalty.left_out_variance()
                factor[self.n_fractions + block.columns] = usual
        return information * factor[:, None]

    def _tension_correlations(
        self, theta: FloatArray, covariance: FloatArray, inflation: Inflation
    ) -> FloatArray:
        """Correlations of what the tensions of the classes judge, of every fit."""
        blends = slice(self.n_fractions, None)
        inner, inner_covariance = theta[:, blends], covariance[:, blends, blends]
        axes = []
        for block in self.blocks:
            own = inner_covariance[:, block.columns[:, None], block.columns]
            padded = np.zeros((*inner.shape, block.columns.size))
            padded[:, block.columns] = block.penalty.tension_axes(
                inner[:, block.columns], own, inflation
            )
            axes.append(padded)
        precision = self.prior_information(theta)[:, blends, blends]
        return correlations(inner_covariance, precision, axes, inflation)

    def _residual(self, state: _State, data: RowData) -> FloatArray:
        """a_i - e_i p_i, the weight of d ln p_i in the gradient."""
        if data.expected is None:
            return data.observed
        return data.observed - data.expected * state.density

    def value_and_gradient(
        self, theta: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray]:
        """Log posterior (n_fits,) and its gradient (n_fits, n_params)."""
        state = self._state(theta)
        gradient = self._gradient(state, theta, data)
        return self._log_likelihood(state, data) + self.log_prior(theta), gradient

    def _gradient(self, state: _State, theta: FloatArray, data: RowData) -> FloatArray:
        residual = self._residual(state, data)
        xp = namespace(theta)
        out: FloatArray = xp.empty_like(theta)
        last = state.ratio[self.dependent_class]
        for j, c in enumerate(self.free_classes):
            out[:, j] = xp.einsum("bi,bi->b", residual, state.ratio[c] - last)
        for c, columns in enumerate(self.slices):
            share = residual * state.fractions[:, c, None] * state.ratio[c]
            out[:, columns] = self.densities[c].pull_back(state.parts[c], share)
        self._add_prior_gradient(out, theta)
        return out

    def _add_prior_gradient(self, out: FloatArray, theta: FloatArray) -> None:
        for columns, params, penalty in self._priors(theta):
            out[:, columns] += penalty.gradient(params)

    def row_scores(self, theta: FloatArray) -> FloatArray:
        """d ln p_i / d theta, shape (n_fits, n_rows, n_params)."""
        return self._row_scores(self._state(theta))

    def score_along(self, theta: FloatArray, direction: FloatArray) -> FloatArray:
        """Derivative of ln p_i along one direction, shape (n_fits, n_rows)."""
        return np.einsum("bip,bp->bi", self.row_scores(theta), direction)

    def _row_scores(self, state: _State) -> FloatArray:
        shape = (*state.density.shape, self.n_params)
        xp = namespace(state.density)
        out: FloatArray = xp.empty(shape)
        last = state.ratio[self.dependent_class]
        for j, c in enumerate(self.free_classes):
            out[:, :, j] = state.ratio[c] - last
        for c, columns in enumerate(self.slices):
            share = state.fractions[:, c, None] * state.ratio[c]
            jacobian = self.densities[c].jacobian(state.parts[c])
            xp.multiply(share[:, :, None], jacobian, out=out[:, :, columns])
        return out

    def step_terms(
        self, theta: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Value, gradient and information S' diag(a) S + Q of a scoring step."""
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient, information = self._step_terms(theta, data)
        xp = namespace(value)
        outside = ~xp.isfinite(value)
        gradient[outside], information[outside] = 0.0, xp.eye(self.n_params)
        return value, gradient, information

    def shortened(self, step: FloatArray) -> FloatArray:
        """Factors on steps that would leave the range of a local approximation."""
        return np.ones(len(step))

    def _step_terms(
        self, theta: FloatArray, data: RowData
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        state = self._state(theta)
        scores = self._row_scores(state)
        observed = namespace(theta).maximum(data.observed, 0.0)
        information = _gram(scores, observed)
        self._add_information(information, theta)
        residual = self._residual(state, data)
        for c, columns in enumerate(self.slices):
            share = residual * state.fractions[:, c, None] * state.ratio[c]
            bound = self.densities[c].bound_curvature(state.parts[c], share)
            information[:, columns, columns] += bound
        gradient = self._gradient(state, theta, data)
        value = self._log_likelihood(state, data) + self.log_prior(theta)
        return value, gradient, information

    def newton(
        self, theta: FloatArray, data: RowData, information: FloatArray
    ) -> FloatArray:
        """Minus the Hessian, given what ``step_terms`` takes for it."""
        return -self.hessian(theta, data)

    def prior_information(self, theta: FloatArray) -> FloatArray:
        """Precision that the prior adds, shape (n_fits, n_params, n_params)."""
        out = self._no_curvature(theta)
        self._add_information(out, theta)
        return out

    def _no_curvature(self, theta: FloatArray) -> FloatArray:
        shape = (theta.shape[0], self.n_params, self.n_params)
        return namespace(theta).zeros(shape)

    def _add_information(self, out: FloatArray, theta: FloatArray) -> None:
        for columns, params, penalty in self._priors(theta):
            out[:, columns[:, None], columns] += penalty.information(params)

    def hessian(self, theta: FloatArray, data: RowData) -> FloatArray:
        """Exact Hessian of the log posterior, shape (n_fits, n_params, n_params)."""
        state = self._state(theta)
        out = -_gram(self._row_scores(state), data.observed)
        residual = self._residual(state, data)
        for c, columns in enumerate(self.slices):
            self._add_class_curvature(out, state, residual, c, columns)
        return out + self.prior_hessian(theta)

    def prior_hessian(self, theta: FloatArray) -> FloatArray:
        """Hessian of the log prior, shape (n_fits, n_params, n_params)."""
        out = self._no_curvature(theta)
        for columns, params, penalty in self._priors(theta):
            out[:, columns[:, None], columns] += penalty.hessian(params)
        return out

    def _add_class_curvature(
        self,
        out: FloatArray,
        state: _State,
        residual: FloatArray,
        c: int,
        columns: slice,
    ) -> None:
        """Second derivatives of p / p: within the class and with its fraction."""
        density, part = self.densities[c], state.parts[c]
        weight = residual * state.fractions[:, c, None] * state.ratio[c]
        out[:, columns, columns] += _gram(density.jacobian(part), weight)
        out[:, columns, columns] += density.curvature(part, weight)
        cross = density.pull_back(part, residual * state.ratio[c])
        for j, free in enumerate(self.free_classes):
            sign = float(c == free) - float(c == self.dependent_class)
            if sign:
                out[:, columns, j] += sign * cross
                out[:, j, columns] += sign * cross


def near_simplex(fractions: FloatArray) -> NDArray[np.bool_]:
    """Whether fractions (n_fits, n_classes) are near enough to mean anything."""
    # Data that do not tell classes apart leave free fractions undetermined, and
    # rounding would choose among them.
    near = namespace(fractions).abs(fractions) < _FARTHEST
    return near.all(axis=1)


def _gram(jacobian: FloatArray, weight: FloatArray) -> FloatArray:
    """Sum_i weight_i J_i J_i' for every fit."""
    return (jacobian * weight[:, :, None]).swapaxes(1, 2) @ jacobian
