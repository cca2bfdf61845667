"""Numbers as they are published: two significant digits of the error.

kappa and its interval get as many decimals as the error has (Particle Data Group,
"Review of Particle Physics", introduction, section 5.3; two digits throughout). An
error that is not zero never reads as zero.
"""

import math

__all__ = ["decimals_of", "rounded"]

_DIGITS = 2
_WITHOUT_ERROR = 4  # decimals where no error says how many
_MOST = 17  # no double has more


def decimals_of(error: float) -> int:
    """Decimals that show two significant digits of an error.

    Parameters
    ----------
    error : float
        Standard error; of zero, NaN or infinity the answer is four.

    Returns
    -------
    decimals : int
        Between 0 and 17.

    Examples
    --------
    >>> from sktamm.results import decimals_of
    >>> decimals_of(0.0123), decimals_of(0.0996), decimals_of(31.0)
    (3, 2, 0)
    """
    error = abs(float(error))
    if not (math.isfinite(error) and error > 0):
        return _WITHOUT_ERROR
    # The format rounds 0.0996 up to 1.0e-01, which has a decimal less.
    exponent = int(f"{error:.{_DIGITS - 1}e}".split("e")[1])
    return min(max(_DIGITS - 1 - exponent, 0), _MOST)


def rounded(value: float, error: float) -> str:
    """Text of a value with as many decimals as its error has.

    Parameters
    ----------
    value, error : float
        What was measured, or an end of its interval, and the standard error.

    Returns
    -------
    text : str
        Without a sign where it reads as zero.

    Examples
    --------
    >>> from sktamm.results import rounded
    >>> rounded(0.12345, 0.0123), rounded(0.0123, 0.0123), rounded(-1e-6, 0.0123)
    ('0.123', '0.012', '0.000')
    """
    return f"{float(value):z.{decimals_of(error)}f}"
