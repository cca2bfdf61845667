"""Networks as density ratios: ensembles of perceptrons behind scikit-learn's interface.

A classifier that minimises the cross-entropy learns p(c|x), and

    ln p(c|x) - ln p(c'|x) = ln f_c(x) / f_c'(x) + ln pi_c / pi_c'

is the log density ratio of two classes up to their known shares pi (Cranmer, Pavez and
Louppe 2015). What matters is that it is smooth and calibrated, not its accuracy, so all
is arranged for the loss: early stopping restores the best weights of each member, and
the average over members that saw other bootstrap weights removes most of their noise.

All members train at once (`sktamm.learning._networks`). What a fit leaves behind are plain arrays.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning._mlp_regressor import TorchMLPRegressor
from sktamm.learning._stacked import Given, StackedMLP

__all__ = ["TorchMLPClassifier", "TorchMLPRegressor"]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]


class TorchMLPClassifier(ClassifierMixin, StackedMLP):
    """Ensemble of perceptrons that learns calibrated class probabilities.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(64, 64, 64)
        Widths of the hidden layers; an empty sequence is logistic regression.
    activation : {"leaky_relu", "relu", "tanh", "elu", "gelu"}, default="leaky_relu"
        Function of the hidden layers; the leaky one has slope 0.2 below zero.
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
        Share of the rows, in every class, that is held out for early stopping.
    early_stopping : bool, default=True
        Hold rows out, stop when every member gets worse on them, and restore the best
        weights of each member: of the last epoch whose loss exceeds the least one by
        no more than the standard error of the difference. With fewer than ten rows in
        a class, or too few held-out rows, the training quietly does without.
    patience : int, default=10
        Number of epochs with a larger loss than that after which a member stops.
    weight_decay : float, default=0.0
        Decoupled weight decay, in units of the learning rate.
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
        Split, initial weights, bootstrap and order of the rows. An integer gives the
        same numbers bit for bit on a CPU with a fixed number of threads.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    coefs_ : list of ndarray of shape (n_members, fan_in, fan_out)
        Weights of each layer, for standardised features.
    intercepts_ : list of ndarray of shape (n_members, fan_out)
        Biases of each layer.
    loss_curve_ : ndarray of shape (n_epochs, n_members)
        Mean training loss during each epoch of the last call.
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
    >>> from sktamm.learning._mlp import TorchMLPClassifier
    >>> X = np.linspace(-1, 1, 400).reshape(-1, 1)
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = TorchMLPClassifier((8,), n_members=3, max_epochs=4, random_state=0)
    >>> model = model.set_params(learning_rate=0.1, batch_size=90).fit(X, y)
    >>> model.predict([[-0.9], [0.9]])
    array([0, 1])
    >>> model.predict_member_log_proba(X).shape
    (3, 400, 2)
    """

    _loss = "cross_entropy"

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64, 64),
        activation: str = "leaky_relu",
        *,
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
        self.bootstrap = bootstrap
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.weight_decay = weight_decay
        self.class_weight = class_weight
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
        """Train all members on labelled events.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels, two or more different ones.
        sample_weight : array-like of shape (n_samples,) or None
            Weights; some may be negative if the sum of every class is positive.
        member_weight : array-like of shape (n_members, n_samples) or None
            Factors on the weights for each member, in place of the bootstrap. A member
            does not see events of weight zero, nor are they held out for it.
        groups : array-like of shape (n_samples,) or None
            Ids of rows that are held out, and resampled, together: copies of an event.

        Returns
        -------
        self : TorchMLPClassifier
            The fitted classifier.

        Raises
        ------
        InvalidInputError
            There is only one class, or the weights of a class do not sum to a positive
            number.
        IncompatibleChoiceError
            A parameter is out of its range, or the training diverged.
        """
        self._check_parameters()
        resume = self.warm_start and hasattr(self, "coefs_")
        features, y = self._read(X, y, reset=not resume)
        labels = _labels(y)
        if not resume:
            self._set_classes(np.unique(labels))
        aligned = sample_weight, member_weight, groups
        rows = self._labelled(features, labels, *aligned)
        return self._train(rows, resume=resume, one_pass=False)

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        member_weight: ArrayLike | None = None,
    ) -> Self:
        """Go once over a part of the data, at a constant learning rate.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features; those of the first call define the standardisation.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,) or None
            All labels that will ever occur; needed in the first call only.
        sample_weight : array-like of shape (n_samples,) or None
            Weights as in ``fit``.
        member_weight : array-like of shape (n_members, n_samples) or None
            Factors on the weights for each member, as in ``fit``.

        Returns
        -------
        self : TorchMLPClassifier
            The classifier after one more pass.

        Raises
        ------
        InvalidInputError
            A label is not among the classes, or weights cannot be used.
        IncompatibleChoiceError
            A parameter is out of its range, or the training diverged.
        """
        self._check_parameters()
        if isinstance(self.class_weight, str):
            rule = "class_weight must be a dict or None for parts of the data"
            raise IncompatibleChoiceError(f"{rule}, got {self.class_weight!r}.")
        resume = hasattr(self, "coefs_")
        features, y = self._read(X, y, reset=not resume)
        labels = _labels(y)
        if not resume:
            self._set_classes(np.unique(labels if classes is None else classes))
        rows = self._labelled(features, labels, sample_weight, member_weight)
        return self._train(rows, resume=resume, one_pass=True)

    def predict_member_log_proba(self, X: ArrayLike) -> Float32Array:
        """Log probabilities of every member.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        log_proba : ndarray of shape (n_members, n_samples, n_classes)
            In single precision, in the order of ``classes_``.
        """
        check_is_fitted(self)
        features = self._read(X, reset=False)
        return self._member_outputs(features, np.float32, log_softmax=True)

    def predict_log_proba(self, X: ArrayLike) -> FloatArray:
        """Logarithm of the mean probability of the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; finite also where a probability is tiny.
        """
        check_is_fitted(self)
        from sktamm.learning import _networks

        z = self._standardised(self._read(X, reset=False))
        device = self._device(training=False)
        return _networks.mean_log_softmax(self._network(), z, device)

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Mean of the probabilities of the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows sum to one, in the order of ``classes_``.
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        label : ndarray of shape (n_samples,)
            Class labels.
        """
        log_proba = self.predict_log_proba(X)
        return self.classes_[log_proba.argmax(axis=1)]

    def _set_classes(self, classes: NDArray[Any]) -> None:
        if len(classes) < 2:
            message = f"y must hold at least two classes, got one class: {classes}."
            raise InvalidInputError(message)
        self.classes_ = classes

    def _labelled(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        sample_weight: ArrayLike | None,
        member_weight: ArrayLike | None,
        groups: ArrayLike | None = None,
    ) -> Given:
        n_classes = len(self.classes_)
        codes = np.searchsorted(self.classes_, y).clip(max=n_classes - 1)
        unknown = np.flatnonzero(self.classes_[codes] != y)
        if len(unknown):
            raise InvalidInputError(
                f"y must hold the classes {self.classes_}, got {y[unknown[0]]!r}."
            )
        codes = codes.astype(np.int64)
        aligned = sample_weight, member_weight, groups
        given = self._given(X, codes, n_classes, codes, *aligned)
        if self.class_weight is None:
            return given
        factors = compute_class_weight(
            self.class_weight,
            classes=self.classes_,
            y=y,
            sample_weight=given.weight,
        )
        return given._replace(weight=given.weight * factors[codes])

    def _network_target(self, target: NDArray[Any]) -> NDArray[Any]:
        return target


def _labels(y: Any) -> NDArray[Any]:
    check_classification_targets(y)
    return column_or_1d(y, warn=True)
