"""QuaPy's quantifiers, in an environment of their own: `workers/quapy_bootstrap`."""

from functools import cache, partial
from pathlib import Path

import numpy as np

from peers.isolated import Worker, python_of
from peers.peer import Peer

REQUIREMENTS = ("quapy==0.2.3", "abstention==0.1.3.1")


def _python():
    return python_of("quapy", *REQUIREMENTS)


@cache
def worker() -> Worker:
    """The process that all rows of QuaPy ask."""
    return Worker(_python(), Path(__file__).with_name("workers") / "quapy_bootstrap.py")


def _answers(method, study, case, levels):
    bags = {f"bag{i}": np.asarray(X, float) for i, (X, _) in enumerate(case.targets)}
    return worker().ask(
        X=np.asarray(case.X, float),
        y=case.y,
        **bags,
        n_bags=len(bags),
        method=method,
        levels=levels,
    )


def peer(method: str) -> Peer:
    """A quantifier by its name in QuaPy."""
    return Peer(
        lambda study, case: study.n_features > 0,
        partial(_answers, method),
        lambda: _python() is not None,
    )
