"""Lorentz-equivariant base learner, through the public package ``lgatr``.

Regression on the four-momenta of particles by a transformer whose layers commute with
Lorentz transformations (Spinner, Bresó, de Haan, Plehn, Thaler, Brehmer,
arXiv:2405.14806). It is an ordinary regressor of a table of numbers.
"""

from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sktamm._numerics import FloatArray
from sktamm._validation import read_weight
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning import find_device

__all__ = ["LorentzRegressor"]

_COUNTS = ("hidden_vectors", "hidden_scalars", "n_blocks", "n_heads", "batch_size")


class LorentzRegressor(RegressorMixin, BaseEstimator):
    """Lorentz-equivariant transformer that learns the mean of one or more targets.

    Needs ``pip install 'sktamm[lorentz]'``.

    Parameters
    ----------
    n_particles : int or None, default=None
        Number of particles; None takes as many as the columns of ``X`` can hold, none
        if these are fewer than four.
    beams : bool, default=True
        Tell the network the directions of the beams, (1, 0, 0, +-1): outputs are then
        invariant under rotations about them. Without, they are invariant under all
        Lorentz transformations, if there are no other features.
    hidden_vectors : int, default=8
        Vector channels of the hidden layers.
    hidden_scalars : int, default=16
        Scalar channels of the hidden layers.
    n_blocks : int, default=2
        Number of blocks of attention and perceptron.
    n_heads : int, default=2
        Number of attention heads.
    batch_size : int, default=512
        Rows per step.
    max_epochs : int, default=20
        Passes over the data.
    learning_rate : float, default=3e-3
        Largest step size of Adam, in one cycle.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to train and predict; "auto" is a GPU if there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights and the batches.

    Attributes
    ----------
    n_features_in_ : int
        Number of features.
    loss_curve_ : list of float
        Mean squared error of every epoch, in units of the variance of the targets.
    weights_ : dict of ndarray
        Weights of the network.

    Notes
    -----
    The first ``4 * n_particles`` columns of ``X`` are (E, px, py, pz) of one particle
    after the other, always in the same order; a missing one is zero. Other columns are
    scalars that every particle sees.

    References
    ----------
    Spinner et al., arXiv:2405.14806.

    Examples
    --------
    >>> from sktamm.parametric import LorentzRegressor
    >>> LorentzRegressor(n_particles=3).beams
    True
    """

    def __init__(
        self,
        n_particles: int | None = None,
        *,
        beams: bool = True,
        hidden_vectors: int = 8,
        hidden_scalars: int = 16,
        n_blocks: int = 2,
        n_heads: int = 2,
        batch_size: int = 512,
        max_epochs: int = 20,
        learning_rate: float = 3e-3,
        device: str = "auto",
        random_state: Any = None,
    ):
        self.n_particles = n_particles
        self.beams = beams
        self.hidden_vectors = hidden_vectors
        self.hidden_scalars = hidden_scalars
        self.n_blocks = n_blocks
        self.n_heads = n_heads
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Four-momenta, then scalars.
        y : array-like of shape (n_events,) or (n_events, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.

        Returns
        -------
        self : LorentzRegressor
            Fitted regressor.

        Raises
        ------
        IncompatibleChoiceError
            If ``lgatr`` is not installed, or there is no such device.
        InvalidInputError
            If a parameter is out of range or ``X`` has too few columns.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        n_particles = self._check(X.shape[1])
        lorentz = _import()
        weight = read_weight(sample_weight, len(X))
        weight = np.ones(len(X)) if weight is None else weight
        if not weight.sum() > 0:
            raise InvalidInputError(
                "The sum of sample_weight must be positive, not zero: got "
                f"{weight.sum():g}."
            )
        weight = weight / weight.mean()
        self._single = y.ndim == 1
        y = y.reshape(len(y), -1)
        self._set_scales(X, y, weight, 4 * n_particles)
        rng = check_random_state(self.random_state)
        self._options = lorentz.LorentzOptions(
            n_particles=n_particles,
            n_scalars=X.shape[1] - 4 * n_particles,
            n_outputs=y.shape[1],
            hidden_vectors=int(self.hidden_vectors),
            hidden_scalars=int(self.hidden_scalars),
            n_blocks=int(self.n_blocks),
            n_heads=int(self.n_heads),
            beams=bool(self.beams),
            batch_size=int(self.batch_size),
            max_epochs=int(self.max_epochs),
            learning_rate=float(self.learning_rate),
            device=find_device(self.device, training=True),
            seed=int(rng.randint(2**31 - 1)),
        )
        targets = ((y - self._centre) / self._spread).astype(np.float32)
        self.weights_, self.loss_curve_ = lorentz.train(
            self._scaled(X), targets, weight.astype(np.float32), self._options
        )
        return self

    def predict(self, X: Any) -> FloatArray:
        """Predict the means of the targets.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Four-momenta, then scalars.

        Returns
        -------
        y : ndarray of shape (n_events,) or (n_events, n_outputs)
            Predictions.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        here = find_device(self.device, training=False)
        options = replace(self._options, device=here)
        out = _import().predict(self._scaled(X), self.weights_, options)
        y = self._centre + self._spread * out.astype(float)
        return y[:, 0] if self._single else y

    def _check(self, n_features: int) -> int:
        """Check the parameters; the number of particles."""
        for name in (*_COUNTS, "max_epochs"):
            value = getattr(self, name)
            if not (isinstance(value, int | np.integer) and value >= 1):
                raise InvalidInputError(
                    f"{name} must be a positive integer, got {value!r}."
                )
        if not self.learning_rate > 0:
            raise InvalidInputError(
                f"learning_rate must be positive, got {self.learning_rate!r}."
            )
        wanted = n_features // 4 if self.n_particles is None else int(self.n_particles)
        fewest = 0 if self.beams else 1
        if not fewest <= wanted <= n_features // 4:
            raise InvalidInputError(
                f"X must have 4 columns for each of n_particles={self.n_particles} "
                f"particles, at least {fewest}, but has {n_features} feature(s)."
            )
        return wanted

    def _set_scales(
        self, X: FloatArray, y: FloatArray, weight: FloatArray, size: int
    ) -> None:
        """One unit for all momenta, so that they stay four-vectors."""
        unit = float(np.sqrt((X[:, :size] ** 2).sum() / max(1, len(X) * size)))
        scalars = X[:, size:]
        spread = scalars.std(axis=0)
        self._offset = np.concatenate([np.zeros(size), scalars.mean(axis=0)])
        scale = np.where(spread > 0, spread, 1.0)
        self._scale = np.concatenate([np.full(size, unit if unit > 0 else 1.0), scale])
        self._centre = np.average(y, axis=0, weights=weight)
        square = np.average((y - self._centre) ** 2, axis=0, weights=weight)
        self._spread = np.sqrt(np.where(square > 0, square, 1.0))

    def _scaled(self, X: FloatArray) -> NDArray[np.float32]:
        return ((X - self._offset) / self._scale).astype(np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags


def _import() -> Any:
    try:
        from sktamm.learning import lorentz as _torch_lorentz
    except ImportError as error:
        raise IncompatibleChoiceError(
            "LorentzRegressor needs lgatr: pip install 'sktamm[lorentz]'."
        ) from error
    return _torch_lorentz
