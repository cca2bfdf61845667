"""Ellipses of three Wilson coefficients in WZ
===========================================

Ellipses of three Wilson coefficients in WZ production: what an observable knows.

Events of pp -> WZ -> leptons at 13.6 TeV with 300/fb are given to four analyses that
see less and less of them. Each knows the mean of the joint derivatives given what it
sees, from which the same likelihood makes its region,

    partons > all reconstructed features (learned) > histogram of mT(WZ) > rate,

since averages over more events know less. The derivatives are learned from events that
were drawn at several parameter points and weighted to the standard model: tails of high
energy, where the operators act, are then populated and have small weights. Regions are
those of the data expected in the standard model, with the third coefficient free. The
rate alone knows one combination of the three, whose other values quadratic terms
bound: its regions are exact and leave the panels.

``python examples/plot_wz_ellipses.py [figure.png]``; with ``SKTAMM_FULL=1`` in the
environment from ten times as many events.
"""

import os
import sys
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from scipy import optimize, stats

from sktamm.datasets import WZ_BENCHMARKS, make_wz
from sktamm.parametric import (
    ConfidenceRegion,
    DerivativeRatioRegressor,
    MorphingBasis,
    PolynomialRatio,
    UnbinnedLikelihood,
    joint_derivatives,
)
from sktamm.plotting import ParameterRegionDisplay

NAMES = [r"$c_{\Phi WB}$ [TeV$^{-2}$]", r"$c_{WWW}$ [TeV$^{-2}$]"]
NAMES += [r"$c_{\Phi q}^{(3)}$ [TeV$^{-2}$]"]
PAIRS = [(0, 1), (0, 2), (1, 2)]
LEVELS = [0.68, 0.95]
LUMINOSITY = 300.0

# Points that events are drawn at, and their shares.
POINTS = np.array([[0, 0, 0], [0, 0.3, 0], [0, -0.3, 0], [0, 0, 0.2], [0, 0, -0.2]])
SHARES = np.array([0.4, 0.15, 0.15, 0.15, 0.15])
BASIS = MorphingBasis(3, benchmarks=WZ_BENCHMARKS)


class Events(NamedTuple):
    """Events whose weights make them a sample of the standard model."""

    X: np.ndarray
    derivatives: np.ndarray
    weight: np.ndarray
    expected: float


def draw(n_events, seed):
    """Events of all points, each with the weight p(z | 0) / p(z | mixture)."""
    samples = [
        make_wz(round(share * n_events), point, random_state=10 * seed + k)
        for k, (point, share) in enumerate(zip(POINTS, SHARES, strict=True))
    ]
    # Densities at the points, up to one factor per event, and cross sections.
    density = np.concatenate([s.weights(POINTS) for s in samples])
    total = np.mean([s.cross_section(POINTS) for s in samples], axis=0)
    normalised = density / total
    return Events(
        X=np.concatenate([s.X for s in samples]),
        derivatives=np.concatenate(
            [joint_derivatives(s.benchmark_weights, BASIS) for s in samples]
        ),
        weight=normalised[:, 0] / (normalised @ SHARES),
        expected=LUMINOSITY * float(total[0]),
    )


def rate(events):
    """Mean derivatives of all events."""
    mean = np.average(events.derivatives, axis=0, weights=events.weight)
    return np.tile(mean, (len(events.X), 1))


def histogram(events, feature=-1):
    """Mean derivatives of the events in each bin of one feature, mT(WZ)."""
    edges = np.quantile(events.X[:, feature], np.linspace(0.04, 0.96, 24))
    edges = np.append(edges, [800.0, 1000.0, 1300.0])
    number = np.digitize(events.X[:, feature], np.unique(edges))
    means = np.zeros((number.max() + 1, events.derivatives.shape[1]))
    for k in np.unique(number):
        here = number == k
        means[k] = np.average(
            events.derivatives[here], axis=0, weights=events.weight[here]
        )
    return means[number]


def learn(events, estimator="lightgbm"):
    """Regression of the derivatives on all reconstructed features."""
    model = DerivativeRatioRegressor(estimator, random_state=0)
    return model.fit(events.X, events.derivatives, sample_weight=events.weight)


def likelihood(derivatives, events):
    """Likelihood of the data expected in the standard model."""
    mean = np.average(derivatives, axis=0, weights=events.weight)
    ratio = PolynomialRatio(mean_derivatives=mean).fit(derivatives)
    fit = UnbinnedLikelihood(ratio, events.expected)
    return fit.fit_asimov(derivatives, sample_weight=events.weight)


def information(derivatives, events):
    """Expected information that the derivatives have, however well learned.

    Sums of s(x) over the events measure theta with the information A' B^-1 A, where A
    is the mean of s(x) with the true score and B that of s with itself. It never
    exceeds that of the best s, the conditional mean, and is what a wrong s really has.
    """
    score, exact = derivatives[:, :3], events.derivatives[:, :3]
    weighted = score * (events.weight / events.weight.sum())[:, None]
    A, B = weighted.T @ exact, weighted.T @ score
    return events.expected * A.T @ np.linalg.pinv(B, hermitian=True) @ A


def rate_regions(derivatives, expected, n_points=400):
    """Exact regions of the rate alone, the third coefficient profiled.

    With S = 1 + g.theta + theta'H theta / 2 and the rate expected at zero, a pair is in
    the region if the least S over the third coefficient is below the upper limit of S:
    an ellipse.
    """
    g, H = derivatives[0, :3], np.zeros((3, 3))
    i, j = np.triu_indices(3)
    H[i, j] = H[j, i] = derivatives[0, 3:]
    angle = 2 * np.pi * np.arange(n_points) / n_points
    circle = np.stack([np.cos(angle), np.sin(angle)])
    regions = []
    for pair in PAIRS:
        keep, out = list(pair), 3 - sum(pair)
        across = H[keep, out] / H[out, out]
        shape = H[np.ix_(keep, keep)] - np.outer(across, across) * H[out, out]
        slope = g[keep] - across * g[out]
        centre = -np.linalg.solve(shape, slope)
        least = 1 - 0.5 * g[out] ** 2 / H[out, out] + 0.5 * slope @ centre
        root = np.linalg.inv(np.linalg.cholesky(shape)).T
        for level in LEVELS:
            quantile = stats.chi2.ppf(level, 2)
            top = optimize.brentq(
                lambda S, q=quantile: 2 * expected * (S - 1 - np.log(S)) - q, 1, 2
            )
            curve = centre + (np.sqrt(2 * (top - least)) * root @ circle).T
            regions.append(
                ConfidenceRegion(
                    pair,
                    level,
                    centre,
                    curve,
                    np.full((2, 2), np.nan),
                    "profile",
                    "contour",
                )
            )
    return regions


def ellipses(derivatives, events):
    """Ellipses of all pairs, the third coefficient profiled."""
    fit = likelihood(derivatives, events)
    return [fit.confidence_ellipse(*pair, level) for pair in PAIRS for level in LEVELS]


def run(n_train=40_000, n_test=40_000):
    """Regions and information of the four analyses."""
    train, test = draw(n_train, 1), draw(n_test, 2)
    seen = {
        "rate": rate(test),
        "histogram of mT(WZ)": histogram(test),
        "reconstructed, learned": learn(train).predict(test.X),
        "partons": test.derivatives,
    }
    regions = {
        name: ellipses(values, test) for name, values in seen.items() if name != "rate"
    }
    regions = {"rate": rate_regions(seen["rate"], test.expected)} | regions
    return regions, {name: information(v, test) for name, v in seen.items()}


def display(regions):
    """Triangle of the ellipses."""
    return ParameterRegionDisplay.from_result(
        regions, NAMES, truth=np.zeros(3), frame="histogram of mT(WZ)"
    ).plot()


def report(regions, informations):
    """Areas of the 68 % regions, and errors that the learned score really has."""
    print(f"{'':24s}{'area of the 68 % region':>36s}   standard errors, calibrated")
    for name, found in regions.items():
        areas = [r.area for r in found if r.level == LEVELS[0]]
        text = "".join(f"{area:12.5f}" for area in areas)
        if np.linalg.matrix_rank(informations[name]) == 3 and name != "rate":
            errors = np.sqrt(np.diag(np.linalg.inv(informations[name])))
            text += "   " + "".join(f"{error:9.4f}" for error in errors)
        print(f"{name:24s}{text}")


if __name__ == "__main__":
    full = bool(os.environ.get("SKTAMM_FULL"))
    found = run(400_000, 400_000) if full else run()
    report(*found)
    figure = display(found[0]).figure_
    if len(sys.argv) > 1:
        figure.savefig(sys.argv[1], dpi=150)
    else:
        plt.show()
