"""Regression by ensembles of perceptrons, in the interface of scikit-learn.

The squared error is minimised by the conditional mean E[y|x]: with labels that average
to a density ratio or to a derivative of one, the mean is that ratio (Brehmer, Cranmer,
Louppe and Pavez 2018). So is the cross-entropy with labels that are probabilities
(Stoye, Brehmer, Louppe, Pavez and Cranmer 2018).
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sktamm._sklearn import one_of
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning._links import LINKS, link_factors, link_spreads
from sktamm.learning._settings import network, setting
from sktamm.learning._stacked import (
    Aligned,
    StackedMLP,
    TrainingRows,
    inverse,
    spread_of,
    weighted_moments,
)

__all__ = ["TorchMLPRegressor"]

FloatArray = NDArray[np.float64]

_OWN_LINK = ("poisson", "logistic")


@network
class TorchMLPRegressor(RegressorMixin, StackedMLP):
    """Ensemble of perceptrons that learns the mean of one or more targets.

    {parameters}

    Attributes
    ----------
    {fitted}

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.learning import TorchMLPRegressor
    >>> X = np.linspace(-1, 1, 400).reshape(-1, 1)
    >>> y = 100 + 10 * X[:, 0]
    >>> model = TorchMLPRegressor((8,), max_epochs=10, batch_size=40, random_state=0)
    >>> model = model.set_params(learning_rate=0.1).fit(X, y)
    >>> bool(model.score(X, y) > 0.98)
    True
    """

    loss: str = setting(
        default="squared_error",
        allowed=[one_of("squared_error", "huber", "poisson", "logistic")],
        kind='{"squared_error", "huber", "poisson", "logistic"}',
        doc='What is minimised. Targets are standardised, so "huber" is linear '
        'beyond one standard deviation; "poisson" takes targets >= 0 and '
        'predicts positive means; "logistic" is the cross-entropy with targets '
        "between 0 and 1.",
    )
    link: str = setting(
        default="linear",
        allowed=[one_of(*LINKS)],
        kind='{"linear", "exponential", "cholesky"}',
        doc="From the outputs of the network to predictions; the loss is that of "
        'the targets in any case. "exponential" suits targets of heavy tails '
        'and acts on those whose values all have one sign; "cholesky" takes '
        "first and second derivatives of a density with respect to parameters, "
        "in the order of `joint_derivatives`, and keeps the density positive. "
        'Losses other than "squared_error" and "huber" have a link of their '
        "own.",
    )

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        member_weight: ArrayLike | None = None,
    ) -> Self:
        """Go once over a part of the data, at a constant learning rate.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features; the rows of the first call define the standardisation.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,) or None
            Weights as in ``fit``.
        member_weight : array-like of shape (n_members, n_samples) or None
            Factors on the weights for each member, as in ``fit``.

        Returns
        -------
        self : TorchMLPRegressor
            The regressor after one more pass.
        """
        return self._go_on(X, y, (sample_weight, member_weight, None))

    def predict_members(self, X: ArrayLike) -> FloatArray:
        """Predictions of every member, (n_members, n_samples[, n_outputs])."""
        check_is_fitted(self)
        z = self._member_outputs(self._read(X, reset=False), np.float64)
        values = self._target_centre + self._target_spread * self._linked(z)
        return values[..., 0] if self._one_target else values

    def predict(
        self, X: ArrayLike, return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Mean (n_samples[, n_outputs]) of the members.

        ``return_std`` adds their standard deviation, which needs several members.
        """
        members = self.predict_members(X)
        mean = members.mean(axis=0)
        return (mean, spread_of(members)) if return_std else mean

    def _read_rows(
        self, X: Any, y: Any, aligned: Aligned, *, reset: bool
    ) -> TrainingRows:
        checks = {"multi_output": True, "y_numeric": True}
        features, y = self._read(X, y, reset=reset, **checks)
        target = np.asarray(y, dtype=np.float64)
        if self.loss == "poisson" and (target < 0).any():
            message = f"y must not be negative for loss='poisson', got {target.min()}."
            raise InvalidInputError(message)
        if self.loss == "logistic" and not ((target >= 0) & (target <= 1)).all():
            raise InvalidInputError(
                "y must be between 0 and 1 for loss='logistic', got values from "
                f"{target.min()} to {target.max()}."
            )
        n_outputs = 1 if target.ndim == 1 else target.shape[1]
        return self._weighted_rows(features, target, n_outputs, None, aligned)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.loss in _OWN_LINK and self.link != "linear":
            raise IncompatibleChoiceError(
                f"link must be 'linear' for loss={self.loss!r}, which has its own, got "
                f"{self.link!r}."
            )

    def _standardise(self, rows: TrainingRows, weight: FloatArray) -> None:
        super()._standardise(rows, weight)
        self._one_target = rows.target.ndim == 1
        target = rows.target.reshape(len(weight), -1)
        centre, spread = weighted_moments(target, weight)
        self._link_factors: tuple[float, ...] = ()
        if self.loss == "poisson":
            centre, spread = np.zeros_like(centre), np.maximum(centre, 0.0)
        elif self.loss == "logistic":
            centre, spread = np.zeros_like(centre), np.ones_like(spread)
        elif self.link != "linear":
            one_sign = ~((target > 0).any(axis=0) & (target < 0).any(axis=0))
            spread = link_spreads(self.link, centre, spread)
            factors = link_factors(self.link, centre, spread, one_sign)
            self._link_factors = tuple(factors.tolist())
            offset = (factors == 0) & (self.link == "exponential")
            centre = np.where(offset, centre, 0.0)
        self._target_centre, self._target_spread = centre, spread

    def _link_options(self) -> dict[str, Any]:
        return {"link": self.link, "link_factors": self._link_factors}

    def _linked(self, z: FloatArray) -> FloatArray:
        from sktamm.learning import _networks

        if self.loss == "poisson":
            return np.exp(z)
        if self.loss == "logistic":
            return expit(z)
        return _networks.linked(z, self.link, self._link_factors)

    def _network_target(self, target: NDArray[Any]) -> NDArray[Any]:
        target = target.reshape(len(target), -1)
        z = (target - self._target_centre) * inverse(self._target_spread)
        return z.astype(np.float32)

    @property
    def _loss(self) -> str:
        return self.loss

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
