"""Results cannot be changed, by no way that Python leaves open by accident."""

import copy
import io
import pickle
from dataclasses import FrozenInstanceError, replace

import cloudpickle
import joblib
import numpy as np
import pytest
from result_examples import example_result

from sktamm import BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.results import FractionResult


def by_joblib(result):
    file = io.BytesIO()
    joblib.dump(result, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "made": lambda result: result,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda result: pickle.loads(pickle.dumps(result)),
    "cloudpickle": lambda result: pickle.loads(cloudpickle.dumps(result)),
    "joblib": by_joblib,
    "replace": lambda result: replace(result, features=result.features),
    "unblinded": lambda result: result.blinded("seed").unblinded("seed"),
}


def arrays_in(value):
    """All arrays of a record, however deep."""
    if isinstance(value, np.ndarray):
        yield value
    elif hasattr(value, "values"):
        for item in value.values():
            yield from arrays_in(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from arrays_in(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield from arrays_in(tuple(vars(value).values()))


@pytest.mark.parametrize("way", COPIES)
def test_no_array_can_be_changed(way):
    result = COPIES[way](example_result())
    assert result.equals(example_result())
    found = list(arrays_in(result))
    assert len(found) == 9 + 1 + 4 + 3 + 2 + 7  # fields, weights, ..., templates
    for array in found:
        for view in (array, array[...], array.T):
            with pytest.raises(ValueError, match="read-only"):
                view[...] = array
            with pytest.raises(ValueError, match="WRITEABLE"):
                view.flags.writeable = True
        assert not isinstance(array.base, np.ndarray) or not array.base.flags.writeable


@pytest.mark.parametrize("way", COPIES)
def test_no_mapping_and_no_field_can_be_changed(way):
    result = COPIES[way](example_result())
    with pytest.raises(TypeError, match="item assignment"):
        result.diagnostics["converged"] = 1
    with pytest.raises(TypeError, match="item assignment"):
        result.method["form"] = "x"
    with pytest.raises(TypeError, match="item assignment"):
        result.provenance["inputs"][0]["file"] = "x"
    with pytest.raises(FrozenInstanceError):
        result.kappa = 1
    with pytest.raises(FrozenInstanceError):
        result.templates.flow = True


def test_identifiers_of_any_type_cannot_be_changed():
    ids = np.array(["a", 1, None], dtype=object)
    result = example_result(dataset=ids)
    with pytest.raises(ValueError, match="read-only"):
        result.dataset[0] = "b"
    with pytest.raises(ValueError, match="WRITEABLE"):
        result.dataset.flags.writeable = True


def test_what_it_is_made_of_can_change_without_it():
    std, method = np.array([0.1, 0.2, 0.3]), {"form": "linear"}
    result = example_result(std=std, method=method)
    std[0], method["form"] = 9.0, "x"
    assert result.std[0] == 0.1
    assert result.method["form"] == "linear"
    view = np.arange(6.0)[::2]
    assert np.array_equal(example_result(std=view).std, [0.0, 2.0, 4.0])


def test_results_of_an_estimator_share_nothing_with_it():
    study = make_gaussian_study(n_simulations=3, n_events=500, random_state=0)
    tamm = BinnedTopicTAMM(bins=3, inference="frequentist", random_state=0)
    tamm.fit(study.X, study.y, simulation=study.simulation)
    result = tamm.infer(study.X_target)
    with pytest.raises(ValueError, match="read-only"):
        result.classes[0] = 7
    tamm.classes_[0] = 7  # is the estimator's own
    assert result.classes[0] == 0


def test_equal_is_bit_for_bit():
    result = example_result()
    kappa = result.kappa.copy()
    kappa[0] = np.nextafter(kappa[0], 1.0)
    assert result.equals(example_result())
    assert not result.equals(replace(result, kappa=kappa))
    assert not result.equals(replace(result, kappa=result.kappa.astype(np.float32)))
    zero = example_result(n_events=np.zeros(3))
    assert not zero.equals(replace(zero, n_events=np.zeros(3, dtype=np.int64)))
    assert not result.equals(replace(result, profile=None))
    assert not result.equals(None)
    assert result.equals(replace(result, provenance={}))
    unknown = example_result(std=np.full(3, np.nan))
    assert unknown.equals(copy.deepcopy(unknown))


def test_subclasses_are_frozen_and_copied_as_they_are():
    class Mine(FractionResult):
        pass

    fields = dict(vars(example_result()))
    mine = copy.deepcopy(Mine(**fields))
    assert type(mine) is Mine
    assert not mine.equals(example_result())
    with pytest.raises(ValueError, match="read-only"):
        mine.kappa[0] = 1.0
