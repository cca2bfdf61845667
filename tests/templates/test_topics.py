import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.utils import shuffle
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktamm.exceptions import (
    ConvergenceWarning,
    IncompatibleChoiceError,
    InvalidInputError,
)
from sktamm.templates._topics import (
    TopicModel,
    _denoised,
    topic_relative_variance,
    topic_shares,
)


def normal_templates(rng, n_simulations, n_events, n_bins=24):
    """Draw counts of normals with uncertain position and width."""
    x = np.linspace(-2, 2, n_bins)
    mean = rng.normal(0.0, 0.15, size=(n_simulations, 1))
    width = rng.normal(1.0, 0.1, size=(n_simulations, 1))
    density = np.exp(-0.5 * ((x - mean) / width) ** 2)
    density /= density.sum(axis=1, keepdims=True)
    return rng.multinomial(n_events, density).astype(float), density


def anchored_topics(rng, n_simulations=200, n_events=20_000):
    """Draw a toy whose topics are nearly reached and have bins of their own."""
    topics = np.full((3, 12), 1e-9)
    for t in range(3):
        topics[t, 3 * t : 3 * t + 3] = [0.3, 0.2, 0.1]
        topics[t, 9:] = rng.dirichlet(np.ones(3)) * 0.4
    topics /= topics.sum(axis=1, keepdims=True)
    shares = rng.dirichlet([0.3, 0.4, 0.6], size=n_simulations)
    return rng.multinomial(n_events, shares @ topics).astype(float), shares, topics


EMPTY = "a simulation without events is refused"
EXPECTED_FAILURES = {"check_estimators_dtypes": EMPTY, "check_fit2d_1feature": EMPTY}


@parametrize_with_checks(
    [TopicModel(1), TopicModel(2)],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_conventions_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture
def counts():
    return normal_templates(np.random.default_rng(0), 30, 5_000)[0]


def held_out_gain(train, test, n_topics, **options):
    """Log likelihood per event of unseen events, ours minus the referee's."""
    ours = TopicModel(n_topics, **options).fit(train).topics_
    referee = LatentDirichletAllocation(
        n_topics,
        learning_method="batch",
        max_iter=50,
        doc_topic_prior=1.0,
        topic_word_prior=1.0,
        random_state=0,
    ).fit(train)
    theirs = referee.components_ / referee.components_.sum(axis=1, keepdims=True)
    first, second = test
    log_p = [np.log(topic_shares(first, t) @ t) for t in (ours, theirs)]
    return (second * (log_p[0] - log_p[1])).sum(axis=1) / second.sum(axis=1)


@pytest.mark.parametrize("denoise", [False, True])
def test_held_out_likelihood_is_not_below_that_of_scikit_learn(denoise):
    rng = np.random.default_rng(1)
    train, _ = normal_templates(rng, 60, 50_000)
    first, density = normal_templates(rng, 30, 50_000)
    second = 50_000 * density  # expectation instead of another sample: less noise
    gain = held_out_gain(train, (first, second), n_topics=6, denoise=denoise)
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    assert gain.mean() > -3 * error


def test_denoising_raises_the_held_out_likelihood():
    rng = np.random.default_rng(8)
    train, _ = normal_templates(rng, 60, 2_000)
    test, density = normal_templates(rng, 60, 2_000)
    log_p = []
    for denoise in (False, True):
        topics = TopicModel(6, denoise=denoise).fit(train).topics_
        log_p.append(np.log(topic_shares(test, topics) @ topics))
    gain = (density * (log_p[1] - log_p[0])).sum(axis=1)
    assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(len(gain))


@pytest.mark.parametrize("init", ["spread", "random"])
@pytest.mark.parametrize("prior", [0.1, 1.0, 3.0])
def test_objective_never_falls(counts, init, prior):
    model = TopicModel(
        5, init=init, doc_topic_prior=prior, topic_prior=prior, random_state=0, tol=1e-4
    ).fit(counts)
    rise = np.diff(model.objective_)
    assert rise.min() >= -1e-12 * abs(model.objective_[0])
    assert len(rise) > 3


def test_acceleration_ends_higher_than_as_many_plain_steps(counts):
    with pytest.warns(ConvergenceWarning, match="max_iter=60"):
        model = TopicModel(5, tol=0.0, max_iter=60, denoise=False).fit(counts)
    assert not model.converged_
    step, state = model._joint_step(counts), model._start(counts)
    for _ in range(60):
        state, objective = step(state, None)
    assert model.objective_[-1] > objective[0]


def test_fixed_point_is_that_of_variational_bayes(counts):
    model = TopicModel(3, tol=1e-12, max_iter=20_000, denoise=False).fit(counts)
    referee = LatentDirichletAllocation(
        3,
        learning_method="batch",
        max_iter=300,
        doc_topic_prior=1.0,
        topic_word_prior=1.0,
        max_doc_update_iter=2_000,
        mean_change_tol=1e-7,
    )
    start = model.topics_ * counts.sum() / 3 + 1.0
    referee.partial_fit(counts)  # allocates what the next lines overwrite
    referee.components_ = start
    referee.exp_dirichlet_component_ = model.topics_
    shares = referee.transform(counts)
    np.testing.assert_allclose(shares, model.shares_, atol=2e-3)


def test_order_of_simulations_does_not_matter(counts):
    rows = np.arange(len(counts))
    shuffled, rows = shuffle(counts, rows, random_state=3)
    one, other = TopicModel(4).fit(counts), TopicModel(4).fit(shuffled)
    np.testing.assert_allclose(other.topics_, one.topics_, rtol=1e-6)
    np.testing.assert_allclose(other.shares_, one.shares_[rows], rtol=1e-6)


@pytest.mark.parametrize("init", ["spread", "random"])
def test_same_seed_gives_the_same_bits(counts, init):
    model = TopicModel(4, init=init, random_state=7)
    one, other = clone(model).fit(counts), clone(model).fit(counts)
    np.testing.assert_array_equal(one.topics_, other.topics_)


def test_topics_and_shares_are_probabilities_in_canonical_order(counts):
    empty_bin = np.column_stack([counts + 0.25, np.zeros(len(counts))])
    model = TopicModel(6).fit(empty_bin)
    assert model.topics_.min() > 0
    np.testing.assert_allclose(model.topics_.sum(axis=1), 1.0)
    np.testing.assert_allclose(model.shares_.sum(axis=1), 1.0)
    assert (np.diff(model.shares_.sum(axis=0)) <= 0).all()


def test_recovers_topics_that_have_bins_of_their_own():
    counts, shares, topics = anchored_topics(np.random.default_rng(2))
    model = TopicModel(3, tol=1e-4).fit(counts)
    order = np.argsort(-shares.sum(axis=0))
    np.testing.assert_allclose(model.topics_, topics[order], atol=0.005)
    np.testing.assert_allclose(model.shares_, shares[:, order], atol=0.03)


def test_denoising_brings_the_densities_closer_to_the_truth():
    counts, density = normal_templates(np.random.default_rng(6), 100, 5_000)
    denoised = _denoised(counts)
    noise = ((counts / 5_000 - density) ** 2 / density).sum()
    assert ((denoised - density) ** 2 / density).sum() < 0.3 * noise


def test_denoising_keeps_the_pooled_template(counts):
    pooled = counts.mean(axis=0) / counts.sum(axis=1).mean()
    np.testing.assert_allclose(_denoised(counts).mean(axis=0), pooled, rtol=1e-10)


def test_simulations_without_significant_differences_give_equal_topics():
    template = np.array([0.2, 0.3, 0.5])
    counts = np.random.default_rng(0).multinomial(1_000, template, size=40)
    topics = TopicModel(3).fit(counts).topics_
    np.testing.assert_allclose(topics, topics[[0, 0, 0]], rtol=1e-6)


def test_one_topic_is_the_pooled_template(counts):
    model = TopicModel(1).fit(counts)
    pooled = counts.sum(axis=0) + 1.0
    np.testing.assert_allclose(model.topics_[0], pooled / pooled.sum(), rtol=1e-6)
    np.testing.assert_allclose(model.shares_, 1.0)


def test_transform_of_one_simulation_ignores_the_others(counts):
    model = TopicModel(4).fit(counts)
    together, alone = model.transform(counts), model.transform(counts[3:4])
    np.testing.assert_allclose(alone[0], together[3], rtol=1e-6)


def test_transform_maximises_the_likelihood():
    counts, _, topics = anchored_topics(np.random.default_rng(4), 5, 1_000_000)
    shares = topic_shares(counts, topics, tol=1e-9)
    gradient = (counts / (shares @ topics)) @ topics.T / counts.sum(axis=1)[:, None]
    inside = shares > 1e-3
    np.testing.assert_allclose(gradient[inside], 1.0, atol=2e-3)


def test_score_is_the_mean_log_likelihood_per_event(counts):
    model = TopicModel(4).fit(counts)
    density = model.transform(counts) @ model.topics_
    expected = (counts * np.log(density)).sum() / counts.sum()
    assert model.score(counts) == pytest.approx(expected, rel=1e-12)
    assert model.score(counts) > TopicModel(1).fit(counts).score(counts)


def test_relative_variance_counts_the_events_of_a_topic():
    counts = np.array([[30.0, 10.0], [20.0, 40.0]])
    shares = np.array([[1.0, 0.0], [0.5, 0.5]])
    topics = np.array([[0.5, 0.5], [1.0, 0.0]])
    variance = topic_relative_variance(counts, shares, topics)
    np.testing.assert_allclose(variance, [[1 / 35, 1 / 35], [1 / 30, np.inf]])


def test_more_topics_than_simulations_is_refused(counts):
    with pytest.raises(
        IncompatibleChoiceError, match=r"n_topics=31 .* n_samples=30 simulations"
    ):
        TopicModel(31).fit(counts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_topics": 0}, "n_topics must be an int in the range .* got 0"),
        (
            {"doc_topic_prior": 0.0},
            "doc_topic_prior must be a float in .* got 0",
        ),
        ({"tol": -1.0}, "tol must be a float in the range .* got -1"),
        ({"init": "best"}, "init must be a str among .* got 'best'"),
    ],
)
def test_parameters_out_of_range_are_refused(counts, change, message):
    with pytest.raises(InvalidInputError, match=message):
        TopicModel(**{"n_topics": 3, **change}).fit(counts)


def test_unusable_counts_are_refused(counts):
    negative, empty = counts.copy(), counts.copy()
    negative[2, 3], empty[4] = -1.0, 0.0
    with pytest.raises(InvalidInputError, match=r"counts >= 0 are needed, got -1\.0"):
        TopicModel(3).fit(negative)
    with pytest.raises(InvalidInputError, match="all be zero, got row 4"):
        TopicModel(3).fit(empty)
