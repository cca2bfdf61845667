"""What a peer of the zoo is: a row whose code is not that of sktamm."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Peer:
    """A row of the table.

    Attributes
    ----------
    applies : callable
        ``applies(study, case) -> bool``.
    answers : callable
        ``answers(study, case, levels)``: kappa, intervals (targets, 2, levels) and
        flags of all targets, and ``shared_seconds`` where rows share a step that only
        the first one paid.
    installed : callable
        Whether its libraries are there, or can be.
    """

    applies: Callable[..., bool]
    answers: Callable[..., dict[str, Any]]
    installed: Callable[[], bool] = lambda: True
