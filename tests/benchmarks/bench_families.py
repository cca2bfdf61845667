"""Simulations that are not exchangeable: a nominal, variations, other generators.

Usage: python tests/benchmarks/bench_families.py [--sets 200] [--ttbar] [--toy]

``--ttbar``: the ttbar fraction in public histograms (`agc_ttbar.npz` in the folder that
SKTAMM_DATA names). Half of each of two alternative generators is the truth; families
are declared by the names of the histograms alone.

``--toy``: a resonance on a falling spectrum in 25 bins. Generators are draws of a
population of position, width and tail of the resonance and of two slopes of the
spectrum. One is the nominal, others the alternatives, one more is the truth, whose
energy scale, resolution and efficiencies are off by normal amounts too; the eleven
variations by one standard deviation are made of the nominal, that of the resolution to
one side only.
``--bent`` bends the log densities of the generators by random polynomials instead.
Every set has its own generators and one target.
"""

import argparse
import os
import warnings
from pathlib import Path

import hist
import numpy as np
from scipy import stats

from sktamm import AutoTAMM, BinnedTopicTAMM
from sktamm._numerics import interval_score
from sktamm.mixture import ShrinkagePrior, SimulationsPrior

DATA = Path(os.environ.get("SKTAMM_DATA", Path(__file__).parents[3] / "shared/data"))
LEVELS = (0.683, 0.955)
GENERATOR = "generator"
KAPPAS = (0.2, 0.5, 0.8)
EDGES = np.linspace(0.0, 1.0, 26)


def histogram(values, edges):
    own = hist.Hist(hist.axis.Variable(edges, name="x", flow=False))
    own[...] = values
    return own


def priors(families):
    """Without families, with, and with the generators declared as alternatives."""
    own = {"families": families, "nominal": "nominal"}
    declared = own | {"alternatives": [GENERATOR]}
    return {
        "default": "auto",
        "simulations": SimulationsPrior(),
        "simulations, families": SimulationsPrior(**declared),
        "simulations, not declared alternatives": SimulationsPrior(**own),
        "shrinkage, families": ShrinkagePrior(**declared),
    }


def measure(simulations, target, prior, **options):
    """Kappa and intervals (2, 2), lower and upper ends by level."""
    tamm = BinnedTopicTAMM(prior=prior, random_state=0, **options)
    return asked(tamm, simulations, target)


def asked(tamm, simulations, target):
    """The result of an estimator."""
    X, y, names = simulations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tamm.fit(X, y, simulation=names)
        return tamm.infer([target], levels=LEVELS)


# -------------------------------------------------------------------------- ttbar
def family_of(name):
    """Name of a variation without its direction; other generators are one family."""
    if name in ("ME_var", "PS_var"):
        return GENERATOR
    for end in ("_up", "_down", "up", "down"):
        name = name.removesuffix(end)
    return name


def read_ttbar(region):
    with np.load(DATA / "agc_ttbar.npz") as file:
        names, edges = [str(n) for n in file["name"]], file["edges"]
        contents = dict(zip(names, file["contents"][:, 1:-1], strict=True))
    X, y, simulation = [], [], []
    for c, process in enumerate((f"{region}_wjets", f"{region}_ttbar")):
        for name in names:
            if name.startswith(process):
                X.append(histogram(contents[name], edges))
                y.append(c)
                own = name.removeprefix(process).removeprefix("_")
                simulation.append(own or "nominal")
    data = histogram(contents[f"{region}_pseudodata"], edges)
    return (X, y, simulation), data


def ttbar():
    for region, kappa in (("4j1b", 0.832), ("4j2b", 0.968)):
        simulations, data = read_ttbar(region)
        families = {k: family_of(k) for k in simulations[2] if k != "nominal"}
        for name, prior in priors(families).items():
            for smooth in (True, False):
                result = measure(simulations, data, prior, smooth=smooth)
                report(region, kappa, f"{name:40s} smooth={smooth!s:5s}", result)
        declared = {"families": families, "nominal": "nominal"}
        auto = AutoTAMM(**declared, alternatives=[GENERATOR])
        result = asked(auto, simulations, data)
        report(region, kappa, f"{'AutoTAMM':40s} {'':12s}", result)


def report(region, kappa, what, result):
    (low, wide_low), (high, wide_high) = result.interval[0]
    inside = low <= kappa <= high, wide_low <= kappa <= wide_high
    print(
        f"{region} truth {kappa}  {what} "
        f"{result.kappa[0]:.3f} [{low:.3f}, {high:.3f}] {inside[0]!s:5s} "
        f"[{wide_low:.3f}, {wide_high:.3f}] {inside[1]!s:5s} "
        f"width {high - low:.3f}"
    )


# ---------------------------------------------------------------------------- toy
VARIATIONS = {
    "scale": (1, -1),
    "resolution": (1,),
    "eff 0": (1, -1),
    "eff 1": (1, -1),
    "eff 2": (1, -1),
    "eff 3": (1, -1),
}
EFFICIENCIES = 0.05, 0.03, 0.02, 0.01


def densities(generator, nuisance, bent):
    """Probabilities of the bins for both classes, with the nuisances (6,) at work."""
    z, (scale, resolution, *efficiencies) = generator, nuisance
    x = 0.5 * (EDGES[1:] + EDGES[:-1])
    orders = np.polynomial.legendre.legvander(2.0 * x - 1.0, 6)[:, 1:]
    tilts = np.zeros(25), np.zeros(25)
    if bent:
        size = 0.15 / np.sqrt(np.arange(1, 7))
        tilts = orders @ (size * z[:6]), orders @ (size * z[6:])
        z = np.zeros(5)
    moved = x / (1.0 + 0.01 * scale)
    place, width = 0.45 + 0.015 * z[0], 0.09 * np.exp(0.1 * z[1] + 0.02 * resolution)
    tail = 0.35 * np.exp(0.2 * z[2])
    signal = (1 - tail) * stats.norm.pdf(moved, place, width)
    signal = signal + tail * stats.norm.pdf(moved, place + 0.1, 0.25)
    background = np.exp(-(2.5 + 0.3 * z[3]) * moved + 0.4 * z[4] * moved**2)
    both = [background * np.exp(tilts[0]), signal * np.exp(tilts[1])]
    common = np.exp(orders[:, :4] @ (np.array(EFFICIENCIES) * efficiencies))
    return [q * common / (q * common).sum() for q in both]


def toy_set(rng, n_alternatives, bent, n_simulated=40_000, n_target=10_000):
    """Simulations of one set and its target of a known fraction."""
    population = rng.normal(size=(n_alternatives + 2, 12))
    none, one = np.zeros(6), np.eye(6)
    made = {"nominal": (population[0], none)}
    for k in range(n_alternatives):
        made[f"{GENERATOR} {k}"] = (population[k + 1], none)
    families = {name: GENERATOR for name in made if name != "nominal"}
    for k, (family, sizes) in enumerate(VARIATIONS.items()):
        for size in sizes:
            made[f"{family} {size:+d}"] = (population[0], size * one[k])
            families[f"{family} {size:+d}"] = family
    X, y, simulation = [], [], []
    for name, settings in made.items():
        for c, q in enumerate(densities(*settings, bent)):
            X.append(histogram(rng.poisson(n_simulated * q), EDGES))
            y.append(c)
            simulation.append(name)
    kappa = rng.choice(KAPPAS)
    background, signal = densities(population[-1], rng.normal(size=6), bent)
    mean = n_target * (kappa * signal + (1 - kappa) * background)
    return (X, y, simulation), histogram(rng.poisson(mean), EDGES), kappa, families


def toy(n_sets, n_alternatives, bent):
    found: dict[str, list] = {}
    for k in range(n_sets):
        rng = np.random.default_rng([15, n_alternatives, int(bent), k])
        simulations, target, kappa, families = toy_set(rng, n_alternatives, bent)
        for name, prior in priors(families).items():
            result = measure(simulations, target, prior)
            ends = result.interval[0]
            scores = [interval_score([kappa], *ends[:, [i]], LEVELS[i]) for i in (0, 1)]
            inside = (ends[0] <= kappa) & (kappa <= ends[1])
            error = result.kappa[0] - kappa
            row = [*inside, *np.ravel(scores), error, *(ends[1] - ends[0])]
            found.setdefault(name, []).append(row)
    print(
        f"{n_alternatives} alternatives, bent={bent}, {n_sets} sets: coverage at 68.3"
    )
    print("and 95.5 %, interval scores, bias, RMSE, width at 68.3 %")
    for name, rows in found.items():
        cover, wide, score, wide_score, bias, width, _ = np.mean(rows, axis=0)
        rmse = np.sqrt(np.mean(np.array(rows)[:, 4] ** 2))
        print(
            f"{name:40s} {cover:.2f} {wide:.2f}  {score:.4f} {wide_score:.4f}  "
            f"{bias:+.3f} {rmse:.3f} {width:.3f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--ttbar", action="store_true")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--bent", action="store_true")
    parser.add_argument("--alternatives", type=int, nargs="+", default=[2, 3])
    options = parser.parse_args()
    if options.ttbar or not options.toy:
        ttbar()
    if options.toy:
        for number in options.alternatives:
            toy(options.sets, number, options.bent)


if __name__ == "__main__":
    main()
