"""A discrepancy widens what is not described, by factors known in closed form."""

import numpy as np
import pytest
from scipy import stats

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM
from sktamm.exceptions import IncompatibleChoiceError, SktammWarning
from sktamm.inference import BayesianInference, FrequentistInference
from sktamm.mixture._penalties import GaussianPenalty, RidgePenalty, StackedPenalty
from sktamm.ratios import DensityRatio

EDGES = np.linspace(-2.0, 2.0, 21)
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])
SIGNAL = np.exp(-0.5 * ((CENTRES - 0.3) / 0.4) ** 2)
SIGNAL = SIGNAL / SIGNAL.sum()
# Log density of the background: its mean over simulations and their difference.
CENTRAL = -0.5 * (CENTRES / 1.5) ** 2
TILT = 0.005 * np.exp(-0.5 * ((CENTRES - 0.3) / 0.8) ** 2)
# Amplitude of a prior of two simulations: (1 + 1/K) / (K - 1) on a unit contrast.
WIDTH = np.sqrt(1.5 / 2.0) * 2.0
LARGE, EVENTS, KAPPA = 1e11, 3_200_000.0, 0.3
FLAGS = {"bad_fit", "in_tension"}

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{SktammWarning.__module__}.SktammWarning"
)


class Axis:
    """Regular axis in the protocol of histograms."""

    traits = None

    def __len__(self):
        return len(CENTRES)

    def __getitem__(self, index):
        return EDGES[index], EDGES[index + 1]


class Bins:
    """Histogram of counts."""

    kind, axes = "COUNT", (Axis(),)

    def __init__(self, counts):
        self.counts = np.asarray(counts, float)

    def values(self):
        return self.counts

    def variances(self):
        return self.counts


def background(z):
    """Background whose blend lies z prior widths from the mean simulation."""
    density = np.exp(CENTRAL + z * WIDTH * TILT)
    return density / density.sum()


def expected(z, kappa=KAPPA):
    """Contents of every bin."""
    return EVENTS * (kappa * SIGNAL + (1.0 - kappa) * background(z))


def fitted(inference, tilt=1.0, **choices):
    """Two simulations that differ in the tilt of the background alone."""
    density = [np.exp(CENTRAL + t * TILT) for t in (tilt, -tilt)]
    templates = [Bins(LARGE * d / d.sum()) for d in density]
    templates += [Bins(LARGE * SIGNAL)] * 2
    choices = {"prior": "simulations", "smooth": False, "random_state": 0} | choices
    tamm = BinnedTopicTAMM(inference=inference, **choices)
    return tamm.fit(templates, [0, 0, 1, 1], simulation=[0, 1, 0, 1])


def scores(z, kappa, step=1e-4):
    """Expected contents, derivatives of their logs by kappa and z."""
    density = kappa * SIGNAL + (1.0 - kappa) * background(z)
    slope = (background(z + step) - background(z - step)) / (2.0 * step)
    by = np.stack([SIGNAL - background(z), (1.0 - kappa) * slope], axis=1)
    return density, by / density[:, None]


def by_hand(z, kappa=KAPPA):
    """Normal-normal: factor and standard deviations without and with it.

    The data know (kappa, z) with the information L, the prior z with unit precision;
    the maximum errs by a'(noise of L) - a_z z with a the first column of (L + Q)^-1.
    """
    density, by = scores(z, kappa)
    L = EVENTS * (by.T * density) @ by
    a = np.linalg.inv(L + np.diag([0.0, 1.0]))[0]
    rows, blend = a @ L @ a, a[1] ** 2
    centre, at_centre = scores(0.0, kappa)
    known = EVENTS * (at_centre.T * centre) @ at_centre
    alone = known[1, 1] - known[0, 1] ** 2 / known[0, 0]
    pull = z**2 / (1.0 + 1.0 / alone)
    p = stats.chi2.sf(pull, 1)
    one = np.sqrt(pull / stats.chi2.isf(0.317, 1))
    factor = one ** np.clip(np.log10(1e-3 / p), 0.0, 1.0)
    return p, factor, np.sqrt(rows + blend), np.sqrt(rows + factor**2 * blend)


# ----------------------------------------------------------------- the numbers
@pytest.mark.parametrize("z", [4.2, 5.0])
@pytest.mark.parametrize("inference", [FrequentistInference, BayesianInference])
def test_one_excluded_direction_has_the_closed_form(inference, z):
    result = fitted(inference(discrepancy="scale")).infer([Bins(expected(z))])
    p, factor, narrow, wide = by_hand(z)
    known = {name: values[0] for name, values in result.diagnostics.items()}
    pulls = stats.norm.isf([0.5 * known["prior_tension"], 0.5 * p])
    assert pulls[0] == pytest.approx(pulls[1], rel=0.02)
    assert known["discrepancy_blend"] == pytest.approx(factor, rel=0.05)
    assert known["discrepancy_rows"] == 1.0
    assert known["discrepancy"] == known["discrepancy_blend"]
    assert result.std[0] == pytest.approx(wide, rel=0.03)
    assert wide > 1.2 * narrow
    assert "in_tension" in result.flags[0]


def test_rows_that_nothing_explains_have_the_scale_factor_of_birge():
    """One simulation per class: kappa alone is fitted, chi2 has n - 2 degrees."""
    bumpy = expected(0.0) * (1.0 + 0.006 * np.cos(12.0 * CENTRES))
    templates = [Bins(LARGE * background(0.0)), Bins(LARGE * SIGNAL)]
    results = []
    for discrepancy in (None, "scale"):
        inference = FrequentistInference("wald", discrepancy=discrepancy)
        tamm = BinnedTopicTAMM(inference=inference, smooth=False)
        tamm.fit(templates, [0, 1])
        results.append(tamm.infer([Bins(bumpy)]))
    plain, wide = results
    mean = EVENTS * (plain.kappa[0] * SIGNAL + (1.0 - plain.kappa[0]) * background(0.0))
    chi2 = ((bumpy - mean) ** 2 / mean).sum()
    assert stats.chi2.sf(chi2, len(mean) - 2) < 1e-4
    factor = np.sqrt(chi2 / stats.chi2.isf(0.317, len(mean) - 2))
    assert wide.diagnostics["discrepancy_rows"][0] == pytest.approx(factor, rel=0.01)
    assert wide.diagnostics["discrepancy_blend"][0] == 1.0
    assert wide.std[0] / plain.std[0] == pytest.approx(factor, rel=0.01)
    assert wide.kappa[0] == plain.kappa[0]
    assert "bad_fit" in wide.flags[0]


def test_truths_that_far_out_bias_by_one_standard_error():
    """A pull of six becomes one of one, so that half of the intervals cover."""
    rng = np.random.default_rng(3)
    targets = [Bins(rng.poisson(expected(z))) for z in (-6.0, 6.0) for _ in range(60)]
    shares = []
    for discrepancy in (None, "scale"):
        inference = FrequentistInference("wald", discrepancy=discrepancy)
        low, high = fitted(inference).infer(targets, levels=[0.683]).interval[:, :, 0].T
        shares.append(np.mean((low < KAPPA) & (high > KAPPA)))
    assert shares[0] < 0.1
    # Three binomial standard errors.
    assert shares[1] == pytest.approx(0.5, abs=0.14)


# --------------------------------------------------------- who keeps his numbers
CORNERS = {
    "frequentist": (FrequentistInference, {}),
    "bounded": (FrequentistInference, {"bounded": True}),
    "laplace": (BayesianInference, {}),
    "linear": (FrequentistInference, {"form": "linear", "prior": "auto"}),
}


def _same(first, second, here, there, rtol=0.0):
    """Whether all numbers of two results agree, by default to the last bit."""
    for name in ("kappa", "std", "interval", "fractions"):
        np.testing.assert_allclose(
            getattr(first, name)[here], getattr(second, name)[there], rtol, 1e-3 * rtol
        )
    for name, values in first.diagnostics.items():
        np.testing.assert_allclose(
            values[here], second.diagnostics[name][there], rtol, 1e-3 * rtol
        )
    for name in ("kappa", "log_density"):
        np.testing.assert_allclose(
            getattr(first.profile, name)[here],
            getattr(second.profile, name)[there],
            rtol,
            1e-3 * rtol,
        )


@pytest.mark.parametrize("corner", CORNERS)
def test_described_data_keep_every_bit_and_others_depend_on_none(corner):
    inference, choices = CORNERS[corner]
    rng = np.random.default_rng(5)
    targets = [Bins(rng.poisson(expected(z))) for z in (0.5, 6.0, -1.0, 6.0)]
    targets[3] = Bins(
        rng.poisson(expected(0.0) * (1.0 + 0.012 * np.cos(12.0 * CENTRES)))
    )
    plain = fitted(inference(), **choices).infer(targets)
    tamm = fitted(inference(discrepancy="scale"), **choices)
    wide = tamm.infer(targets)
    factor = wide.diagnostics["discrepancy"]
    flagged = np.array([bool(FLAGS & set(flags)) for flags in plain.flags])
    assert flagged.any()
    assert not flagged.all()
    assert plain.flags == wide.flags
    np.testing.assert_array_equal(factor > 1.0, flagged)
    assert (wide.std[flagged] > 1.02 * plain.std[flagged]).all()
    _same(plain, wide, ~flagged, ~flagged)
    assert "discrepancy" not in plain.diagnostics
    assert "discrepancy" not in plain.method
    assert wide.method["discrepancy"] == "scale"
    for b in range(4):
        _same(wide, tamm.infer(targets[b : b + 1]), [b], [0], 1e-5)
    _same(wide, tamm.set_params(n_jobs=2).infer(targets), slice(None), slice(None))


def test_chains_keep_theirs_and_draws_are_wider():
    rng = np.random.default_rng(5)
    targets = [Bins(rng.poisson(expected(z))) for z in (0.5, 6.0)]
    choices = {"method": "hmc", "n_chains": 4, "max_draws": 320}
    plain, wide = (
        fitted(BayesianInference(**choices, discrepancy=d)).infer(targets)
        for d in (None, "scale")
    )
    np.testing.assert_array_equal(plain.draws[0], wide.draws[0])
    added = wide.diagnostics["std_discrepancy"][1]
    assert wide.std[1] == pytest.approx(np.hypot(plain.std[1], added), rel=0.05)
    assert wide.draws[1].std() > 1.1 * plain.draws[1].std()


@pytest.mark.parametrize("inference", [FrequentistInference, BayesianInference])
def test_no_interval_jumps_where_the_p_value_crosses_its_threshold(inference):
    distances = np.linspace(3.7, 5.2, 61)
    targets = [Bins(expected(z)) for z in distances]
    result = fitted(inference(discrepancy="scale")).infer(targets)
    p, factor = (result.diagnostics[n] for n in ("prior_tension", "discrepancy"))
    assert p[0] > 1e-3
    assert p[-1] < 1e-4
    assert factor[0] == 1.0
    assert factor[-1] > 3.0
    np.testing.assert_array_equal(factor > 1.0, p < 1e-3)
    ends = np.log(np.diff(result.interval[:, :, 0], axis=1)[:, 0])
    # Twenty-seven steps lead through the ramp; none takes more than a twelfth of it.
    assert np.abs(np.diff(np.log(factor))).max() < np.log(factor[-1]) / 12.0
    assert np.abs(np.diff(ends)).max() < (ends[-1] - ends[0]) / 8.0


# ----------------------------------------------------------------------- unbinned
def _events(rng, n, c, shift):
    centre = np.array([1.0, 0.5]) * c
    return centre + shift + rng.normal(size=(n, 2)) * (1.0, 0.7)[c]


def _neural(inference, **choices):
    rng = np.random.default_rng(2)
    sources = [(c, k) for c in (0, 1) for k in range(3)]
    shifts = 0.02 * rng.normal(size=(3, 2))
    X = np.concatenate([_events(rng, 1500, c, shifts[k]) for c, k in sources])
    y, simulation = (np.repeat(v, 1500) for v in zip(*sources, strict=True))
    tamm = NeuralRatioTAMM(
        DensityRatio("logistic", n_members=2),
        inference=inference,
        random_state=0,
        **choices,
    )
    return tamm.fit(X, y, simulation=simulation), rng


def test_events_have_a_blend_that_may_be_too_far():
    choices = {"prior": "simulations", "projection": None}
    tamm, rng = _neural(FrequentistInference(discrepancy="scale"), **choices)
    parts = [_events(rng, n, c, 0.25) for c, n in ((0, 2000), (1, 600))]
    far = np.concatenate(parts)
    near = np.concatenate([_events(rng, n, c, 0.0) for c, n in ((0, 2000), (1, 600))])
    both = np.concatenate([near, far])
    result = tamm.infer(both, dataset=np.repeat([0, 1], 2600))
    known = result.diagnostics
    assert known["discrepancy_blend"][0] == 1.0 < known["discrepancy_blend"][1]
    np.testing.assert_array_equal(known["discrepancy_rows"], 1.0)
    plain = _neural(FrequentistInference(), **choices)[0]
    plain = plain.infer(both, dataset=np.repeat([0, 1], 2600))
    np.testing.assert_array_equal(plain.interval[0], result.interval[0])
    wide = np.hypot(plain.std[1], known["std_discrepancy"][1])
    assert result.std[1] == pytest.approx(wide, rel=1e-9)
    assert result.std[1] > 1.1 * plain.std[1]


@pytest.mark.parametrize("choices", [{"form": "linear"}, {"prior": "ridge"}])
def test_events_without_a_p_value_are_refused(choices):
    tamm, rng = _neural(
        FrequentistInference(discrepancy="scale"), projection=None, **choices
    )
    with pytest.raises(IncompatibleChoiceError, match="unbinned data under this prior"):
        tamm.infer(_events(rng, 300, 0, 0.0))


@pytest.mark.parametrize("inference", [FrequentistInference, BayesianInference])
def test_what_it_is_called(inference):
    with pytest.raises(IncompatibleChoiceError, match="discrepancy must be"):
        inference(discrepancy="auto").check()


def test_a_prior_of_parts_judges_by_those_that_do():
    """T = y^2/(1 + 1/lambda), y = 4/(1 - v) and lambda = 1/v - 1 at v = .2: 20."""
    parts = [(1, GaussianPenalty(np.eye(1))), (1, RidgePenalty(np.eye(1)))]
    both = StackedPenalty(parts)
    params, covariance = np.array([[4.0, 9.0]]), np.diag([0.2, 0.2])[None]
    for factor in (1.0, 2.0, 4.0):
        p = both.widened(factor).tension(params, covariance)
        np.testing.assert_allclose(p, stats.chi2.sf(20.0 / factor**2, 1))
    assert both.judges
    assert not StackedPenalty(parts[1:]).judges
    np.testing.assert_array_equal(both.widened(3.0).left_out_variance(), [9.0, 1.0])
