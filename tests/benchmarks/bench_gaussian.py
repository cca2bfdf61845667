"""Coverage, RMSE, bias, width and interval score of every cell on the Gaussian study.

Usage: python tests/benchmarks/bench_gaussian.py [few] [many] [slow] [--sets 100] ...

``many``: 300 simulations, 10 x 10 bins, 5 000 + 50 000 events; topics and raw
templates, every form, prior and inference. Truths: the published one (the 300
simulations of the data file once with 300 pseudo-experiments, and fresh sets of 300
simulations), and truths drawn from the simulations (10-fold: the truth takes part
neither in the topics nor in the prior). ``few``: 4, 8 and 20 of the 300 simulations
with raw components, both truths, with the variants of the shrinkage prior. ``slow``:
the cells of ``many`` with hundreds of weights, with a tenth of the experiments.

Experiments that share simulations are correlated: errors come from the scatter of sets.
No procedure sees the truth. Templates are multinomial samples of exact probabilities.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from sktamm import BinnedTopicTAMM
from sktamm._numerics import interval_score
from sktamm.components import TemplateComponents, TopicComponents
from sktamm.datasets import bin_probabilities, draw_gaussian_parameters
from sktamm.functions import PolynomialBasis
from sktamm.inference import BayesianInference
from sktamm.mixture import DirichletPrior, ShrinkagePrior
from sktamm.templates import TopicModel

EDGES = np.linspace(-2.0, 2.0, 11)
SIGNAL = (np.zeros(2), np.eye(2))
BACKGROUND = (np.array([0.0, 1.0]), np.array([[3.0, 0.4], [0.4, 3.0]]))
SIZES = (50_000, 5_000)
KAPPA = 1 / 11
LEVELS = (0.683, 0.955)


class BinAxis:
    """Regular axis of the histogram protocol."""

    traits = None

    def __len__(self):
        return EDGES.size - 1

    def __getitem__(self, index):
        return EDGES[index], EDGES[index + 1]


class Bins:
    """Two-dimensional histogram of counts in the histogram protocol (UHI)."""

    kind = "COUNT"
    axes = (BinAxis(), BinAxis())

    def __init__(self, counts):
        self._counts = counts.reshape(10, 10)

    def values(self):
        return self._counts

    def variances(self):
        return self._counts


def probabilities(mean, covariance):
    """Exact bin probabilities, shape (n, 100)."""
    mean, covariance = np.reshape(mean, (-1, 2)), np.reshape(covariance, (-1, 2, 2))
    return bin_probabilities(mean, covariance, (EDGES, EDGES)).reshape(len(mean), -1)


def read_simulations(path):
    """Bin probabilities of the 300 published pairs, background and signal."""
    data = np.load(path)
    return (
        probabilities(data["background_means"], data["background_covariances"]),
        probabilities(data["signal_means"], data["signal_covariances"]),
    )


def fresh_simulations(size, seed):
    """Bin probabilities of pairs drawn by the published recipe."""
    drawn = draw_gaussian_parameters(size, random_state=seed)
    return (
        probabilities(drawn.background_means, drawn.background_covariances),
        probabilities(drawn.signal_means, drawn.signal_covariances),
    )


TRUTH = (probabilities(*BACKGROUND)[0], probabilities(*SIGNAL)[0])


def draw_target(truth, n, rng):
    """Pseudo-experiments with the published, fixed numbers of events."""
    parts = [
        rng.multinomial(size, p, size=n) for size, p in zip(SIZES, truth, strict=True)
    ]
    return [Bins(counts) for counts in sum(parts).astype(float)]


def draw_templates(pair, events, rng):
    """Histograms, labels and ids of simulations with finite statistics."""
    histograms = [
        Bins(rng.multinomial(events, p).astype(float)) for side in pair for p in side
    ]
    y = np.repeat([0, 1], [len(side) for side in pair])
    ids = np.concatenate([np.arange(len(side)) for side in pair])
    return histograms, y, ids


def fit(settings, templates):
    histograms, y, ids = templates
    return BinnedTopicTAMM(random_state=0, **settings).fit(
        histograms, y, simulation=ids
    )


def answers(model, target):
    """Rows (kappa, std, lower68, upper68, lower95, upper95)."""
    result = model.infer(target, levels=LEVELS)
    ends = np.moveaxis(result.interval, 2, 1).reshape(len(target), 4)
    return np.column_stack([result.kappa, result.std, ends])


def one_set(cells, pair, truths, n_experiments, events, seed):
    """Answers of every cell for one set of simulations: {cell: (n, 6)}."""
    rng = np.random.default_rng(seed)
    templates = draw_templates(pair, events, rng)
    targets = [h for t in truths for h in draw_target(t, n_experiments, rng)]
    return {name: answers(fit(s, templates), targets) for name, s in cells.items()}


def collect(cells, jobs, n_jobs):
    """Run sets in parallel; answers (n_sets, n_experiments, 6) of every cell."""
    outputs = Parallel(n_jobs=n_jobs)(delayed(one_set)(cells, *job) for job in jobs)
    return {name: np.stack([out[name] for out in outputs]) for name in cells}


def measures(found):
    """Numbers of each experiment: covered, error, width and interval score."""
    kappa, ends = found[..., 0], found[..., 2:]
    low, high = ends[..., ::2], ends[..., 1::2]
    scores = [
        interval_score(KAPPA, low[..., j], high[..., j], level)
        for j, level in enumerate(LEVELS)
    ]
    covered = (low <= KAPPA) & (high >= KAPPA)
    return {
        "cov68": covered[..., 0],
        "cov95": covered[..., 1],
        "IS68": scores[0],
        "IS95": scores[1],
        "bias": kappa - KAPPA,
        "square": (kappa - KAPPA) ** 2,
        "half": 0.5 * (high - low)[..., 0],
    }


def mean_and_error(values, by_set):
    """Mean with the standard error from the scatter of sets (or of experiments)."""
    units = values.mean(axis=1) if by_set else values.ravel()
    return units.mean(), units.std(ddof=1) / np.sqrt(units.size)


def nominal(value, error, level, floor):
    return value >= level - 2 * error and value >= floor


def print_table(title, found, by_set=True, reference=None):
    print(f"\n### {title}\n")
    print(
        "| cell | cov 68.3 | cov 95.5 | nominal | IS 68 | IS 95 | RMSE | bias | "
        "half-width | IS 68 minus published |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, values in found.items():
        m = {k: mean_and_error(v, by_set) for k, v in measures(values).items()}
        good = nominal(*m["cov68"], 0.683, 0.63) and nominal(*m["cov95"], 0.955, 0.92)
        print(
            f"| {name} | {m['cov68'][0]:.3f} +- {m['cov68'][1]:.3f} "
            f"| {m['cov95'][0]:.3f} +- {m['cov95'][1]:.3f} | {'yes' if good else 'no'} "
            f"| {m['IS68'][0]:.4f} +- {m['IS68'][1]:.4f} | {m['IS95'][0]:.4f} "
            f"| {np.sqrt(m['square'][0]):.4f} | {m['bias'][0]:+.4f} "
            f"| {m['half'][0]:.4f} | {difference(values, found, reference, by_set)} |",
            flush=True,
        )


def difference(values, found, reference, by_set):
    """Paired difference of the interval score to the published settings."""
    if reference not in found or values is found[reference]:
        return "-"
    pairs = measures(values)["IS68"] - measures(found[reference])["IS68"]
    mean, error = mean_and_error(pairs, by_set)
    return f"{mean:+.4f} +- {error:.4f}"


def table_cells():
    """Every binned cell of the table: components x form x prior x statistics."""
    cells = {}
    for components in ("topics", "raw"):
        for statistics in ("bayesian", "frequentist"):
            tag = f"{components} {{}} {statistics}"
            common = {"components": components, "inference": statistics}
            if components == "topics":
                linear = {"form": "linear", "prior": "dirichlet"}
                cells[tag.format("linear dirichlet")] = common | linear
            for prior in ("ridge", "simulations", "shrinkage"):
                if (components, prior) == ("raw", "ridge"):
                    continue
                cells[tag.format(f"exponential {prior}")] = common | {
                    "form": "exponential",
                    "prior": prior,
                }
    cells["topics linear dirichlet(simulations) bayesian"] = {
        "components": "topics",
        "form": "linear",
        "prior": DirichletPrior("simulations"),
    }
    shortest = BayesianInference(interval="shortest")
    cells["topics linear dirichlet bayesian, shortest"] = {
        "components": "topics",
        "form": "linear",
        "inference": shortest,
    }
    cells["raw exponential shrinkage bayesian, shortest"] = {"inference": shortest}
    cells["topics (LDA without denoising) linear dirichlet bayesian"] = {
        "components": TopicComponents(
            20, smooth=False, topic_model=TopicModel(denoise=False, max_iter=150)
        ),
        "form": "linear",
        "prior": "dirichlet",
    }
    return cells


def slow_cells():
    """Cells with hundreds of weights per fit, shown with a tenth of experiments."""
    linear = {"components": "raw", "form": "linear", "prior": "dirichlet"}
    laplace = {"inference": BayesianInference("laplace")}
    return {
        "raw linear dirichlet bayesian (laplace)": linear | laplace,
        "raw linear dirichlet frequentist": linear | {"inference": "frequentist"},
        "raw exponential ridge bayesian": {"prior": "ridge"},
        "raw exponential ridge frequentist": {
            "prior": "ridge",
            "inference": "frequentist",
        },
    }


PUBLISHED = "topics linear dirichlet bayesian"


def variant_cells():
    """The default prior and the variants it was chosen from."""
    shrinkage = ShrinkagePrior
    degree = {f"polynomial degree {d}": PolynomialBasis(d) for d in (2, 4)}
    cells = {
        "default (shrinkage, Student, degree 3)": {},
        "shrinkage, raw templates not smoothed": {
            "components": TemplateComponents(smooth=False)
        },
        **{f"shrinkage, {name}": {"basis": basis} for name, basis in degree.items()},
        "shrinkage, splines": {"basis": "spline"},
        "shrinkage, principal components only": {"basis": "principal"},
        "shrinkage, Gaussian tails": {"prior": shrinkage(tails="gaussian")},
        "shrinkage, isotropic target": {"prior": shrinkage(target="isotropic")},
        "shrinkage, without the span": {"prior": shrinkage(span=False)},
        "shrinkage, equal-tailed interval": {
            "inference": BayesianInference(interval="equal_tailed")
        },
        "shrinkage frequentist": {"inference": "frequentist"},
        "simulations": {"prior": "simulations"},
        "ridge (published)": {"prior": "ridge", "inference": "frequentist"},
        "linear dirichlet": {"form": "linear", "prior": "dirichlet"},
    }
    return cells


def chosen_cells(cells, words):
    """Cells whose name starts with one of the words; all without words."""
    return {n: c for n, c in cells.items() if n.startswith(tuple(words) or "")}


def run_many(options, simulations):
    cells = chosen_cells(table_cells(), options.only)
    run_table(cells, options, simulations, 1.0)


def run_slow(options, simulations):
    run_table(slow_cells(), options, simulations, 0.1)


def run_table(cells, options, simulations, share):
    """Three tables of 300 simulations, with a share of the experiments."""
    start = time.time()
    n = int(300 * share)
    jobs = [({name: cell}, options, simulations, n) for name, cell in cells.items()]
    outputs = Parallel(options.n_jobs)(delayed(one_cell)(*job) for job in jobs)
    print_table(
        f"300 simulations of the data file, published truth, {n} experiments (one set: "
        "errors are those of the experiments alone)",
        {name: out[name][None] for out in outputs for name in out},
        by_set=False,
        reference=options.published,
    )
    sets = int(options.sets * share)
    jobs = [
        (fresh_simulations(300, 1000 + i), [TRUTH], 3, options.events, i)
        for i in range(sets)
    ]
    print_table(
        f"300 fresh simulations, published truth, {sets} sets x 3 experiments",
        collect(cells, jobs, options.n_jobs),
        reference=options.published,
    )
    jobs = drawn_jobs(simulations, options.events, int(30 * share))
    found = collect(cells, jobs, options.n_jobs)
    print_table(
        "270 simulations of the data file, truth one of the other 30 (10-fold), "
        f"{int(30 * share) * len(jobs)} truths",
        {key: values.reshape(-1, 1, 6) for key, values in found.items()},
        reference=options.published,
    )
    print(f"\n{time.time() - start:.0f} s", flush=True)


def one_cell(cell, options, simulations, n):
    return one_set(cell, simulations, [TRUTH], n, options.events, 0)


def drawn_jobs(simulations, events, n_truths):
    """Ten folds: simulations of a fold are the truths of one experiment each."""
    folds = np.array_split(np.random.default_rng(5).permutation(300), 10)
    jobs = []
    for i, fold in enumerate(folds):
        rest = np.setdiff1d(np.arange(300), fold)
        truths = [tuple(side[k] for side in simulations) for k in fold[:n_truths]]
        jobs.append((tuple(s[rest] for s in simulations), truths, 1, events, i))
    return jobs


def run_few(options, simulations):
    cells = chosen_cells(variant_cells(), options.only)
    for size in options.sizes:
        for drawn in (False, True):
            start = time.time()
            rng = np.random.default_rng(size)
            jobs = []
            for i in range(options.sets):
                chosen = rng.choice(300, size + 1, replace=False)
                pair = tuple(side[chosen[:size]] for side in simulations)
                truth = tuple(side[chosen[-1]] for side in simulations)
                truths = [truth if drawn else TRUTH]
                jobs.append((pair, truths, 2, options.events, i))
            found = collect(cells, jobs, options.n_jobs)
            name = "truth drawn from the simulations" if drawn else "published truth"
            print_table(
                f"K = {size}, raw components, {name}, {options.sets} sets x 2 "
                f"experiments ({time.time() - start:.0f} s)",
                found,
                reference="ridge (published)",
            )


STUDIES = {"few": run_few, "many": run_many, "slow": run_slow}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).resolve().parents[2]
    default = root.parent / "shared" / "data" / "gaussian_msds.npz"
    parser.add_argument("studies", nargs="*", default=["few", "many", "slow"])
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 8, 20])
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="per simulation and class"
    )
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=[], help="beginnings of names")
    parser.add_argument("--published", default=PUBLISHED, help="cell to compare with")
    options = parser.parse_args()
    simulations = read_simulations(options.data)
    for study in options.studies:
        STUDIES[study](options, simulations)


if __name__ == "__main__":
    main()
