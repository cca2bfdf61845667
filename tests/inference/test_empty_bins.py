"""An empty bin that a class fills is information: exact posteriors and profiles.

Two bins, background (.995, .005), signal (.1, .9); of n events m lie in the second bin.
With known templates the posterior is (.995 - .895 k)^(n - m) (.005 + .895 k)^m; finite
templates add a beta distribution of each probability, integrated here by quadrature.
"""

import numpy as np
import pytest
from scipy import stats

from sktamm import BinnedTopicTAMM
from sktamm.inference import BayesianInference, FrequentistInference

SHAPES = np.array([[0.995, 0.005], [0.1, 0.9]])
LEVEL = 0.954
FEW = range(6)


class _Histogram:
    """Two bins of counts, as much of a histogram as is read."""

    axes = (((0.0, 1.0), (1.0, 2.0)),)

    def __init__(self, content):
        self.content = np.asarray(content, dtype=float)

    def values(self):
        return self.content

    def variances(self):
        return self.content


def _results(contents, events=1e6, n_simulations=1, mirror=False, **choices):
    """Interval ends of every content, shape (2, n_contents); mirrored, of 1 - kappa."""
    tamm = BinnedTopicTAMM(bins=[[0.0, 1.0, 2.0]], random_state=0, **choices)
    ids = np.tile(np.arange(n_simulations), 2)
    templates = [_Histogram(events * s) for s in np.repeat(SHAPES, n_simulations, 0)]
    if mirror:
        tamm.set_params(pos_label=0)
    tamm.fit(templates, np.repeat([0, 1], n_simulations), simulation=ids)
    result = tamm.infer([_Histogram(c) for c in contents], levels=[LEVEL])
    ends = result.interval[:, :, 0].T
    return 1.0 - ends[::-1] if mirror else ends


def _contents(n):
    """Contents with few events in the bin of the signal."""
    few = np.array(FEW)
    return np.stack([n - few, few], axis=1).astype(float)


def _beta_nodes(events, probability):
    """Quantiles of what a template of so many events says of a probability."""
    a = events * probability
    grid = (np.arange(12) + 0.5) / 12
    return stats.beta(a + 0.5, events - a + 0.5).ppf(grid)


def _exact_ends(content, events):
    """Shortest interval of the exact posterior on a fine grid."""
    kappa = np.concatenate([[0.0], np.geomspace(1e-8, 1.0, 10_000)])
    b, s = np.meshgrid(*(_beta_nodes(events, p) for p in SHAPES[:, 1]))
    density = np.zeros_like(kappa)
    for b2, s2 in zip(b.ravel(), s.ravel(), strict=True):
        p2 = b2 + kappa * (s2 - b2)
        log = content[0] * np.log1p(-p2) + content[1] * np.log(p2)
        density += np.exp(log - content @ np.log(content.clip(1e-300) / content.sum()))
    cumulative = np.concatenate(
        [[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(kappa))]
    )
    cumulative /= cumulative[-1]
    low = np.linspace(0.0, 1.0 - LEVEL, 2001)
    ends = [np.interp(q, cumulative, kappa) for q in (low, low + LEVEL)]
    best = np.argmin(ends[1] - ends[0])
    return ends[0][best], ends[1][best]


@pytest.mark.parametrize("n_simulations", [1, 3])
@pytest.mark.parametrize("mirror", [False, True], ids=["background", "signal"])
@pytest.mark.parametrize(
    ("n", "events", "rtol"),
    # One error per bin replaces the beta distribution of the template: for templates
    # of 10 000 events, 50 of them in the bin, the end is up to a tenth too wide.
    [(100, 1e6, 0.01), (1000, 1e6, 0.01), (10_000, 1e7, 0.015), (1000, 1e4, 0.1)],
)
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_the_posterior_is_exact(n, events, rtol, mirror, n_simulations):
    contents = _contents(n)
    ends = _results(contents, events, n_simulations, mirror)
    exact = np.array([_exact_ends(c, events) for c in contents]).T
    np.testing.assert_allclose(ends[1], exact[1], rtol=rtol)
    np.testing.assert_allclose(ends[0], exact[0], atol=rtol * exact[1].max())
    assert (np.diff(ends[1]) > 0).all()


@pytest.mark.parametrize("form", ["linear", "exponential"])
@pytest.mark.parametrize("mirror", [False, True], ids=["background", "signal"])
@pytest.mark.parametrize("events", [1e6, 1e4])
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_the_limit_never_falls_when_an_event_of_the_signal_is_added(
    form, mirror, events
):
    contents = _contents(1000)
    for inference in (
        BayesianInference(method="laplace"),
        FrequentistInference(),
        FrequentistInference(interval="wald"),
    ):
        choices = {"form": form, "inference": inference, "bounded": True}
        limit = _results(contents, events, 3, mirror, **choices)[1]
        # Of Wald's only the error moves, which templates of few events hardly change.
        least = -1e-5 if inference.interval == "wald" else 0.0
        assert (np.diff(limit) > least).all(), (inference, limit)
        assert 0.0015 < limit[0] < 0.02


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_the_bounded_profile_is_exact():
    """At kappa = 0 the likelihood ratio falls by z^2 / 2 as in closed form."""
    contents = _contents(1000)
    upper = _results(contents, inference="frequentist", bounded=True)[1]
    kappa = np.linspace(0.0, 0.02, 200_001)[:, None]
    few = contents[:, 1]
    log = (1000 - few) * np.log(0.995 - 0.895 * kappa)
    log += few * np.log(0.005 + 0.895 * kappa)
    drop = 0.5 * stats.norm.ppf(0.5 + 0.5 * LEVEL) ** 2
    exact = kappa[np.argmax(log < log[0] - drop, axis=0), 0]
    np.testing.assert_allclose(upper[few < 5], exact[few < 5], rtol=0.01)


def test_sampling_agrees():
    """The linear form of one simulation has no weights: only draws are left."""
    choices = {"form": "linear", "inference": BayesianInference(min_ess=4000)}
    contents = _contents(1000)
    ends = _results(contents, n_simulations=3, **choices)
    exact = np.array([_exact_ends(c, 1e6) for c in contents]).T
    # 4 000 draws know the end of 95.4 % to about 3 %
    np.testing.assert_allclose(ends[1], exact[1], rtol=0.1)
