"""Rules for choosing an estimator by simulations left out, tried on the zoo.

    python tests/benchmarks/zoo/choosing.py --checkpoint DIR --sets 4            # open
    python tests/benchmarks/zoo/choosing.py --checkpoint DIR --sets 4 --sealed   # once

Every study has its candidates fitted once; each simulation in turn, left out, and the
targets are measured by all of them. Rules then see only what was left out, and are
scored on the targets: the interval score at 68.3 % over that of the best candidate of
the study whose coverage is at least .60 and .87 (three targets in a few sets have an
error of a tenth), and the coverage. One file per study and set; a run can go on.
"""

import argparse
import pickle
import time
import warnings
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
from cases import SMALL, chosen
from joblib import Parallel, delayed
from scipy import stats
from studies import STUDIES

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM
from sktamm._numerics import interval_score
from sktamm.auto._pool import pooled
from sktamm.auto._units import design_of, event_units
from sktamm.baselines import PooledSimulations
from sktamm.model_selection._calibration_units import draw_datasets
from sktamm.tamm._subset import without_ids

LEVELS = (0.683, 0.955)
FRACTIONS = (0.05, 0.15, 0.35, 0.6)
ROBUST = ("binned", "score", "ratios", "score+ratios")
WORST = 1e-5
MORE_CLASSES = ("air showers, 4 masses",)


def estimators(n_features):
    """Candidates, each with the one whose components it shares."""
    kinds = {"binned": BinnedTopicTAMM, "score": ScoreTAMM}
    if n_features > 2:
        kinds["ratios"] = NeuralRatioTAMM
    for name, kind in kinds.items():
        yield name, kind(random_state=0)
        yield f"{name} sims", kind(prior="simulations", random_state=0)
    yield "pooled", PooledSimulations(BinnedTopicTAMM(inference="frequentist"))


# ------------------------------------------------------------------------- measuring
def measure(estimator, X, truth, **keywords):
    """Numbers of a result that rules and scores need."""
    result = estimator.infer(X, levels=LEVELS, **keywords)
    return numbers(result, truth), result


def numbers(result, truth):
    """Intervals and the log density of the truth."""
    density = [
        density_at(result.profile.kappa[i], result.profile.log_density[i], kappa)
        for i, kappa in enumerate(truth)
    ]
    return {"interval": result.interval, "log_density": np.array(density)}


def density_at(grid, logs, kappa):
    """Log of a normalised density at a value."""
    density = np.exp(logs - logs.max())
    there = np.interp(kappa, grid, density, left=0.0, right=0.0)
    return np.log(max(there / np.trapezoid(density, grid), WORST))


def collect(path, study, number):
    """Fit the candidates of a case and ask them; write what they say."""
    case = study.case(number, SMALL)
    events = {"X": case.X, "y": case.y, "simulation": case.simulation}
    fitted = {}
    for name, estimator in estimators(study.n_features):
        try:
            fitted[name] = estimator.fit(**events)
        except ValueError:
            continue
    keeper = fitted.get("ratios")
    held = events if keeper is None else keeper.held_out()
    units = event_units(held, None, np.random.SeedSequence(0))
    design = design_of(FRACTIONS, SMALL.target, 1, 2)
    found = {"truth": [kappa for _, kappa in case.targets], "of": {}}
    answers = {
        name: asked(e, case, units, design, events) for name, e in fitted.items()
    }
    if "ratios" in answers and "score" in answers:
        parts = [answers["score"][1], answers["ratios"][1]]
        mixed = [
            pooled({str(k): r for k, r in enumerate(own)})
            for own in zip(*parts, strict=True)
        ]
        answers["score+ratios"] = (None, mixed)
    drawn = np.repeat(FRACTIONS, 2)
    for name, (_, results) in answers.items():
        targets = results[: len(case.targets)]
        left = results[len(case.targets) :]
        found["of"][name] = {
            "targets": [
                numbers(result, [kappa])
                for result, kappa in zip(targets, found["truth"], strict=True)
            ],
            "left_out": [numbers(result, drawn) for result in left],
        }
    path.write_bytes(pickle.dumps({"study": study.name, "d": study.n_features} | found))


def asked(estimator, case, units, design, events):
    """Results of the targets, then of the pseudo-datasets of every unit."""
    results = [estimator.infer(X, levels=LEVELS) for X, _ in case.targets]
    for k, unit in enumerate(units):
        part = left(estimator, unit.ids, events)
        counts = draw_datasets(unit.unit, design, 2, np.random.SeedSequence([7, k]))
        results.append(part.infer(unit.unit.X, dataset=counts, levels=LEVELS))
    return estimator, results


def left(estimator, ids, events):
    """The estimator without some simulations."""
    if not isinstance(estimator, PooledSimulations):
        return without_ids(estimator, ids)
    kept = ~np.isin(events["simulation"], ids)
    part = {name: np.asarray(values)[kept] for name, values in events.items()}
    return PooledSimulations(estimator.estimator).fit(**part)


# ----------------------------------------------------------------------------- rules
def loss(case, name, kind="score"):
    """Loss of a candidate by simulation: log interval score, or log density."""
    own = case["of"][name]["left_out"]
    if kind == "density":
        return -np.array([answer["log_density"].mean() for answer in own])
    drawn = np.repeat(FRACTIONS, 2)
    scores = [
        interval_score(drawn, *answer["interval"][:, :, 0].T, LEVELS[0]).mean()
        for answer in own
    ]
    return np.log(np.array(scores))


def default(case):
    """Bins for one or two features, a score for more."""
    first = "binned" if case["d"] <= 2 else "score"
    return first if first in case["of"] else next(iter(case["of"]))


def pool(case):
    """Bins for one or two features, the pool of score and ratios for more."""
    return "score+ratios" if "score+ratios" in case["of"] else default(case)


def smallest(case, names=None, kind="score"):
    """The smallest mean loss."""
    names = [name for name in case["of"] if names is None or name in names]
    return min(names, key=lambda name: loss(case, name, kind).mean())


def surely(case, significance, names=None, first=pool, corrected=True):
    """The first, unless another is better by a paired t test."""
    kept = first(case)
    names = [n for n in case["of"] if n != kept and (names is None or n in names)]
    best, most = kept, 0.0
    for name in names:
        gain = loss(case, kept) - loss(case, name)
        error = gain.std(ddof=1) / np.sqrt(gain.size)
        p = stats.t.sf(gain.mean() / max(error, 1e-12), gain.size - 1)
        p *= len(names) if corrected else 1
        if gain.size >= 4 and p < significance and gain.mean() > most:
            best, most = name, gain.mean()
    return best


def scaled(case, strength, smallest=0.0, largest=np.inf):
    """The pool's intervals, as wide as its pulls of left-out simulations ask for.

    The factor starts at one with the weight of ``strength`` simulations; no pull counts
    more than four half-widths.
    """
    name, drawn = pool(case), np.repeat(FRACTIONS, 2)
    squares = []
    for answer in case["of"][name]["left_out"]:
        low, high = answer["interval"][:, :, 0].T
        half = np.maximum(0.5 * (high - low), 1e-4)
        pull = np.minimum(np.abs(drawn - 0.5 * (low + high)) / half, 4.0)
        squares.append((pull**2).mean())
    factor = np.sqrt((strength + sum(squares)) / (strength + len(squares)))
    factor = np.clip(factor, smallest, largest)
    return [stretched(interval, factor) for interval in targets(case, name)]


def stretched(interval, factor):
    """Interval, (2, n_levels), that many times as wide about its middle."""
    middle = interval.mean(axis=0)
    return np.clip(middle + factor * (interval - middle), 0.0, 1.0)


def quantiles(case):
    """The mean of the quantiles of score and ratios in place of that of densities."""
    if "score+ratios" not in case["of"]:
        return default(case)
    pairs = zip(targets(case, "score"), targets(case, "ratios"), strict=True)
    return [0.5 * (left + right) for left, right in pairs]


def narrower(case):
    """The narrower one of score and ratios, dataset by dataset."""
    if "score+ratios" not in case["of"]:
        return default(case)
    pairs = zip(targets(case, "score"), targets(case, "ratios"), strict=True)
    return [min(pair, key=lambda ends: ends[1, 0] - ends[0, 0]) for pair in pairs]


def targets(case, name):
    """Intervals of a candidate on the targets, each of shape (2, n_levels)."""
    return [np.asarray(a["interval"][0]) for a in case["of"][name]["targets"]]


RULES = {
    "bins, or score": default,
    "bins, or score and ratios": pool,
    "smallest score": smallest,
    "smallest score of the robust": lambda case: smallest(case, ROBUST),
    "largest density": lambda case: smallest(case, kind="density"),
    "t, p < .05": lambda case: surely(case, 0.05, corrected=False),
    "t, p < .01": lambda case: surely(case, 0.01, corrected=False),
    "t, p < .01 / n": lambda case: surely(case, 0.01),
    "t, p < .01 / n, robust": lambda case: surely(case, 0.01, (*ROBUST, "pooled")),
    "t, p < .01 / n, from score": lambda case: surely(case, 0.01, first=default),
    "pool, scaled by pulls, 6": lambda case: scaled(case, 6),
    "pool, scaled by pulls, 12": lambda case: scaled(case, 12),
    "pool, only narrowed, 6": lambda case: scaled(case, 6, largest=1.0),
    "pool, only widened, 6": lambda case: scaled(case, 6, smallest=1.0),
    "mean of quantiles": quantiles,
    "the narrower": narrower,
}


# ----------------------------------------------------------------------------- table
def table(cases):
    """Every rule: ratio to the best candidate, by study; mean, largest, coverage."""
    studies = defaultdict(list)
    for case in cases:
        studies[case["study"]].append(case)
    ratios, covered = defaultdict(list), defaultdict(list)
    for own in studies.values():
        best = best_of(own)
        for rule, choose in RULES.items():
            score, inside = scored([(case, choose(case)) for case in own])
            ratios[rule].append(score / best)
            covered[rule].append(inside)
    print(f"{len(studies)} studies, {len(cases)} sets")
    print(f"{'rule':30s} mean ratio, geometric, largest, coverage 68.3 %, 95.5 %")
    for rule in RULES:
        r, c = np.array(ratios[rule]), np.mean(covered[rule], axis=0)
        mean = np.exp(np.log(r).mean())
        print(
            f"{rule:30s} {r.mean():.3f} {mean:.3f} {r.max():.2f} {c[0]:.2f} {c[1]:.2f}"
        )


def best_of(cases):
    """Smallest score of a candidate that covers, else of any."""
    names = set.intersection(*(set(case["of"]) for case in cases))
    found = [scored([(case, name) for case in cases]) for name in names]
    fine = [score for score, c in found if c[0] >= 0.60 and c[1] >= 0.87]
    return min(fine or [score for score, _ in found])


def scored(choices):
    """Mean interval score and coverage of choices on their targets.

    A choice is the name of a candidate, or intervals of the targets.
    """
    scores, inside = [], []
    for case, choice in choices:
        own = targets(case, choice) if isinstance(choice, str) else choice
        for kappa, (low, high) in zip(case["truth"], own, strict=True):
            scores.append(interval_score(kappa, low[0], high[0], LEVELS[0]))
            inside.append((low <= kappa) & (kappa <= high))
    return float(np.mean(scores)), np.mean(inside, axis=0)


# ------------------------------------------------------------------------------- run
def work(path, study, number):
    """Collect a case if it is not there."""
    if path.exists():
        return
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect(path, study, number)
    print(
        f"{study.name}, set {number}: {time.perf_counter() - start:.0f} s", flush=True
    )


def main():
    """Collect what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--studies", nargs="*", default=[""])
    parser.add_argument("--sealed", action="store_true")
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    studies = [
        study
        for study in chosen(STUDIES, options.studies, True)
        if study.sealed == options.sealed
        and study.n_features
        and study.name not in MORE_CLASSES
    ]
    tasks = [
        (options.checkpoint / f"{hash_of(study.name)}-{number}.pkl", study, number)
        for number in range(options.sets)
        for study in studies
        if number < (study.n_sets or options.sets)
    ]
    Parallel(options.n_jobs, batch_size=1)(delayed(work)(*task) for task in tasks)
    table([pickle.loads(path.read_bytes()) for path, _, _ in tasks if path.exists()])


def hash_of(name):
    """A number of a study's name that is the same in every process."""
    return zlib.crc32(name.encode())


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
