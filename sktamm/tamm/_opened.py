"""Where Pipelines and searches are opened, down to the estimator that answers."""

from collections.abc import Callable
from typing import Any

__all__ = ["final_step", "opened"]


def opened(estimator: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The estimator that answers, and what the transformers before it make of X."""
    steps: list[Any] = []
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            steps += [step for _, step in estimator.steps[:-1]]
            estimator = estimator.steps[-1][1]
        else:
            break

    def transform(X: Any) -> Any:
        for step in steps:
            if step not in (None, "passthrough"):
                X = step.transform(X)
        return X

    return estimator, transform


def final_step(estimator: Any) -> Any:
    """The estimator that answers."""
    return opened(estimator)[0]
