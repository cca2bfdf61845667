"""Two rings of checks over one list of estimators: scikit-learn's, then ours.

Rows of X are events but answers belong to datasets, so scikit-learn's checks that
demand one answer per row fail by construction: ``EXPECTED_FAILURES`` is strict, and a
check listed there that passes fails the test.
"""

import copy
import pickle
import re
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from common_estimators import BINNED, DEFAULTS, ESTIMATORS, bins_of
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, TAMMRegressor, infer
from sktamm.baselines import SingleSimulation
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import IncompatibleChoiceError, InvalidInputError
from sktamm.inference import BayesianInference, FrequentistInference
from sktamm.mixture import RidgePrior, ShrinkagePrior

_PER_DATASET = "predict answers once per dataset, the check demands one answer per row"
EXPECTED_FAILURES = {
    "check_methods_sample_order_invariance": _PER_DATASET,
    "check_methods_subset_invariance": (
        f"{_PER_DATASET}; predict_proba adapts its templates to all rows together"
    ),
    "check_sample_weight_equivalence_on_dense_data": (
        "a weight is not a count: its variance is the squared weight; in two bins each "
        "the 30 features of the check make a grid of 2^30, which is refused; unbinned, "
        "training is stochastic"
    ),
}
# Rows one by one, each of them a run of chains or a reference sample: minutes in all
# for a shape that the other estimators show to be wrong.
MANY_FITS = "check_methods_subset_invariance"
SLOW_FITS = [
    ESTIMATORS[name]
    for name in (
        "binned",
        "binned-published",
        "general",
        "neural-frequentist",
        "neural-mlp",
    )
] + [DEFAULTS[f"{name}-default"] for name in ("binned", "neural", "score")]
# Checks of three classes and more, whose fractions chains draw: they look at types,
# shapes and equality, for which a few draws do.
MANY_CLASSES = (
    MANY_FITS,
    "check_dict_unchanged",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_f_contiguous_array_estimator",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
)
FEW_DRAWS = BayesianInference(n_chains=4, n_warmup=10, n_draws=10, max_draws=10)
RTOL = 1e-6


# --------------------------------------------------------- the ring of scikit-learn
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@parametrize_with_checks(
    [*ESTIMATORS.values(), *DEFAULTS.values()],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn(estimator, check):
    if check.func.__name__ == MANY_FITS and repr(estimator) in map(repr, SLOW_FITS):
        pytest.xfail(EXPECTED_FAILURES[MANY_FITS])
    if check.func.__name__ in MANY_CLASSES:
        estimator = _of_few_draws(estimator)
    check(estimator)


def _of_few_draws(estimator):
    """Copy with short chains where it has the usual ones."""
    usual = [name for name, v in estimator.get_params().items() if v == "bayesian"]
    return clone(estimator).set_params(**dict.fromkeys(usual, FEW_DRAWS))


def test_expected_failures_are_checks_that_exist():
    checks = {
        check.func.__name__
        for _, check in estimator_checks_generator(ESTIMATORS["binned"])
    }
    assert set(EXPECTED_FAILURES) <= checks


# -------------------------------------------------------------------- our own ring
@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4,
        n_events=1000,
        n_signal=600,
        n_background=1400,
        random_state=3,
    )


def _named(estimator, name):
    """Name of a parameter of the estimator, or of the one it wraps."""
    return name if name in estimator.get_params() else f"estimator__{name}"


def _finer(estimator, **choices):
    """Copy with bins, if any, fine enough to measure something."""
    name = bins_of(estimator)
    bins = {} if name is None else {name: 4}
    return clone(estimator).set_params(**bins, **choices)


def _fit(estimator, study):
    return _finer(estimator).fit(study.X, study.y, simulation=study.simulation)


@pytest.fixture(scope="module", params=ESTIMATORS.values(), ids=ESTIMATORS.keys())
def estimator(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(estimator, study):
    return _fit(estimator, study)


@pytest.fixture(scope="module")
def dataset(study):
    return np.random.default_rng(0).integers(0, 3, len(study.X_target))


def _same(result, other, rtol=RTOL):
    np.testing.assert_allclose(other.kappa, result.kappa, rtol=rtol)
    np.testing.assert_allclose(other.std, result.std, rtol=rtol)
    np.testing.assert_allclose(other.interval, result.interval, rtol=rtol, atol=rtol)


def test_parameters_make_the_round_trip(estimator):
    parameters = estimator.get_params()
    copied = clone(estimator)
    assert copied.set_params(**parameters) is copied
    assert copied.get_params() == parameters
    assert repr(clone(estimator)) == repr(estimator)
    assert type(estimator).__name__ in repr(estimator)
    assert type(estimator).__name__ in estimator._repr_html_()


def test_parameters_of_parts_can_be_set():
    tamm = TAMMRegressor(
        TemplateComponents(), prior=ShrinkagePrior(), inference=FrequentistInference()
    )
    tamm.set_params(prior__strength=3.0, components__bins=7, inference__max_iter=11)
    assert tamm.prior.strength == 3.0
    assert tamm.components.bins == 7
    assert tamm.inference.max_iter == 11


def test_parts_are_used_and_not_changed(study):
    weak, strong = (
        TAMMRegressor(TemplateComponents(bins=4), prior=RidgePrior(strength))
        for strength in (0.01, 100.0)
    )
    answers = [
        tamm.fit(study.X, study.y, simulation=study.simulation).predict(
            study.X_target, return_std=True
        )
        for tamm in (weak, strong)
    ]
    assert answers[0][1][0] > answers[1][1][0]
    assert vars(weak.prior) == {"strength": 0.01}
    assert vars(weak.components) == vars(TemplateComponents(bins=4))


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda tamm: pickle.loads(pickle.dumps(tamm))],
    ids=["deepcopy", "pickle"],
)
def test_copies_predict_the_same(fitted, study, duplicate):
    _same(fitted.infer(study.X_target), duplicate(fitted).infer(study.X_target), 0)


def test_names_of_features_are_checked(estimator, study):
    simulated = pd.DataFrame(study.X, columns=["mass", "angle"])
    target = pd.DataFrame(study.X_target, columns=["mass", "angle"])
    tamm = _finer(estimator).fit(simulated, study.y, simulation=study.simulation)
    assert tamm.feature_names_in_.tolist() == ["mass", "angle"]
    kappa = tamm.predict(target)
    with pytest.raises(InvalidInputError, match="feature names"):
        tamm.predict(target[["angle", "mass"]])
    with pytest.raises(InvalidInputError, match="feature names"):
        tamm.predict(target.rename(columns={"mass": "momentum"}))
    with pytest.warns(UserWarning, match="feature names"):
        assert tamm.predict(study.X_target) == kappa


def test_order_of_events_does_not_matter(estimator, fitted, study):
    rng = np.random.default_rng(1)
    order = rng.permutation(len(study.X))
    shuffled = _finer(estimator).fit(
        study.X[order], study.y[order], simulation=study.simulation[order]
    )
    target = study.X_target[rng.permutation(len(study.X_target))]
    _same(fitted.infer(study.X_target), shuffled.infer(target))


def test_names_of_simulations_do_not_matter(estimator, fitted, study):
    if isinstance(estimator, SingleSimulation):
        pytest.skip("this baseline picks its simulation by name")
    names = np.array(["pythia", "herwig", "sherpa", "vincia"])
    renamed = _finer(estimator).fit(
        study.X, study.y, simulation=names[study.simulation]
    )
    _same(fitted.infer(study.X_target), renamed.infer(study.X_target))


def test_common_factor_of_the_weights_does_not_matter(estimator, fitted, study):
    doubled = _finer(estimator).fit(
        study.X,
        study.y,
        simulation=study.simulation,
        sample_weight=np.full(len(study.X), 2.0),
    )
    _same(fitted.infer(study.X_target), doubled.infer(study.X_target))


def test_workers_do_not_change_a_bit(estimator, study, dataset):
    one, two = (
        _finer(estimator, **{_named(estimator, "n_jobs"): n_jobs})
        .fit(study.X, study.y, simulation=study.simulation)
        .infer(study.X_target, dataset=dataset)
        for n_jobs in (1, 2)
    )
    for name in ("kappa", "std", "interval"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_shapes_of_answers(fitted, study, dataset):
    X = study.X_target
    assert fitted.predict(X).shape == (1,)
    assert fitted.predict(X, dataset=dataset).shape == (3,)
    kappa, std = fitted.predict(X, dataset=dataset, return_std=True)
    assert kappa.shape == std.shape == (3,)
    kappa, interval = fitted.predict(X, dataset=dataset, return_interval=0.683)
    assert kappa.shape == (3,)
    assert interval.shape == (3, 2)
    kappa, std, interval = fitted.predict(
        X, dataset=dataset, return_std=True, return_interval=[0.683, 0.954]
    )
    assert kappa.shape == std.shape == (3,)
    assert interval.shape == (3, 2, 2)
    assert (interval[:, 0] < kappa[:, None]).all()
    assert (interval[:, 1] > kappa[:, None]).all()
    assert fitted.predict(X, return_interval=[0.9])[1].shape == (1, 2, 1)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_ids_equal_counts(fitted, study, dataset, make):
    counts = make((dataset[:, None] == np.arange(3)).astype(float))
    by_id = fitted.infer(study.X_target, dataset=dataset)
    _same(by_id, fitted.infer(study.X_target, dataset=counts))


def test_counts_equal_repeated_events(fitted, study):
    counts = np.random.default_rng(2).poisson(1.0, len(study.X_target))
    repeated = fitted.infer(np.repeat(study.X_target, counts, axis=0))
    _same(repeated, fitted.infer(study.X_target, dataset=counts[:, None]))


def test_score_is_negative_and_probabilities_add_up(fitted, study, dataset):
    score = fitted.score(study.X_target, study.y_target, dataset=dataset)
    assert isinstance(score, float)
    assert score <= 0
    probability = fitted.predict_proba(study.X_target, dataset=dataset)
    assert probability.shape == (len(study.X_target), 2)
    assert probability.min() >= 0
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_one_event_is_a_dataset(fitted, study):
    kappa, std = fitted.predict(study.X_target[:1], return_std=True)
    assert kappa.shape == std.shape == (1,)
    assert not np.isinf(kappa).any()
    assert fitted.infer(study.X_target[:1]).flags[0] or abs(kappa[0]) < 100


@pytest.fixture(scope="module")
def pipe(estimator):
    return Pipeline([("scale", StandardScaler()), ("tamm", _finer(estimator))])


def _search(pipe):
    grid = {f"tamm__{_named(pipe['tamm'], 'level')}": [0.9]}  # not the default
    return GridSearchCV(pipe, grid, cv=GroupKFold(2), error_score="raise")


def _check_search(search, pipe, study, **metadata):
    """The search answers as the pipeline fitted with the choices that it found."""
    pipe = clone(pipe).set_params(**search.best_params_)
    pipe.fit(study.X, study.y, **metadata)
    by_search = infer(search, study.X_target)
    _same(infer(pipe, study.X_target), by_search)
    np.testing.assert_array_equal(search.predict(study.X_target), by_search.kappa)


def test_pipeline_and_search_without_routing(pipe, study):
    metadata = {"tamm__simulation": study.simulation}
    search = _search(pipe).fit(study.X, study.y, groups=study.simulation, **metadata)
    _check_search(search, pipe, study, **metadata)


def test_pipeline_and_search_with_routing(pipe, study):
    metadata = {"simulation": study.simulation}
    with sklearn.config_context(enable_metadata_routing=True):
        search = _search(pipe).fit(
            study.X, study.y, groups=study.simulation, **metadata
        )
        _check_search(search, pipe, study, **metadata)
        dataset = np.arange(len(study.X_target)) % 2
        kappa, std = search.best_estimator_.predict(
            study.X_target, dataset=dataset, return_std=True
        )
    assert kappa.shape == std.shape == (2,)


@pytest.mark.parametrize("estimator", BINNED.values(), ids=BINNED.keys())
def test_histograms_equal_events(estimator, study):
    hist = pytest.importorskip("hist")
    edges = [np.linspace(-2.0, 2.0, 5)] * 2

    def histogram(X):
        axes = [hist.axis.Variable(e, flow=False) for e in edges]
        return hist.Hist(*axes, storage=hist.storage.Weight()).fill(*X.T)

    sources = [(c, k) for c in (0, 1) for k in range(4)]
    filled = [
        histogram(study.X[(study.y == c) & (study.simulation == k)]) for c, k in sources
    ]
    labels, ids = zip(*sources, strict=True)
    name = bins_of(estimator)
    by_events = clone(estimator).set_params(**{name: edges})
    by_events.fit(study.X, study.y, simulation=study.simulation)
    by_histogram = clone(estimator).set_params(**{name: edges})
    by_histogram.fit(filled, labels, simulation=ids)
    _same(
        by_events.infer(study.X_target),
        by_histogram.infer([histogram(study.X_target)]),
    )


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"form": "linear", "prior": "ridge"}, "LinearForm needs .* RidgePrior lacks"),
        ({"form": "linear", "prior": "simulations"}, "use prior='dirichlet'"),
        ({"form": "linear", "prior": ShrinkagePrior()}, "ShrinkagePrior lacks"),
        ({"prior": "dirichlet"}, "ExponentialForm needs .* 'shrinkage'"),
        ({"form": "quadratic"}, "form must be one of .* got 'quadratic'"),
        ({"prior": "flat"}, "prior must be one of .* got 'flat'"),
        ({"inference": "fiducial"}, "inference must be one of .* got 'fiducial'"),
        ({"components": "nets"}, "components must be one of .* got 'nets'"),
    ],
)
@pytest.mark.parametrize("kind", [BinnedTopicTAMM, NeuralRatioTAMM, TAMMRegressor])
def test_incompatible_choices_are_refused(study, kind, choices, sentence):
    with pytest.raises(IncompatibleChoiceError, match=sentence) as refusal:
        kind(**choices).fit(study.X, study.y, simulation=study.simulation)
    message = str(refusal.value)
    assert message.endswith(".")
    assert "\n" not in message


def test_example_of_the_readme_prints_what_it_says(capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    [(example, printed)] = re.findall(
        r"```python\n(.*?)```\n\n((?:    [^\n]*\n)+)", readme, flags=re.DOTALL
    )
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out == textwrap.dedent(printed)
