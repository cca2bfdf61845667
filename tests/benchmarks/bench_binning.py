"""From raw arrays to templates: time and memory, beside `numpy.histogramdd`.

Run from the root of the repository:

    PYTHONPATH=. python tests/benchmarks/bench_binning.py

Ten million events of two features, 2 classes with 50 simulations each, 10 x 10 uniform
bins. Our time covers reading and checking the input, choosing the bins and filling the
100 templates; numpy fills them in one call, with the source as a third dimension, and
checks nothing. Both get the range; ``--automatic`` measures ours without. Each side
runs in its own process, so that the peak of its resident memory minus that before it
starts is its own.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

N_SIMULATIONS, N_BINS = 50, 10
RANGE = (-4.0, 4.0)
TARGET_SECONDS, TARGET_BYTES = 2.0, 1e9


def draw(n_events, weighted):
    """Draw features, labels, simulation ids and weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_events, 2))
    y = rng.integers(0, 2, n_events)
    simulation = rng.integers(0, N_SIMULATIONS, n_events)
    return X, y, simulation, rng.uniform(0.5, 1.5, n_events) if weighted else None


def run_sktamm(X, y, simulation, weight, given=True):
    """Templates through the input door."""
    from sktamm.events import read_simulations
    from sktamm.templates._binning import make_binning
    from sktamm.templates._histogram import fill_templates

    events = read_simulations(X, y, simulation=simulation, sample_weight=weight)
    binning = make_binning(
        events.X, bins=N_BINS, range=[RANGE] * 2 if given else None, flow="drop"
    )
    return fill_templates(events, binning).sum_of_weights


def run_numpy(X, y, simulation, weight):
    """Templates with numpy alone."""
    source = y * N_SIMULATIONS + simulation
    sample = [X[:, 0], X[:, 1], source]
    bins = [N_BINS, N_BINS, np.arange(2 * N_SIMULATIONS + 1) - 0.5]
    ends = [RANGE, RANGE, None]
    counts, _ = np.histogramdd(sample, bins, range=ends, weights=weight)
    return counts.reshape(-1, 2 * N_SIMULATIONS).T


def run_automatic(X, y, simulation, weight):
    """Templates whose range is found, too."""
    return run_sktamm(X, y, simulation, weight, given=False)


RUNNERS = {"sktamm": run_sktamm, "numpy": run_numpy, "automatic": run_automatic}


def peak():
    """Peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(name, n_events, weighted):
    """Print seconds, bytes above the input, and a checksum of the templates."""
    RUNNERS[name](*draw(1000, weighted))  # Imports are not what is measured.
    data = draw(n_events, weighted)
    before = peak()
    start = time.perf_counter()
    templates = RUNNERS[name](*data)
    seconds = time.perf_counter() - start
    position = np.arange(templates.size).reshape(templates.shape)
    print(seconds, peak() - before, (templates * position).sum())


def compare(n_events, weighted, automatic):
    """Run both sides in processes of their own and check that they agree."""
    rows = {}
    for name in ("sktamm", "numpy", *["automatic"] * automatic):
        command = [sys.executable, __file__, "--measure", name]
        command += ["--events", str(n_events)] + ["--weighted"] * weighted
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        rows[name] = [float(word) for word in answer.stdout.split()]
        seconds, memory, _ = rows[name]
        print(f"{name:9s} {seconds:7.2f} s {memory / 1e6:9.0f} MB above the input")
    np.testing.assert_allclose(rows["sktamm"][2], rows["numpy"][2], rtol=1e-9)
    seconds, memory, _ = rows["sktamm"]
    return seconds < TARGET_SECONDS and memory < TARGET_BYTES


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--weighted", action="store_true")
    parser.add_argument("--automatic", action="store_true")
    parser.add_argument("--measure", choices=RUNNERS)
    arguments = parser.parse_args()
    if arguments.measure:
        return measure(arguments.measure, arguments.events, arguments.weighted)
    met = True
    for weighted in (False, True):
        print("weighted" if weighted else "unweighted")
        met &= compare(arguments.events, weighted, arguments.automatic)
    print(f"target (< 2 s, < 1 GB above the input): {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
