"""False alarms and power of the span check and the goodness of fit; time they take.

Usage: python tests/benchmarks/bench_diagnostics.py [span] [exact] [time] [--sets 300]

``span``: the p-value "span" of every ``infer`` (default binned estimator and linear
form) over fresh sets of K simulations of the Gaussian study, 10 x 10 bins, 5 000 +
50 000 events. Truths: "drawn" is one more simulation; "published"; "blend" a random
mixture and "geometric" the log average of the simulations, both in the span; "peak" is
"drawn" with 1 % of the background in one bin, "third" with 3 % in a narrow third
population, which no simulation has. ``exact``: ``span_check`` and ``goodness_of_fit``
on the same truths. ``time``: what the check adds to ``infer``.
"""

import argparse
import time
import warnings

import numpy as np
from bench_gaussian import (
    EDGES,
    TRUTH,
    Bins,
    draw_target,
    draw_templates,
    fit,
    probabilities,
)

import sktamm.inference._base as base
from sktamm.datasets import draw_gaussian_parameters
from sktamm.diagnostics import goodness_of_fit, span_check
from sktamm.exceptions import SktammWarning
from sktamm.inference import BayesianInference

LEVELS = np.array([0.1, 0.05, 0.01, 0.001])
FORMS = {
    "exponential": {},
    "linear": {"form": "linear", "inference": BayesianInference("laplace")},
}
NAMES = ("drawn", "published", "blend", "geometric", "peak", "third")
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])


def third_population():
    """Narrow normal at (-1.2, 1.2), binned at the centres."""
    square = np.add.outer((CENTRES + 1.2) ** 2, (CENTRES - 1.2) ** 2).ravel()
    density = np.exp(-0.5 * square / 0.3**2)
    return density / density.sum()


def truths_of(pair, rng):
    """Probabilities of background and signal of every truth, in the order of NAMES."""
    known = tuple(side[:-1] for side in pair)
    background, signal = (side[-1] for side in pair)
    share = rng.dirichlet(np.ones(len(known[0])))
    mean = [np.exp(np.log(side).mean(axis=0)) for side in known]
    peak = np.zeros(background.size)
    peak[27] = 1.0
    return (
        (background, signal),
        TRUTH,
        tuple(share @ side for side in known),
        tuple(p / p.sum() for p in mean),
        (0.99 * background + 0.01 * peak, signal),
        (0.97 * background + 0.03 * third_population(), signal),
    )


def sets(size, options):
    """Templates and one pseudo-experiment of every truth, set by set."""
    drawn = draw_gaussian_parameters(options.sets * (size + 1), random_state=size)
    for i in range(options.sets):
        rng = np.random.default_rng([size, i])
        part = slice(i * (size + 1), (i + 1) * (size + 1))
        pair = (
            probabilities(
                drawn.background_means[part], drawn.background_covariances[part]
            ),
            probabilities(drawn.signal_means[part], drawn.signal_covariances[part]),
        )
        truths = truths_of(pair, rng)
        known = tuple(side[:-1] for side in pair)
        templates = draw_templates(known, options.events, rng)
        targets = [draw_target(truth, 1, rng)[0] for truth in truths]
        yield templates, targets


def show(title, values, levels=LEVELS):
    """Share of p-values below the levels, with binomial errors in brackets."""
    print(f"\n### {title}\n")
    print("| truth | " + " | ".join(f"p <= {level:.3g}" for level in levels) + " |")
    print("|---" * (levels.size + 1) + "|")
    for j, name in enumerate(NAMES):
        rates = (values[:, j, None] <= levels).mean(axis=0)
        errors = np.sqrt(rates * (1 - rates) / len(values))
        cells = [f"{r:.3f} ({e:.3f})" for r, e in zip(rates, errors, strict=True)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def run_span(options):
    for size in options.sizes:
        for form, settings in FORMS.items():
            found, start = [], time.time()
            for templates, targets in sets(size, options):
                result = fit(settings, templates).infer(targets)
                found.append(result.diagnostics["span"])
            title = f"span, {form}, K = {size}, {options.sets} sets"
            show(f"{title} ({time.time() - start:.0f} s)", np.array(found))


def run_exact(options):
    for size in options.sizes:
        for form, settings in FORMS.items():
            ranks, parametric, fits, start = [], [], [], time.time()
            for templates, targets in sets(size, options):
                model = fit(settings, templates)
                checks = [span_check(model, [target]) for target in targets]
                ranks.append([check.p_value for check in checks])
                parametric.append([check.p_value_parametric for check in checks])
                fits.append(goodness_of_fit(model, targets, n_toys=49).p_value)
            title = f"{form}, K = {size}, {options.sets} sets"
            title = f"{title} ({time.time() - start:.0f} s)"
            steps = np.array([1.0, 2.0, 3.0, 4.0]) / (size + 1) + 1e-9
            show(f"span_check, ranks, {title}", np.array(ranks), steps)
            show(f"span_check, parametric, {title}", np.array(parametric))
            steps = np.array([0.3, 0.1, 0.06, 0.02]) + 1e-9
            show(f"goodness_of_fit, 49 toys, {title}", np.array(fits), steps)


def run_time(options):
    """Seconds of infer for 100 datasets, and of the check within them."""
    check = base.prior_tension
    spent = [0.0]

    def timed(*arguments):
        start = time.perf_counter()
        answer = check(*arguments)
        spent[0] += time.perf_counter() - start
        return answer

    base.prior_tension = timed
    for size in options.sizes:
        templates, targets = next(sets(size, options))
        model = fit({}, templates)
        target = [Bins(h.values()) for h in targets[:1] for _ in range(100)]
        model.infer(target)
        spent[0], start = 0.0, time.perf_counter()
        model.infer(target)
        total = time.perf_counter() - start
        print(f"K = {size}: infer {total:.2f} s, check {spent[0] / total:.1%}")
    base.prior_tension = check


STUDIES = {"span": run_span, "exact": run_exact, "time": run_time}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", default=list(STUDIES))
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 8, 20])
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    warnings.simplefilter("ignore", SktammWarning)
    for study in options.studies:
        STUDIES[study](options)


if __name__ == "__main__":
    main()
