"""Unbinned topics: a few learned densities stand for those of many simulations."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sktamm._numerics import FloatArray
from sktamm._sklearn import at_least
from sktamm.base import RatioError
from sktamm.components._ratio_topics import common_modes, error_modes, fit_topics
from sktamm.components._unbinned import Described, RatioComponents

__all__ = ["RatioTopicComponents"]


class RatioTopicComponents(RatioComponents):
    """A few non-negative topics per class stand for many learned densities.

    The density ratios of the simulations of a class are factorised at the reference
    rows, r_k(x) = sum_t g_kt t(x) with g, t >= 0.

    Parameters
    ----------
    n_topics : int, default=20
        Topics per class; a class with no more simulations keeps its raw densities.
    ratio : {"mlp", "lightgbm", "logistic"}, classifier or DensityRatio, default="mlp"
        How the ratios are learned; a name or a classifier is that of a `DensityRatio`.
    basis : {"polynomial", "spline", "principal"} or object, default="polynomial"
        Smooth functions of the function-space prior.
    max_functions : int, default=240
        Largest number of these functions.
    propagate : bool, default=True
        Propagate the error of the ratios into the interval of kappa.
    random_state : int, RandomState instance or None, default=None
        Seed of split and training, where ``ratio`` has none.

    Examples
    --------
    >>> from sktamm import TAMMRegressor
    >>> from sktamm.components import RatioTopicComponents
    >>> tamm = TAMMRegressor(RatioTopicComponents(5, "logistic"), form="linear")
    >>> tamm.components.n_topics
    5
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        name: rule
        for name, rule in RatioComponents._parameter_constraints.items()
        if name != "projection"
    } | {"n_topics": [at_least(1)]}

    def __init__(
        self,
        n_topics: int = 20,
        ratio: Any = "mlp",
        *,
        basis: Any = "polynomial",
        max_functions: int = 240,
        propagate: bool = True,
        random_state: Any = None,
    ):
        super().__init__(
            ratio,
            basis=basis,
            max_functions=max_functions,
            propagate=propagate,
            random_state=random_state,
        )
        self.n_topics = n_topics

    def _is_to_project(self, form: Any) -> bool:
        """Never: topics are what many simulations have in common, and overlap."""
        return False

    def _fit_components(self) -> None:
        ratio = self.ratio_
        self.topics_ = [
            fit_topics(
                ratio.reference_log_ratio_[:, ratio.source_class_ == c],
                ratio.reference_weight_,
                int(self.n_topics),
                seed=c,
            )
            for c in range(ratio.classes_.size)
        ]
        sizes = [model.shares.shape[1] for model in self.topics_]
        self.component_class_ = np.repeat(np.arange(len(sizes)), sizes)
        self.source_weights_ = np.zeros((ratio.source_class_.size, sum(sizes)))
        for c, model in enumerate(self.topics_):
            block = np.ix_(ratio.source_class_ == c, self.component_class_ == c)
            self.source_weights_[block] = model.shares
        raw = self._log_topics(ratio.reference_log_ratio_)
        self.topic_shift_ = np.log(ratio.reference_weight_ @ np.exp(raw))
        self.reference_components_ = raw - self.topic_shift_

    def _log_topics(self, log_ratio: FloatArray) -> FloatArray:
        parts = [
            model.log_topics(log_ratio[:, self.ratio_.source_class_ == c])
            for c, model in enumerate(self.topics_)
        ]
        return np.hstack(parts)

    def _describe(
        self, log_ratio: FloatArray, error: RatioError | None
    ) -> tuple[Described, Described]:
        topics = self._log_topics(log_ratio) - self.topic_shift_
        reference = self.reference_components_
        blends = [
            np.log(np.exp(logs) @ self.source_weights_.T)
            for logs in (topics, reference)
        ]
        if error is None:
            return (topics, reference, None), (blends[0], blends[1], None)
        logs = (log_ratio, self.ratio_.reference_log_ratio_)
        both = (topics, reference)
        modes = error_modes(error)
        changes = [
            self._change(log, topic, mode)
            for log, topic, mode in zip(logs, both, modes, strict=True)
        ]
        moved = [
            _blend_change(topic, blend, change, self.source_weights_)
            for topic, blend, change in zip(both, blends, changes, strict=True)
        ]
        return (
            (topics, reference, common_modes(*changes)),
            (blends[0], blends[1], common_modes(*moved)),
        )

    def _change(
        self, log_ratio: FloatArray, topics: FloatArray, modes: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Change of all log topics along every mode, (n_rows, n_topics, n_modes)."""
        out = np.empty((*topics.shape, modes.shape[2]), dtype=np.float32)
        for c, model in enumerate(self.topics_):
            source = self.ratio_.source_class_ == c
            topic = self.component_class_ == c
            for m in range(modes.shape[2]):
                out[:, topic, m] = model.change(
                    log_ratio[:, source], topics[:, topic], modes[:, source, m]
                )
        return out


def _blend_change(
    topics: FloatArray,
    blends: FloatArray,
    change: NDArray[np.float32],
    shares: FloatArray,
) -> NDArray[np.float32]:
    """Change of the log of blends of topics along every mode."""
    density = np.exp(topics)
    parts = [
        (density * change[:, :, m]) @ shares.T / np.exp(blends)
        for m in range(change.shape[2])
    ]
    return np.stack(parts, axis=2).astype(np.float32)
