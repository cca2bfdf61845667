"""The score of the HiggsML challenge, in which its results are quoted."""

import numpy as np
from numpy.typing import ArrayLike

from sktamm._numerics import FloatArray
from sktamm.coverage._measures import ONE_SIGMA, higgsml
from sktamm.exceptions import InvalidInputError

__all__ = ["higgsml_score"]


def higgsml_score(
    truth: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    level: float = ONE_SIGMA,
    eps: float = 0.01,
    failed_width: float | None = 1.0,
) -> float:
    r"""Score of the HiggsML challenge: narrow intervals of nominal coverage.

    Parameters
    ----------
    truth : array-like of shape (n,), or float
        True values, one or one for every interval.
    lower, upper : array-like of shape (n,)
        Ends of the intervals; NaN where the fit failed.
    level : float, default=0.6827
        Nominal level of the intervals.
    eps : float, default=0.01
        Positive width that is added to the mean width; 0.001 in the public scoring
        program of the challenge.
    failed_width : float or None, default=1.0
        A failed fit is a miss of this width, by default that of [0, 1], which says
        nothing of a fraction. None leaves failed fits out of the mean width.

    Returns
    -------
    score : float
        Higher is better; NaN if all fits failed and ``failed_width`` is None.

    Notes
    -----
    With the mean width w, the share c of the n intervals that hold their truth, and its
    distance from the level L in binomial errors,

    .. math::

        s = -\ln[(w + \epsilon) f(c)], \quad
        z = \frac{c - L}{\sqrt{L (1 - L) / n}}, \quad
        f = \begin{cases}
            1 + (-2 - z)^4 & z < -2 \\
            1 & -2 \le z \le 2 \\
            1 + (z - 2)^3 & z > 2
        \end{cases}

    The fine counts from the ends of the band, as the scoring program of the challenge
    does, and grows faster for intervals that are too narrow. It takes experiments as
    independent: those that share their simulations scatter more, and honest intervals
    are fined. The score depends on n; compare methods at the same n.

    References
    ----------
    FAIR Universe HiggsML Uncertainty Challenge, arXiv:2410.02867.

    Examples
    --------
    >>> import numpy as np
    >>> from sktamm.coverage import higgsml_score
    >>> kappa = 0.1 + 0.01 * np.random.default_rng(0).normal(size=1000)
    >>> round(higgsml_score(0.1, kappa - 0.01, kappa + 0.01), 2)
    3.51
    """
    truth, lower, upper = _read(truth, lower, upper)
    if not 0.0 < level < 1.0:
        raise InvalidInputError(f"level must be between 0 and 1, got {level!r}.")
    if not 0.0 < eps < np.inf:
        raise InvalidInputError(f"eps must be positive and finite, got {eps!r}.")
    if failed_width is not None and not 0.0 <= failed_width < np.inf:
        raise InvalidInputError(
            "failed_width must be None or finite and not negative, got "
            f"{failed_width!r}."
        )
    vacuous = None if failed_width is None else (0.0, failed_width)
    return higgsml(truth, lower, upper, level, eps, vacuous)


def _read(
    truth: ArrayLike, lower: ArrayLike, upper: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Arrays of one shape, (n,)."""
    given = {"truth": truth, "lower": lower, "upper": upper}
    arrays = {name: np.asarray(v, dtype=float) for name, v in given.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    n = arrays["lower"].shape
    usable = len(n) == 1 and n[0] > 0 and shapes["truth"] in ((), n)
    if not usable or shapes["upper"] != n:
        raise InvalidInputError(
            "truth, lower and upper must hold one number per interval, at least one, "
            f"got shapes {', '.join(str(shape) for shape in shapes.values())}."
        )
    if not np.isfinite(arrays["truth"]).all():
        raise InvalidInputError(f"truth must be finite, got {truth!r}.")
    wrong = np.flatnonzero(arrays["upper"] < arrays["lower"])
    if wrong.size:
        i = wrong[0]
        raise InvalidInputError(
            f"upper must not be below lower, got {arrays['upper'][i]} below "
            f"{arrays['lower'][i]} at index {i}."
        )
    return np.broadcast_to(arrays["truth"], n), arrays["lower"], arrays["upper"]
