"""Families: the stated covariance about the nominal, and morphing as its limit."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.base import clone

from sktamm import BinnedTopicTAMM
from sktamm.base import ComponentTable, Simulations
from sktamm.baselines import TemplateMorphing
from sktamm.exceptions import IncompatibleChoiceError, SingleSimulationWarning
from sktamm.mixture import ShrinkagePrior, SimulationsPrior
from sktamm.mixture._families import Grouping
from sktamm.mixture._features import Features
from sktamm.mixture._shrunk import compress
from sktamm.parametric import MomentMorphing

BINS, BASIS = 30, 4
PRIORS = [SimulationsPrior, ShrinkagePrior]


def _table(logs, ids, variance=None, seed=0):
    """Log densities (BINS, n) of the class of interest, and a nominal of another."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(BINS, 50.0))
    root = np.sqrt(weight)[:, None]
    axes = np.linalg.qr(np.hstack([root, root * rng.normal(size=(BINS, BASIS))]))[0]
    basis = axes[:, 1:] / root
    logs = np.hstack([0.1 * rng.normal(size=(BINS, 1)), logs])
    classes = np.repeat([0, 1], [1, len(ids)])
    known = None if variance is None else np.full(logs.shape, variance)
    source = Simulations(
        logs,
        logs,
        known,
        classes,
        np.array(["nominal", *ids]),
        np.eye(classes.size),
        False,
    )
    return ComponentTable(
        log_ratio=logs,
        row_weight=np.ones((1, BINS)),
        row_variance=np.ones((1, BINS)),
        reference_log_ratio=logs,
        reference_weight=weight,
        component_class=classes,
        n_classes=2,
        positive=1,
        simulations=source,
        basis=basis,
        reference_basis=basis,
        relative_variance=known,
        binned=True,
    )


def _differences(table, ids):
    """Centred differences of some simulations from the nominal."""
    source = table.simulations
    own = source.source_id[source.of_class(1)].tolist()
    logs = source.log_ratio[:, source.of_class(1)]
    d = logs[:, [own.index(k) for k in ids]] - logs[:, [own.index("nominal")]]
    return d - table.reference_weight @ d


def _parts(table, prior):
    """Covariance of the log density between rows, of every part of the penalty."""
    expansion = prior.expand(table, 1)
    features = expansion.features
    values = features.reference @ expansion.directions
    values = values - features.reference_weight @ values
    return [
        (values[:, own] @ values[:, own].T, penalty)
        for own, penalty in expansion.penalty.parts
    ]


def _covariance(table, prior):
    """Sum of the scales of all parts."""
    return sum(scale for scale, _ in _parts(table, prior))


def _logs(n, seed=1, size=0.3):
    return size * np.random.default_rng(seed).normal(size=(BINS, n))


@pytest.mark.parametrize("kind", PRIORS)
def test_the_centre_is_the_nominal(kind):
    ids = ["up", "nominal", "down"]
    table = _table(_logs(3), ids)
    prior = kind(families={"up": "scale", "down": "scale"}, nominal="nominal")
    expansion = prior.expand(table, 1)
    centre = expansion.features.reference @ expansion.offset
    np.testing.assert_array_equal(centre, table.log_ratio[:, 2])


@pytest.mark.parametrize("kind", PRIORS)
def test_variations_have_the_sum_of_the_covariances_of_their_families(kind):
    """One to one side, and a pair: along half its difference and its common part."""
    ids = ["nominal", "up", "down", "other"]
    table = _table(_logs(4), ids)
    families = {"up": "scale", "down": "scale", "other": "resolution"}
    found = _covariance(table, kind(families=families, nominal="nominal"))
    up, down, other = _differences(table, ["up", "down", "other"]).T
    a, b = (up - down) / 2, (up + down) / 2
    expected = np.outer(a, a) + np.outer(b, b) + np.outer(other, other)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("kind", PRIORS)
def test_apart_and_together_variations_differ_by_the_number_in_a_family(kind):
    """Two parameters in one family share its variance: half of each."""
    table = _table(_logs(3), ["nominal", "a", "b"])
    apart = kind(families={"a": "a", "b": "b"}, nominal="nominal")
    together = kind(families={"a": "a", "b": "a"}, nominal="nominal")
    np.testing.assert_allclose(
        _covariance(table, together), _covariance(table, apart) / 2, atol=1e-7
    )


@pytest.mark.parametrize("size", [1, 2, 5])
def test_alternatives_in_their_span_are_a_student_t(size):
    """(n + n) / (n + 1) times the mean square, n + 1 degrees; rank n."""
    ids = ["nominal", *(f"g{k}" for k in range(size))]
    table = _table(_logs(size + 1), ids)
    prior = SimulationsPrior(
        families=dict.fromkeys(ids[1:], "generator"),
        nominal="nominal",
        alternatives=["generator"],
    )
    ((scale, penalty),) = _parts(table, prior)
    d = _differences(table, ids[1:])
    expected = d @ d.T / size * 2 * size / (size + 1)
    np.testing.assert_allclose(scale, expected, atol=1e-7)
    assert penalty.degrees == size + 1


@pytest.mark.parametrize("tails", ["student", "gaussian"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_shrunk_alternatives_have_the_stated_scale(size, tails):
    """[n C + p diag C] / (n + 1) in the basis; over n + p for Gaussian tails."""
    ids = ["nominal", *(f"g{k}" for k in range(size))]
    table = _table(np.zeros((BINS, size + 1)), ids)
    rng = np.random.default_rng(3)
    logs = table.log_ratio.copy()
    logs[:, 1:] = table.basis @ (0.3 * rng.normal(size=(BASIS, size + 1)))
    table = replace(
        table,
        simulations=replace(
            table.simulations, log_ratio=logs, reference_log_ratio=logs
        ),
    )
    prior = ShrinkagePrior(
        tails=tails,
        families=dict.fromkeys(ids[1:], "generator"),
        nominal="nominal",
        alternatives=["generator"],
    )
    ((found, penalty),) = _parts(table, prior)
    weighted = table.reference_weight[:, None] * table.basis
    c = _differences(table, ids[1:]).T @ weighted
    expected = c.T @ c + BASIS * np.diag((c**2).sum(axis=0) / size)
    expected /= size + 1 if tails == "student" else size + BASIS
    np.testing.assert_allclose(weighted.T @ found @ weighted, expected, atol=1e-6)
    assert getattr(penalty, "degrees", np.inf) == (
        size + 1 if tails == "student" else np.inf
    )


def test_families_of_three_are_alternatives_and_smaller_ones_are_asked_for():
    ids = ["nominal", "a", "b", "c", "up", "down"]
    families = dict.fromkeys("abc", "generator") | {"up": "scale", "down": "scale"}
    table = _table(_logs(6), ids)

    def degrees(**options):
        prior = SimulationsPrior(families=families, nominal="nominal", **options)
        return [getattr(p, "degrees", np.inf) for _, p in _parts(table, prior)]

    assert degrees() == [np.inf, 4]
    assert degrees(alternatives=["generator", "scale"]) == [4, 3]
    assert degrees(alternatives=[]) == [np.inf]


@pytest.mark.parametrize("kind", PRIORS)
def test_the_strength_divides_every_covariance(kind):
    ids = ["nominal", "up", "a", "b"]
    families = {"up": "scale", "a": "generator", "b": "generator"}
    given = {"families": families, "nominal": "nominal", "alternatives": ["generator"]}
    table = _table(_logs(4), ids)
    once, four = (_parts(table, kind(strength=s, **given)) for s in (1.0, 4.0))
    assert len(once) == 2
    for (first, _), (second, _) in zip(once, four, strict=True):
        np.testing.assert_allclose(second, first / 4, atol=1e-7)


def test_a_peak_by_which_a_generator_differs_is_not_taken_for_noise():
    """Narrower than the smooth functions, below the largest that noise alone makes."""
    peak = np.zeros((BINS, 3))
    peak[12, 1], peak[14, 2] = 0.2, -0.2
    ids = ["nominal", "a", "b"]
    table = _table(peak, ids, 0.02)
    ((found, _),) = _of_three(table, ShrinkagePrior, ids)
    d = _differences(table, ids[1:])
    root = np.sqrt(table.reference_weight)[:, None]
    inside = root * table.basis
    complement = np.eye(BINS) - inside @ inside.T
    left = complement @ (root * found * root.T) @ complement
    rest = complement @ (root * d)
    expected = rest @ rest.T / 2 * (2 + BASIS) / 3
    np.testing.assert_allclose(left, expected, atol=1e-9)


# ------------------------------------------------------------------------ duplicates
def _of_three(table, kind, ids):
    families = dict.fromkeys(ids[1:], "generator")
    prior = kind(families=families, nominal="nominal", alternatives=["generator"])
    return _parts(table, prior)


@pytest.mark.parametrize("kind", PRIORS)
@pytest.mark.parametrize("variance", [None, 0.01])
def test_a_member_given_twice_counts_once(kind, variance):
    logs = _logs(3)
    ids = ["nominal", "a", "b"]
    once = _of_three(_table(logs, ids, variance), kind, ids)
    more, ids = np.hstack([logs, logs[:, [2, 2]]]), [*ids, "b again", "b once more"]
    twice = _of_three(_table(more, ids, variance), kind, ids)
    for (first, one), (second, other) in zip(once, twice, strict=True):
        # A mean of three has less noise to be taken out of the smooth part.
        close = 1e-10 if variance is None else 0.05 * first.max()
        np.testing.assert_allclose(first, second, atol=close)
        assert one.degrees == other.degrees == 3


@pytest.mark.parametrize(("error", "n_members"), [(0.05, 2), (0.01, 3)])
def test_members_that_differ_by_their_statistics_only_count_once(error, n_members):
    """Two of one shape with noise of variance .05^2, which is known or understated."""
    rng = np.random.default_rng(2)
    logs = _logs(3)
    again = logs[:, 2] + 0.05 * rng.normal(size=BINS)
    ids = ["nominal", "a", "b", "b again"]
    table = _table(np.column_stack([logs, again]), ids, error**2)
    ((_, penalty),) = _of_three(table, SimulationsPrior, ids)
    assert penalty.degrees == n_members + 1


def test_a_member_that_equals_the_nominal_does_not_shrink_the_others():
    logs = _logs(3)
    ids = ["nominal", "a", "b"]
    without = _of_three(_table(logs, ids), SimulationsPrior, ids)
    more, ids = np.hstack([logs, logs[:, [0]]]), [*ids, "same"]
    table = _table(more, ids)
    ((scale, penalty),) = _of_three(table, SimulationsPrior, ids)
    np.testing.assert_allclose(scale, without[0][0], atol=1e-10)
    assert penalty.degrees == 3


def test_small_mirrored_variations_are_no_duplicates_whatever_their_statistics():
    """Made of the events of the nominal, they differ by less than these scatter."""
    rng = np.random.default_rng(4)
    a = 0.01 * rng.normal(size=BINS)
    logs = np.column_stack([np.zeros(BINS), a, -a])
    table = _table(logs, ["nominal", "up", "down"], 1.0)
    prior = SimulationsPrior(
        families={"up": "scale", "down": "scale"}, nominal="nominal"
    )
    a = a - table.reference_weight @ a
    np.testing.assert_allclose(_covariance(table, prior), np.outer(a, a), atol=1e-9)


# -------------------------------------------------------------------------- morphing
X_BINS = (np.arange(25) + 0.5) / 25


def _pair(bend):
    """Nominal, up and down of a peak, and a falling background; exact templates."""
    signal, background = stats.norm.pdf(X_BINS, 0.6, 0.15), np.exp(-1.5 * X_BINS)
    shapes = {
        ("tt", "nominal"): signal,
        ("tt", "up"): signal * np.exp(bend),
        ("tt", "down"): signal * np.exp(-bend),
        ("bkg", "nominal"): background,
    }
    return {key: values / values.sum() for key, values in shapes.items()}


def _data(rng, shapes, bend, z, n=5000):
    truth = shapes["tt", "nominal"] * np.exp(z * bend)
    mean = 0.4 * truth / truth.sum() + 0.6 * shapes["bkg", "nominal"]
    return rng.poisson(n * mean)


def _histogram(contents):
    hist = pytest.importorskip("hist")
    own = hist.Hist(hist.axis.Regular(25, 0, 1, name="x", flow=False))
    own[...] = contents
    return own


def _train(estimator, shapes):
    """Fit to templates of so many events that their statistics do not matter."""
    X = [_histogram(1e9 * values) for values in shapes.values()]
    labels, names = zip(*shapes, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingleSimulationWarning)
        return estimator.fit(X, labels, simulation=names)


def _fit(kind, shapes, inference="bayesian", **options):
    prior = kind(
        families={"up": "scale", "down": "scale"}, nominal="nominal", **options
    )
    tamm = BinnedTopicTAMM(prior=prior, inference=inference, smooth=False)
    return _train(tamm, shapes)


@pytest.mark.parametrize("kind", PRIORS)
@pytest.mark.parametrize("z", [-1.5, 0.7])
def test_a_pair_is_exponential_template_morphing_with_a_unit_normal(kind, z):
    """Against the marginal posterior of kappa on a grid of kappa and amplitude."""
    bend = 0.2 * np.cos(3 * X_BINS)
    shapes = _pair(bend)
    counts = _data(np.random.default_rng(0), shapes, bend, z)
    result = _fit(kind, shapes).infer([_histogram(counts)], levels=[0.683])
    kappa, amplitude = np.linspace(0, 1, 2001)[:, None, None], np.linspace(-6, 6, 241)
    up, down, nominal = (shapes["tt", k] for k in ("up", "down", "nominal"))
    q = nominal * (up / down) ** (0.5 * amplitude[:, None])
    q /= q.sum(axis=1, keepdims=True)
    p = kappa * q + (1 - kappa) * shapes["bkg", "nominal"]
    log_p = np.log(p) @ counts - 0.5 * amplitude**2
    posterior = np.exp(log_p - log_p.max()).sum(axis=1)
    kappa, posterior = kappa.ravel(), posterior / posterior.sum()
    mean = posterior @ kappa
    std = np.sqrt(posterior @ (kappa - mean) ** 2)
    assert result.kappa[0] == pytest.approx(mean, abs=0.02 * std)
    assert result.std[0] == pytest.approx(std, rel=0.02)
    inside = (kappa >= result.interval[0, 0, 0]) & (kappa <= result.interval[0, 1, 0])
    assert posterior[inside].sum() == pytest.approx(0.683, abs=0.01)


@pytest.mark.parametrize("kind", PRIORS)
def test_the_penalised_fit_is_that_of_morphing_with_a_constraint(kind):
    """The joint maximum over kappa and amplitude, found by another minimiser."""
    bend = 0.2 * np.cos(3 * X_BINS)
    shapes = _pair(bend)
    counts = _data(np.random.default_rng(1), shapes, bend, 1.0)

    def loss(theta):
        kappa, z = theta
        q = shapes["tt", "nominal"] * np.exp(z * bend)
        p = kappa * q / q.sum() + (1 - kappa) * shapes["bkg", "nominal"]
        return 0.5 * z**2 - counts @ np.log(p)

    best = optimize.minimize(
        loss, [0.5, 0.0], bounds=[(0.01, 0.99), (-5, 5)], method="L-BFGS-B", tol=1e-14
    )
    tamm = _fit(kind, shapes, "frequentist")
    found = tamm.infer([_histogram(counts)]).kappa[0]
    assert found == pytest.approx(best.x[0], abs=1e-4)


def test_without_the_constraint_it_is_the_template_morphing_of_the_baselines():
    """Contents there are quadratic in the setting, exponential here: nearly equal."""
    bend = 0.1 * np.cos(3 * X_BINS)
    shapes = _pair(bend)
    data = _histogram(_data(np.random.default_rng(2), shapes, bend, 0.5, 40_000))
    ours = _fit(SimulationsPrior, shapes, "frequentist", strength=1e-6)
    kappa, std = ours.predict([data], return_std=True)
    settings = {"nominal": 0.0, "up": 1.0, "down": -1.0}
    other = _train(TemplateMorphing(settings), shapes).predict([data])
    assert kappa[0] == pytest.approx(other[0], abs=0.05 * std[0])


def test_a_moving_normal_peak_is_moment_morphing():
    """Peaks at mu +- d bend the log by a straight line: z moves the peak by z d."""
    x = np.linspace(-1.0, 2.0, 3001)
    moved = {"nominal": 0.5, "up": 0.55, "down": 0.45}
    logs = [stats.norm.logpdf(x, mean, 0.1) for mean in moved.values()]
    weight = np.full(x.size, 1.0 / x.size)
    logs = np.stack(logs, axis=1)
    features = Features(logs, logs, weight, 3, None)
    grouping = Grouping({"up": "scale", "down": "scale"}, "nominal", None)
    found = grouping.of_class(features, list(moved))
    directions = compress(features, found.variations)
    assert directions.shape[1] == 1
    change = logs @ directions[:, 0]
    sign = np.sign(change[-1] - change[0])
    for z in (-2.0, 0.7):
        q = np.exp(logs[:, 0] + sign * z * change)
        q /= q.sum()
        np.testing.assert_allclose(q @ x, 0.5 + 0.05 * z, atol=1e-6)
        np.testing.assert_allclose(q @ (x - q @ x) ** 2, 0.01, rtol=1e-5)
        events = MomentMorphing(1).fit(*_peaks(moved, x)).sample(z)
        X, w = events
        np.testing.assert_allclose(w @ X[:, 0] / w.sum(), q @ x, atol=1e-6)


def _peaks(moved, x):
    """The same peak at three places, as events on a grid of quantiles."""
    grid = stats.norm.ppf((np.arange(999) + 0.5) / 999) * 0.1
    X = np.concatenate([grid + mean for mean in moved.values()])[:, None]
    return X, np.repeat([0.0, 1.0, -1.0], 999)


# ------------------------------------------------------------------------- refusals
def _families(**changes):
    given = {"families": {"up": "scale", "down": "scale"}, "nominal": "nominal"}
    return given | changes


@pytest.mark.parametrize("kind", PRIORS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nominal": None}, "families must be a mapping .* together with nominal"),
        ({"families": None}, "families must be a mapping .* together with nominal"),
        ({"families": ["up", "down"]}, "families must be a mapping"),
        (
            {"families": {"up": "scale", "dwon": "scale"}},
            "none of 'down', but .*'dwon'",
        ),
        ({"families": {"up": "scale"}}, "got none of 'down'"),
        ({"nominal": "central"}, "got none of 'nominal'"),
        ({"nominal": "up"}, "got one of the nominal 'up' as well"),
        ({"alternatives": ["generator"]}, r"which are \['scale'\], got"),
        ({"alternatives": "scale"}, "alternatives must be a list of names"),
    ],
)
def test_families_that_do_not_fit_are_refused_by_a_sentence(kind, changes, message):
    prior = kind(**_families(**changes))
    table = _table(_logs(3), ["nominal", "up", "down"])
    with pytest.raises(IncompatibleChoiceError, match=message):
        prior.expand(table, 1)


@pytest.mark.parametrize("names", [["up", "down", "nominal"], ["up", "down", "down"]])
def test_a_class_without_the_nominal_is_refused_by_fit(names):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 1)), np.repeat([0, 1], 300)
    simulation = np.concatenate(
        [np.repeat(["nominal", "up", "down"], 100), np.repeat(names, 100)]
    )
    tamm = BinnedTopicTAMM(bins=3, prior=SimulationsPrior(**_families()))
    if "nominal" in names:
        assert tamm.fit(X, y, simulation=simulation).simulations_.size == 3
        return
    with pytest.raises(IncompatibleChoiceError, match="nominal must be one simulation"):
        tamm.fit(X, y, simulation=simulation)


def test_classes_may_have_nominals_of_their_own_names():
    table = _table(_logs(3), ["central", "up", "down"])
    prior = SimulationsPrior(**_families(nominal=["nominal", "central"]))
    assert prior.expand(table, 1).offset.tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert prior.expand(table, 0).offset.tolist() == [1, 0, 0, 0, 0]


# --------------------------------------------------------------------- the estimator
@pytest.mark.parametrize("kind", PRIORS)
def test_families_are_cloned_set_and_written_to_the_result(kind):
    rng = np.random.default_rng(0)
    names = ["nominal", "up", "down"]
    X, y = rng.normal(np.tile([[0.0], [2.0]], (3000, 1))), np.tile([0, 1], 3000)
    prior = kind()
    tamm = BinnedTopicTAMM(bins=8, prior=prior, random_state=0)
    tamm.set_params(
        prior__families={"up": "scale", "down": "scale"}, prior__nominal="nominal"
    )
    assert clone(tamm).get_params()["prior__families"] == prior.families
    tamm.fit(X, y, simulation=np.repeat(names, 2000))
    result = tamm.infer(X[:500])
    text = "nominal nominal; scale (up, down)"
    assert result.method["families"] == text
    assert json.loads(json.dumps(dict(result.method)))["families"] == text
    assert result.flags == ((),)
    assert 0.4 < result.kappa[0] < 0.6
