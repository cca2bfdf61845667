"""Simulations counted piece by piece are those of all events at once."""

import numpy as np
import pandas as pd
import pytest

from sktamm import BinnedTopicTAMM
from sktamm.datasets import make_gaussian_study
from sktamm.exceptions import InvalidInputError
from sktamm.io import count_simulations, iterate_events, write_events

STUDY = make_gaussian_study(n_simulations=3, n_events=900, random_state=4)
RNG = np.random.default_rng(0)
EVENTS = pd.DataFrame(STUDY.X, columns=["x", "y"]).assign(
    label=np.array(["b", "s"])[STUDY.y],
    sim=STUDY.simulation,
    w=RNG.uniform(0.5, 1.5, len(STUDY.y)),
)
EDGES = [np.linspace(-6.0, 6.0, 9), np.array([-6.0, -1.0, -0.2, 0.5, 6.0])]
ROLES = {"y": "label", "simulation": "sim"}


def cut(events, size):
    return (events[i : i + size] for i in range(0, len(events), size))


@pytest.mark.parametrize("flow", ["clip", "bins", "drop"])
@pytest.mark.parametrize("size", [100, 10_000])
@pytest.mark.parametrize("weighted", [False, True])
def test_fit_on_counts_is_the_fit_on_events(flow, size, weighted):
    tamm = BinnedTopicTAMM(bins=EDGES, flow=flow, random_state=0)
    weight = {"sample_weight": "w"} if weighted else {}
    events = EVENTS if weighted else EVENTS.drop(columns="w")
    counted = count_simulations(cut(events, size), EDGES, **ROLES, **weight)
    one = tamm.fit(**counted).infer(EVENTS[["x", "y"]][::9])
    own = EVENTS["w"] if weighted else None
    tamm.fit(EVENTS[["x", "y"]], EVENTS.label, simulation=EVENTS.sim, sample_weight=own)
    other = tamm.infer(EVENTS[["x", "y"]][::9])
    np.testing.assert_array_equal(one.templates.simulated, other.templates.simulated)
    np.testing.assert_array_equal(one.interval, other.interval)
    assert tamm.feature_names_in_.tolist() == ["x", "y"]


def test_contents_and_flow_bins_of_weighted_events():
    far = EVENTS.assign(x=3.0 * EVENTS.x)
    roles = ROLES | {"sample_weight": "w"}
    pieces, whole = (count_simulations(cut(far, n), EDGES, **roles) for n in (77, 9999))
    assert pieces["y"] == whole["y"]
    assert pieces["simulation"] == whole["simulation"]
    wide = [np.concatenate([[-np.inf], e, [np.inf]]) for e in EDGES]
    for i, (label, sim) in enumerate(zip(whole["y"], whole["simulation"], strict=True)):
        own = far[(far.label == label) & (far.sim == sim)]
        for power, method in ((1, "values"), (2, "variances")):
            mine = getattr(pieces["X"][i], method)(flow=True)
            np.testing.assert_array_equal(
                mine, getattr(whole["X"][i], method)(flow=True)
            )
            expected = np.histogramdd(
                own[["x", "y"]].to_numpy(), wide, weights=own.w**power
            )[0]
            np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_of_files(tmp_path):
    pytest.importorskip("pyarrow")
    write_events(tmp_path / "a.parquet", EVENTS)
    columns = ["x", "y", "label", "sim"]
    pieces = iterate_events(tmp_path / "a.parquet", columns, size=500)
    counted = count_simulations(pieces, EDGES, **ROLES)
    assert sum(h.values(flow=True).sum() for h in counted["X"]) == len(EVENTS)


def test_refusals():
    def count(*pieces, bins=EDGES, **roles):
        count_simulations(pieces, bins, **(ROLES | roles))

    good = EVENTS.drop(columns="w")
    for message, call in {
        "In piece 0: pieces must be data frames with the column 'label'": lambda: count(
            STUDY.X
        ),
        "with the column 'weight'": lambda: count(good, sample_weight="weight"),
        "In piece 1: pieces must have one column per": lambda: count(good, EVENTS),
        "In piece 0: X must be finite": lambda: count(good.assign(x=np.nan)),
        "labels and ids must not be missing": lambda: count(good.assign(sim=np.nan)),
        "pieces must hold events, got none": lambda: count(good[:0]),
        "bins must hold ascending edges": lambda: count(good, bins=[[0, 1], [1, 0]]),
    }.items():
        with pytest.raises(InvalidInputError, match=message):
            call()
