"""Results for tests: a complete one made by hand, and any that hypothesis invents."""

import datetime

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sktamm.results import AdaptedTemplates, FractionResult, Profile


def example_result(n=3, kappa=0.1234567, **changes):
    """A result of two classes that has everything; ``changes`` replace fields."""
    rng = np.random.default_rng(0)
    estimate = kappa + 0.1 * np.arange(n)
    templates = AdaptedTemplates(
        edges=(np.array([0.0, 1.0, 3.0]),),
        shape=(2,),
        flow=False,
        feature_names=("x0",),
        counts=rng.integers(1, 99, (n, 2)).astype(float),
        variances=rng.integers(1, 99, (n, 2)).astype(float),
        nominal=np.array([[0.4, 0.6], [0.7, 0.3]]),
        simulated=rng.random((4, 2)),
        source_class=np.array([0, 0, 1, 1]),
        adapted=rng.random((n, 2, 2)),
    )
    fields = {
        "dataset": np.array([f"run {i}" for i in range(n)]),
        "classes": np.array([0, 1]),
        "pos_label": np.int64(1),
        "kappa": estimate,
        "std": np.full(n, 0.0123),
        "levels": np.array([0.683, 0.954]),
        "interval": estimate[:, None, None]
        + np.array([[-0.01, -0.02], [0.015, 0.031]]),
        "fractions": np.stack([1.0 - estimate, estimate], axis=1),
        "weights": (np.full((n, 2), 0.5), None),
        "n_events": np.full(n, 5000.0),
        "n_effective": np.full(n, 4000.0),
        "diagnostics": {
            "converged": np.ones(n, dtype=bool),
            "at_boundary": np.zeros(n, dtype=bool),
            "goodness_of_fit": np.full(n, 0.31),
            "of a user": np.arange(n),
        },
        "flags": (("at_boundary", "bad_fit"), (), ("own",))[:n],
        "method": {"form": "linear", "left out": "a, b"},
        "draws": tuple(rng.random((2, 5 + i)) for i in range(n)),
        "profile": Profile(rng.random((n, 4)), -rng.random((n, 4))),
        "templates": templates,
        "features": ("x0",),
        "provenance": {"seed": 3, "inputs": [{"file": "a.csv"}]},
    }
    return FractionResult(**fields | changes)


_FLOATS = st.sampled_from([np.float64, np.float32, np.dtype(">f8"), np.float16])
_TEXT = st.text(max_size=5)
_ITEMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    _TEXT,
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, datetime.UTC])),
    st.tuples(st.integers(), _TEXT),
    hnp.from_dtype(np.dtype("M8[us]")),
    hnp.from_dtype(np.dtype("i8")),
)


def _floats(shape):
    return _FLOATS.flatmap(lambda dtype: hnp.arrays(dtype, shape))


def _ids(n):
    """Identifiers of every kind that users give."""
    kinds = ["i8", "u1", "U4", "S3", "?", "M8[ns]", "M8[D]", "m8[s]", "f8", ">i4"]
    plain = st.sampled_from(kinds).flatmap(lambda kind: hnp.arrays(kind, n))
    return plain | hnp.arrays(object, n, elements=_ITEMS, fill=st.nothing())


def _maybe(strategy):
    return st.none() | strategy


@st.composite
def any_result(draw):
    """Any result: types, ids, numbers that are not finite, absent parts."""
    n, n_classes, n_levels, rows = (draw(st.integers(a, 3)) for a in (0, 1, 0, 1))
    classes = draw(_ids(n_classes))

    def templates():
        return st.builds(
            AdaptedTemplates,
            edges=st.tuples(_floats(rows + 1), _floats(2)),
            shape=st.just((rows, 1)),
            flow=st.booleans(),
            feature_names=st.tuples(_TEXT, _TEXT),
            counts=_floats((n, rows)),
            variances=_floats((n, rows)),
            nominal=_floats((n_classes, rows)),
            simulated=_floats((4, rows)),
            source_class=hnp.arrays("i8", 4),
            adapted=_floats((n, n_classes, rows)),
        )

    names = st.dictionaries(_TEXT, hnp.arrays("f8", n) | hnp.arrays("?", n), max_size=2)
    weights = st.tuples(*[_maybe(_floats((n, 2)))] * n_classes)
    return FractionResult(
        dataset=draw(_ids(n)),
        classes=classes,
        pos_label=draw(st.sampled_from(list(classes)) | _ITEMS),
        kappa=draw(_floats(n)),
        std=draw(_floats(n)),
        levels=draw(_floats(n_levels)),
        interval=draw(_floats((n, 2, n_levels))),
        fractions=draw(_floats((n, n_classes))),
        weights=draw(weights),
        n_events=draw(hnp.arrays("f8", n) | hnp.arrays("i8", n)),
        n_effective=draw(_floats(n)),
        diagnostics=draw(names),
        flags=draw(st.tuples(*[st.lists(_TEXT, max_size=2).map(tuple)] * n)),
        method=draw(st.dictionaries(_TEXT, _TEXT | st.booleans(), max_size=2)),
        draws=draw(_maybe(st.tuples(*[_floats((2, 3))] * n))),
        profile=draw(_maybe(st.builds(Profile, _floats((n, 2)), _floats((n, 2))))),
        templates=draw(_maybe(templates())),
        features=draw(st.lists(_TEXT, max_size=2).map(tuple)),
    )
