"""The estimator that the options ask for."""

import argparse
from collections.abc import Sequence
from typing import Any

from sktamm.auto import AutoTAMM
from sktamm.cli._families import load_families
from sktamm.cli._inputs import Simulated, choose_positive
from sktamm.cli._parser import OWN_OPTIONS
from sktamm.exceptions import InvalidInputError
from sktamm.mixture import ShrinkagePrior, SimulationsPrior
from sktamm.ratios import DensityRatio
from sktamm.tamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM

__all__ = ["make_estimator"]

_ESTIMATORS = {
    "auto": AutoTAMM,
    "binned": BinnedTopicTAMM,
    "score": ScoreTAMM,
    "neural": NeuralRatioTAMM,
}
_FAMILY_PRIORS = {
    None: SimulationsPrior,
    "auto": SimulationsPrior,
    "simulations": SimulationsPrior,
    "shrinkage": ShrinkagePrior,
}


def make_estimator(options: argparse.Namespace, simulated: Simulated) -> Any:
    """Estimator of the options, not fitted yet."""
    chosen = _own_choices(options, list(getattr(simulated.X, "columns", ()))) | {
        "pos_label": choose_positive(simulated.label, options.positive),
        "n_jobs": options.jobs,
        "random_state": options.seed,
    }
    declared = simulated.families
    if options.families is not None:
        if declared:
            raise InvalidInputError(
                "--families must not stand beside --workspace, which declares its own."
            )
        declared = load_families(options.families, simulated.simulation)
    if declared:
        chosen |= _with_families(options, declared)
    given = {name: value for name, value in chosen.items() if value is not None}
    estimator = _ESTIMATORS[options.estimator]()
    if options.estimator == "neural":
        estimator.set_params(ratio=DensityRatio())
    return estimator.set_params(**given)


def _with_families(
    options: argparse.Namespace, declared: dict[str, Any]
) -> dict[str, Any]:
    """Parameters that tell the estimator, or its prior, the families."""
    if options.estimator == "auto":
        return declared
    if options.prior not in _FAMILY_PRIORS:
        raise InvalidInputError(
            "--families needs --prior simulations or shrinkage, got --prior "
            f"{options.prior}."
        )
    return {"prior": _FAMILY_PRIORS[options.prior](**declared)}


def _own_choices(options: argparse.Namespace, features: list[str]) -> dict[str, Any]:
    """Choices that the estimator has alone; those of another one are refused."""
    own = OWN_OPTIONS[options.estimator]
    for word in dict.fromkeys(word for words in OWN_OPTIONS.values() for word in words):
        if getattr(options, word) is not None and word not in own:
            having = [name for name, words in OWN_OPTIONS.items() if word in words]
            raise InvalidInputError(
                f"--{word} is an option of --estimator {' or '.join(having)}, got "
                f"--estimator {options.estimator}."
            )
    if options.topics is not None and options.components != "topics":
        raise InvalidInputError("--topics needs --components topics.")
    chosen = {name: getattr(options, word) for word, name in own.items()}
    if chosen.get("bins") is not None and len(chosen["bins"]) == 1:
        chosen["bins"] = chosen["bins"][0]
    if chosen.get("range") is not None:
        chosen["range"] = _ranges(chosen["range"], features)
    if options.estimator == "neural" and options.classifier in (None, "mlp"):
        chosen["ratio__progress"] = not options.quiet
    return chosen


def _ranges(words: Sequence[str], features: list[str]) -> list[Any]:
    """Ends of the bins of every feature, None where they are not given."""
    ends: dict[str, tuple[float, float]] = {}
    for number, word in enumerate(words, 1):
        name, _, values = word.rpartition("=")
        low, _, high = values.partition(":")
        try:
            ends[name] = float(low), float(high)
        except ValueError:
            raise InvalidInputError(
                f"--range must be FEATURE=LOW:HIGH, got {word!r}."
            ) from None
        if len(ends) < number:
            raise InvalidInputError(
                f"--range must name every feature once, got {name!r} twice."
            )
        if name not in features:
            raise InvalidInputError(
                f"--range must name one of the features {', '.join(features)}, got "
                f"{name!r}."
            )
    return [ends.get(name) for name in features]
