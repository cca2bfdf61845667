"""Submissions to HEPData."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from sktamm import BinnedTopicTAMM, NeuralRatioTAMM, TAMMRegressor
from sktamm.components import TemplateComponents
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.exports import to_hepdata

yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def study():
    return make_gaussian_study(
        n_simulations=4, n_events=3000, n_signal=800, n_background=3200, random_state=3
    )


@pytest.fixture(scope="module")
def result(study):
    tamm = BinnedTopicTAMM(bins=[2, 3], inference="frequentist")
    tamm.fit(study.X, study.y, simulation=study.simulation)
    dataset = np.array(["early", "late"])[np.arange(len(study.X_target)) % 2]
    return tamm.infer(study.X_target, dataset=dataset)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def column(table, number):
    return [entry["value"] for entry in table["dependent_variables"][number]["values"]]


def test_kappa_with_its_errors_can_be_read_back(result, tmp_path):
    paths = to_hepdata(result, tmp_path / "submission")
    names = ["submission.yaml", "kappa.yaml", "mixture_0.yaml", "mixture_1.yaml"]
    assert [path.name for path in paths] == names
    table = read(paths[1])
    datasets = table["independent_variables"][0]["values"]
    assert [entry["value"] for entry in datasets] == ["early", "late"]
    assert column(table, 0) == result.kappa.tolist()
    assert column(table, 1) == result.n_events.tolist()
    assert column(table, 2) == [", ".join(f) or "none" for f in result.flags]
    for i, entry in enumerate(table["dependent_variables"][0]["values"]):
        standard, *intervals = entry["errors"]
        assert standard == {"symerror": result.std[i], "label": "standard error"}
        for j, error in enumerate(intervals):
            assert error["label"] == f"{result.levels[j]:.1%} interval"
            ends = [entry["value"] + error["asymerror"][k] for k in ("minus", "plus")]
            np.testing.assert_allclose(ends, result.interval[i, :, j])
    qualifiers = table["dependent_variables"][0]["qualifiers"]
    said = {q["name"]: q["value"] for q in qualifiers}
    assert said.items() >= dict(result.method).items()


def test_every_table_stands_in_the_submission(result, tmp_path):
    paths = to_hepdata(result, tmp_path)
    text = paths[0].read_text(encoding="utf-8")
    _, *tables = yaml.safe_load_all(text)
    assert [table["data_file"] for table in tables] == [p.name for p in paths[1:]]
    assert len({table["name"] for table in tables}) == 3


def test_bins_of_the_adapted_mixture(result, tmp_path):
    table = read(to_hepdata(result, tmp_path)[3])
    templates = result.templates
    first, second = table["independent_variables"]
    assert len(first["values"]) == len(second["values"]) == 6
    middle = {"low": templates.edges[1][1], "high": templates.edges[1][2]}
    assert second["values"][4] == pytest.approx(middle)
    assert column(table, 0) == templates.counts[1].tolist()
    expected = result.n_events[1] * result.fractions[1] @ templates.adapted[1]
    np.testing.assert_allclose(column(table, 1), expected)
    parts = np.array([column(table, 2), column(table, 3)])
    np.testing.assert_allclose(parts.sum(axis=0), expected)


def test_bins_beyond_the_edges_are_named_and_zero_errors_left_out(study, tmp_path):
    components = TemplateComponents(bins=2, range=[(-1.95, 1.95)] * 2, flow="bins")
    tamm = TAMMRegressor(components, inference="frequentist")
    tamm.fit(study.X, study.y, simulation=study.simulation)
    table = read(to_hepdata(tamm.infer(study.X_target[:400]), tmp_path)[2])
    first = table["independent_variables"][0]["values"]
    assert first[0] == {"value": "below -1.95"}
    assert first[-1] == {"value": "above 1.95"}
    data = table["dependent_variables"][0]["values"]
    assert data[0] == {"value": 0.0}
    assert data[5]["errors"][0]["symerror"] == pytest.approx(data[5]["value"] ** 0.5)


def test_unbinned_and_failed_results(study, tmp_path):
    ratios = NeuralRatioTAMM("logistic", form="linear", random_state=0)
    ratios.fit(study.X, study.y, simulation=study.simulation)
    found = ratios.infer(study.X_target)
    assert len(to_hepdata(found, tmp_path)) == 2
    nothing = np.full(1, np.nan)
    failed = replace(
        found, kappa=nothing, std=nothing, interval=np.full((1, 2, 2), np.nan)
    )
    table = read(to_hepdata(failed, tmp_path)[1])
    assert table["dependent_variables"][0]["values"] == [{"value": "-"}]


def test_refusals(result, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("no folder")
    with pytest.raises(InvalidInputError, match="folder must be a folder"):
        to_hepdata(result, path)
    blinded = result.blinded("a long sentence")
    with pytest.raises(InvalidInputError, match="not blinded"):
        to_hepdata(blinded, tmp_path / "blinded")
    assert not (tmp_path / "blinded").exists()
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'sktamm\[hep\]'"):
        to_hepdata(result, tmp_path / "other")


def test_the_validator_of_hepdata_accepts_it(result, tmp_path):
    """Where it is installed, which the tests do not ask for: 0.3.6 has accepted it."""
    validator = pytest.importorskip("hepdata_validator.full_submission_validator")
    to_hepdata(result, tmp_path)
    check = validator.FullSubmissionValidator()
    assert check.validate(directory=str(tmp_path)), check.messages
    assert sum(map(len, check.valid_files.values())) == 4
