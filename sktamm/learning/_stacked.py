"""What network classifiers and regressors share: checks, weights, splits, state.

Features enter as z = (x - mean) / spread of the training rows, weights as w / mean(w):
their units do not matter. Held-out rows are the same for all members, each of which has
its own weights on the others. A fitted network is plain arrays, for any device.
"""

from dataclasses import fields
from itertools import pairwise
from math import ceil
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sktamm._sklearn import check_parameters
from sktamm._validation import encode, read_weight, refuse_masked
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.learning._settings import TrainingSettings

if TYPE_CHECKING:
    from sktamm.learning._networks import (
        Moments,
        Network,
        Options,
        Outcome,
        Rows,
        Split,
    )

__all__ = [
    "Aligned",
    "StackedMLP",
    "TrainingRows",
    "inverse",
    "spread_of",
    "weighted_moments",
]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]

_BLOCK_SIZE = 1 << 16  # rows standardised at a time, lest all be copied in doubles
_LEAST_PER_CLASS = 10  # rows; rule of thumb: fewer are too few to hold some out
# The usual training, which 100 steps of a large batch per epoch are enough for. With
# three times the rows or more, a third of the epochs at three times the rate loses
# nothing (Gaussian study in 2 and 10 features, bench_training.py).
_EPOCHS, _RATE = 20, 1e-3
_USUAL_ROWS, _FASTEST = 409_600, 3.0
# Weights of the rows, of members for the rows, and ids of rows: all may be None.
Aligned = tuple[ArrayLike | None, ArrayLike | None, ArrayLike | None]


class TrainingRows(NamedTuple):
    """Rows to learn from, checked."""

    X: NDArray[Any]  # (n_rows, n_features)
    target: NDArray[Any]  # (n_rows,) class numbers or (n_rows, n_outputs) values
    weight: FloatArray  # (n_rows,)
    n_outputs: int
    codes: IntArray | None  # (n_rows,) class numbers, None in regression
    member_weight: FloatArray | None  # (n_members, n_rows)
    groups: IntArray | None = None  # (n_rows,) numbers of rows that stay together


class StackedMLP(TrainingSettings, BaseEstimator):
    """Checks, weights, splits and training that classifier and regressor share."""

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
            Labels of two or more classes, or targets of a regression.
        sample_weight : array-like of shape (n_samples,) or None
            Weights; some may be negative if their sum, of every class, is positive.
        member_weight : array-like of shape (n_members, n_samples) or None
            Factors for each member, in place of the bootstrap; a member neither sees
            nor holds out events of weight zero.
        groups : array-like of shape (n_samples,) or None
            Ids of rows that are held out, and resampled, together: copies of an event.

        Returns
        -------
        self : object
            The fitted network.

        Raises
        ------
        InvalidInputError
            If there is one class, a sum of weights (of a class) is not positive, or a
            target is out of the range of the loss.
        IncompatibleChoiceError
            If a parameter is out of its range, or the training diverged.
        """
        self._check_parameters()
        resume = self.warm_start and hasattr(self, "coefs_")
        aligned = sample_weight, member_weight, groups
        rows = self._read_rows(X, y, aligned, reset=not resume)
        return self._train(rows, resume=resume, one_pass=False)

    def _go_on(self, X: Any, y: Any, aligned: Aligned, *classes: Any) -> Self:
        """One more pass."""
        self._check_parameters()
        resume = hasattr(self, "coefs_")
        rows = self._read_rows(X, y, aligned, *classes, reset=not resume)
        return self._train(rows, resume=resume, one_pass=True)

    def _check_parameters(self) -> None:
        check_parameters(self)
        widths = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object))
        if not all(isinstance(width, Integral) and int(width) > 0 for width in widths):
            rule = "hidden_layer_sizes must be positive integers"
            raise IncompatibleChoiceError(f"{rule}, got {self.hidden_layer_sizes!r}.")
        self._device(training=True)

    def _device(self, *, training: bool) -> str:
        """The device to use; a prediction falls back to the CPU."""
        if self.device == "cpu":
            return "cpu"
        from sktamm.learning import _networks

        found = _networks.has_cuda()
        if self.device == "cuda" and training and not found:
            raise IncompatibleChoiceError(
                "device must be 'auto' or 'cpu' where there is no CUDA device, got "
                "'cuda'."
            )
        return "cuda" if found else "cpu"

    # --------------------------------------------------------------------- training
    def _train(self, rows: TrainingRows, *, resume: bool, one_pass: bool) -> Self:
        """Train on all but the held-out rows; ``resume`` from the fitted weights."""
        from sktamm.learning import _networks

        if resume:
            self._check_resumed(rows)
        # The n-th call of a resumed training has random numbers of its own.
        self._n_calls: int = self._n_calls + 1 if resume else 0
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        streams = np.random.SeedSequence([seed, self._n_calls]).spawn(4)
        training, held_out = self._split(rows, streams[0], one_pass)
        weight = self._event_weights(rows, streams[1], held_out)
        if held_out is not None and not _splits(rows, weight, training, held_out):
            training, held_out = np.arange(len(rows.X)), None
            weight = self._event_weights(rows, streams[1], held_out)
        weight /= weight[training].mean(axis=0, dtype=np.float64)
        if not resume:
            seen = np.zeros(len(rows.X))
            seen[training] = rows.weight[training]
            self._standardise(rows, seen)
            self._initialise(rows, streams[2])
        split = _networks.Split(training, held_out, rows.groups)
        options = self._options(len(training), one_pass, streams[3])
        arrays = self._arrays(rows, weight)
        self._store(self._optimise(arrays, split, options, one_pass))
        return self

    def _split(
        self, rows: TrainingRows, stream: np.random.SeedSequence, one_pass: bool
    ) -> tuple[IntArray, IntArray | None]:
        """Row numbers to train on and to hold out, the latter None where too few."""
        everything = np.arange(len(rows.X))
        codes = rows.codes
        counts = np.array([len(everything)]) if codes is None else np.bincount(codes)
        counts = counts[counts > 0]
        n_held_out = round(self.validation_fraction * len(everything))
        room = len(counts) <= n_held_out <= len(everything) - len(counts)
        enough = counts.min() >= _LEAST_PER_CLASS and room
        if one_pass or not self.early_stopping or not enough:
            return everything, None
        if rows.groups is not None:
            return self._split_groups(rows.groups, stream)
        training, held_out = train_test_split(
            everything,
            test_size=n_held_out,
            stratify=codes,
            random_state=int(stream.generate_state(1)[0]),
        )
        return np.sort(training), np.sort(held_out)

    def _split_groups(
        self, groups: IntArray, stream: np.random.SeedSequence
    ) -> tuple[IntArray, IntArray | None]:
        """Hold whole groups out; None where there are too few."""
        order = np.random.default_rng(stream).permutation(int(groups.max()) + 1)
        n_held_out = round(self.validation_fraction * len(order))
        if not 0 < n_held_out < len(order):
            return np.arange(len(groups)), None
        held_out = np.isin(groups, order[:n_held_out])
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def _event_weights(
        self,
        rows: TrainingRows,
        stream: np.random.SeedSequence,
        held_out: IntArray | None,
    ) -> Float32Array:
        """Weights of shape (n_rows, n_members), with one column if all are equal.

        Held-out rows are not resampled; groups are as a whole.
        """
        base = rows.weight
        if rows.member_weight is None and (self.n_members == 1 or not self.bootstrap):
            return base[:, None].astype(np.float32)
        weight = np.empty((len(base), self.n_members), dtype=np.float32)
        if rows.member_weight is not None:
            return np.multiply(base[:, None], rows.member_weight.T, out=weight)
        groups = rows.groups
        n_units = len(base) if groups is None else int(groups.max()) + 1
        for m, member in enumerate(stream.spawn(self.n_members)):
            draws = np.random.default_rng(member).poisson(1.0, n_units)
            weight[:, m] = base * (draws if groups is None else draws[groups])
        if held_out is not None:
            weight[held_out] = base[held_out, None]
        # A class of few rows may be lost to a member: it keeps the plain weights then.
        codes = np.zeros(len(base), np.int64) if rows.codes is None else rows.codes
        for m, totals in enumerate(_class_totals(weight, codes)):
            lost = (totals <= 0)[codes]
            weight[lost, m] = base[lost]
        return weight

    def _standardise(self, rows: TrainingRows, weight: FloatArray) -> None:
        """Learn the weighted mean and spread of the features; constants become 0."""
        self._centre, spread = weighted_moments(rows.X, weight)
        self._inverse_spread = inverse(spread)

    def _standardised(self, X: NDArray[Any]) -> Float32Array:
        z = np.empty(X.shape, dtype=np.float32)
        for start in range(0, len(X), _BLOCK_SIZE):
            block = slice(start, start + _BLOCK_SIZE)
            z[block] = (X[block] - self._centre) * self._inverse_spread
        return z

    def _initialise(self, rows: TrainingRows, stream: np.random.SeedSequence) -> None:
        """Uniform weights of variance 1 / fan_in; each member has its own stream."""
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=np.int64))
        self._sizes = (rows.X.shape[1], *hidden.tolist(), rows.n_outputs)
        self._function = self.activation
        self.coefs_: list[Float32Array] = []
        self.intercepts_: list[Float32Array] = []
        self._moments: Moments | None = None
        members = [np.random.default_rng(m) for m in stream.spawn(self.n_members)]
        for fan_in, fan_out in pairwise(self._sizes):
            size, limit = (fan_in + 1, fan_out), 1 / np.sqrt(fan_in)
            draws = np.stack([rng.uniform(-limit, limit, size) for rng in members])
            self.coefs_.append(draws[:, 1:].astype(np.float32))
            self.intercepts_.append(draws[:, 0].astype(np.float32))

    def _arrays(self, rows: TrainingRows, weight: Float32Array) -> "Rows":
        from sktamm.learning import _networks

        target = self._network_target(rows.target)
        return _networks.Rows(self._standardised(rows.X), target, weight)

    def _optimise(
        self,
        rows: "Rows",
        split: "Split",
        options: "Options",
        one_pass: bool,
    ) -> "Outcome":
        from sktamm.learning import _networks

        moments = self._moments if one_pass else None
        return _networks.train(self._packed(), rows, split, options, moments)

    def _options(
        self, n_rows: int, one_pass: bool, stream: np.random.SeedSequence
    ) -> "Options":
        from sktamm.learning import _networks

        names = [one.name for one in fields(TrainingSettings)]
        settings = {name: getattr(self, name) for name in names}
        if self.batch_size == "auto":
            settings["batch_size"] = int(np.clip(n_rows // 100, 32, 4096))
        if one_pass:
            settings |= {"schedule": "constant", "max_epochs": 1, "progress": False}
        device = self._device(training=True)
        if self.mixed_precision == "auto":
            settings["mixed_precision"] = device == "cuda"
        settings |= self._pace(settings, n_rows)
        settings |= {
            "activation": self._function,
            "weight_decay": float(self.weight_decay),
            "device": device,
        }
        return _networks.Options(
            **settings,
            sizes=self._sizes,
            loss=self._loss,
            seed=int(stream.generate_state(1)[0]),
            **self._link_options(),
        )

    def _pace(self, settings: dict[str, Any], n_rows: int) -> dict[str, Any]:
        """Epochs and learning rate, where they are left open."""
        epochs, rate = settings["max_epochs"], settings["learning_rate"]
        faster = 1.0
        if epochs == rate == "auto":
            faster = float(np.clip(n_rows / _USUAL_ROWS, 1.0, _FASTEST))
        return {
            "max_epochs": ceil(_EPOCHS / faster) if epochs == "auto" else epochs,
            "learning_rate": _RATE * faster if rate == "auto" else float(rate),
        }

    def _link_options(self) -> dict[str, Any]:
        """Link of the outputs, where there is a choice."""
        return {}

    def _store(self, outcome: "Outcome") -> None:
        loss = outcome.loss[outcome.best_epoch, np.arange(outcome.loss.shape[1])]
        if not (np.isfinite(loss).all() and np.isfinite(outcome.parameters).all()):
            message = (
                "learning_rate must be small enough for the loss to stay finite, "
                f"got {self.learning_rate!r} and losses of {loss}."
            )
            raise IncompatibleChoiceError(message)
        self.coefs_, self.intercepts_ = _unpacked(outcome.parameters, self._sizes)
        self._moments = outcome.moments
        self.loss_curve_ = outcome.loss
        self.validation_loss_curve_ = outcome.validation_loss
        self.best_epoch_ = outcome.best_epoch
        self.n_epochs_ = len(outcome.loss)
        self.device_ = self._device(training=True)

    def _packed(self) -> Float32Array:
        """Weights of all layers in one array of shape (n_members, n_parameters)."""
        layers = zip(self.coefs_, self.intercepts_, strict=True)
        flat = [part.reshape(len(part), -1) for layer in layers for part in layer]
        return np.concatenate(flat, axis=1)

    def _check_resumed(self, rows: TrainingRows) -> None:
        """Refuse to go on with a network of another shape."""
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=np.int64))
        now = (self.n_members, *hidden.tolist(), rows.n_outputs)
        fitted = (len(self.coefs_[0]), *self._sizes[1:])
        if now != fitted:
            message = (
                "n_members, hidden_layer_sizes and the outputs must stay the same to "
                f"resume a training, got {now} after {fitted}."
            )
            raise IncompatibleChoiceError(message)

    # ------------------------------------------------------------------- prediction
    def _member_outputs(
        self, X: NDArray[Any], dtype: type[np.floating], *, log_softmax: bool = False
    ) -> NDArray[Any]:
        """Outputs of shape (n_members, n_rows, n_outputs)."""
        from sktamm.learning import _networks

        place = self._standardised(X), self._device(training=False)
        return _networks.member_outputs(
            self._network(), *place, dtype, log_softmax=log_softmax
        )

    def _network(self) -> "Network":
        from sktamm.learning import _networks

        return _networks.Network(self._packed(), self._sizes, self._function)

    def _read(self, X: Any, y: Any = None, *, reset: bool, **checks: Any) -> Any:
        refuse_masked(X, "X")
        refuse_masked(y, "y")
        both = {} if y is None and not reset else {"y": y}
        dtype = (np.float64, np.float32)
        return validate_data(self, X, dtype=dtype, reset=reset, **both, **checks)

    def _weighted_rows(
        self,
        X: NDArray[Any],
        target: NDArray[Any],
        n_outputs: int,
        codes: IntArray | None,
        aligned: Aligned,
    ) -> TrainingRows:
        """Bring rows and weights together; refuse weights that sum to nothing."""
        sample_weight, member_weight, groups = aligned
        weight = read_weight(sample_weight, len(X))
        weight = np.ones(len(X)) if weight is None else weight
        members = self._read_member_weight(member_weight, len(X))
        labels = getattr(self, "classes_", None)
        _check_totals("sample_weight", weight[:, None], codes, labels)
        if members is not None:
            _check_totals("member_weight", (members * weight).T, codes, labels)
        numbers = None if groups is None else encode(groups, "groups", len(X))[1]
        return TrainingRows(X, target, weight, n_outputs, codes, members, numbers)

    def _read_member_weight(
        self, member_weight: ArrayLike | None, n_rows: int
    ) -> FloatArray | None:
        if member_weight is None:
            return None
        members = np.asarray(member_weight, dtype=np.float64)
        shape = (self.n_members, n_rows)
        if members.shape != shape or not np.isfinite(members).all():
            rule = f"finite and of shape (n_members, n_samples) = {shape}"
            raise InvalidInputError(
                f"member_weight must be {rule}, got shape {members.shape}."
            )
        return members


def weighted_moments(
    values: NDArray[Any], weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and standard deviation of each column (n_rows, n_columns).

    A variance that negative weights make negative becomes that of the plain rows.
    """
    # Differences from a row: no rounding error makes a constant vary.
    origin = values[np.argmax(weight != 0)].astype(np.float64)
    moved = values - origin
    shift = weight @ moved / weight.sum()
    squares = np.square(moved - shift)
    variance = weight @ squares / weight.sum()
    plain = (weight != 0) @ squares / np.count_nonzero(weight)
    return origin + shift, np.sqrt(np.where(variance > 0, variance, plain))


def spread_of(members: FloatArray) -> FloatArray:
    """Standard deviation over the members (n_members, ...)."""
    if len(members) < 2:
        message = "return_std needs n_members of at least 2, got 1."
        raise IncompatibleChoiceError(message)
    return np.asarray(members.std(axis=0, ddof=1))


def inverse(spread: FloatArray) -> FloatArray:
    """Return 1 / spread, and zero for a constant."""
    return np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)


def _check_totals(
    name: str, weight: FloatArray, codes: IntArray | None, labels: NDArray[Any] | None
) -> None:
    """Refuse weights of shape (n_rows, n_members) that leave a class without events."""
    for m, totals in enumerate(_class_totals(weight, codes)):
        bad = np.flatnonzero(~(totals > 0))
        if len(bad):
            where = "" if labels is None else f" in class {labels[bad[0]]}"
            member = f" of member {m}" if name == "member_weight" else ""
            raise InvalidInputError(
                f"{name} must have a sum above zero{where}"
                f"{member}, got {totals[bad[0]]:g}."
            )


def _splits(
    rows: TrainingRows, weight: Float32Array, training: IntArray, held_out: IntArray
) -> bool:
    """Whether the weights of both parts, negative ones included, can be used."""
    codes = None if rows.codes is None else rows.codes[training]
    learnable = (_class_totals(weight[training], codes) > 0).all()
    return bool(learnable and (weight[held_out].sum(axis=0) > 0).all())


def _class_totals(weight: NDArray[Any], codes: IntArray | None) -> FloatArray:
    """Sum of the weights per member and class that occurs."""
    if codes is None:
        return weight.sum(axis=0, dtype=np.float64)[:, None]
    totals = [np.bincount(codes, weights=column) for column in weight.T]
    absent = np.bincount(codes) == 0
    return np.where(absent, np.inf, np.stack(totals))


def _unpacked(
    flat: Float32Array, sizes: tuple[int, ...]
) -> tuple[list[Float32Array], list[Float32Array]]:
    """Split an array of shape (n_members, n_parameters) into the layers."""
    coefs, intercepts, start = [], [], 0
    for fan_in, fan_out in pairwise(sizes):
        middle, stop = start + fan_in * fan_out, start + (fan_in + 1) * fan_out
        coefs.append(flat[:, start:middle].reshape(-1, fan_in, fan_out).copy())
        intercepts.append(flat[:, middle:stop].copy())
        start = stop
    return coefs, intercepts
