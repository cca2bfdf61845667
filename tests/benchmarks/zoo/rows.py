"""Rows of the zoo's table: corners of the method, baselines, and what nobody has."""

import time
import warnings
from typing import Any

import numpy as np
import transport
from cases import Case, Study, exact_posterior
from peers import PEERS
from peers.pyhf_models import NOMINAL, family_of
from sklearn.pipeline import make_pipeline

from sktamm import AutoTAMM, BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM, infer
from sktamm.auto import PosteriorPool
from sktamm.baselines import (
    FreeTemplates,
    LabelShiftEM,
    PooledSimulations,
    SingleSimulation,
)
from sktamm.templates import LearnedScore

LEVELS = (0.683, 0.955)
ORACLE, RIGHT, NOTHING = "exact densities", "the right simulation", "[0, 1]"
TRANSPORT = "JCPOT"
MEAN = "mean of score and ratios"
FAMILIES = "AutoTAMM(), families told"
AUTO = "AutoTAMM()"

#: Simulations of ttbar that are other generators.
GENERATORS = ("ME_var", "PS_var")


def _score_free():
    return make_pipeline(LearnedScore(random_state=0), FreeTemplates(bins=15))


def _single():
    return SingleSimulation(BinnedTopicTAMM(inference="frequentist", random_state=0))


def _pooled():
    return PooledSimulations(BinnedTopicTAMM(inference="frequentist", random_state=0))


def _mean():
    """What `AutoTAMM` answers for more than two features unless another is better."""
    parts = {"score": ScoreTAMM, "ratios": NeuralRatioTAMM}
    return PosteriorPool([(name, kind(random_state=0)) for name, kind in parts.items()])


#: Name of a row, whether it needs events, and the estimator.
ROWS: dict[str, tuple[bool, Any]] = {
    AUTO: (False, lambda: AutoTAMM()),
    MEAN: (True, _mean),
    "one simulation": (False, _single),
    "pooled simulations": (False, _pooled),
    "all templates free": (False, lambda: FreeTemplates()),
    "all templates free, score": (True, _score_free),
    "EM under label shift": (True, lambda: LabelShiftEM("lightgbm", random_state=0)),
    "BinnedTopicTAMM()": (False, lambda: BinnedTopicTAMM(random_state=0)),
    "BinnedTopicTAMM(prior='simulations')": (
        False,
        lambda: BinnedTopicTAMM(prior="simulations", random_state=0),
    ),
    "BinnedTopicTAMM(form='linear')": (
        False,
        lambda: BinnedTopicTAMM(form="linear", random_state=0),
    ),
    "BinnedTopicTAMM(basis='principal')": (
        False,
        lambda: BinnedTopicTAMM(basis="principal", random_state=0),
    ),
    "ScoreTAMM()": (True, lambda: ScoreTAMM(random_state=0)),
    "ScoreTAMM(prior='simulations')": (
        True,
        lambda: ScoreTAMM(prior="simulations", random_state=0),
    ),
    "ScoreTAMM(form='linear')": (
        True,
        lambda: ScoreTAMM(form="linear", random_state=0),
    ),
    "NeuralRatioTAMM()": (True, lambda: NeuralRatioTAMM(random_state=0)),
    "NeuralRatioTAMM(form='linear')": (
        True,
        lambda: NeuralRatioTAMM(form="linear", random_state=0),
    ),
}


def every() -> list[str]:
    """Names of all rows but those of peers."""
    return [ORACLE, RIGHT, NOTHING, TRANSPORT, *ROWS]


def applies(name: str, study: Study, case: Case) -> bool:
    """Whether a row can be asked about a study."""
    if name in PEERS:
        return PEERS[name].applies(study, case)
    if name == NOTHING:
        return True
    if name == ORACLE:
        return case.densities is not None
    if name == RIGHT:
        return case.truth is not None
    if name == FAMILIES:
        return NOMINAL in list(case.simulation)
    if name == MEAN:
        return study.n_features > 2
    needs_events = name == TRANSPORT or ROWS[name][0]
    return study.n_features > 0 or not needs_events


def run(name: str, study: Study, case: Case) -> dict[str, Any]:
    """Answers of a row for the targets of a case; a failure is an answer, too."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answers = _answers(name, study, case)
        except Exception as error:
            answers = {
                "kappa": [0.5] * len(case.targets),
                "interval": [[[0.0, 0.0], [1.0, 1.0]]] * len(case.targets),
                "flags": [[f"failed: {error!r}"]] * len(case.targets),
            }
    answers["truth"] = [kappa for _, kappa in case.targets]
    shared = answers.pop("shared_seconds", 0.0)
    answers["seconds"] = time.perf_counter() - start + shared
    return answers


def _answers(name: str, study: Study, case: Case) -> dict[str, Any]:
    if name in PEERS:
        return PEERS[name].answers(study, case, LEVELS)
    special = {NOTHING: _nothing, ORACLE: _exact, TRANSPORT: _transported}
    if name in special:
        return special[name](case)
    if name == RIGHT:
        return _inferred(_right(study).fit(*case.truth), case)
    if name == FAMILIES:
        return _inferred(_fitted(_told(case), case), case)
    return _inferred(_fitted(ROWS[name][1](), case), case)


def _nothing(case: Case) -> dict[str, Any]:
    n = len(case.targets)
    whole = [[0.0, 0.0], [1.0, 1.0]]
    return {"kappa": [0.5] * n, "interval": [whole] * n, "flags": [[]] * n}


def _exact(case: Case) -> dict[str, Any]:
    return _of_posterior([exact_posterior(case.densities(X)) for X, _ in case.targets])


def _transported(case: Case) -> dict[str, Any]:
    return transport.answers(case, LEVELS)


def _right(study: Study) -> Any:
    if study.n_features > 2:
        return ScoreTAMM(random_state=0)
    return BinnedTopicTAMM(random_state=0)


def _told(case: Case) -> Any:
    """Families by the names of the simulations, as pyhf is told them."""
    names = sorted(set(case.simulation) - {NOMINAL})
    families = {k: "generator" if k in GENERATORS else family_of(k) for k in names}
    return AutoTAMM(families=families, nominal=NOMINAL, alternatives=["generator"])


def _inferred(estimator: Any, case: Case) -> dict[str, Any]:
    results = [infer(estimator, X, levels=list(LEVELS)) for X, _ in case.targets]
    return {
        "kappa": [float(r.kappa[0]) for r in results],
        "interval": [r.interval[0].tolist() for r in results],
        "flags": [list(r.flags[0]) for r in results],
        "overlap": [_overlap(r) for r in results],
    }


def _overlap(result: Any) -> float | None:
    """How much the simulations of a class have in common, if the result says so."""
    values = result.diagnostics.get("overlap")
    return None if values is None else float(values[0])


def _fitted(estimator: Any, case: Case) -> Any:
    if not hasattr(estimator, "steps"):
        return estimator.fit(case.X, case.y, simulation=case.simulation)
    names = [f"{step}__simulation" for step, _ in estimator.steps]
    return estimator.fit(case.X, case.y, **dict.fromkeys(names, case.simulation))


def _of_posterior(posteriors) -> dict[str, Any]:
    kappa, interval = [], []
    for grid, weight in posteriors:
        tail = np.cumsum(weight)
        kappa.append(float(weight @ grid))
        levels = np.array(LEVELS)
        interval.append(
            [
                np.interp(q, tail, grid).tolist()
                for q in (0.5 - levels / 2, 0.5 + levels / 2)
            ]
        )
    return {"kappa": kappa, "interval": interval, "flags": [[]] * len(kappa)}
