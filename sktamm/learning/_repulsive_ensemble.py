"""Repulsive ensembles: networks whose spread is the uncertainty of what was learned.

Networks that start from different weights end in the same functions wherever the
training is good, so the spread of an ordinary ensemble has no meaning. Here the members
repel each other while they learn (D'Angelo and Fortuin, arXiv:2106.11642),

    d theta_i / dt = grad ln p(theta_i | data) - alpha grad ln rho(theta_i),

with rho the density of the members: at rest it is the posterior, where alpha = 1. The
distance is one of functions, of losses or of weights. All members train in one stack,
with one prior N(0, prior_scale^2 / fan_in) of the weights for standardised features.

When is the spread that of the posterior? For a network without hidden layers (linear or
logistic regression) with ``repulsion="function"``, ``early_stopping=False``, a prior
much weaker than the data, batches of many more rows than coefficients, more members
than coefficients, the noise known or well estimated, and enough epochs for the members
to come to rest; with ``repulsion="weight"`` if the features are uncorrelated too. The
force of a kernel estimate of rho is too weak, so that it is scaled to Stein's identity,
which makes the mean variance exact. Elsewhere, the spread is a guide: it grows where
data are scarce, though by less than it should far outside of them.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm.exceptions import IncompatibleChoiceError
from sktamm.learning._mlp import TorchMLPClassifier
from sktamm.learning._mlp_regressor import TorchMLPRegressor
from sktamm.learning._stacked import StackedMLP, inverse

if TYPE_CHECKING:
    from sktamm.learning._networks import Options, Outcome, Rows, Split

__all__ = ["RepulsiveEnsembleClassifier", "RepulsiveEnsembleRegressor"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SPACES = ("function", "loss", "weight")
_LOSSES = ("squared_error", "logistic")


class _Repulsive(StackedMLP):
    """Members that repel each other, in place of the bootstrap and weight decay."""

    bootstrap = False
    weight_decay = 0.0
    n_events_: float

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.repulsion not in _SPACES:
            _refuse("repulsion", f"one of {_SPACES}", self.repulsion)
        if not 0 <= self.alpha < np.inf:
            _refuse("alpha", "finite and not negative", self.alpha)
        if self.prior_scale is not None and not 0 < self.prior_scale < np.inf:
            _refuse("prior_scale", "positive and finite, or None", self.prior_scale)

    def _optimise(
        self,
        rows: "Rows",
        split: "Split",
        options: "Options",
        one_pass: bool,
    ) -> "Outcome":
        from sktamm.learning import _networks, _repulsion

        training, units = split.training, split.units
        seen = self.n_events_ if one_pass and self._n_calls else 0.0
        units = None if units is None else units[training]
        self.n_events_ = seen + _effective_number(rows.weight[training], units)
        objective = _repulsion.Repulsion(
            _repulsion.RepulsionOptions(
                space=self.repulsion,
                alpha=float(self.alpha),
                n_rows=len(training),
                n_events=self.n_events_,
                prior_scale=self.prior_scale,
                noise=self._standardised_noise(),
                calibrated=bool(self.calibrated_force),
            )
        )
        moments = self._moments if one_pass else None
        outcome = _networks.train(
            self._packed(), rows, split, options, moments, objective
        )
        if objective.variance is not None:
            self._keep_noise(np.sqrt(objective.variance.cpu().double().numpy()))
        return outcome

    def _standardised_noise(self) -> FloatArray | None:
        return None

    def _keep_noise(self, noise: FloatArray) -> None:
        """Take over the noise of the standardised targets."""


class RepulsiveEnsembleRegressor(_Repulsive, TorchMLPRegressor):
    """Networks that repel each other and learn the mean of one or more targets.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(64, 64)
        Widths of the hidden layers; an empty sequence is Bayesian linear regression.
    activation : {"leaky_relu", "relu", "tanh", "elu", "gelu"}, default="leaky_relu"
        Function of the hidden layers.
    loss : {"squared_error", "logistic"}, default="squared_error"
        Likelihood of the targets: normal about their mean, or that of labels between 0
        and 1, which may be probabilities themselves.
    link : {"linear", "exponential", "cholesky"}, default="linear"
        From the outputs of the network to predictions, as in `TorchMLPRegressor`.
    n_members : int, default=16
        Number of networks, trained at once.
    repulsion : {"function", "loss", "weight"}, default="function"
        Where the distance between members is measured: in their predictions at the
        events of a batch, in the losses of these events, or in the weights.
    alpha : float, default=1.0
        Strength of the repulsion, the temperature of the posterior: at 1 the spread is
        that of the posterior, at 0 the members are independent.
    prior_scale : float or None, default=1.0
        Standard deviation of the normal prior of biases and, times 1 / sqrt(fan_in), of
        weights, for standardised features and targets; None is a flat prior.
    noise : float, array-like of shape (n_outputs,) or None, default=None
        Standard deviation of the targets about their mean, in their units; None takes
        the root of the mean square residual of every batch, and less during the first
        third of "one_cycle", since members that call everything noise are held there by
        the prior. Only for "squared_error".
    calibrated_force : bool, default=True
        Scale the force to Stein's identity, so that the mean variance of the members is
        that of a normal posterior; without, the force is that of arXiv:2106.11642.
    learning_rate : float, default=3e-3
        Step size of Adam; with "one_cycle" the largest one.
    schedule : {"one_cycle", "constant"}, default="one_cycle"
        Learning rate over the training: up and slowly down to zero, or constant.
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is a hundredth of the rows, between 32 and 4096.
    max_epochs : int, default=50
        Largest number of passes over the data.
    validation_fraction : float, default=0.1
        Share of the rows that is held out for early stopping.
    early_stopping : bool, default=False
        Hold rows out, stop when the mean loss of the members gets worse on them, and
        restore the weights of all members at their common best epoch. The members may
        not have reached their distances by then.
    patience : int, default=10
        Number of epochs with a larger loss than the best after which training stops.
    warm_start : bool, default=False
        Start from the fitted weights and their standardisation instead of new ones.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; "auto" takes a CUDA device if there is one.
    mixed_precision : {"auto", True, False}, default="auto"
        Train in 16 bits; "auto" does on a GPU.
    progress : bool, default=False
        Show a progress bar if tqdm is installed.
    random_state : int, RandomState instance or None, default=None
        Split, initial weights and order of the rows. An integer gives the same numbers
        bit for bit on a CPU with a fixed number of threads.

    Attributes
    ----------
    noise_ : ndarray of shape (n_outputs,)
        Standard deviation of the targets about their mean, given or estimated; only for
        "squared_error".
    n_events_ : float
        Effective number of training events, (sum w)^2 / sum w^2, with the sum of the
        weights of each group; the scale of the weights does not matter.
    coefs_ : list of ndarray of shape (n_members, fan_in, fan_out)
        Weights of each layer, for standardised features.
    intercepts_ : list of ndarray of shape (n_members, fan_out)
        Biases of each layer.
    loss_curve_ : ndarray of shape (n_epochs, n_members)
        Mean squared error of the standardised targets during each epoch.
    validation_loss_curve_ : ndarray of shape (n_epochs, n_members) or None
        Mean of the members' losses of the held-out rows after each epoch.
    best_epoch_ : ndarray of shape (n_members,)
        Epoch, from zero, whose weights were kept; the same for all members.
    n_epochs_ : int
        Number of epochs of the last call.
    device_ : str
        Where the training ran.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when all of them are strings.

    Notes
    -----
    Events weigh as w / mean(w) in the likelihood of ``n_events_`` events. The force in
    the space of losses keeps members apart, but its spread is that of no posterior.

    References
    ----------
    F. D'Angelo, V. Fortuin, Repulsive deep ensembles are Bayesian, arXiv:2106.11642.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.learning import RepulsiveEnsembleRegressor
    >>> X = np.linspace(-1, 1, 400).reshape(-1, 1)
    >>> y = 100 + 10 * X[:, 0] + np.random.default_rng(0).normal(size=400)
    >>> model = RepulsiveEnsembleRegressor((), noise=1.0, random_state=0)
    >>> model = model.set_params(learning_rate=0.05).fit(X, y)
    >>> mean, std = model.predict([[0.0], [2.0]], return_std=True)
    >>> bool(std[1] > std[0])
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64),
        activation: str = "leaky_relu",
        *,
        loss: str = "squared_error",
        link: str = "linear",
        n_members: int = 16,
        repulsion: str = "function",
        alpha: float = 1.0,
        prior_scale: float | None = 1.0,
        noise: Any = None,
        calibrated_force: bool = True,
        learning_rate: float = 3e-3,
        schedule: str = "one_cycle",
        batch_size: int | str = "auto",
        max_epochs: int = 50,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        patience: int = 10,
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
        self.repulsion = repulsion
        self.alpha = alpha
        self.prior_scale = prior_scale
        self.noise = noise
        self.calibrated_force = calibrated_force
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.warm_start = warm_start
        self.device = device
        self.mixed_precision = mixed_precision
        self.progress = progress
        self.random_state = random_state

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.loss not in _LOSSES:
            _refuse("loss", f"one of {_LOSSES}", self.loss)

    def _standardised_noise(self) -> FloatArray | None:
        if self.noise is None:
            return None
        noise = np.atleast_1d(np.asarray(self.noise, dtype=np.float64))
        n_outputs = len(self._target_spread)
        fits = noise.ndim == 1 and len(noise) in (1, n_outputs)
        if not (fits and np.isfinite(noise).all() and (noise > 0).all()):
            rule = f"positive and finite, one or n_outputs={n_outputs} numbers, or None"
            _refuse("noise", rule, self.noise)
        scaled = noise * inverse(self._target_spread)
        return np.where(scaled > 0, scaled, 1.0)

    def _keep_noise(self, noise: FloatArray) -> None:
        self.noise_ = noise * self._target_spread


class RepulsiveEnsembleClassifier(_Repulsive, TorchMLPClassifier):
    """Networks that repel each other and learn class probabilities.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(64, 64)
        Widths of the hidden layers; an empty sequence is Bayesian logistic regression.
    activation : {"leaky_relu", "relu", "tanh", "elu", "gelu"}, default="leaky_relu"
        Function of the hidden layers.
    n_members : int, default=16
        Number of networks, trained at once.
    repulsion : {"function", "loss", "weight"}, default="function"
        Where the distance between members is measured: in the square roots of their
        probabilities at the events of a batch, whose distance is that of Fisher's
        information, in the losses of these events, or in the weights.
    alpha : float, default=1.0
        Strength of the repulsion, the temperature of the posterior: at 1 the spread is
        that of the posterior, at 0 the members are independent.
    prior_scale : float or None, default=1.0
        Standard deviation of the normal prior of biases and, times 1 / sqrt(fan_in), of
        weights, for standardised features; None is a flat prior.
    calibrated_force : bool, default=True
        Scale the force to Stein's identity, so that the mean variance of the members is
        that of a normal posterior; without, the force is that of arXiv:2106.11642.
    learning_rate : float, default=3e-3
        Step size of Adam; with "one_cycle" the largest one.
    schedule : {"one_cycle", "constant"}, default="one_cycle"
        Learning rate over the training: up and slowly down to zero, or constant.
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is a hundredth of the rows, between 32 and 4096.
    max_epochs : int, default=50
        Largest number of passes over the data.
    validation_fraction : float, default=0.1
        Share of the rows, in every class, that is held out for early stopping.
    early_stopping : bool, default=False
        Hold rows out, stop when the mean loss of the members gets worse on them, and
        restore the weights of all members at their common best epoch. The members may
        not have reached their distances by then.
    patience : int, default=10
        Number of epochs with a larger loss than the best after which training stops.
    class_weight : dict, "balanced" or None, default=None
        Factors on the weights of each class; "balanced" makes their totals equal.
    warm_start : bool, default=False
        Start from the fitted weights and their standardisation instead of new ones.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute; "auto" takes a CUDA device if there is one.
    mixed_precision : {"auto", True, False}, default="auto"
        Train in 16 bits; "auto" does on a GPU.
    progress : bool, default=False
        Show a progress bar if tqdm is installed.
    random_state : int, RandomState instance or None, default=None
        Split, initial weights and order of the rows. An integer gives the same numbers
        bit for bit on a CPU with a fixed number of threads.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_events_ : float
        Effective number of training events, (sum w)^2 / sum w^2, with the sum of the
        weights of each group; the scale of the weights does not matter.
    coefs_ : list of ndarray of shape (n_members, fan_in, fan_out)
        Weights of each layer, for standardised features.
    intercepts_ : list of ndarray of shape (n_members, fan_out)
        Biases of each layer.
    loss_curve_ : ndarray of shape (n_epochs, n_members)
        Mean cross-entropy during each epoch.
    validation_loss_curve_ : ndarray of shape (n_epochs, n_members) or None
        Mean of the members' losses of the held-out rows after each epoch.
    best_epoch_ : ndarray of shape (n_members,)
        Epoch, from zero, whose weights were kept; the same for all members.
    n_epochs_ : int
        Number of epochs of the last call.
    device_ : str
        Where the training ran.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when all of them are strings.

    References
    ----------
    F. D'Angelo, V. Fortuin, Repulsive deep ensembles are Bayesian, arXiv:2106.11642.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.learning import RepulsiveEnsembleClassifier
    >>> X = np.linspace(-1, 1, 400).reshape(-1, 1)
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = RepulsiveEnsembleClassifier((), max_epochs=10, random_state=0)
    >>> model = model.set_params(learning_rate=0.1).fit(X, y)
    >>> model.predict([[-0.9], [0.9]])
    array([0, 1])
    >>> proba, std = model.predict_proba([[-0.9], [0.9]], return_std=True)
    >>> model.predict_members(X).shape
    (16, 400, 2)
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64),
        activation: str = "leaky_relu",
        *,
        n_members: int = 16,
        repulsion: str = "function",
        alpha: float = 1.0,
        prior_scale: float | None = 1.0,
        calibrated_force: bool = True,
        learning_rate: float = 3e-3,
        schedule: str = "one_cycle",
        batch_size: int | str = "auto",
        max_epochs: int = 50,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        patience: int = 10,
        class_weight: Any = None,
        warm_start: bool = False,
        device: str = "auto",
        mixed_precision: bool | str = "auto",
        progress: bool = False,
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_members = n_members
        self.repulsion = repulsion
        self.alpha = alpha
        self.prior_scale = prior_scale
        self.calibrated_force = calibrated_force
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.device = device
        self.mixed_precision = mixed_precision
        self.progress = progress
        self.random_state = random_state

    def predict_members(self, X: ArrayLike) -> FloatArray:
        """Probabilities of every member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        proba : ndarray of shape (n_members, n_samples, n_classes)
            Rows sum to one, in the order of ``classes_``.
        """
        return np.exp(self.predict_member_log_proba(X).astype(np.float64))

    def predict_proba(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Mean, and on demand standard deviation, of the members' probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        return_std : bool, default=False
            Also return the standard deviation over the members.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows sum to one, in the order of ``classes_``.
        std : ndarray of the same shape
            Only with ``return_std``.

        Raises
        ------
        IncompatibleChoiceError
            A standard deviation of one member is asked for.
        """
        proba = super().predict_proba(X)
        if not return_std:
            return proba
        members = self.predict_members(X)
        if len(members) < 2:
            message = "return_std needs n_members of at least 2, got 1."
            raise IncompatibleChoiceError(message)
        return proba, members.std(axis=0, ddof=1)


def _effective_number(weight: NDArray[np.float32], units: IntArray | None) -> float:
    """Events of equal weights with the same statistical error, (sum w)^2 / sum w^2."""
    totals = weight.mean(axis=1, dtype=np.float64)
    if units is not None:
        totals = np.bincount(units, weights=totals)
    return float(totals.sum() ** 2 / np.square(totals).sum())


def _refuse(name: str, rule: str, value: object) -> None:
    raise IncompatibleChoiceError(f"{name} must be {rule}, got {value!r}.")
