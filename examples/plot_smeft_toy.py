"""One parameter, one feature: derivative learning
===============================================

One parameter, one feature: derivative learning, smearing, limits that cover.

The density of the toy is quadratic in theta, p(x | theta) ~ p_0(x) + theta^2 p_2(x), as
that of a Wilson coefficient, and its operator acts in a narrow peak in which the
standard model has hardly an event. Regressions learn the ratio to theta = 0 from the
same events: with a single detector response of each, or with fractional
smearing, where the few events of large derivatives get many responses. Above, what they
learn, beside the exact ratio, and the profile of 1 000 events drawn at theta = 0.5.
Below, fractional smearing against the exact ratio, event by event; and an ensemble of
repulsive networks that tell events of theta = 0 and 1 apart: their spread grows where
there are no events.

``python examples/plot_smeft_toy.py [figure.png]``; with ``SKTAMM_FULL=1`` in the
environment from four times as many events.
"""

import os
import sys

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit

from sktamm.datasets import make_smeft_toy
from sktamm.learning import RepulsiveEnsembleClassifier
from sktamm.parametric import (
    DerivativeRatioRegressor,
    FractionalSmearing,
    PolynomialRatio,
    QuadraticRatioEstimator,
    UnbinnedLikelihood,
)
from sktamm.plotting import ParameterProfileDisplay, RatioDisplay, SpreadDisplay

THETA = 0.5
N_EVENTS = 200_000 if os.environ.get("SKTAMM_FULL") else 50_000
FRACTIONAL = "fractional smearing"


def learn(n_events=N_EVENTS):
    """Ratios by one response per event, and by fractional smearing."""
    toy = make_smeft_toy(n_events, random_state=0)
    plain = DerivativeRatioRegressor("mlp", random_state=0)
    plain.fit(toy.X, toy.joint_derivatives)
    smearing = FractionalSmearing(random_state=0)
    X, y, weight, parent = smearing.fit_resample(
        toy.Z, toy.joint_derivatives, toy.smear
    )
    models = {"one smear": plain}
    for name, model in (
        (FRACTIONAL, DerivativeRatioRegressor("mlp", random_state=0)),
        ("the same, positive", QuadraticRatioEstimator("mlp", random_state=0)),
    ):
        models[name] = model.fit(X, y, sample_weight=weight, groups=parent)
    return models


def tell_apart(n_events=1000):
    """Events of theta = 0 and 1, and networks that tell them apart."""
    toys = [make_smeft_toy(n_events, theta, random_state=2) for theta in (0.0, 1.0)]
    X = np.concatenate([toy.X for toy in toys])
    ensemble = RepulsiveEnsembleClassifier((32, 32), n_members=16, random_state=0)
    return X, ensemble.fit(X, np.repeat([0, 1], n_events))


def exact_ratio():
    """The ratio in closed form, through that at theta = 1."""
    toy = make_smeft_toy(10, random_state=0)

    def derivatives(X):
        excess = 2 * np.exp(toy.log_ratio(X, 1.0)) - 1
        return np.column_stack([np.zeros(len(X)), 2 * excess])

    return PolynomialRatio(derivatives, mean_derivatives=[0.0, 2.0]).fit(toy.X)


def limits(models, data):
    """Profiles of the shape of the data, for theta >= 0."""
    scans = {}
    for name, model in models.items():
        fit = UnbinnedLikelihood(model, include_rate=False, bounds=[(0.0, None)])
        scans[name] = fit.fit(data.X).profile(0, np.linspace(0.38, 0.68, 121))
    return scans


if __name__ == "__main__":
    models = {"exact": exact_ratio()} | learn()
    data = make_smeft_toy(1000, THETA, random_state=3)
    scans = limits(models, data)
    figure, axes = plt.subplots(2, 2, figsize=(9.0, 7.6), layout="constrained")
    above, below = axes
    ParameterProfileDisplay.from_result(scans, r"$\theta$", truth=THETA).plot(above[1])
    x = np.linspace(-6.0, 6.0, 400)[:, None]
    seen = (x > -3) & (x < 5)
    for handle in above[1].get_legend().legend_handles:
        name = handle.get_label()
        if name in models:
            ratio = np.where(seen, models[name].log_ratio(x, [[THETA]]), np.nan)
            above[0].plot(x, ratio, color=handle.get_color())
    above[0].set(xlabel="x", ylabel=rf"$\ln r(x\,|\,{THETA}, 0)$", xlim=(-3, 5))
    RatioDisplay.from_estimator(
        models[FRACTIONAL],
        data.X,
        THETA,
        models["exact"].log_ratio(data.X, THETA),
        name=FRACTIONAL,
    ).plot(below[0])
    events, ensemble = tell_apart()
    SpreadDisplay.from_estimator(
        ensemble,
        x,
        output=1,
        truth=expit(models["exact"].log_ratio(x, 1.0)),
        events=events,
        labels=("x", r"$P(\theta = 1\,|\,x)$"),
    ).plot(below[1])
    if len(sys.argv) > 1:
        figure.savefig(sys.argv[1], dpi=150)
    else:
        plt.show()
