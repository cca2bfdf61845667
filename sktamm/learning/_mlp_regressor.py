"""Regression by ensembles of perceptrons, in the interface of scikit-learn.

The squared error is minimised by the conditional mean E[y|x]: with labels that average
to a density ratio or to a derivative of one, the mean is that ratio (Brehmer, Cranmer,
Louppe and Pavez 2018). So is the cross-entropy with labels that are probabilities
(Stoye, Brehmer, Louppe, Pavez and Cranmer 2018). Targets are standardised within, so
their units do not matter.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning._links import LINKS, link_factors, link_spreads
from sktamm.learning._stacked import Given, StackedMLP, inverse, weighted_moments

__all__ = ["TorchMLPRegressor"]

FloatArray = NDArray[np.float64]

_LOSSES = ("squared_error", "huber", "poisson", "logistic")
_OWN_LINK = ("poisson", "logistic")


class TorchMLPRegressor(RegressorMixin, StackedMLP):
    """Ensemble of perceptrons that learns the mean of one or more targets.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(64, 64, 64)
        Widths of the hidden layers; an empty sequence is linear regression.
    activation : {"leaky_relu", "relu", "tanh", "elu", "gelu"}, default="leaky_relu"
        Function of the hidden layers; the leaky one has slope 0.2 below zero.
    loss : {"squared_error", "huber", "poisson", "logistic"}, default="squared_error"
        What is minimised. Targets are standardised, so "huber" is linear beyond one
        standard deviation; "poisson" takes targets >= 0 and predicts positive means;
        "logistic" is the cross-entropy with targets between 0 and 1.
    link : {"linear", "exponential", "cholesky"}, default="linear"
        From the outputs of the network to predictions; the loss is that of the targets
        in any case. "exponential" suits targets of heavy tails and acts on those whose
        values all have one sign; "cholesky" takes first and second derivatives of a
        density with respect to parameters, in the order of `joint_derivatives`, and
        keeps the density positive. Losses other than "squared_error" and "huber" have a
        link of their own.
    n_members : int, default=1
        Number of networks, trained at once.
    bootstrap : bool, default=True
        Give every member of several its own Poisson(1) event weights.
    learning_rate : float, default=1e-3
        Step size of Adam; with "one_cycle" the largest one.
    schedule : {"one_cycle", "constant"}, default="one_cycle"
        Learning rate over the training: up and slowly down to zero, or constant.
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is a hundredth of the rows, between 32 and 4096.
    max_epochs : int, default=20
        Largest number of passes over the data.
    validation_fraction : float, default=0.1
        Share of the rows that is held out for early stopping.
    early_stopping : bool, default=True
        Hold rows out, stop when every member gets worse on them, and restore the best
        weights of each member: of the last epoch whose loss exceeds the least one by
        no more than the standard error of the difference. With fewer than ten rows the
        training quietly does without.
    patience : int, default=10
        Number of epochs with a larger loss than that after which a member stops.
    weight_decay : float, default=0.0
        Decoupled weight decay, in units of the learning rate.
    warm_start : bool, default=False
        Start from the fitted weights and their standardisation instead of new ones.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; "auto" takes a CUDA device if there is one.
    mixed_precision : {"auto", True, False}, default="auto"
        Train in 16 bits; "auto" does on a GPU.
    progress : bool, default=False
        Show a progress bar if tqdm is installed.
    random_state : int, RandomState instance or None, default=None
        Split, initial weights, bootstrap and order of the rows. An integer gives the
        same numbers bit for bit on a CPU with a fixed number of threads.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_members, fan_in, fan_out)
        Weights of each layer, for standardised features.
    intercepts_ : list of ndarray of shape (n_members, fan_out)
        Biases of each layer.
    loss_curve_ : ndarray of shape (n_epochs, n_members)
        Mean training loss during each epoch of the last call, for standardised targets.
    validation_loss_curve_ : ndarray of shape (n_epochs, n_members) or None
        Mean loss of the held-out rows after each epoch.
    best_epoch_ : ndarray of shape (n_members,)
        Epoch, from zero, whose weights each member kept.
    n_epochs_ : int
        Number of epochs of the last call.
    device_ : str
        Where the training ran.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when all of them are strings.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.learning._mlp import TorchMLPRegressor
    >>> X = np.linspace(-1, 1, 400).reshape(-1, 1)
    >>> y = 100 + 10 * X[:, 0]
    >>> model = TorchMLPRegressor((8,), max_epochs=10, batch_size=40, random_state=0)
    >>> model = model.set_params(learning_rate=0.1).fit(X, y)
    >>> bool(model.score(X, y) > 0.98)
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64, 64),
        activation: str = "leaky_relu",
        *,
        loss: str = "squared_error",
        link: str = "linear",
        n_members: int = 1,
        bootstrap: bool = True,
        learning_rate: float = 1e-3,
        schedule: str = "one_cycle",
        batch_size: int | str = "auto",
        max_epochs: int = 20,
        validation_fraction: float = 0.1,
        early_stopping: bool = True,
        patience: int = 10,
        weight_decay: float = 0.0,
        warm_start: bool = False,
        device: str = "auto",
        mixed_precision: bool | str = "auto",
        progress: bool = False,
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.link = link
        self.n_members = n_members
        self.bootstrap = bootstrap
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.weight_decay = weight_decay
        self.warm_start = warm_start
        self.device = device
        self.mixed_precision = mixed_precision
        self.progress = progress
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        member_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train all members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,) or None
            Weights; some may be negative if their sum is positive.
        member_weight : array-like of shape (n_members, n_samples) or None
            Factors on the weights for each member, in place of the bootstrap. A member
            does not see events of weight zero, nor are they held out for it.
        groups : array-like of shape (n_samples,) or None
            Ids of rows that are held out, and resampled, together: copies of an event.

        Returns
        -------
        self : TorchMLPRegressor
            The fitted regressor.

        Raises
        ------
        InvalidInputError
            Weights do not sum to a positive number, or a target is out of the range of
            the loss.
        IncompatibleChoiceError
            A parameter is out of its range, or the training diverged.
        """
        resume = self.warm_start and hasattr(self, "coefs_")
        rows = self._observed(X, y, (sample_weight, member_weight, groups), resume)
        return self._train(rows, resume=resume, one_pass=False)

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

        Raises
        ------
        InvalidInputError
            Weights or targets cannot be used.
        IncompatibleChoiceError
            A parameter is out of its range, or the training diverged.
        """
        resume = hasattr(self, "coefs_")
        rows = self._observed(X, y, (sample_weight, member_weight), resume)
        return self._train(rows, resume=resume, one_pass=True)

    def predict_members(self, X: ArrayLike) -> FloatArray:
        """Predictions of every member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        values : ndarray of shape (n_members, n_samples) or \
(n_members, n_samples, n_outputs)
            In the units of the targets.
        """
        check_is_fitted(self)
        z = self._member_outputs(self._read(X, reset=False), np.float64)
        values = self._target_centre + self._target_spread * self._linked(z)
        return values[..., 0] if self._one_target else values

    def predict(
        self, X: ArrayLike, return_std: bool = False
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Mean, and on demand standard deviation, of the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        return_std : bool, default=False
            Also return the standard deviation over the members.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Mean prediction.
        std : ndarray of the same shape
            Only with ``return_std``.

        Raises
        ------
        IncompatibleChoiceError
            A standard deviation of one member is asked for.
        """
        members = self.predict_members(X)
        if not return_std:
            return members.mean(axis=0)
        if len(members) < 2:
            message = "return_std needs n_members of at least 2, got 1."
            raise IncompatibleChoiceError(message)
        return members.mean(axis=0), members.std(axis=0, ddof=1)

    def _observed(
        self,
        X: ArrayLike,
        y: ArrayLike,
        aligned: tuple[ArrayLike | None, ...],
        resume: bool,
    ) -> Given:
        self._check_parameters()
        checks = {"multi_output": True, "y_numeric": True}
        features, y = self._read(X, y, reset=not resume, **checks)
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
        return self._given(features, target, n_outputs, None, *aligned)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name, allowed in (("loss", _LOSSES), ("link", tuple(LINKS))):
            if getattr(self, name) not in allowed:
                raise IncompatibleChoiceError(
                    f"{name} must be one of {allowed}, got {getattr(self, name)!r}."
                )
        if self.loss in _OWN_LINK and self.link != "linear":
            raise IncompatibleChoiceError(
                f"link must be 'linear' for loss={self.loss!r}, which has its own, got "
                f"{self.link!r}."
            )

    def _standardise(self, rows: Given, weight: FloatArray) -> None:
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
