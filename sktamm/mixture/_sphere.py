r"""Share of a fixed quadratic form that a random direction takes.

For u uniform on the unit sphere of m dimensions, and weights w_1, ..., w_m,

    P(sum_j w_j u_j^2 > t) = P(Q > 0),    Q = sum_j (w_j - t) g_j^2,

with independent normal g_j. The probability is the integral of exp(K(z)) / (2 pi i z),
K(z) = -sum_j ln(1 - 2 z (w_j - t)) / 2, along a vertical line through the saddle point,
where it does not oscillate: small tails keep their digits, unlike Imhof's (1961) form.
"""

import numpy as np

from sktamm._numerics import FloatArray

__all__ = ["sphere_tails"]

# Steps of the trapezoidal rule in x, z = s + i c sinh x, and its end. Against the beta
# distribution of one weight: relative error below 1e-7 for tails down to 1e-12.
_STEP = 0.1
_REACH = 22.0
_BISECTIONS = 50  # to rounding
# Of the largest weight: rounding of eigenvalues.
_NOTHING = 1e-12
_BLOCK = 1 << 20  # numbers: a rule of thumb


def sphere_tails(weights: FloatArray, level: FloatArray) -> tuple[FloatArray, ...]:
    """Probabilities that the form of weights (m,) is above and below levels (n,)."""
    largest = weights.max()
    if not largest > 0:
        return np.ones(level.size), np.ones(level.size)
    weights, level = weights / largest, level / largest
    weights = np.where(weights < _NOTHING, 0.0, weights)
    shifted = weights - level[:, None]
    # The smaller tail: that of a form whose mean has the other sign.
    sign = np.where(shifted.sum(axis=1) < 0, 1.0, -1.0)
    shifted *= sign[:, None]
    size = max(1, _BLOCK // (weights.size * round(_REACH / _STEP)))
    blocks = [shifted[i : i + size] for i in range(0, len(shifted), size)]
    small = np.concatenate([_positive(block) for block in blocks])
    above = np.where(sign > 0, small, 1.0 - small)
    return above, np.where(sign > 0, 1.0 - small, small)


def _positive(shifted: FloatArray) -> FloatArray:
    """P(sum_j shifted_j g_j^2 > 0), shape (n,), of forms (n, m) of negative mean."""
    largest = shifted.max(axis=1)
    out = np.zeros(len(shifted))
    some = largest > _NOTHING
    form = shifted[some] / largest[some, None]
    s = _saddle_point(form)
    # The nearest singularity, at z = 0 or 1/2, sets the scale.
    scale = np.minimum(s, 0.5 - s)
    x = np.arange(0.0, _REACH, _STEP)
    z = s[:, None] + 1j * scale[:, None] * np.sinh(x)
    log_f = -0.5 * np.log(1.0 - 2.0 * z[:, :, None] * form[:, None, :]).sum(axis=2)
    f = (np.exp(log_f) / z).real * scale[:, None] * np.cosh(x)
    f[:, 0] *= 0.5  # the other half of the line is its mirror image
    out[some] = f.sum(axis=1) * _STEP / np.pi
    return np.clip(out, 0.0, 1.0)


def _saddle_point(form: FloatArray) -> FloatArray:
    """Zero of K' between 0 and 1/2, shape (n,), of forms whose largest weight is 1."""
    low, high = np.zeros(len(form)), np.full(len(form), 0.5)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        rises = (form / (1.0 - 2.0 * middle[:, None] * form)).sum(axis=1) > 0
        low, high = np.where(rises, low, middle), np.where(rises, middle, high)
    # Away from the pole at zero any point will do: the tail is not small there.
    return np.maximum(0.5 * (low + high), 0.05)
