"""Workspaces of pyhf as simulations, families and data."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktamm import AutoTAMM, BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError, SktammWarning
from sktamm.exports import to_pyhf
from sktamm.io import read_workspace
from sktamm.mixture import SimulationsPrior


def histosys(name, high, low):
    data = {"hi_data": list(high), "lo_data": list(low)}
    return {"name": name, "type": "histosys", "data": data}


def workspace():
    """Two channels, three samples, two shape modifiers and what has no shape."""
    signal = {
        "name": "signal",
        "data": [10.0, 20.0, 40.0],
        "modifiers": [
            {"name": "mu", "type": "normfactor", "data": None},
            histosys("scale", [12.0, 22.0, 36.0], [8.0, 18.0, 44.0]),
            {"name": "stat", "type": "staterror", "data": [1.0, 2.0, 2.0]},
        ],
    }
    background = {
        "name": "background",
        "data": [100.0, 60.0, 30.0],
        "modifiers": [
            histosys("scale", [90.0, 62.0, 38.0], [110.0, 58.0, 22.0]),
            histosys("shape", [105.0, 55.0, 30.0], [95.0, 65.0, 30.0]),
            {"name": "xs", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
            {"name": "stat", "type": "staterror", "data": [3.0, 2.0, 2.0]},
            {"name": "own", "type": "shapesys", "data": [4.0, 0.0, 0.0]},
        ],
    }
    other = {"name": "other", "data": [20.0, 20.0, 20.0], "modifiers": []}
    control = {"name": "background", "data": [500.0, 400.0], "modifiers": []}
    control["modifiers"] = [histosys("shape", [510.0, 390.0], [490.0, 410.0])]
    return {
        "version": "1.0.0",
        "channels": [
            {"name": "SR", "samples": [signal, background, other]},
            {"name": "CR", "samples": [control]},
        ],
        "observations": [
            {"name": "CR", "data": [505.0, 395.0]},
            {"name": "SR", "data": [131.0, 101.0, 88.0]},
        ],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }


def contents(found, sample, simulation):
    chosen = (found.y == sample) & (found.simulation == simulation)
    (number,) = np.flatnonzero(chosen)
    return found.histograms[number]


def test_nominal_and_varied_contents_of_a_channel():
    found = read_workspace(workspace(), "SR")
    assert found.families == {
        "scale up": "scale",
        "scale down": "scale",
        "shape up": "shape",
        "shape down": "shape",
    }
    assert found.nominal == "nominal"
    assert set(found.simulation) == {"nominal", *found.families}
    assert len(found.histograms) == 3 * 5
    expected = {
        ("signal", "nominal"): [10, 20, 40],
        ("signal", "scale up"): [12, 22, 36],
        ("signal", "scale down"): [8, 18, 44],
        ("signal", "shape up"): [10, 20, 40],  # without the modifier
        ("background", "shape down"): [95, 65, 30],
        ("other", "scale up"): [20, 20, 20],
    }
    for (sample, simulation), values in expected.items():
        histogram = contents(found, sample, simulation)
        np.testing.assert_allclose(histogram.values(), values)
    np.testing.assert_allclose(found.target.values(), [131, 101, 88])
    np.testing.assert_allclose(found.target.variances(), [131, 101, 88])
    assert found.ignored == ("mu (normfactor)", "xs (normsys)")
    assert found.channels == ("SR",)


def test_errors_of_bins_add_and_follow_the_contents():
    found = read_workspace(workspace(), "SR")
    nominal = contents(found, "background", "nominal").variances()
    np.testing.assert_allclose(nominal, [3.0**2 + 4.0**2, 4.0, 4.0])
    varied = contents(found, "background", "scale up").variances()
    np.testing.assert_allclose(varied, nominal * np.array([0.9, 62 / 60, 38 / 30]) ** 2)
    assert (contents(found, "other", "nominal").variances() == 0.0).all()


def test_channels_follow_one_another():
    found = read_workspace(workspace())
    assert found.channels == ("SR", "CR")
    nominal = contents(found, "background", "nominal").values()
    np.testing.assert_allclose(nominal, [100, 60, 30, 500, 400])
    both = contents(found, "background", "shape up").values()
    np.testing.assert_allclose(both, [105, 55, 30, 510, 390])
    one = contents(found, "background", "scale up").values()
    np.testing.assert_allclose(one, [90, 62, 38, 500, 400])
    absent = contents(found, "signal", "nominal").values()
    np.testing.assert_allclose(absent, [10, 20, 40, 0, 0])
    np.testing.assert_allclose(found.target.values(), [131, 101, 88, 505, 395])
    turned = read_workspace(workspace(), ["CR", "SR"])
    np.testing.assert_allclose(turned.target.values(), [505, 395, 131, 101, 88])


def test_samples_of_one_class_add():
    """Two samples of a class are one template, of the sum of their contents."""
    classes = {"signal": "s", "background": "b", "other": "b"}
    found = read_workspace(workspace(), "SR", classes=classes)
    tamm = BinnedTopicTAMM(
        prior=SimulationsPrior(families=found.families, nominal=found.nominal),
        pos_label="s",
        inference="frequentist",
    ).fit(list(found.histograms), found.y, simulation=found.simulation)
    templates = tamm.components_.templates_
    own = (templates.source_class == 0) & (templates.source_id == "scale up")
    np.testing.assert_allclose(templates.sum_of_weights[own], [[110.0, 82.0, 58.0]])


def truth():
    """Data of known kappa, .2, at a known shift of a modifier, half a width."""
    document = workspace()
    signal, background = (s for s in document["channels"][0]["samples"][:2])
    parts = []
    for sample, size in ((signal, 4000.0), (background, 16_000.0)):
        nominal = np.array(sample["data"])
        scale = next(m for m in sample["modifiers"] if m["name"] == "scale")
        up = np.array(scale["data"]["hi_data"])
        varied = nominal * (up / nominal) ** 0.5
        parts.append(size * varied / varied.sum())
    document["channels"] = document["channels"][:1]
    document["channels"][0]["samples"].pop()
    document["observations"] = [{"name": "SR", "data": np.sum(parts, axis=0).tolist()}]
    return document


@pytest.mark.filterwarnings("ignore::sktamm.exceptions.SktammWarning")
@pytest.mark.parametrize("auto", [False, True])
def test_a_workspace_is_fitted_with_its_families(auto, tmp_path):
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(truth()), encoding="utf-8")
    found = read_workspace(path)
    families = {"families": found.families, "nominal": found.nominal}
    if auto:
        tamm = AutoTAMM(**families, pos_label="signal", random_state=0)
    else:
        prior = SimulationsPrior(**families)
        tamm = BinnedTopicTAMM(prior=prior, pos_label="signal")
    tamm.fit(list(found.histograms), found.y, simulation=found.simulation)
    result = tamm.infer(found.target)
    assert abs(result.kappa[0] - 0.2) < result.std[0]
    plain = BinnedTopicTAMM(pos_label="signal", inference="frequentist")
    own = found.simulation == "nominal"
    nominal = [h for h, chosen in zip(found.histograms, own, strict=True) if chosen]
    merged = plain.fit(nominal, found.y[own]).infer(found.target)
    assert result.std[0] > 1.2 * merged.std[0]  # the shape is free and costs


def test_what_was_exported_can_be_read_again():
    """Templates, data and directions, one family each; kappa from them alone."""
    study = make_gaussian_study(
        n_simulations=5,
        n_events=6000,
        n_signal=3000,
        n_background=12_000,
        random_state=2,
    )
    tamm = BinnedTopicTAMM(bins=4, prior="simulations", inference="frequentist")
    tamm.fit(study.X, study.y, simulation=study.simulation)
    result = tamm.infer(study.X_target)
    document = to_pyhf(tamm, study.X_target)
    found = read_workspace(document)
    templates = result.templates
    np.testing.assert_allclose(found.target.values(), templates.counts[0])
    for c in (0, 1):
        nominal = contents(found, str(c), "nominal").values()
        adapted = templates.adapted[0, c]
        np.testing.assert_allclose(nominal / nominal.sum(), adapted, rtol=1e-6)
    shapes = {
        (s["name"], m["name"]): m["data"]["hi_data"]
        for s in document["channels"][0]["samples"]
        for m in s["modifiers"]
        if m["type"] == "histosys"
    }
    assert set(found.families.values()) == {modifier for _, modifier in shapes}
    for (sample, modifier), values in shapes.items():
        up = contents(found, sample, f"{modifier} up").values()
        np.testing.assert_allclose(up, values)
    prior = SimulationsPrior(families=found.families, nominal=found.nominal)
    again = BinnedTopicTAMM(prior=prior, pos_label="1", inference="frequentist")
    again.fit(list(found.histograms), found.y, simulation=found.simulation)
    second = again.infer(found.target)
    # The prior is centred at the adapted point now, not at the mean simulation.
    assert abs(second.kappa[0] - result.kappa[0]) < result.std[0]
    assert second.std[0] == pytest.approx(result.std[0], rel=0.3)


def changed(path, value):
    """The workspace with one entry replaced, or removed."""
    document = copy.deepcopy(workspace())
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return document


SAMPLE = ("channels", 0, "samples", 0)


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("channels",), None, "must have a list of objects 'channels'"),
        (("channels",), [], "must have a list of objects 'channels'"),
        (("channels",), [3], "only objects in 'channels'"),
        (("channels", 0, "name"), None, "a channel must have a name"),
        (("channels", 0, "samples"), "no", "channel 'SR' must have a list"),
        ((*SAMPLE, "name"), "background", "samples of different names"),
        ((*SAMPLE, "data"), [1.0, 2.0], "as many bins in every sample"),
        ((*SAMPLE, "data"), [1.0, float("nan"), 2.0], "list of finite numbers 'data'"),
        ((*SAMPLE, "data"), [1.0, 10**400, 2.0], "list of finite numbers"),
        ((*SAMPLE, "data"), [1.0, True, 2.0], "list of finite numbers"),
        ((*SAMPLE, "data"), ["1", "2", "3"], "list of finite numbers"),
        ((*SAMPLE, "modifiers"), None, "must have a list of objects 'modifiers'"),
        ((*SAMPLE, "modifiers", 1, "data"), [1.0], "'hi_data', got None"),
        ((*SAMPLE, "modifiers", 1, "data", "lo_data"), [1.0], "must have 3 bins"),
        ((*SAMPLE, "modifiers", 2, "data"), [1.0], "must have 3 bins"),
        ((*SAMPLE, "modifiers", 1, "name"), 7, "must have a name, got 7"),
        (("observations",), [], "list of objects 'observations'"),
        (("observations", 1, "name"), "XR", "an observation of channel 'SR'"),
        (("observations", 1, "data"), [1.0], "observation 'SR' must have 3 bins"),
    ],
)
def test_malformed_workspaces_are_refused_in_one_sentence(path, value, match):
    with pytest.raises(InvalidInputError, match=match) as caught:
        read_workspace(changed(path, value))
    assert "\n" not in str(caught.value)


def test_channels_of_one_name_and_unknown_ones_are_refused():
    document = workspace()
    document["channels"].append(document["channels"][0])
    with pytest.raises(InvalidInputError, match="channels of different names"):
        read_workspace(document)
    with pytest.raises(InvalidInputError, match=r"among those of the workspace, \['SR"):
        read_workspace(workspace(), "XR")
    with pytest.raises(InvalidInputError, match="channel must be among"):
        read_workspace(workspace(), [])
    with pytest.raises(InvalidInputError, match="class of every sample"):
        read_workspace(workspace(), classes={"signal": "s"})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not strict JSON"),
        ("[1]", "a workspace of pyhf"),
        ("[" * 100_000, "not strict JSON"),
        ("", "not strict JSON"),
    ],
)
def test_files_that_hold_none_are_refused(text, match, tmp_path):
    path = tmp_path / "some.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=match) as caught:
        read_workspace(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="must be a readable file"):
        read_workspace(tmp_path / "no.json")
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(InvalidInputError, match="not UTF-8"):
        read_workspace(path)


def places(value, path=()):
    """Paths of all entries of a document."""
    entries = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for key, inner in entries:
        yield (*path, key)
        yield from places(inner, (*path, key))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "data", "type", "samples", "modifiers", "hi_data"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(list(places(workspace()))), value=JSON)
def test_any_entry_in_any_place_is_read_or_refused(path, value):
    document = copy.deepcopy(workspace())
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    try:
        found = read_workspace(document)
    except InvalidInputError as error:
        said = str(error)
    else:
        said = ""
        assert len(found.histograms) == len(found.y) == len(found.simulation)
    assert "\n" not in said


def test_nothing_warns_while_reading(recwarn):
    read_workspace(workspace())
    assert not [w for w in recwarn if issubclass(w.category, SktammWarning)]
