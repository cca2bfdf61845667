"""Blinded results hide kappa everywhere, keep widths, and come back bit for bit."""

import io
import json
import pickle
import unicodedata
import warnings
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
import pytest
from common_estimators import ESTIMATORS
from hypothesis import HealthCheck, given, settings
from result_examples import any_result, example_result
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktamm
from sktamm import BinnedTopicTAMM
from sktamm.cli._outputs import result_words
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError, SktammWarning
from sktamm.inference import BayesianInference
from sktamm.io import read_result, result_to_json, result_to_text, write_result
from sktamm.plotting import (
    FractionDisplay,
    MixtureDisplay,
    TemplatesDisplay,
    save_overview,
)
from sktamm.results import FLAGS, refuse_blinded
from sktamm.results._blinding import SHOWN_DIAGNOSTICS, SHOWN_FLAGS, _offset, _secret

SEED = "a seed that nobody guesses"
LOOSE = settings(
    deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4, n_events=1000, n_signal=300, n_background=700, random_state=0
    )


@pytest.fixture(scope="module")
def tamm(study):
    inference = BayesianInference(method="hmc", max_draws=500)
    # Draws whose mean is not, to three digits, a third, the edge of a bin.
    tamm = BinnedTopicTAMM(bins=3, inference=inference, random_state=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        return tamm.fit(study.X, study.y, simulation=study.simulation)


@pytest.fixture(scope="module")
def measured(tamm, study):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        return tamm.infer(study.X_target)


def test_the_offset_is_that_of_the_seed_alone():
    hidden = example_result().blinded(SEED)
    offset = hidden.kappa - example_result().kappa
    assert np.ptp(offset) < 1e-14
    assert offset[0] == pytest.approx(_offset(_secret(SEED)))
    other = example_result(kappa=0.77, n=1).blinded(SEED)
    assert other.kappa[0] - 0.77 == pytest.approx(offset[0])
    assert example_result().blinded("b").kappa[0] != hidden.kappa[0]


def test_differences_of_one_seed_are_true():
    one, other = (example_result(kappa=k, n=1).blinded(SEED) for k in (0.1, 0.4))
    assert other.kappa[0] - one.kappa[0] == pytest.approx(0.3)
    three = example_result().blinded(SEED).kappa
    assert np.diff(three) == pytest.approx(np.diff(example_result().kappa))


def test_offsets_are_normal_with_a_deviation_of_ten():
    drawn = np.array([_offset(f"seed {i}".encode()) for i in range(4000)])
    # Five standard errors of the mean and of the standard deviation.
    assert abs(drawn.mean()) < 5 * 10 / np.sqrt(4000)
    assert abs(drawn.std() - 10) < 5 * 10 / np.sqrt(8000)
    assert np.unique(drawn).size == 4000


@LOOSE
@given(any_result())
def test_unblinding_gives_any_result_back(result):
    # Diagnostics of objects have no place in a seal, and keys may be cheap here.
    with mock.patch.dict("sktamm.results._seal._COST", n=16):
        assert result.blinded(SEED).unblinded(SEED).equals(result)


def test_widths_errors_and_health_stay():
    result, hidden = example_result(), example_result().blinded(SEED)
    assert np.array_equal(hidden.std, result.std)
    width = result.interval[:, 1] - result.interval[:, 0]
    assert hidden.interval[:, 1] - hidden.interval[:, 0] == pytest.approx(width)
    assert hidden.interval.mean(axis=1) == pytest.approx(
        np.stack([hidden.kappa] * 2, axis=1)
    )
    assert np.array_equal(hidden.n_events, result.n_events)
    assert list(hidden.diagnostics) == ["converged", "goodness_of_fit"]
    assert hidden.flags == (("bad_fit",), (), ())
    assert np.array_equal(hidden.templates.adapted, result.templates.adapted)


def test_fractions_of_many_classes_sum_to_one_and_hide_it():
    fractions = np.array([[0.2, 0.1, 0.7], [0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
    result = example_result(
        classes=np.array([0, 1, 2]), pos_label=1, fractions=fractions
    )
    hidden = result.blinded(SEED)
    assert hidden.fractions.sum(axis=1) == pytest.approx(1.0)
    assert hidden.fractions[:, 1] == pytest.approx(hidden.kappa)
    others = hidden.fractions[:, [0, 2]]
    assert (np.abs(others) > 1.0).all()
    assert np.diff(others) == pytest.approx(np.diff(fractions[:, [0, 2]]))


def test_where_a_result_touches_a_bound_does_not_show():
    def hidden(kappa, low, high):
        interval = np.array([[[low], [high]]])
        flags = (("at_boundary",),) if kappa == 0 else ((),)
        result = example_result(
            n=1, kappa=kappa, levels=np.array([0.683]), interval=interval, flags=flags
        )
        return result.blinded(SEED)

    bound, free = hidden(0.0, 0.0, 0.04), hidden(0.3, 0.28, 0.32)
    shift = free.kappa - bound.kappa
    assert free.interval - bound.interval == pytest.approx(
        np.broadcast_to(shift, (1, 2, 1))
    )
    assert bound.flags == free.flags == ((),)
    assert set(bound.diagnostics) == set(free.diagnostics)


def numbers_in(value):
    """All numbers of a document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, float | int) and not isinstance(value, bool):
        yield float(value)


def leaks(result, document):
    """Numbers of a document that are, to three digits, what is to be hidden."""
    curve = [] if result.profile is None else [result.profile.kappa[0].max()]
    secret = [
        *result.kappa,
        *(1 - result.kappa),
        *result.interval.ravel(),
        _offset(_secret(SEED)),
        *curve,
    ]
    shown = np.array(list(numbers_in(document)))
    secret = [s for s in secret if s not in (0.0, 1.0)]  # which are no secret
    return [s for s in secret if np.isclose(shown, s, rtol=1e-3, atol=1e-12).any()]


def own_numbers(document):
    """What a document says of the data, not of the simulations."""
    return [
        {k: v for k, v in d.items() if k not in ("weights", "diagnostics")}
        for d in document["datasets"]
    ]


def test_no_number_of_the_file_is_kappa(measured):
    hidden = measured.blinded(SEED)
    assert len(leaks(measured, own_numbers(result_to_json(measured)))) >= 5
    assert leaks(measured, result_to_json(hidden)) == []


def test_neither_pickle_nor_text_has_kappa_or_the_offset(measured):
    hidden = measured.blinded(SEED)
    everything = pickle.dumps(hidden) + result_to_text(hidden).encode()
    assert measured.kappa.tobytes() in pickle.dumps(measured)
    for secret in (measured.kappa[0], _offset(_secret(SEED))):
        assert np.float64(secret).tobytes() not in everything
        assert f"{secret:.4g}".encode() not in everything
    assert SEED.encode() not in everything
    words = hidden.summary() + repr(hidden) + hidden._repr_html_()
    words += hidden.table().to_string() + hidden.to_frame().to_string()
    assert f"{measured.kappa[0]:.3f}" not in words
    assert f"{_offset(_secret(SEED)):.3f}" not in words


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_estimator_shows_kappa_by_another_name(name, study):
    estimator = clone(ESTIMATORS[name])
    estimator.fit(study.X, study.y, simulation=study.simulation)
    result = estimator.infer(study.X_target)
    known = SHOWN_DIAGNOSTICS | {"at_boundary"}
    assert set(result.diagnostics) <= known
    hidden = estimator.infer(study.X_target, blind=SEED)
    document = result_to_json(hidden)
    document["templates"] = None  # probabilities of bins, of the simulations
    assert leaks(result, document) == []
    if not name.startswith("auto"):
        assert hidden.unblinded(SEED).equals(result)


def test_every_flag_is_either_shown_or_known_to_tell():
    assert set(FLAGS) == SHOWN_FLAGS | {"at_boundary", "unphysical"}


def test_it_says_so_everywhere(measured):
    hidden = measured.blinded(SEED)
    assert hidden.is_blinded
    assert not measured.is_blinded
    assert hidden.summary().startswith("BLINDED")
    assert "blinded" in repr(hidden)
    assert "BLINDED" in hidden._repr_html_()
    assert "blinded kappa" in hidden.table()
    assert hidden.to_frame()["blinded"].all()
    assert "blinded" not in measured.to_frame()
    assert "BLINDED" in result_words(hidden)
    assert "BLINDED" not in result_words(measured)
    assert result_to_json(hidden)["blinded"] is True
    assert "BLINDED" not in measured.summary() + measured._repr_html_()
    assert result_to_json(measured)["blinded"] is False


@pytest.mark.parametrize("seed", ["A seed that nobody guesses", SEED + " ", "x"])
def test_another_seed_is_refused(seed):
    with pytest.raises(InvalidInputError, match="seed must be the one"):
        example_result().blinded(SEED).unblinded(seed)


def test_a_changed_seal_is_refused():
    hidden = example_result().blinded(SEED)
    document = result_to_json(hidden)
    content = document["seal"]["content"]
    document["seal"]["content"] = "A" + content[1:] if content[0] != "A" else "B"
    from sktamm.io import result_from_json

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SktammWarning)
        changed = result_from_json(document, allow_edited=True)
    with pytest.raises(InvalidInputError, match="or the seal was changed"):
        changed.unblinded(SEED)


@pytest.mark.parametrize("seed", ["", "  ", None, 3, b"seed"])
def test_what_is_no_seed_is_refused_before_the_work(seed, tamm, monkeypatch):
    monkeypatch.setattr(tamm, "_infer", pytest.fail)
    with pytest.raises(InvalidInputError, match="seed must be a text"):
        example_result().blinded(seed)
    if seed is not None:
        with pytest.raises(InvalidInputError, match="seed must be a text"):
            tamm.infer(None, blind=seed)


def test_a_result_is_blinded_once_and_unblinded_once():
    hidden = example_result().blinded(SEED)
    with pytest.raises(InvalidInputError, match="blinded once"):
        hidden.blinded(SEED)
    with pytest.raises(InvalidInputError, match="Only a blinded"):
        example_result().unblinded(SEED)


def test_letters_may_be_composed_in_any_way():
    composed = unicodedata.normalize("NFC", "Größe")
    apart = unicodedata.normalize("NFD", "Größe")
    assert composed != apart
    assert example_result().blinded(composed).unblinded(apart).equals(example_result())


def test_the_same_result_and_seed_give_the_same_file(tmp_path):
    texts = {result_to_text(example_result().blinded(SEED)) for _ in range(2)}
    assert len(texts) == 1
    assert result_to_text(example_result().blinded("b")) not in texts


def test_files_and_pickles_can_be_unblinded(measured, tmp_path):
    hidden = measured.blinded(SEED)
    write_result(tmp_path / "r.json", hidden)
    assert read_result(tmp_path / "r.json").unblinded(SEED).equals(measured)
    assert pickle.loads(pickle.dumps(hidden)).unblinded(SEED).equals(measured)


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
def test_pipelines_are_blinded_and_predictions_are_not(study):
    tamm = BinnedTopicTAMM(bins=3, inference="frequentist", random_state=0)
    pipe = make_pipeline(StandardScaler(), tamm)
    pipe.fit(study.X, study.y, binnedtopictamm__simulation=study.simulation)
    plain = sktamm.infer(pipe, study.X_target)
    hidden = sktamm.infer(pipe, study.X_target, blind=SEED)
    assert hidden.is_blinded
    assert hidden.unblinded(SEED).equals(plain)
    assert np.array_equal(pipe.predict(study.X_target), plain.kappa)


# ------------------------------------------------------------------------- pictures
def texts_of(figure):
    from matplotlib.text import Text

    figure.canvas.draw()
    return " ".join(t.get_text() for t in figure.findobj(Text))


def test_the_picture_of_kappa_is_shifted_and_says_so(measured):
    hidden = measured.blinded(SEED)
    display = FractionDisplay.from_result(hidden).plot()
    texts = texts_of(display.figure_)
    assert "blinded" in texts
    assert "hidden offset" in texts
    assert f"{measured.kappa[0]:.3f}" not in texts
    low, high = display.ax_.get_xlim()
    assert low < hidden.kappa[0] < high
    assert not low < measured.kappa[0] < high
    with pytest.raises(InvalidInputError, match="truth must be None"):
        display.plot(truth=0.3)
    open_display = FractionDisplay.from_result(measured).plot()
    assert "blinded" not in texts_of(open_display.figure_)
    plt.close("all")


def test_the_mixture_is_refused_and_templates_are_not(measured):
    hidden = measured.blinded(SEED)
    with pytest.raises(InvalidInputError, match="MixtureDisplay shows kappa"):
        MixtureDisplay.from_result(hidden)
    with pytest.raises(InvalidInputError, match="Histogram shows kappa"):
        refuse_blinded(hidden, "Histogram")
    refuse_blinded(measured, "Histogram")
    TemplatesDisplay.from_result(hidden).plot()
    plt.close("all")


def test_the_overview_of_a_blinded_result_is_kappa_alone(measured):
    sizes = []
    for result in (measured, measured.blinded(SEED)):
        file = io.BytesIO()
        save_overview(result, file)
        file.seek(0)
        sizes.append(plt.imread(file).shape[1])
    assert sizes[1] < 0.6 * sizes[0]


def test_the_seal_does_not_print_itself():
    assert len(repr(example_result().blinded(SEED).seal)) < 40
    assert json.dumps(result_to_json(example_result().blinded(SEED))["seal"])
