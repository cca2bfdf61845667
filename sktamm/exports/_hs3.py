"""The adapted binned mixture in the HEP Statistics Serialization Standard (HS3).

The model is that of `to_pyhf`, a ``histfactory_dist`` of one channel. HS3 centres the
normal constraint of a ``histosys`` at zero, so a direction is counted from where its
prior is largest, alpha' = alpha - a: the contents are those at a, mu + sum_j a_j
effect_j, and the adapted point has alpha' = -a, the initial values.

Reference: https://github.com/hep-statistics-serialization-standard
"""

from typing import Any

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.exports._linear_model import LinearClass, LinearModel
from sktamm.exports._pyhf import blend_names, factor_name, linear_model

__all__ = ["to_hs3"]

_VERSION = "0.2"
_WIDTHS = 5.0
_MOST = 10.0
_ERROR_WIDTHS = 8.0  # bounds of a template's factor in its standard errors
_CHANNEL = "adapted"


def to_hs3(
    estimator: Any, X_target: Any, *, sample_weight: Any = None
) -> dict[str, Any]:
    """The model that the data have adapted, as a document of HS3.

    Parameters
    ----------
    estimator : estimator
        Fitted binned estimator, as for `to_pyhf`.
    X_target : array-like of shape (n_events, n_features), or histogram
        Events of one dataset, or its histogram.
    sample_weight : array-like of shape (n_events,), default=None
        Weights of the events, as for `to_pyhf`.

    Returns
    -------
    document : dict
        JSON document with a distribution of type ``histfactory_dist``, the observed
        contents, a likelihood, the domain of the parameters, their values at the
        adapted point and an analysis whose parameter of interest is the factor of the
        signal; kappa = mu_s n_s / sum_c mu_c n_c with n_c the contents of a sample.

    Raises
    ------
    InvalidInputError
        As `to_pyhf`; also if the contents where the prior is largest are not positive,
        far from the adapted ones.

    See Also
    --------
    to_pyhf : The same model for pyhf.

    Notes
    -----
    The document tells kappa: a blinded analysis must not look.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.exports import to_hs3
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM(bins=4).fit(
    ...     study.X, study.y, simulation=study.simulation
    ... )
    >>> document = to_hs3(tamm, study.X_target)
    >>> document["distributions"][0]["type"]
    'histfactory_dist'
    """
    model = linear_model(estimator, X_target, sample_weight)
    values = _values(model)
    axis = {
        "name": "bin",
        "min": 0.0,
        "max": float(model.observed.size),
        "nbins": int(model.observed.size),
    }
    return {
        "metadata": {"hs3_version": _VERSION},
        "distributions": [
            {
                "name": _CHANNEL,
                "type": "histfactory_dist",
                "axes": [axis],
                "samples": _samples(model),
            }
        ],
        "data": [
            {
                "name": "observed",
                "type": "binned",
                "axes": [axis],
                "contents": model.observed.tolist(),
            }
        ],
        "likelihoods": [
            {"name": "likelihood", "distributions": [_CHANNEL], "data": ["observed"]}
        ],
        "domains": [{"name": "domain", "type": "product_domain", "axes": _ends(model)}],
        "parameter_points": [{"name": "adapted_point", "parameters": values}],
        "analyses": [
            {
                "name": "kappa",
                "likelihood": "likelihood",
                "domains": ["domain"],
                "parameters_of_interest": [factor_name(model.classes[model.positive])],
                "init": "adapted_point",
            }
        ],
    }


# ------------------------------------------------------------------ private functions
def _centred(part: LinearClass) -> FloatArray:
    """Contents where the prior of the blend is largest, (n_rows,)."""
    content = part.content + part.centres @ part.effects
    if not (content > 0).all():
        raise InvalidInputError(
            "X_target must adapt the blend so little that the linear model is positive "
            f"where the prior is largest, got the content {content.min():.3g} of class "
            f"{part.label!r}; use to_pyhf."
        )
    return content


def _samples(model: LinearModel) -> list[dict[str, Any]]:
    contents = [_centred(part) for part in model.classes]
    # Errors relative to all classes, which are those at the adapted point.
    change = np.sum(contents, axis=0) / _total(model)
    return [
        _sample(part, content, change, _error_names(model))
        for part, content in zip(model.classes, contents, strict=True)
    ]


def _sample(
    part: LinearClass, content: FloatArray, change: FloatArray, names: list[str]
) -> dict[str, Any]:
    factor = factor_name(part)
    modifiers: list[dict[str, Any]] = [
        {"name": factor, "parameter": factor, "type": "normfactor"}
    ]
    for name, effect in zip(blend_names(part), part.effects, strict=True):
        shifted = {
            "hi": {"contents": (content + effect).tolist()},
            "lo": {"contents": (content - effect).tolist()},
        }
        modifiers.append(
            {
                "name": name,
                "parameter": name,
                "type": "histosys",
                "constraint": "Gauss",
                "data": shifted,
            }
        )
    data = {"contents": content.tolist()}
    if part.errors is not None:
        data["errors"] = (part.errors * change).tolist()
        modifiers.append(
            {
                "name": "templates",
                "type": "staterror",
                "parameters": names,
                "constraint": "Gauss",
            }
        )
    return {"name": str(part.label), "data": data, "modifiers": modifiers}


def _values(model: LinearModel) -> list[dict[str, Any]]:
    """Parameters at the adapted point."""
    values = []
    for part in model.classes:
        values.append({"name": factor_name(part), "value": 1.0})
        for name, centre in zip(blend_names(part), part.centres.tolist(), strict=True):
            values.append({"name": name, "value": -centre})
    return values + [{"name": name, "value": 1.0} for name in _error_names(model)]


def _ends(model: LinearModel) -> list[dict[str, Any]]:
    """Lowest and largest values of all parameters."""
    ends = []
    for part in model.classes:
        ends.append({"name": factor_name(part), "min": 0.0, "max": _MOST})
        for name, centre in zip(blend_names(part), part.centres.tolist(), strict=True):
            low, high = min(-centre, 0.0) - _WIDTHS, max(-centre, 0.0) + _WIDTHS
            ends.append({"name": name, "min": low, "max": high})
    for name, error in zip(_error_names(model), _relative(model), strict=True):
        low = max(1.0 - _ERROR_WIDTHS * error, 1e-10)
        ends.append({"name": name, "min": low, "max": 1.0 + _ERROR_WIDTHS * error})
    return ends


def _error_names(model: LinearModel) -> list[str]:
    """Names of the factors of bins, if templates have errors."""
    return [f"templates_{i}" for i in range(len(_relative(model)))]


def _relative(model: LinearModel) -> list[float]:
    """Relative errors of all classes together, as many as bins; none if not known."""
    errors = [part.errors for part in model.classes if part.errors is not None]
    if not errors:
        return []
    squares = np.sum(np.square(errors), axis=0)
    relative: list[float] = (np.sqrt(squares) / _total(model)).tolist()
    return relative


def _total(model: LinearModel) -> FloatArray:
    """Contents of all classes at the adapted point, (n_rows,)."""
    return np.asarray(np.sum([part.content for part in model.classes], axis=0))
