"""The same events from every kind of file, whole, in pieces, cut and from several."""

import numpy as np
import pandas as pd
import pytest
from event_files import KINDS
from event_files import write as write_as

from sktamm.exceptions import InvalidInputError
from sktamm.io import column_names, iterate_events, read_events, write_events

uproot = pytest.importorskip("uproot")
pytest.importorskip("pyarrow")

N = 1000
rng = np.random.default_rng(0)
EVENTS = pd.DataFrame(
    {
        "label": rng.integers(0, 2, N),
        "n": rng.integers(-5, 5, N),
        "pt": rng.exponential(50.0, N).astype(np.float32).astype(float),
        "weight": rng.uniform(size=N),
        "x": rng.normal(size=N),
    }
)
every_kind = pytest.mark.parametrize("kind", KINDS)


def write(folder, kind, events=EVENTS, name="events"):
    return write_as(folder, kind, events, name)


@every_kind
def test_every_kind_gives_the_same_events(tmp_path, kind):
    path = write(tmp_path, kind)
    assert column_names(path) == list(EVENTS.columns)
    pd.testing.assert_frame_equal(read_events(path), EVENTS, check_exact=True)
    some = read_events(path, ["label", "x"], as_written=["label"])
    pd.testing.assert_frame_equal(some, EVENTS[["label", "x"]], check_exact=True)


@every_kind
@pytest.mark.parametrize("size", [1, 333, 1000, 5000])
def test_pieces_are_the_whole(tmp_path, kind, size):
    path = write(tmp_path, kind, EVENTS[:40] if size == 1 else EVENTS)
    pieces = list(iterate_events(path, ["n", "x"], size=size))
    assert max(map(len, pieces)) <= size
    whole = pd.concat(pieces, ignore_index=True)
    pd.testing.assert_frame_equal(whole, read_events(path, ["n", "x"]))


@every_kind
def test_a_cut_keeps_what_it_says_and_reads_no_more(tmp_path, kind):
    path = write(tmp_path, kind)
    kept = EVENTS[(EVENTS["pt"] > 20) & (np.abs(EVENTS["x"]) < 1) | (EVENTS["n"] == 4)]
    cut = "pt > 20 & abs(x) < 1 | n == 4"
    got = read_events(path, ["weight"], cut=cut)
    pd.testing.assert_frame_equal(got, kept[["weight"]].reset_index(drop=True))
    pieces = iterate_events(path, ["weight"], cut=cut, size=100)
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), got)


@every_kind
def test_several_files_and_patterns_follow_each_other(tmp_path, kind):
    halves = [EVENTS[: N // 2], EVENTS[N // 2 :]]
    paths = [write(tmp_path, kind, h, f"part{i}") for i, h in enumerate(halves)]
    pd.testing.assert_frame_equal(read_events(paths), EVENTS)
    pattern = tmp_path / f"part*{paths[0].name[len('part0') :]}"
    pd.testing.assert_frame_equal(read_events(pattern), EVENTS)
    pieces = iterate_events(pattern, list(EVENTS), size=300)
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), EVENTS)


@every_kind
def test_a_missing_column_is_named(tmp_path, kind):
    path = write(tmp_path, kind)
    with pytest.raises(
        InvalidInputError, match="has no column 'mass'; it has 'label', "
    ):
        read_events(path, ["mass"])
    with pytest.raises(InvalidInputError, match="has no column 'mass'"):
        read_events(path, ["x"], cut="mass > 1")


@every_kind
def test_broken_files_are_refused_in_a_sentence(tmp_path, kind):
    path = write(tmp_path, kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    if kind == "csv":  # half a table is a table
        return
    with pytest.raises(InvalidInputError, match="is not readable as ") as caught:
        read_events(path)
    assert "\n" not in str(caught.value)


def test_trees_are_chosen_by_name(tmp_path):
    path = tmp_path / "two.root"
    columns = {"x": np.arange(5.0)}
    with uproot.recreate(path) as file:
        for name in ("a", "deep/b"):
            file.mktree(name, columns)
    assert read_events(f"{path}:deep/b")["x"].tolist() == columns["x"].tolist()
    with pytest.raises(InvalidInputError, match=r"two.root:a, two.root:deep/b"):
        read_events(path)
    with pytest.raises(InvalidInputError, match=r"has no tree 'c'; it has two.root:a"):
        read_events(f"{path}:c")


def test_a_file_without_trees_says_so(tmp_path):
    path = tmp_path / "none.root"
    with uproot.recreate(path) as file:
        file["h"] = np.histogram([1.0, 2.0])
    with pytest.raises(InvalidInputError, match="must hold one tree"):
        read_events(path)


@pytest.mark.parametrize("kind", ["tree", "rntuple"])
def test_lists_of_values_are_refused_with_a_recipe(tmp_path, kind):
    import awkward

    path = tmp_path / "jets.root"
    columns = {"jet": awkward.Array([[1.0], [], [2.0, 3.0]]), "x": np.arange(3.0)}
    with uproot.recreate(path) as file:
        if kind == "tree":
            file.mktree("tree", {"jet": "var * float64", "x": "float64"})
            file["tree"].extend(columns)
        else:
            file.mkrntuple("tree", columns)
    assert read_events(path, ["x"])["x"].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(InvalidInputError, match=r"one value per event in 'jet'.*max"):
        read_events(path, ["x", "jet"])


def test_texts_in_fields_are_labels(tmp_path):
    import awkward

    path = tmp_path / "texts.root"
    columns = {"label": awkward.Array(["sig", "bkg", "sig"]), "x": np.arange(3.0)}
    with uproot.recreate(path) as file:
        file.mkrntuple("tree", columns)
    kept = read_events(path, cut="label == 'sig'", as_written=["label"])
    assert kept["label"].tolist() == ["sig", "sig"]
    assert kept["x"].tolist() == [0.0, 2.0]


def test_matrices_are_named_by_number(tmp_path):
    matrix = rng.normal(size=(7, 2))
    np.save(tmp_path / "m.npy", matrix)
    assert list(read_events(tmp_path / "m.npy")) == ["x0", "x1"]
    np.savez(tmp_path / "m.npz", X=matrix, y=np.arange(7))
    events = read_events(tmp_path / "m.npz")
    np.testing.assert_array_equal(events[["X0", "X1"]].to_numpy(), matrix)
    assert events["y"].tolist() == list(range(7))


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.arange(4))
    with pytest.raises(InvalidInputError, match="as many rows in every column"):
        read_events(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=np.zeros((2, 2)), x0=np.zeros(2))
    with pytest.raises(InvalidInputError, match="every column once"):
        read_events(tmp_path / "b.npz")
    np.save(tmp_path / "c.npy", np.zeros((2, 2, 2)))
    with pytest.raises(InvalidInputError, match=r"has shape \(2, 2, 2\)"):
        read_events(tmp_path / "c.npy")


def test_objects_of_numpy_are_never_unpickled(tmp_path):
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self):
            return canary.touch, ()

    for name in ("o.npy", "o.npz"):
        array = np.array([Payload()], dtype=object)
        (np.save if name.endswith("npy") else np.savez)(tmp_path / name, array)
        with pytest.raises(InvalidInputError, match="not readable as NumPy arrays"):
            read_events(tmp_path / name)
    assert not canary.exists()


def test_ids_of_several_files_decide_together(tmp_path):
    (tmp_path / "a.csv").write_text("x,id\n1,1\n")
    (tmp_path / "b.csv").write_text("x,id\n2,01\n")
    both = [tmp_path / "a.csv", tmp_path / "b.csv"]
    assert read_events(both, as_written=["id"])["id"].tolist() == ["1", "01"]
    write_events(tmp_path / "c.parquet", pd.DataFrame({"x": [3], "id": [1]}))
    mixed = [tmp_path / "a.csv", tmp_path / "c.parquet"]
    assert read_events(mixed, as_written=["id"])["id"].tolist() == [1, 1]
    mixed = [tmp_path / "b.csv", tmp_path / "c.parquet"]
    assert read_events(mixed, as_written=["id"])["id"].tolist() == ["01", "1"]


def test_files_of_other_columns_are_refused_unless_named(tmp_path):
    write_events(tmp_path / "a.csv", pd.DataFrame({"x": [1.0], "y": [2.0]}))
    write_events(tmp_path / "b.csv", pd.DataFrame({"x": [3.0]}))
    both = [tmp_path / "a.csv", tmp_path / "b.csv"]
    with pytest.raises(
        InvalidInputError, match=r"must have the columns of a.csv, but 'y'"
    ):
        read_events(both)
    assert read_events(both, ["x"])["x"].tolist() == [1.0, 3.0]


def test_names_that_are_nothing_are_refused(tmp_path):
    write_events(tmp_path / "a.csv", pd.DataFrame({"x": [1.0]}))
    with pytest.raises(InvalidInputError, match="at least one file, but none is"):
        read_events(tmp_path / "z*.csv")
    with pytest.raises(InvalidInputError, match="every file once"):
        read_events([tmp_path / "a.csv", tmp_path / "*.csv"])
    with pytest.raises(InvalidInputError, match="got none"):
        read_events([])
    with pytest.raises(InvalidInputError, match="only read"):
        write_events(tmp_path / "a.root", pd.DataFrame({"x": [1.0]}))
    with pytest.raises(InvalidInputError, match="no rows that pass the cut 'x > 5'"):
        read_events(tmp_path / "a.csv", cut="x > 5")


def test_a_file_with_a_pattern_in_its_name_is_itself(tmp_path):
    write_events(tmp_path / "run[1].csv", pd.DataFrame({"x": [1.0]}))
    write_events(tmp_path / "run1.csv", pd.DataFrame({"x": [2.0]}))
    assert read_events(tmp_path / "run[1].csv")["x"].tolist() == [1.0]


def test_pieces_of_parquet_take_the_memory_of_a_piece(tmp_path):
    pa = pytest.importorskip("pyarrow")
    numbers = np.random.default_rng(0).normal(size=1_000_000)
    table = pa.table({"x": numbers})
    pa.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=50_000)
    most, before = 0, pa.total_allocated_bytes()
    for _ in iterate_events(tmp_path / "a.parquet", ["x"], size=50_000):
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 0.3 * numbers.nbytes
