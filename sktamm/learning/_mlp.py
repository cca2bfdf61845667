"""Networks as density ratios: ensembles of perceptrons behind scikit-learn's interface.

A classifier that minimises the cross-entropy learns p(c|x), and

    ln p(c|x) - ln p(c'|x) = ln f_c(x) / f_c'(x) + ln pi_c / pi_c'

is the log density ratio of two classes up to their known shares pi (Cranmer, Pavez and
Louppe 2015). It has to be smooth and calibrated: early stopping restores the best
weights of each member, and the average over members that saw other bootstrap weights
removes most noise.

All members train at once (`_networks`).
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from sktamm._sklearn import one_of
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning._settings import network, setting
from sktamm.learning._stacked import Aligned, StackedMLP, TrainingRows

__all__ = ["TorchMLPClassifier"]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]


@network
class TorchMLPClassifier(ClassifierMixin, StackedMLP):
    """Ensemble of perceptrons that learns calibrated class probabilities.

    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    {fitted}

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.learning import TorchMLPClassifier
    >>> X = np.linspace(-1, 1, 400).reshape(-1, 1)
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = TorchMLPClassifier((8,), n_members=3, max_epochs=4, random_state=0)
    >>> model = model.set_params(learning_rate=0.1, batch_size=90).fit(X, y)
    >>> model.predict([[-0.9], [0.9]])
    array([0, 1])
    """

    _loss = "cross_entropy"

    learning_rate: float | Literal["auto"] = "auto"
    max_epochs: int | Literal["auto"] = "auto"
    class_weight: Any = setting(
        default=None,
        allowed=[dict, one_of("balanced"), None],
        kind='dict, "balanced" or None',
        doc='Factors on the weights of the classes; "balanced" makes totals equal.',
    )

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
        """
        if isinstance(self.class_weight, str):
            rule = "class_weight must be a dict or None for parts of the data"
            raise IncompatibleChoiceError(f"{rule}, got {self.class_weight!r}.")
        return self._go_on(X, y, (sample_weight, member_weight, None), classes)

    def predict_member_log_proba(self, X: ArrayLike) -> Float32Array:
        """Log probabilities of every member, (n_members, n_samples, n_classes)."""
        check_is_fitted(self)
        features = self._read(X, reset=False)
        return self._member_outputs(features, np.float32, log_softmax=True)

    def predict_log_proba(self, X: ArrayLike) -> FloatArray:
        """Logarithm of the mean probability, finite also where that is tiny."""
        check_is_fitted(self)
        from sktamm.learning import _networks

        z = self._standardised(self._read(X, reset=False))
        device = self._device(training=False)
        return _networks.mean_log_softmax(self._network(), z, device)

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Mean of the probabilities of the members, (n_samples, n_classes)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class."""
        log_proba = self.predict_log_proba(X)
        return self.classes_[log_proba.argmax(axis=1)]

    def _read_rows(
        self, X: Any, y: Any, aligned: Aligned, classes: Any = None, *, reset: bool
    ) -> TrainingRows:
        features, y = self._read(X, y, reset=reset)
        check_classification_targets(y)
        labels = column_or_1d(y, warn=True)
        if reset:
            self._set_classes(np.unique(labels if classes is None else classes))
        n_classes = len(self.classes_)
        codes = np.searchsorted(self.classes_, labels).clip(max=n_classes - 1)
        unknown = np.flatnonzero(self.classes_[codes] != labels)
        if len(unknown):
            raise InvalidInputError(
                f"y must hold the classes {self.classes_}, got {labels[unknown[0]]!r}."
            )
        codes = codes.astype(np.int64)
        rows = self._weighted_rows(features, codes, n_classes, codes, aligned)
        if self.class_weight is None:
            return rows
        factors = compute_class_weight(
            self.class_weight,
            classes=self.classes_,
            y=labels,
            sample_weight=rows.weight,
        )
        return rows._replace(weight=rows.weight * factors[codes])

    def _set_classes(self, classes: NDArray[Any]) -> None:
        if len(classes) < 2:
            message = f"y must hold at least two classes, got one class: {classes}."
            raise InvalidInputError(message)
        self.classes_ = classes

    def _network_target(self, target: NDArray[Any]) -> NDArray[Any]:
        return target
