"""Repulsive ensembles: networks whose spread is the uncertainty of what was learned.

Networks that start from different weights end in the same functions wherever the
training is good, so the spread of an ordinary ensemble has no meaning. Here the members
repel each other while they learn (D'Angelo and Fortuin, arXiv:2106.11642),

    d theta_i / dt = grad ln p(theta_i | data) - alpha grad ln rho(theta_i),

with rho the density of the members: at rest it is the posterior, where alpha = 1.
Distances are those of functions, losses or weights; the prior of the weights is N(0,
prior_scale^2 / fan_in) for standardised features.

When is the spread that of the posterior? For a network without hidden layers (linear or
logistic regression) with ``repulsion="function"``, ``early_stopping=False``, a prior
much weaker than the data, batches of many more rows than coefficients, more members
than coefficients, the noise known or well estimated, and enough epochs for the members
to come to rest; with ``repulsion="weight"`` if the features are uncorrelated too.
Elsewhere, the spread is a guide: it grows where data are scarce, though by less than it
should far outside of them.
"""

from dataclasses import field
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sktamm._sklearn import between, not_negative, one_of
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.learning._mlp import TorchMLPClassifier
from sktamm.learning._mlp_regressor import TorchMLPRegressor
from sktamm.learning._settings import network, setting
from sktamm.learning._stacked import StackedMLP, inverse, spread_of

if TYPE_CHECKING:
    from sktamm.learning._networks import Options, Outcome, Rows, Split

__all__ = ["RepulsiveEnsembleClassifier", "RepulsiveEnsembleRegressor"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@network
class _Repulsive(StackedMLP):
    """Members that repel each other, in place of the bootstrap and weight decay."""

    hidden_layer_sizes: Any = field(default=(64, 64), kw_only=False)
    n_members: int = 16
    bootstrap: bool = field(default=False, init=False)
    weight_decay: float = field(default=0.0, init=False)
    repulsion: str = setting(
        default="function",
        allowed=[one_of("function", "loss", "weight")],
        kind='{"function", "loss", "weight"}',
        doc="Where the distance between members is measured: in their predictions "
        "at the events of a batch (square roots of probabilities, whose "
        "distance is that of Fisher's information), in the losses of these "
        "events, or in the weights.",
    )
    alpha: float = setting(
        default=1.0,
        allowed=[not_negative()],
        kind="float",
        doc="Strength of the repulsion, the temperature of the posterior: at 1 the "
        "spread is that of the posterior, at 0 the members are independent.",
    )
    prior_scale: float | None = setting(
        default=1.0,
        allowed=[between(0, np.inf), None],
        kind="float or None",
        doc="Standard deviation of the normal prior of biases and, times 1 / "
        "sqrt(fan_in), of weights, for standardised features and targets; None "
        "is a flat prior.",
    )
    calibrated_force: bool = setting(
        default=True,
        allowed=["boolean"],
        kind="bool",
        doc="Scale the force to Stein's identity, so that the mean variance of the "
        "members is that of a normal posterior; without, the force is that of "
        "arXiv:2106.11642.",
    )
    learning_rate: float | Literal["auto"] = 3e-3
    max_epochs: int | Literal["auto"] = 50
    early_stopping: bool = setting(
        default=False,
        allowed=["boolean"],
        kind="bool",
        doc="Hold rows out, stop when the mean loss of the members gets worse on "
        "them, and restore the weights of all members at their common best "
        "epoch. The members may not have reached their distances by then.",
    )

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
        self.n_events_: float = seen + _effective_number(rows.weight[training], units)
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


@network
class RepulsiveEnsembleRegressor(_Repulsive, TorchMLPRegressor):
    """Networks that repel each other and learn the mean of one or more targets.

    {parameters}

    Attributes
    ----------
    noise_ : ndarray of shape (n_outputs,)
        Standard deviation of the targets about their mean; only for "squared_error".
    n_events_ : float
        Effective number of training events, (sum w)^2 / sum w^2, with the sum of the
        weights of each group.
    {fitted}

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

    loss: str = setting(
        default="squared_error",
        allowed=[one_of("squared_error", "logistic")],
        kind='{"squared_error", "logistic"}',
        doc="Likelihood of the targets: normal about their mean, or that of labels "
        "between 0 and 1, which may be probabilities themselves.",
    )
    noise: Any = setting(
        default=None,
        allowed=["array-like", Real, None],
        kind="float, array-like of shape (n_outputs,) or None",
        doc="Standard deviation of the targets about their mean, in their units; "
        "None takes the root of the mean square residual of every batch, and "
        'less during the first third of "one_cycle", since members that call '
        "everything noise are held there by the prior. Only for "
        '"squared_error".',
    )

    def _standardised_noise(self) -> FloatArray | None:
        if self.noise is None:
            return None
        noise = np.atleast_1d(np.asarray(self.noise, dtype=np.float64))
        n_outputs = len(self._target_spread)
        fits = noise.ndim == 1 and len(noise) in (1, n_outputs)
        if not (fits and np.isfinite(noise).all() and (noise > 0).all()):
            rule = f"positive and finite, one or n_outputs={n_outputs} numbers, or None"
            raise IncompatibleChoiceError(f"noise must be {rule}, got {self.noise!r}.")
        scaled = noise * inverse(self._target_spread)
        return np.where(scaled > 0, scaled, 1.0)

    def _keep_noise(self, noise: FloatArray) -> None:
        self.noise_ = noise * self._target_spread


@network
class RepulsiveEnsembleClassifier(_Repulsive, TorchMLPClassifier):
    """Networks that repel each other and learn class probabilities.

    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_events_ : float
        Effective number of training events, (sum w)^2 / sum w^2, with the sum of the
        weights of each group.
    {fitted}

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
    """

    def predict_members(self, X: ArrayLike) -> FloatArray:
        """Probabilities of every member, (n_members, n_samples, n_classes)."""
        return np.exp(self.predict_member_log_proba(X).astype(np.float64))

    def predict_proba(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Mean (n_samples, n_classes) of the members' probabilities.

        ``return_std`` adds their standard deviation, which needs several members.
        """
        proba = super().predict_proba(X)
        return (proba, spread_of(self.predict_members(X))) if return_std else proba


def _effective_number(weight: NDArray[np.float32], units: IntArray | None) -> float:
    """Events of equal weights with the same statistical error, (sum w)^2 / sum w^2."""
    totals = weight.mean(axis=1, dtype=np.float64)
    if units is not None:
        totals = np.bincount(units, weights=totals)
    return float(totals.sum() ** 2 / np.square(totals).sum())
