"""Models on disk: the same answers bit for bit, and nothing that runs."""

import ast
import datetime
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from common_estimators import ESTIMATORS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktamm
from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, ScoreTAMM, infer
from sktamm._sklearn import _ARRAY_LIBRARIES
from sktamm.auto import PosteriorPool
from sktamm.baselines import TemplateMorphing
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError, ModelVersionWarning
from sktamm.inference import BayesianInference
from sktamm.io import load_model, save_model
from sktamm.io._models import _ROOMS, _STAMP
from sktamm.learning import (
    LightGBMRatioClassifier,
    RepulsiveEnsembleClassifier,
    TorchMLPClassifier,
)
from sktamm.mixture import SimulationsPrior
from sktamm.model_selection import CalibratedTAMM, CoverageScorer, LeaveSimulationsOut
from sktamm.ratios import DensityRatio

pytestmark = pytest.mark.filterwarnings(
    "ignore::sktamm.exceptions.SktammWarning", "ignore::UserWarning"
)

SMALL = BinnedTopicTAMM(bins=2, inference="frequentist", random_state=0)
FAMILIES = {"families": {1: "tune", 2: "tune", 3: "pdf"}, "nominal": 0}
# Raw indices, of which a hostile file could make a crash: not trusted unasked.
TREE = ["sklearn.tree._tree.Tree"]
MORE = {
    "hmc": BinnedTopicTAMM(
        bins=2,
        inference=BayesianInference(method="hmc", max_draws=100),
        random_state=np.random.RandomState(5),
    ),
    "families": BinnedTopicTAMM(bins=3, prior=SimulationsPrior(**FAMILIES)),
    "lightgbm": NeuralRatioTAMM(
        DensityRatio(LightGBMRatioClassifier(n_estimators=10), n_members=2),
        inference="frequentist",
        random_state=0,
    ),
    "repulsive": NeuralRatioTAMM(
        DensityRatio(
            RepulsiveEnsembleClassifier(hidden_layer_sizes=(8,), max_epochs=1)
        ),
        inference="frequentist",
        random_state=0,
    ),
    "score-mlp": ScoreTAMM(
        TorchMLPClassifier((8,), max_epochs=1), cv=2, bins=4, random_state=0
    ),
    "score-forest": ScoreTAMM(
        RandomForestClassifier(5, random_state=0), cv=2, bins=4, random_state=0
    ),
    "calibrated": CalibratedTAMM(SMALL, random_state=0),
    "calibrated-jackknife": CalibratedTAMM(SMALL, method="jackknife+", random_state=0),
    "pool": PosteriorPool([("a", SMALL), ("b", ScoreTAMM("logistic", cv=2, bins=3))]),
}


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4, n_events=400, n_signal=100, n_background=200, random_state=0
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skops"


@pytest.fixture(scope="module")
def small(study):
    return clone(SMALL).fit(study.X, study.y, simulation=study.simulation)


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory):
    """Bytes of a model."""
    path = tmp_path_factory.mktemp("saved") / "model.skops"
    save_model(path, small)
    return path.read_bytes()


def answers(estimator, study):
    # Seeds that advance are the same before and after.
    return infer(estimator, study.X_target, dataset=np.arange(len(study.X_target)) % 2)


@pytest.mark.parametrize("name", [*ESTIMATORS, *MORE])
def test_loaded_models_answer_bit_for_bit(name, study, path):
    estimator = clone((ESTIMATORS | MORE)[name])
    estimator.fit(study.X, study.y, simulation=study.simulation)
    save_model(path, estimator)
    loaded = load_model(path, trusted=TREE if name.endswith("forest") else ())
    assert type(loaded) is type(estimator)
    assert set(vars(loaded)) == set(vars(estimator))
    assert answers(loaded, study).equals(answers(estimator, study))
    assert np.array_equal(
        loaded.predict_proba(study.X_target), estimator.predict_proba(study.X_target)
    )
    if name != "hmc":  # a RandomState prints its address
        assert repr(loaded) == repr(estimator)
    clone(loaded)


def test_morphing_is_saved(study, path):
    settings = {i: [float(i)] for i in np.unique(study.simulation)}
    estimator = TemplateMorphing(settings, bins=3)
    estimator.fit(study.X, study.y, simulation=study.simulation)
    save_model(path, estimator)
    assert answers(load_model(path), study).equals(answers(estimator, study))


@pytest.mark.parametrize("ending", ["pipeline", "search"])
def test_pipelines_and_searches_are_saved(ending, study, path):
    estimator = make_pipeline(StandardScaler(), clone(SMALL))
    own = {"binnedtopictamm__simulation": study.simulation}
    if ending == "search":
        estimator = GridSearchCV(
            estimator,
            {"binnedtopictamm__bins": [2, 3]},
            cv=LeaveSimulationsOut(),
            scoring=CoverageScorer(n_datasets=2, random_state=0),
            refit="interval_score",
        )
        own["groups"] = study.simulation
    estimator.fit(study.X, study.y, **own)
    save_model(path, estimator)
    loaded = load_model(path)
    assert answers(loaded, study).equals(answers(estimator, study))
    if ending == "search":
        assert loaded.best_params_ == estimator.best_params_


def test_histograms_names_and_labels_are_kept(study, path):
    hist = pytest.importorskip("hist")
    pandas = pytest.importorskip("pandas")
    axes = [hist.axis.Regular(4, -6, 6, name=name) for name in "ab"]

    def filled(rows):
        return hist.Hist(*axes, storage=hist.storage.Weight()).fill(*study.X[rows].T)

    pairs = sorted(set(zip(study.y.tolist(), study.simulation.tolist(), strict=True)))
    rows = [(study.y == y) & (study.simulation == s) for y, s in pairs]
    estimator = BinnedTopicTAMM(inference="frequentist").fit(
        [filled(r) for r in rows],
        np.array([y for y, _ in pairs]),
        simulation=np.array([s for _, s in pairs]),
    )
    save_model(path, estimator)
    target = [hist.Hist(*axes, storage=hist.storage.Weight()).fill(*study.X_target.T)]
    assert load_model(path).infer(target).equals(estimator.infer(target))

    events = pandas.DataFrame(study.X, columns=["mass", "pt"])
    labels = np.where(study.y == 1, "signal", "rest").astype(object)
    estimator = clone(SMALL).set_params(pos_label="signal")
    estimator.fit(events, labels, simulation=study.simulation.astype(str))
    save_model(path, estimator)
    loaded = load_model(path)
    assert loaded.feature_names_in_.tolist() == ["mass", "pt"]
    assert loaded.classes_.tolist() == ["rest", "signal"]
    assert loaded.classes_.dtype == estimator.classes_.dtype
    target = pandas.DataFrame(study.X_target, columns=["mass", "pt"])
    assert loaded.infer(target).equals(estimator.infer(target))


def test_random_states_go_on_where_they_were(study, path):
    estimator = clone(MORE["hmc"])
    estimator.fit(study.X, study.y, simulation=study.simulation)
    estimator.random_state.normal(size=3)
    save_model(path, estimator)
    loaded = load_model(path)
    for _ in range(2):
        assert loaded.infer(study.X_target).equals(estimator.infer(study.X_target))


def test_a_network_of_a_gpu_is_arrays(study, path):
    network = TorchMLPClassifier((8,), max_epochs=1, random_state=0)
    network.fit(study.X, study.y)
    network.device = "cuda"  # as it was trained elsewhere
    save_model(path, network)
    with zipfile.ZipFile(path) as archive:
        assert b"torch" not in archive.read("schema.json").replace(b"TorchMLP", b"")
    proba = load_model(path).predict_proba(study.X)
    assert np.array_equal(proba, network.predict_proba(study.X))


def test_models_of_scikit_learn_are_saved(study, path):
    save_model(path, LogisticRegression().fit(study.X, study.y))
    assert isinstance(load_model(path), LogisticRegression)


# --------------------------------------------------------------------------- refusals
def test_what_is_not_fitted_or_no_estimator_is_refused(path):
    with pytest.raises(NotFittedError):
        save_model(path, BinnedTopicTAMM())
    with pytest.raises(InvalidInputError, match="must be an estimator, got dict"):
        save_model(path, {})
    assert not path.exists()


def test_an_old_file_stays_if_the_new_one_fails(study, path):
    path.write_text("old")
    holder = LogisticRegression().fit(study.X, study.y)
    for odd, sentence in (
        (np.random.SeedSequence(3), "SeedSequence, whose state cannot be saved"),
        ({True: 1, False: 2}, "texts or numbers as keys"),
        ({(1, 2): 3}, "made of what skops can save"),
        ((x for x in "generator"), "made of what skops can save"),
    ):
        holder.odd_ = odd
        with pytest.raises(InvalidInputError, match=sentence):
            save_model(path, holder)
    assert [p.read_text() for p in path.parent.iterdir()] == ["old"]


def test_a_full_disk_leaves_the_old_file(small, path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path.write_text("old")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save_model(path, small)
    assert [p.read_text() for p in path.parent.iterdir()] == ["old"]


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def canary(tmp_path):
    """File that is there if anything was executed."""
    path = tmp_path / "canary"
    Canary(path).__reduce__()[0](path)
    assert path.exists()  # the payload works
    path.unlink()
    return path


def test_a_pickle_in_place_of_a_model_is_refused_unexecuted(path, canary):
    for write in (
        lambda: path.write_bytes(pickle.dumps(Canary(canary))),
        lambda: joblib.dump(Canary(canary), path),
        lambda: joblib.dump(Canary(canary), path, compress=3),
        lambda: np.save(path.open("wb"), np.array([Canary(canary)], dtype=object)),
    ):
        write()
        with pytest.raises(InvalidInputError, match="pickles and other files are not"):
            load_model(path)
        assert not canary.exists()
    joblib.load(path) if False else pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()  # a pickle would have run it


def rewritten(saved, path, change):
    """Write a model whose entries ``change`` replaces."""
    path.write_bytes(saved)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_a_zip_with_pickles_inside_is_refused_unexecuted(saved, path, canary):
    payload = pickle.dumps(np.array([Canary(canary)], dtype=object))
    header = np.lib.format.magic(1, 0)

    def with_pickles(entries):
        for name in entries:
            if name.endswith(".npy"):
                text = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
                text += " " * (117 - len(text)) + "\n"
                entries[name] = header + b"\x76\x00" + text.encode() + payload

    rewritten(saved, path, with_pickles)
    with pytest.raises(InvalidInputError, match=r"damaged: .*allow_pickle"):
        load_model(path)
    assert not canary.exists()


HOSTILE = {
    "function": {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "FunctionNode",
    },
    "constructor": {
        "__class__": "Popen",
        "__module__": "subprocess",
        "__loader__": "ConstructorFromReduceNode",
        "content": {
            "__class__": "tuple",
            "__module__": "builtins",
            "__loader__": "TupleNode",
            "content": [],
        },
    },
    "object": {
        "__class__": "Hostile",
        "__module__": "hostile_module",
        "__loader__": "ObjectNode",
        "content": {
            "__class__": "str",
            "__module__": "builtins",
            "__loader__": "JsonNode",
            "content": "{}",
            "is_json": True,
        },
    },
    "own function": {
        "__class__": "write_events",
        "__module__": "sktamm.io._events",
        "__loader__": "FunctionNode",
    },
    "own command": {
        "__class__": "main",
        "__module__": "sktamm.cli",
        "__loader__": "FunctionNode",
    },
    "what a module imports": {
        "__class__": "effective_n_jobs",
        "__module__": "sktamm.learning._lightgbm",
        "__loader__": "FunctionNode",
    },
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_types_that_are_not_listed_are_refused_unexecuted(
    kind, saved, path, canary, monkeypatch, tmp_path
):
    (tmp_path / "hostile_module.py").write_text(
        f"open({str(canary)!r}, 'w').close()\nclass Hostile: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    node = HOSTILE[kind]

    def with_node(entries):
        tree = json.loads(entries["schema.json"])
        tree["content"]["content"]["level"] = node
        entries["schema.json"] = json.dumps(tree).encode()

    rewritten(saved, path, with_node)
    name = rf"{node['__module__']}\.{node['__class__']}"
    with pytest.raises(InvalidInputError, match=f"holds {name}, which is not trusted"):
        load_model(path)
    assert not canary.exists()
    assert "hostile_module" not in sys.modules


class OwnClassifier(ClassifierMixin, BaseEstimator):
    """A user's classifier."""

    def fit(self, X, y, sample_weight=None):
        self.model_ = LogisticRegression().fit(X, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


def test_classes_of_users_have_to_be_trusted_by_name(study, path):
    estimator = ScoreTAMM(OwnClassifier(), cv=2, bins=3, random_state=0)
    estimator.fit(study.X, study.y, simulation=study.simulation)
    save_model(path, estimator)
    name = f"{__name__}.OwnClassifier"
    with pytest.raises(InvalidInputError, match=rf"trusted=\['{name}'\]"):
        load_model(path)
    for trusted in ([name], [OwnClassifier]):
        loaded = load_model(path, trusted=trusted)
        assert answers(loaded, study).equals(answers(estimator, study))
    with pytest.raises(InvalidInputError, match=name):
        load_model(path, trusted=["another.Class"])


def test_a_file_of_skops_alone_is_refused(small, path):
    skops.io.dump(small, path)
    with pytest.raises(InvalidInputError, match="no complete model"):
        load_model(path)


def stamped(**changes):
    """Change of the stamp of a model."""

    def change(entries):
        stamp = json.loads(entries[_STAMP])
        for key, value in changes.items():
            stamp[key] |= value
        entries[_STAMP] = json.dumps(stamp).encode()

    return change


def test_newer_formats_are_refused_and_other_versions_warned_about(saved, path):
    rewritten(saved, path, stamped(format={"version": 2}))
    with pytest.raises(InvalidInputError, match="newer sktamm"):
        load_model(path)
    rewritten(saved, path, stamped(format={"name": "other"}))
    with pytest.raises(InvalidInputError, match="no complete model"):
        load_model(path)
    rewritten(saved, path, stamped(software={"sktamm": "9.9.0"}))
    with pytest.warns(ModelVersionWarning, match=r"saved by sktamm 9\.9\.0"):
        load_model(path)


def test_the_stamp_says_who_wrote_it(saved, path):
    path.write_bytes(saved)
    with zipfile.ZipFile(path) as archive:
        software = json.loads(archive.read(_STAMP))["software"]
    assert software["numpy"] == np.__version__
    assert set(software) >= {"sktamm", "scikit-learn", "scipy", "python"}


def test_every_truncation_is_refused(saved, path):
    for length in range(0, len(saved), len(saved) // 50):
        path.write_bytes(saved[:length])
        with pytest.raises(InvalidInputError):
            load_model(path)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_bytes_are_refused_or_change_nothing(data, saved, small, study, path):
    position = data.draw(st.integers(0, len(saved) - 1))
    value = data.draw(st.integers(0, 255))
    path.write_bytes(saved[:position] + bytes([value]) + saved[position + 1 :])
    try:
        loaded = load_model(path)
    except InvalidInputError as error:
        sentence = str(error)
    else:
        sentence = ""
        assert answers(loaded, study).equals(answers(small, study))
    assert "\n" not in sentence


def places(tree, place=()):
    """Places of all values in a description of an object."""
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, item in items:
            yield (*place, key)
            yield from places(item, (*place, key))


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_descriptions_are_refused_in_a_line(data, saved, path):
    def with_damage(entries):
        tree = json.loads(entries["schema.json"])
        place = data.draw(st.sampled_from(list(places(tree))))
        part = tree
        for key in place[:-1]:
            part = part[key]
        odd = [None, [], {}, "x", -1, "DictNode", "ObjectNode", "JsonNode", "builtins"]
        part[place[-1]] = data.draw(st.sampled_from(odd))
        entries["schema.json"] = json.dumps(tree).encode()

    rewritten(saved, path, with_damage)
    try:
        load_model(path)
    except InvalidInputError as error:
        sentence = str(error)
    else:
        sentence = ""  # values of attributes are not judged
    assert "\n" not in sentence


UTC = datetime.UTC


@pytest.mark.parametrize(
    "labels",
    [
        [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)],
        [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 5)],
        [datetime.datetime(2020, 1, k, tzinfo=UTC) for k in (1, 2)],
        [b"background", b"signal"],
        list(np.array(["2020-01-01", "2021-01-01"], dtype="M8[ns]")),
    ],
    ids=["date", "datetime", "with zone", "bytes", "datetime64"],
)
def test_labels_come_back(study, path, labels):
    y = np.array(labels)[study.y.astype(int)]
    tamm = clone(SMALL).fit(study.X, y, simulation=study.simulation)
    save_model(path, tamm)
    loaded = load_model(path)
    assert loaded.classes_.tolist() == tamm.classes_.tolist()
    assert loaded.predict(study.X_target) == tamm.predict(study.X_target)


def test_libraries_that_a_model_does_not_use_are_not_imported(saved, path):
    path.write_bytes(saved)
    code = """
import sys
from sktamm.io import load_model
load_model(sys.argv[1])
print(*sys.modules)
# skops trusts by itself what it trusts where it is imported as usual
from skops.io._trusted_types import SKLEARN_ESTIMATOR_TYPE_NAMES
from skops.io._utils import get_type_name
from sklearn.utils import all_estimators  # now with array libraries, if they are there
names = {get_type_name(estimator) for _, estimator in all_estimators()}
assert set(SKLEARN_ESTIMATOR_TYPE_NAMES) == {n for n in names if n[:8] == "sklearn."}
"""
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    names = set(run.stdout.split())
    assert not names & {*_ARRAY_LIBRARIES, *_ARRAY_LIBRARIES.values()}


def test_missing_files_and_skops_are_refused(tmp_path, saved, path, monkeypatch):
    with pytest.raises(InvalidInputError, match="must exist"):
        load_model(tmp_path / "none.skops")
    with pytest.raises(InvalidInputError, match="is a folder"):
        load_model(tmp_path)
    path.write_bytes(saved)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'sktamm\[io\]'"):
        load_model(path)


def test_no_estimator_is_another_than_was_saved(path):
    skops.io.dump([1], path)
    with zipfile.ZipFile(path, "a") as archive:
        stamp = {
            "format": {"name": "sktamm.model", "version": 1},
            "software": {"sktamm": sktamm.io.provenance()["software"]["sktamm"]},
        }
        archive.writestr(_STAMP, json.dumps(stamp))
    with pytest.raises(InvalidInputError, match="an estimator, but holds list"):
        load_model(path)


def test_trusted_rooms_touch_no_file_and_start_no_process():
    package = Path(sktamm.__file__).parent
    harmful = {"os", "shutil", "subprocess", "socket", "pathlib", "ctypes", "pickle"}
    for room in _ROOMS:
        files = list(package.glob(f"{room}.py")) + list(package.glob(f"{room}/*.py"))
        assert files
        for file in files:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [str(node.module)]
                elif isinstance(node, ast.Call):
                    assert ast.unparse(node.func) not in ("open", "eval", "exec"), file
                assert not {n.split(".")[0] for n in names} & harmful, file
