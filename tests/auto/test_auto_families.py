"""The estimator that chooses, told a nominal, variations and other generators."""

import numpy as np
import pytest
from sklearn.base import clone

from sktamm import AutoTAMM, BinnedTopicTAMM
from sktamm.exceptions import IncompatibleChoiceError
from sktamm.mixture import SimulationsPrior

SHIFT = {"nominal": 0.0, "up": 0.1, "down": -0.1, "A": 0.3, "B": -0.2, "C": 0.2}
FAMILIES = {"up": "scale", "down": "scale", "A": "g", "B": "g", "C": "g"}


def simulated(n_features, n=1500, same=False):
    rng = np.random.default_rng(0)
    names = np.repeat(list(SHIFT), n)
    y = np.tile([0, 1], names.size // 2)
    centre = 1.5 * y + np.repeat(list(SHIFT.values()), n)
    X = rng.normal(centre, size=(n_features, y.size)).T
    if same:  # a variation that changes nothing: without families a near-duplicate
        X[names == "up"] = X[names == "nominal"]
    target = rng.normal(1.5 * (rng.random(4000) < 0.3) + 0.2, size=(n_features, 4000)).T
    return X, y, names, target


def test_the_default_has_the_prior_of_the_families():
    """That of the estimator alone, in silence, and nothing is judged."""
    X, y, names, target = simulated(1, same=True)
    how = {"families": FAMILIES, "nominal": "nominal", "alternatives": ["g"]}
    tamm = AutoTAMM(**how).fit(X, y, simulation=names)
    result = tamm.infer(target)
    alone = BinnedTopicTAMM(prior=SimulationsPrior(**how), random_state=0)
    expected = alone.fit(X, y, simulation=names).infer(target)
    np.testing.assert_array_equal(result.interval, expected.interval)
    assert (tamm.chosen_, tamm.left_out_) == ("binned", None)
    assert list(tamm.candidates_) == ["binned", "score"]  # no merged simulations
    assert result.method["families"] == expected.method["families"]
    words = "families are declared: the default, not judged"
    assert result.method["left out"] == words
    assert "simulations left out: " + words in result.summary()


def test_every_candidate_of_many_features_has_it():
    X, y, names, target = simulated(4, n=3000)
    tamm = AutoTAMM(families=FAMILIES, nominal="nominal")
    tamm.fit(X, y, simulation=names)
    assert tamm.chosen_ == "score and ratios"
    assert not tamm.refused_
    for name in ("score", "ratios", "binned"):
        assert tamm.candidates_[name].prior.families == FAMILIES
    assert abs(tamm.predict(target)[0] - 0.3) < 0.05


def test_simulations_may_be_taken_but_not_without_the_nominal():
    X, y, names, target = simulated(1)
    tamm = AutoTAMM(families=FAMILIES, nominal="nominal").fit(X, y, simulation=names)
    kept = ["nominal", "up", "down", "A"]
    part = tamm.take(kept)
    assert part.left_out_ is None
    by_hand = tamm.candidates_["binned"]
    assert part.predict(target) != by_hand.predict(target)
    with pytest.raises(IncompatibleChoiceError, match="nominal must be one simulation"):
        tamm.take(["up", "down", "A"]).predict(target)


def test_parameters_are_set_and_copied():
    tamm = clone(AutoTAMM(families=FAMILIES, nominal="nominal"))
    assert tamm.get_params()["families"] == FAMILIES
    assert tamm.set_params(nominal="A").nominal == "A"


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"families": FAMILIES}, "together with nominal"),
        ({"nominal": "nominal"}, "families must be a mapping"),
        ({"families": FAMILIES, "nominal": "none"}, "got none of 'nominal'"),
        (
            {"families": FAMILIES, "nominal": "nominal", "alternatives": ["no"]},
            "alternatives must be a list of names of families",
        ),
        (
            {
                "candidates": [("own", BinnedTopicTAMM())],
                "families": FAMILIES,
                "nominal": "nominal",
            },
            "must be None with candidates of one's own",
        ),
    ],
)
def test_declarations_that_do_not_fit_are_refused(keywords, sentence):
    X, y, names, _ = simulated(1)
    with pytest.raises(IncompatibleChoiceError, match=sentence):
        AutoTAMM(**keywords).fit(X, y, simulation=names)
