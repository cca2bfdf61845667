"""Training time of a repulsive ensemble against one network.

Usage: python tests/benchmarks/bench_repulsive.py [--threads 1 2] [--members 32] ...

The same events, batches and number of epochs for: one network (a `TorchMLPRegressor`
with one member), the repulsive ensemble in each space, and, for comparison, a stack of
as many networks that ignore each other, and the matrix products alone that such a stack
needs, below which no implementation can get. One row per width of the hidden layers and
size of the batch: the median over --repeats of the seconds, taken in turns so that a
change of the machine's load meets all of them, and the median of the ratios within a
turn. Every number of threads runs in a process of its own. With --clock cpu the seconds
are those of the processor, of all threads together, which other work disturbs less.
"""

import argparse
import multiprocessing
import time

import numpy as np

from sktamm.learning import RepulsiveEnsembleRegressor, TorchMLPRegressor

SPACES = ("function", "loss", "weight")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def make_events(n_events):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_events, 4))
    mean = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
    return X, mean + 0.3 * rng.normal(size=n_events)


def make_models(width, batch_size, options):
    shared = {
        "hidden_layer_sizes": (width,) * options.layers,
        "activation": options.activation,
        "batch_size": batch_size,
        "max_epochs": options.epochs,
        "learning_rate": 1e-3,
        "early_stopping": False,
        "device": options.device,
        "mixed_precision": options.mixed_precision or "auto",
        "random_state": 0,
    }
    many = {**shared, "n_members": options.members}
    models = {
        "one": TorchMLPRegressor(**shared),
        "stack": TorchMLPRegressor(**many, bootstrap=False),
    }
    for space in SPACES:
        models[space] = RepulsiveEnsembleRegressor(**many, repulsion=space)
    models["products"] = Products(width, batch_size, options)
    return models


def seconds(model, X, y, clock):
    start = clock()
    model.fit(X, y)
    return clock() - start


class Products:
    """The matrix products of all steps of a training, there and back."""

    def __init__(self, width, batch_size, options):
        self.sizes = (4, *(width,) * options.layers)
        self.batch_size, self.options = batch_size, options

    def fit(self, X, y):
        import torch

        n_steps = round(len(X) / self.batch_size) * self.options.epochs
        shape = (self.options.members, self.batch_size)
        dtype = torch.bfloat16 if self.options.mixed_precision else torch.float32
        make = {"device": self.options.device, "dtype": dtype}
        z = [torch.randn(*shape, size, **make) for size in self.sizes]
        pairs = list(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        weights = [torch.randn(shape[0], *pair, **make) for pair in pairs]
        for _ in range(n_steps):
            for layer, weight in enumerate(weights):
                torch.bmm(z[layer], weight)
                torch.bmm(z[layer].mT, z[layer + 1])
                if layer > 0:
                    torch.bmm(z[layer + 1], weight.mT)


def run(n_threads, options):
    import torch

    torch.set_num_threads(n_threads)
    clock = CLOCKS[options.clock]
    X, y = make_events(options.events)
    TorchMLPRegressor((8,), max_epochs=1, device=options.device).fit(X, y)
    for width in options.widths:
        for batch_size in options.batches:
            models = make_models(width, batch_size, options)
            turns = [
                [seconds(model, X, y, clock) for model in models.values()]
                for _ in range(options.repeats)
            ]
            ratios = np.median(np.array(turns) / np.array(turns)[:, :1], axis=0)
            cells = [
                f"{name} {taken:.2f} s ({ratio:.1f})"
                for name, taken, ratio in zip(
                    models, np.median(turns, axis=0), ratios, strict=True
                )
            ]
            where = f"{n_threads} threads, width {width}, batch {batch_size}"
            print(f"{where}: {', '.join(cells)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 100, 1000])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--activation", default="leaky_relu")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for n_threads in options.threads:
        process = context.Process(target=run, args=(n_threads, options))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
