"""How far sktamm goes: rates, peak memory, and exponents of time in every size.

Run from the root of the repository:

    PYTHONPATH=. python tests/benchmarks/bench_scale.py PART [PART ...]

``rate``: events per second of `count_events`, one core, by features, edges and kind of
piece. ``count``: a thousand million events from a generator of row groups, binned.
``parquet``: the same of a Parquet file, and the time of reading it alone. ``score``:
events of a learned score. ``unbinned``: 250 000 to 10^7 events through
`NeuralRatioTAMM`, with a million reference rows (``--reference``). ``wide``: 500
simulations; 50 features; 10^5 datasets in one call. ``exponents``: slopes of log
seconds against log size, with errors. Every measurement runs in a process of its own;
memory is the peak of its resident set, and what it had after the imports and the fit.
``--output FILE`` adds the numbers to a JSON file.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")

PIECE = 1_000_000


# ------------------------------------------------------------------- one measurement
def peak():
    """Largest resident set of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident():
    """Resident set of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def clock(numbers):
    """Seconds of wall and of all threads, and memory in MB."""
    numbers["memory_before"] = round(resident())
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    numbers["seconds"] = round(time.perf_counter() - wall, 3)
    numbers["cpu_seconds"] = round(time.process_time() - cpu, 3)
    numbers["peak_memory"] = round(peak())


def _child(function, arguments, queue):
    warnings.simplefilter("ignore")
    try:
        queue.put(function(*arguments))
    except BaseException as error:
        queue.put({"failed": f"{function.__name__}{arguments}: {error!r}"})
        raise


def alone(function, *arguments):
    """What a function returns in a process of its own; prints it, too."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_child, args=(function, arguments, queue))
    process.start()
    answer = queue.get()
    process.join()
    print(json.dumps(answer), flush=True)
    return answer


# -------------------------------------------------------------------------- counting
def fitted(estimator, n_features, n_simulations=8, n_events=5000, names=False):
    from sktamm.datasets import make_gaussian_study

    study = make_gaussian_study(
        n_simulations, n_events, 500, 5000, n_features=n_features, random_state=0
    )
    X = study.X
    if names:
        X = pd.DataFrame(X, columns=[f"x{j}" for j in range(n_features)])
    return estimator.fit(X, study.y, simulation=study.simulation)


def row_groups(n_events, n_features, size=PIECE, dtype=np.float32):
    """Row groups made on the fly: slices of a pool, shifted, a memory copy each."""
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(4 * size, n_features)).astype(dtype)
    for start in range(0, n_events, size):
        n = min(size, n_events - start)
        first = rng.integers(0, 3 * size)
        yield pool[first : first + n] + dtype(rng.normal(0.0, 0.1))


def count_rate(n_features, strategy, kind):
    from sktamm import BinnedTopicTAMM, count_events

    bins = {1: 20, 2: 10, 3: 6}[n_features]
    tamm = BinnedTopicTAMM(bins=bins, strategy=strategy)
    tamm = fitted(tamm, n_features, names=kind != "array")
    X = next(row_groups(2 * PIECE, n_features, 2 * PIECE))
    piece, columns = X, {}
    if kind != "array":
        piece = pd.DataFrame({f"x{j}": x.copy() for j, x in enumerate(X.T)})
    if kind == "weights":
        piece, columns = piece.assign(w=np.float32(1.5)), {"sample_weight": "w"}
    if kind == "datasets":
        run = np.arange(len(X)) % 5
        piece, columns = piece.assign(run=run), {"dataset": "run"}
    best = np.inf
    for _ in range(5):
        numbers = {}
        with clock(numbers):
            count_events(tamm, [piece], **columns)
        best = min(best, numbers["cpu_seconds"])
    rate = round(len(X) / best / 1e6, 1)
    return {
        "features": n_features,
        "edges": strategy,
        "pieces": kind,
        "million_events_per_cpu_second": rate,
    }


def run_rate(options):
    rows = [
        alone(count_rate, d, strategy, kind)
        for d in (1, 2, 3)
        for strategy in ("uniform", "quantile")
        for kind in ("array", "frame", "weights", "datasets")
    ]
    return {"rate": rows}


def count_many(n_events, n_features):
    from sktamm import BinnedTopicTAMM, count_events

    tamm = fitted(BinnedTopicTAMM(random_state=0), n_features)
    reading, numbers = {}, {}
    with clock(reading):
        for _ in row_groups(n_events // 20, n_features):
            pass
    with clock(numbers):
        counts = count_events(tamm, row_groups(n_events, n_features))
    assert counts.number[0] == n_events
    own = numbers["cpu_seconds"] - 20 * reading["cpu_seconds"]
    numbers |= {
        "events": n_events,
        "features": n_features,
        "bins": int(counts.weight.shape[1]),
        "kappa": float(tamm.predict(counts)[0]),
        "million_events_per_cpu_second": round(
            n_events / numbers["cpu_seconds"] / 1e6, 1
        ),
        "million_per_cpu_second_above_reading": round(n_events / own / 1e6, 1),
    }
    return numbers


def run_count(options):
    return {"count": alone(count_many, options.events, 2)}


def write_parquet(path, n_events, n_features):
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"x{j}" for j in range(n_features)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for group in row_groups(n_events, n_features):
            columns = [pa.array(np.ascontiguousarray(x)) for x in group.T]
            file.write_table(pa.table(columns, schema=schema))


def count_parquet(path, n_features, read_only):
    from sktamm import BinnedTopicTAMM, count_events
    from sktamm.io import iterate_events

    tamm = fitted(BinnedTopicTAMM(random_state=0), n_features, names=True)
    numbers = {}
    pieces = iterate_events(path, [f"x{j}" for j in range(n_features)])
    with clock(numbers):
        n = (
            sum(map(len, pieces))
            if read_only
            else int(count_events(tamm, pieces).number[0])
        )
    return numbers | {"events": n, "counted": not read_only}


def run_parquet(options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "events.parquet")
        write_parquet(path, options.rows, 2)
        size = os.path.getsize(path)
        read, counted = (alone(count_parquet, path, 2, only) for only in (True, False))
    own = counted["cpu_seconds"] - read["cpu_seconds"]
    rate = {"million_per_cpu_second_above_reading": round(options.rows / own / 1e6, 1)}
    return {"parquet": {"bytes": size, "read": read, "count": counted | rate}}


def count_scores(classifier, n_events, n_features, discrete=False):
    from sktamm import ScoreTAMM, count_events

    tamm = fitted(ScoreTAMM(classifier, random_state=0), n_features)
    numbers = {}
    with clock(numbers):
        counts = count_events(tamm, row_groups(n_events, n_features))
    return numbers | {
        "classifier": classifier,
        "features": n_features,
        "events": int(counts.number[0]),
        "million_events_per_cpu_second": round(
            n_events / numbers["cpu_seconds"] / 1e6, 3
        ),
    }


def run_score(options):
    sizes = {"logistic": 20_000_000, "mlp": 5_000_000, "lightgbm": 5_000_000}
    return {"score": [alone(count_scores, c, n, 10) for c, n in sizes.items()]}


# -------------------------------------------------------------------------- unbinned
def predict_unbinned(n_events, classifier, projection, n_simulations, n_reference):
    from sktamm import NeuralRatioTAMM
    from sktamm.ratios import DensityRatio

    # With 20 000 reference rows their noise is .5 of kappa for a million events, and
    # the fit is flagged "not_converged" after seventy-five iterations.
    ratio = DensityRatio(classifier, n_members=2, n_reference=n_reference, holdout=0.5)
    tamm = NeuralRatioTAMM(ratio, projection=projection, random_state=0)
    tamm = fitted(tamm, 2, n_simulations, n_reference // n_simulations)
    from sktamm.datasets import make_gaussian_study

    n_signal = n_events // 10
    few = make_gaussian_study(1, 10, n_signal, n_events - n_signal, random_state=1)
    X = few.X_target
    del few
    numbers = {}
    with clock(numbers):
        result = tamm.infer(X)
    return numbers | {
        "events": n_events,
        "simulations": n_simulations,
        "reference_rows": tamm.components_.ratio_.reference_weight_.size,
        "classifier": classifier,
        "projection": projection,
        "kappa": float(result.kappa[0]),
        "std": float(result.std[0]),
        "signal_fraction": n_signal / n_events,
        "flags": list(result.flags[0]),
        "bytes_per_event": round(
            (numbers["peak_memory"] - numbers["memory_before"]) * 2**20 / n_events
        ),
    }


def run_unbinned(options):
    sizes = [n for n in (250_000, 10**6, 10**7) if n <= options.unbinned]
    own = {
        f"{n} {projection}": alone(
            predict_unbinned, n, "logistic", projection, 6, options.reference
        )
        for projection in (None, "log_odds")
        for n in sizes
        if options.only in f"{n} {projection}"
    }
    return {"unbinned": own}


# ------------------------------------------------------------------------- exponents
def study_of(options):
    from sktamm.datasets import make_gaussian_study

    study = make_gaussian_study(
        options["simulations"],
        options["events"],
        options["target"] // 10,
        options["target"] - options["target"] // 10,
        n_features=min(options["features"], 20),
        random_state=0,
    )
    X, X_target = (_widened(X, options) for X in (study.X, study.X_target))
    if options["classes"] == 2:
        return X, study.y, study.simulation, X_target
    # More classes: the background is divided by angle, an arbitrary cut.
    y = 10 * study.y
    rank = np.argsort(np.argsort(study.X[:, 0] + 0.3 * study.X[:, -1]))
    part = rank * (options["classes"] - 1) // len(y)
    y[study.y == 0] = part[study.y == 0]
    return X, y, study.simulation, X_target


def _widened(X, options):
    """Features, and more of them that say nothing."""
    more = options["features"] - X.shape[1]
    noise = np.random.default_rng(len(X)).normal(size=(len(X), max(more, 0)))
    return np.hstack([X, noise])


def estimator_of(name, options):
    from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM
    from sktamm.ratios import DensityRatio

    if name == "BinnedTopicTAMM":
        return BinnedTopicTAMM(bins=options["bins"], random_state=0)
    if name == "ScoreTAMM":
        return ScoreTAMM("logistic", bins=options["bins"], random_state=0)
    ratio = DensityRatio("logistic", n_members=2, n_reference=options["reference"])
    return NeuralRatioTAMM(ratio, projection=None, random_state=0)


# Sizes of what does not vary, and those that do: estimator, quantity, sizes.
USUAL = {
    "simulations": 6,
    "events": 2000,
    "target": 5000,
    "features": 2,
    "classes": 2,
    "bins": 8,
    "experiments": 1,
    "reference": 10_000,
}
LARGE = {"events": 2000, "target": 2000}
CASES = [
    ("BinnedTopicTAMM", "events", (40_000, 80_000, 160_000, 320_000), {}),
    ("BinnedTopicTAMM", "target", (10**6, 2 * 10**6, 4 * 10**6, 8 * 10**6), {}),
    ("BinnedTopicTAMM", "bins", (10, 14, 20, 28, 40), {"events": 20_000}),
    ("BinnedTopicTAMM", "simulations", (10, 20, 40, 80, 160), {}),
    ("BinnedTopicTAMM", "classes", (3, 6, 12), {"events": 10_000}),
    ("BinnedTopicTAMM", "experiments", (100, 200, 400, 800), {}),
    ("ScoreTAMM", "events", (5_000, 10_000, 20_000, 40_000), {"bins": 15}),
    ("ScoreTAMM", "target", (10**5, 2 * 10**5, 4 * 10**5, 8 * 10**5), {"bins": 15}),
    ("ScoreTAMM", "simulations", (10, 20, 40, 80), {"bins": 15, "events": 1000}),
    ("ScoreTAMM", "features", (4, 8, 16, 32), {"bins": 15}),
    ("NeuralRatioTAMM", "events", (5_000, 10_000, 20_000, 40_000), {}),
    ("NeuralRatioTAMM", "target", (25_000, 50_000, 100_000, 200_000), {}),
    ("NeuralRatioTAMM", "reference", (10_000, 20_000, 40_000), {"events": 10_000}),
    ("NeuralRatioTAMM", "simulations", (4, 8, 16, 32), {}),
    ("NeuralRatioTAMM", "experiments", (2, 4, 8), {}),
]


def time_case(name, quantity, size, settings, repeats):
    """CPU seconds of fit and of inference, the best of some, and peak memory."""
    options = USUAL | settings | {quantity: size}
    X, y, simulation, X_target = study_of(options)
    dataset = None
    if options["experiments"] > 1:
        rng = np.random.default_rng(0)
        chance = np.full(len(X_target), 0.5)
        shape = (options["experiments"], len(X_target))
        dataset = (rng.random(shape) < chance).T.astype(np.uint8)
    best = {"fit": np.inf, "infer": np.inf}
    for _ in range(repeats):
        tamm = estimator_of(name, options)
        start = time.process_time()
        tamm.fit(X, y, simulation=simulation)
        middle = time.process_time()
        tamm.infer(X_target, dataset=dataset)
        end = time.process_time()
        best["fit"] = min(best["fit"], middle - start)
        best["infer"] = min(best["infer"], end - middle)
    return best


def time_sizes(name, quantity, sizes, settings, repeats):
    times = [time_case(name, quantity, n, settings, repeats) for n in sizes]
    numbers = {"estimator": name, "of": quantity, "sizes": sizes}
    for verb in ("fit", "infer"):
        seconds = np.array([t[verb] for t in times])
        numbers[verb] = slope(np.array(sizes, float), seconds)
        numbers[verb]["seconds"] = seconds.round(4).tolist()
    return numbers | {"peak_memory": round(peak())}


def slope(sizes, seconds):
    """Exponent of a power law, its error from the scatter, and the last step's."""
    x, y = np.log(sizes), np.log(seconds)
    (b, a), scatter = np.polyfit(x, y, 1), 0.0
    if x.size > 2:
        scatter = np.sqrt(((y - a - b * x) ** 2).sum() / (x.size - 2))
    error = scatter / np.sqrt(((x - x.mean()) ** 2).sum())
    last = np.diff(y)[-1] / np.diff(x)[-1]
    return {
        "exponent": round(b, 2),
        "error": round(error, 2),
        "last_step": round(last, 2),
    }


def run_exponents(options):
    cases = [c for c in CASES if options.only in f"{c[0]} {c[1]}"]
    own = {f"{c[0]} {c[1]}": alone(time_sizes, *c, options.repeats) for c in cases}
    return {"exponents": own}


# ------------------------------------------------------------------------- many of all
def wide_simulations(n_simulations):
    from sktamm import BinnedTopicTAMM

    options = USUAL | {"simulations": n_simulations, "bins": 6, "events": 1000}
    return _fit_and_infer(BinnedTopicTAMM(bins=6, random_state=0), options)


def wide_features(name):
    options = USUAL | {"features": 50, "bins": 15, "events": 5000}
    if name == "score":
        from sktamm import ScoreTAMM

        return _fit_and_infer(ScoreTAMM(random_state=0), options)
    from sktamm import NeuralRatioTAMM
    from sktamm.ratios import DensityRatio

    ratio = DensityRatio("logistic", n_members=2, n_reference=10_000)
    return _fit_and_infer(NeuralRatioTAMM(ratio, random_state=0), options)


def _fit_and_infer(tamm, options):
    X, y, simulation, X_target = study_of(options)
    numbers, asked = {}, {}
    with clock(numbers):
        tamm.fit(X, y, simulation=simulation)
    with clock(asked):
        result = tamm.infer(X_target)
    return {
        "estimator": type(tamm).__name__,
        "simulations": options["simulations"],
        "features": options["features"],
        "events": len(X),
        "cpu_seconds_fit": numbers["cpu_seconds"],
        "cpu_seconds_infer": asked["cpu_seconds"],
        "memory_before": numbers["memory_before"],
        "peak_memory": asked["peak_memory"],
        "kappa": float(result.kappa[0]),
    }


def wide_datasets(n_datasets, inference):
    """Datasets of 200 events each in one call, told apart by an id per event."""
    from sktamm import BinnedTopicTAMM

    # The cheapest prior: how datasets are read, shared out and reported is measured.
    tamm = BinnedTopicTAMM(
        bins=6, prior="simulations", basis="principal", inference=inference
    )
    tamm = fitted(tamm, 1, 3)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200 * n_datasets, 1))
    dataset = np.arange(len(X)) // 200
    numbers = {}
    with clock(numbers):
        result = tamm.infer(X, dataset=dataset)
    return numbers | {
        "datasets": n_datasets,
        "inference": inference,
        "mean_kappa": float(result.kappa.mean()),
    }


def run_wide(options):
    return {
        "wide": [
            alone(wide_simulations, 500),
            alone(wide_features, "score"),
            alone(wide_features, "ratios"),
            alone(wide_datasets, options.datasets // 10, "frequentist"),
            alone(wide_datasets, options.datasets, "frequentist"),
        ]
    }


PARTS = {
    "wide": run_wide,
    "exponents": run_exponents,
    "rate": run_rate,
    "count": run_count,
    "parquet": run_parquet,
    "score": run_score,
    "unbinned": run_unbinned,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=str(list(PARTS)))
    parser.add_argument("--events", type=int, default=1_000_000_000)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--unbinned", type=int, default=10_000_000)
    parser.add_argument("--reference", type=int, default=1_000_000)
    parser.add_argument("--datasets", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="estimator or quantity, or size")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    for part in options.parts:
        print(part, flush=True)
        numbers = PARTS[part](options)
        if options.output:
            known = {}
            if options.output.exists():
                known = json.loads(options.output.read_text())
            for name, value in numbers.items():
                # Some exponents alone replace those alone.
                both = isinstance(value, dict) and isinstance(known.get(name), dict)
                known[name] = known[name] | value if both else value
            options.output.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
