"""What the exponential form of unbinned data may live on: behind the default.

Ratios are trained once per set of a study of the zoo (small size); every row is another
use of them. ``all features``: tilts of the geometric mean by polynomials, all, 12, as
many as left-out simulations prefer, or none (only the span of the simulations), or of
the arithmetic mean; ``log odds``: the
same in the log odds of the classes alone, without and with the leading direction in
which the simulations of either class differ, or in bins (the projection).

    python tests/benchmarks/bench_unbinned_forms.py [--sets 2] [--studies clusters ...]
"""

import argparse
import copy
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "zoo"))
import run
from cases import SMALL

from sktamm import ScoreTAMM, TAMMRegressor
from sktamm._numerics import interval_score
from sktamm.auto._units import design_of, event_units
from sktamm.components import RatioComponents
from sktamm.components._projected import RatioScore
from sktamm.events import read_simulations
from sktamm.mixture import ExponentialForm
from sktamm.ratios import DensityRatio

LEVELS = (0.683, 0.955)
STUDIES = (
    "Gaussian, 2",
    "Gaussian, 5",
    "Gaussian, 10",
    "clusters",
    "images",
    "cytometry",
)
CLIP = 5.0  # of log ratios that make directions
NUMBERS = (3, 6, 12, 25, 50)  # of functions, for the choice by left-out density


class PooledCentre(ExponentialForm):
    """Tilts of the arithmetic mean of the simulations."""

    def _density(self, table, prior, c):
        density, penalty = super()._density(table, prior, c)
        own = table.simulations.of_class(c)
        simulations = table.simulations
        density.offset = _log_mean(simulations.log_ratio[:, own])
        reference = _log_mean(simulations.reference_log_ratio[:, own])
        density.reference_offset = reference.astype(density.dtype)
        return density, penalty


def _log_mean(logs):
    return np.logaddexp.reduce(logs, axis=1) - np.log(logs.shape[1])


class LogOdds:
    """Log odds of the classes, and leading directions of the spread of each class."""

    def __init__(self, trained, n_directions):
        ratio = trained.ratio_
        self.score = RatioScore(ratio, trained.positive_, trained.paired_)
        logs, weight = ratio.reference_log_ratio_, ratio.reference_weight_
        self.axes = np.zeros((logs.shape[1], 0))
        for c in np.unique(ratio.source_class_) if n_directions else ():
            own = np.flatnonzero(ratio.source_class_ == c)
            centring = np.eye(own.size) - 1.0 / own.size
            moved = np.clip(logs[:, own], -CLIP, CLIP) @ centring
            moved -= weight @ moved
            axes = np.linalg.eigh((weight[:, None] * moved).T @ moved)[1][:, ::-1]
            column = np.zeros((logs.shape[1], n_directions))
            column[own] = centring @ axes[:, :n_directions]
            self.axes = np.hstack([self.axes, column])
        held = self.score.held_out()
        X = np.hstack([held.X, np.clip(logs, -CLIP, CLIP) @ self.axes])
        self.events = replace(held, X=X, feature_names=None)

    def transform(self, X):
        logs = np.clip(self.score.ratio.predict_log_ratio(X), -CLIP, CLIP)
        return np.hstack([self.score.transform(X), logs @ self.axes])


def _remade(trained, **choices):
    part = copy.copy(trained)
    for name, value in choices.items():
        setattr(part, name, value)
    part._finish()
    return part


def _measuring(components, form):
    tamm = TAMMRegressor("ratios", form, random_state=0)
    tamm.form_, tamm.prior_, tamm.inference_ = tamm._make_choices()
    tamm.components_, tamm.simulations_ = components, np.array([0, 1])
    tamm.classes_, tamm.pos_label_, tamm.paired_ = np.array([0, 1]), 1, True
    tamm.n_features_in_ = components.ratio_.reference_.X.shape[1]
    return tamm


def _by_density(trained):
    """Components with the number of functions that left-out simulations prefer.

    Largest mean log density of kappa at the truth, over simulations and two fractions;
    at most as many functions as a tenth of the effective reference rows.
    """
    ratio = trained.ratio_
    rows = np.isin(ratio.held_out_.source, ratio.sources_)
    source = ratio.held_out_.source[rows]
    events = {
        "X": ratio.held_out_.X[rows],
        "y": ratio.all_source_class_[source],
        "simulation": ratio.all_source_id_[source],
    }
    units = event_units(events, None, np.random.SeedSequence(0))
    design = design_of((0.15, 0.4), 1000, 1, 2)
    found = {}
    for number in NUMBERS:
        part = _remade(trained, max_functions=number)
        if number > 0.1 / (ratio.reference_weight_**2).sum():
            continue
        density = []
        for unit in units:
            kept = np.unique(ratio.source_id_[~np.isin(ratio.source_id_, unit.ids)])
            tamm = _measuring(part.take(kept), "exponential")
            result = unit.ask(tamm, design, 1, np.random.SeedSequence(1), 0.683)
            density += [
                _log_density(result, i, kappa) for i, kappa in enumerate((0.15, 0.4))
            ]
        found[number] = np.mean(density), part
    return max(found.values(), key=lambda pair: pair[0])[1]


def _log_density(result, i, kappa):
    grid, logs = result.profile.kappa[i], result.profile.log_density[i]
    density = np.exp(logs - logs.max())
    there = np.interp(kappa, grid, density, left=0.0, right=0.0)
    return np.log(max(there / np.trapezoid(density, grid), 1e-5))


def _answers(components, form, case, transform=np.asarray):
    tamm = _measuring(components, form)
    out = []
    for X, _ in case.targets:
        rows = transform(X)
        tamm.n_features_in_ = rows.shape[1]
        out.append(tamm.infer(rows, levels=LEVELS))
    return out


def answers(row, trained, case):
    """Results of a row for all targets of a case."""
    if row == "ScoreTAMM()":
        tamm = ScoreTAMM(random_state=0)
        tamm.fit(case.X, case.y, simulation=case.simulation)
        return [tamm.infer(X, levels=LEVELS) for X, _ in case.targets]
    form = "linear" if row.endswith("linear") else "exponential"
    if row.startswith("all features"):
        if "left-out" in row:
            trained = _by_density(trained)
        if "12" in row:
            trained = _remade(trained, max_functions=12)
        if "span" in row:
            trained = _remade(trained, basis="principal")
        if "arithmetic" in row:
            form = PooledCentre()
        return _answers(trained, form, case)
    if "bins" in row:
        projected = _remade(trained, projection="log_odds").for_form(None)
        return _answers(projected, form, case)
    odds = LogOdds(trained, 1 if "directions" in row else 0)
    own = RatioComponents(DensityRatio("logistic", n_members=1, cv=3), random_state=0)
    return _answers(own.fit(odds.events), form, case, odds.transform)


ROWS = (
    "all features",
    "all features, 12 functions",
    "all features, number by left-out density",
    "all features, span alone",
    "all features, arithmetic mean",
    "all features, linear",
    "log odds",
    "log odds and directions",
    "log odds in bins",
    "log odds in bins, linear",
    "ScoreTAMM()",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2)
    parser.add_argument("--studies", nargs="*", default=STUDIES, help="parts of names")
    parser.add_argument("--rows", nargs="*", default=ROWS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| study | row | cov 68.3 | cov 95.5 | bias | IS 68 | converged | s |")
    print("|---" * 8 + "|")
    for study in run.STUDIES:
        if study.sealed or not any(part in study.name for part in options.studies):
            continue
        found = {row: [] for row in options.rows}
        for number in range(options.sets):
            case = study.case(number, SMALL)
            events = read_simulations(case.X, case.y, simulation=case.simulation)
            trained = RatioComponents(random_state=0).fit(events)
            for row in options.rows:
                start = time.perf_counter()
                results = answers(row, trained, case)
                seconds = (time.perf_counter() - start) / len(results)
                truth = [kappa for _, kappa in case.targets]
                found[row] += [
                    (t, r, seconds) for t, r in zip(truth, results, strict=True)
                ]
        for row, own in found.items():
            print(_line(study.name, row, own), flush=True)


def _line(study, row, found):
    truth = np.array([t for t, _, _ in found])
    low, high = np.array([r.interval[0] for _, r, _ in found]).swapaxes(0, 1)
    covered = ((low <= truth[:, None]) & (truth[:, None] <= high)).mean(axis=0)
    bias = np.mean([r.kappa[0] for _, r, _ in found] - truth)
    score = interval_score(truth, low[:, 0], high[:, 0], LEVELS[0]).mean()
    converged = np.mean([r.diagnostics["converged"][0] for _, r, _ in found])
    seconds = np.mean([s for _, _, s in found])
    return (
        f"| {study} | {row} | {covered[0]:.2f} | {covered[1]:.2f} | {bias:+.4f} "
        f"| {score:.4f} | {converged:.2f} | {seconds:.1f} |"
    )


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
