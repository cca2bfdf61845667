"""Posterior draws of kappa in the container of the ArviZ that is installed.

ArviZ before 1 keeps groups of draws in ``InferenceData``, from 1 on in a ``DataTree``
of xarray. Both have a group "posterior" of the dimensions (chain, draw, dataset).
Nothing here leans on default intervals, which have changed between the two.
"""

import warnings
from typing import Any

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.results import FractionResult, refuse_blinded

__all__ = ["to_arviz"]


def to_arviz(result: FractionResult) -> Any:
    """Posterior draws of kappa for ArviZ.

    Parameters
    ----------
    result : FractionResult
        Result with draws, of ``inference=BayesianInference(method="hmc")``.

    Returns
    -------
    container : arviz.InferenceData or xarray.DataTree
        Whichever the installed ArviZ works on. Its group "posterior" has the variable
        "kappa" of dimensions (chain, draw, dataset). Chains have the length of the
        shortest: datasets that needed more draws are cut to their first ones.

    Raises
    ------
    InvalidInputError
        If the result has no draws or is blinded, or if arviz is not installed.

    References
    ----------
    Kumar, Carroll, Hartikainen, Martin, "ArviZ", JOSS 4 (2019) 1143.

    Examples
    --------
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.exports import to_arviz
    >>> study = make_gaussian_study(n_simulations=4, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM(bins=3, form="linear", random_state=0)
    >>> tamm = tamm.fit(study.X, study.y, simulation=study.simulation)
    >>> container = to_arviz(tamm.infer(study.X_target))
    >>> container["posterior"]["kappa"].dims
    ('chain', 'draw', 'dataset')
    """
    refuse_blinded(result, "to_arviz")
    kappa = _draws(result)
    arviz = _import_arviz()
    import xarray  # comes with every arviz

    posterior = xarray.Dataset(
        {"kappa": (("chain", "draw", "dataset"), kappa)},
        coords={
            "chain": np.arange(kappa.shape[0]),
            "draw": np.arange(kappa.shape[1]),
            "dataset": _names(result),
        },
        attrs={"inference_library": "sktamm", **result.method},
    )
    if int(str(arviz.__version__).split(".")[0]) < 1:
        return arviz.InferenceData(posterior=posterior)
    return xarray.DataTree.from_dict({"posterior": posterior})


# ------------------------------------------------------------------ private functions
def _draws(result: FractionResult) -> FloatArray:
    """Draws (n_chains, n_draws, n_datasets), as many as every dataset has."""
    if result.draws is None:
        raise InvalidInputError(
            "result must have posterior draws, got one of inference "
            f"{result.method.get('inference', '')!r} without; use "
            "inference=BayesianInference(method='hmc')."
        )
    length = min(draws.shape[1] for draws in result.draws)
    return np.stack([draws[:, :length] for draws in result.draws], axis=-1)


def _names(result: FractionResult) -> Any:
    """Ids of the datasets, as text where they are of mixed types."""
    mixed = result.dataset.dtype.kind == "O"
    return result.dataset.astype(str) if mixed else result.dataset


def _import_arviz() -> Any:
    try:
        with warnings.catch_warnings():  # of what the next ArviZ will change
            warnings.simplefilter("ignore", FutureWarning)
            import arviz
    except ImportError as error:
        raise InvalidInputError(
            "to_arviz needs arviz: pip install 'sktamm[arviz]'."
        ) from error
    return arviz
