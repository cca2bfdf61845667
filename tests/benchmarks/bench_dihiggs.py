"""The di-Higgs study at full size: coverage, RMSE and interval score of every row.

Usage: python tests/benchmarks/bench_dihiggs.py --checkpoint DIR [--sets 30]
           [--experiments 10] [--drawn 3] [--rows AutoTAMM NeuralRatioTAMM] [--n-jobs 1]
       python tests/benchmarks/bench_dihiggs.py --checkpoint DIR --table-only

After the physics study of arXiv:2604.02219 on the events of `make_dihiggs`. A set is a
fresh draw of 100 simulations, paired, of --events events per class in the window; rows
with K simulations have the first K of them, topics all. Every set is asked about
--experiments targets of the nominal truth, 5 000 + 50 000 events, kappa = 1/11, and
about --drawn targets, each of a truth of its own that is drawn like a simulation. One
`infer` answers all targets of a set and truth. The networks of a set are trained once,
with eight simulations, and K = 4 and 6 are taken from them.

As in the paper: the masses of both pairs, the window, the numbers of the target, the
nominal scale and its formula, K, 20 topics, 30 sets. Not so: events are those of the
generator, not showered, and the spread of the scales is its default; 100 simulations
instead of 500 make topics; 10 experiments per set instead of 300, of fresh events
instead of one nominal sample drawn again; 20 000 events per source, all in the window,
instead of whole files, which also train networks outside it. The published forms are
settings of this package (ratios blended and not shrunk, their error left out, unit
ridge, profile intervals; linear topics, Dirichlet prior), not the authors' code.

Experiments that share simulations are correlated: errors come from the scatter of sets.
Every row of a set stays in the checkpoint folder as JSON; a second call goes on. Sets
run one after the other with all rows, so that a run that is cut off leaves whole sets.
"""

import argparse
import functools
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from sktamm import AutoTAMM, BinnedTopicTAMM, NeuralRatioTAMM
from sktamm._numerics import interval_score
from sktamm.baselines import (
    FreeTemplates,
    LabelShiftEM,
    PooledSimulations,
    SingleSimulation,
)
from sktamm.datasets import make_dihiggs
from sktamm.exceptions import SktammWarning

LEVELS = (0.683, 0.955)
TRUTHS = ("nominal", "drawn")
KAPPA = 1 / 11
SIZES = (4, 6, 8)
LARGEST = max(SIZES)
N_SIMULATIONS, N_TOPICS = 100, 20
# Their statistics move kappa by about 0.0006, the same way in all sets.
N_NOMINAL = 4_000_000
# First numbers of the seeds of simulations and of the targets of both truths.
SEEDS = {"simulations": 41, "nominal": 42, "drawn": 43}

#: The paper's numbers: coverages, RMSE, median half-width, interval scores; "-" where
#: none is published. 30 sets x 300 experiments, topics of 500 simulations.
PAPER = {
    "one simulation, unbinned (paper)": (
        ".408",
        ".637",
        ".091",
        ".026",
        ".316",
        "1.238",
    ),
    "unbinned ridge, K = 4 (paper)": (".597", ".915", ".101", ".063", ".277", ".466"),
    "unbinned ridge, K = 8 (paper)": (".739", ".972", ".095", ".061", ".226", ".358"),
    "20 topics, linear (paper)": (".630", "-", "-", ".056", "-", "-"),
}


# ------------------------------------------------------------------------ one set
class Set:
    """Simulations of a set, its targets, and the networks that rows share."""

    def __init__(self, number, options):
        self.number, self.options = number, options

    @functools.cached_property
    def study(self):
        seed = [SEEDS["simulations"], self.number]
        return make_dihiggs(N_SIMULATIONS, self.options.events, random_state=seed)

    def prepare(self, row):
        """Generate what a row needs now, so that it is not timed with it."""
        return self.targets, self.study if row.simulated else oracle()

    def events(self, size):
        """Events of the first simulations, as `fit` takes them."""
        study = self.study
        kept = study.simulation < size
        return {
            "X": study.X[kept],
            "y": study.y[kept],
            "simulation": study.simulation[kept],
        }

    @functools.cached_property
    def networks(self):
        """Trained estimator of all eight simulations, and its seconds."""
        events = self.events(LARGEST)
        return timed(lambda: NeuralRatioTAMM(random_state=0).fit(**events))

    @functools.cached_property
    def targets(self):
        """Of each truth, events of all experiments and the experiment of each."""
        return {truth: self._draw(truth) for truth in TRUTHS}

    def _draw(self, truth):
        nominal = truth == "nominal"
        n = self.options.experiments if nominal else self.options.drawn
        parts = [
            make_dihiggs(
                1,
                1,
                target_scale=None if nominal else "drawn",
                random_state=[SEEDS[truth], self.number, e],
            ).X_target
            for e in range(n)
        ]
        dataset = np.repeat(np.arange(n), [len(X) for X in parts])
        return np.concatenate([np.empty((0, 2)), *parts]), dataset


def timed(work):
    """What is returned, and the seconds it took."""
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


# --------------------------------------------------------------------------- rows
def neural(size):
    return lambda own: own.networks[0].take(np.arange(size))


def published_neural(size):
    """Blend, ratios, prior, statistics and error of the paper, same networks."""

    def fit(own):
        part = own.networks[0].take(np.arange(size))
        part.set_params(prior="ridge", inference="frequentist")
        part.components_.set_params(propagate=False)
        learned = {"ensemble": "wifi", "shrink": False, "calibration": None}
        part.components_.ratio_.set_params(**learned)
        return part.take(np.arange(size))

    return fit


def topics(form):
    def fit(own):
        tamm = BinnedTopicTAMM(
            bins=10, n_topics=N_TOPICS, components="topics", form=form, random_state=0
        )
        return tamm.fit(**own.events(N_SIMULATIONS))

    return fit


def on_events(estimator, size=LARGEST):
    """A fresh estimator of a set's first simulations."""
    return lambda own: estimator().fit(**own.events(size))


def frequentist():
    return BinnedTopicTAMM(bins=10, inference="frequentist", random_state=0)


@functools.cache
def oracle():
    """Fit with nominal templates, which nobody has."""
    study = make_dihiggs(1, N_NOMINAL, spread=(0, 0), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        return frequentist().fit(study.X, study.y)


@dataclass(frozen=True)
class Row:
    """Fit to a set; whether it has simulations and networks, and truths are drawn."""

    fit: Callable[[Set], Any]
    simulated: bool = True
    learned: bool = False
    drawn: bool = True


ROWS = {
    "oracle: nominal templates": Row(
        lambda own: oracle(), simulated=False, drawn=False
    ),
    "one simulation": Row(on_events(lambda: SingleSimulation(frequentist()))),
    "pooled, K = 8": Row(on_events(lambda: PooledSimulations(frequentist()))),
    "all templates free, K = 8": Row(on_events(lambda: FreeTemplates(bins=10))),
    "EM under label shift, K = 8": Row(on_events(lambda: LabelShiftEM(random_state=0))),
    **{f"AutoTAMM(), K = {k}": Row(on_events(AutoTAMM, k)) for k in SIZES},
    "20 topics, exponential": Row(topics("exponential")),
    "20 topics, linear (published)": Row(topics("linear")),
    **{f"NeuralRatioTAMM(), K = {k}": Row(neural(k), learned=True) for k in SIZES},
    **{
        f"unbinned ridge (published), K = {k}": Row(
            published_neural(k), learned=True, drawn=False
        )
        for k in (SIZES[0], SIZES[-1])
    },
}


def answers(row, own):
    """Answers of a row to the truths of a set, and seconds with all training."""
    training = own.networks[1] if row.learned else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        fitted, fit = timed(lambda: row.fit(own))
        found = {"seconds": {"fit": fit + training}}
        for truth in TRUTHS if row.drawn and own.options.drawn else TRUTHS[:1]:
            asked = timed(lambda t=truth: ask(fitted, own, t))
            found[truth], found["seconds"][truth] = asked
    return found


def ask(fitted, own, truth):
    """Plain numbers of all experiments with a truth."""
    X, dataset = own.targets[truth]
    result = fitted.infer(X, dataset=dataset, levels=LEVELS)
    return {
        "kappa": result.kappa.tolist(),
        "std": result.std.tolist(),
        "interval": result.interval.tolist(),
        "flags": [list(flags) for flags in result.flags],
        "chosen": result.method.get("chosen", ""),
    }


def run_set(number, options):
    """Every row of a set, from the checkpoint if it is there."""
    own = Set(number, options)
    for name in chosen_rows(options):
        path = path_of(number, name, options)
        if path.exists():
            continue
        own.prepare(ROWS[name])
        found, seconds = timed(lambda name=name: answers(ROWS[name], own))
        path.with_suffix(".part").write_text(json.dumps(found))
        path.with_suffix(".part").rename(path)
        print(f"set {number}, {name}: {seconds:.0f} s", flush=True)


def chosen_rows(options):
    return [n for n in ROWS if n.startswith(tuple(options.rows) or "")]


def path_of(number, name, options):
    """File of a row of a set: settings, number, name."""
    sizes = f"{options.events}_{options.experiments}_{options.drawn}"
    words = "".join(c if c.isalnum() else " " for c in name).split()
    return options.checkpoint / f"{sizes}_set{number:03d}_{'-'.join(words)}.json"


# ------------------------------------------------------------------------- tables
def measures(found):
    """Numbers of every experiment, shape (n_sets, n_experiments)."""
    kappa = np.array([f["kappa"] for f in found])
    ends = np.array([f["interval"] for f in found])
    low, high = np.moveaxis(ends, 2, 0)
    covered = (low <= KAPPA) & (high >= KAPPA)
    scores = [
        interval_score(KAPPA, low[..., j], high[..., j], LEVELS[j]) for j in (0, 1)
    ]
    return {
        "cov68": covered[..., 0],
        "cov95": covered[..., 1],
        "bias": kappa - KAPPA,
        "square": (kappa - KAPPA) ** 2,
        "half": 0.5 * (high - low)[..., 0],
        "IS68": scores[0],
        "IS95": scores[1],
        "flagged": np.array([[bool(own) for own in f["flags"]] for f in found]),
    }


def mean_and_error(values):
    """Mean with the standard error from the scatter of sets; unknown for one set."""
    units = values.mean(axis=1)
    error = units.std(ddof=1) / np.sqrt(units.size) if units.size > 1 else np.nan
    return units.mean(), error


def line(name, results, truth):
    """One line of the table from the answers of all sets."""
    numbers = measures([found[truth] for found in results])
    m = {key: mean_and_error(values) for key, values in numbers.items()}
    rmse = np.sqrt(m["square"][0])
    seconds = np.median([f["seconds"]["fit"] + f["seconds"][truth] for f in results])
    return (
        f"| {name} | {len(results)} "
        f"| {m['cov68'][0]:.3f} +- {m['cov68'][1]:.3f} "
        f"| {m['cov95'][0]:.3f} +- {m['cov95'][1]:.3f} "
        f"| {m['bias'][0]:+.4f} +- {m['bias'][1]:.4f} "
        f"| {rmse:.4f} +- {m['square'][1] / (2 * rmse):.4f} "
        f"| {np.median(numbers['half']):.4f} "
        f"| {m['IS68'][0]:.4f} +- {m['IS68'][1]:.4f} "
        f"| {m['IS95'][0]:.4f} +- {m['IS95'][1]:.4f} "
        f"| {m['flagged'][0]:.2f} | {seconds:.1f} |"
    )


def print_table(truth, options):
    print(f"\n### {truth} truth, {options.events} events per simulation and class\n")
    print(
        "| row | sets | cov 68.3 | cov 95.5 | bias | RMSE | median half-width | IS 68 "
        "| IS 95 | flagged | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in chosen_rows(options):
        results = [r for r in read(name, options) if truth in r]
        if results:
            print(line(name, results, truth), flush=True)
    if truth == "nominal":
        for name, (at_68, at_95, *widths) in PAPER.items():
            cells = [name, "30", at_68, at_95, "-", *widths, "-", "-"]
            print(f"| {' | '.join(cells)} |", flush=True)


def read(name, options):
    """Answers of all finished sets to a row."""
    paths = [path_of(number, name, options) for number in range(options.sets)]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


# --------------------------------------------------------------------------- main
def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=30)
    parser.add_argument("--experiments", type=int, default=10, help="of a set, nominal")
    parser.add_argument("--drawn", type=int, default=3, help="drawn truths of a set")
    parser.add_argument("--events", type=int, default=20_000, help="per source")
    parser.add_argument("--rows", nargs="+", default=[], help="beginnings of names")
    parser.add_argument("--table-only", action="store_true", help="of finished sets")
    parser.add_argument("--n-jobs", type=int, default=1)
    return parser.parse_args()


def main():
    options = read_options()
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    if not options.table_only:
        Parallel(options.n_jobs)(
            delayed(run_set)(number, options) for number in range(options.sets)
        )
    print_table("nominal", options)
    if options.drawn:
        print_table("drawn", options)


if __name__ == "__main__":
    main()
