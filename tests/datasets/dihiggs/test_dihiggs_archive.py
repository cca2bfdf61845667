"""Published di-Higgs events, read from small files of the published layout."""

import io
import tarfile

import numpy as np
import pytest

from sktamm.datasets import load_dihiggs
from sktamm.exceptions import InvalidInputError

NOMINAL = ("bbbb_sd_combined_processed_feb_12.dat", "dihiggs_sd_processed.dat")
FOLDERS = ("background_ssds_processed_big_var", "signal_ssds_processed_big_var")
NAMES = ("bbbb_ssd_big_var_{}.dat", "dihiggs_ssd_big_var_{}.dat")
N = 3


def events(label, number):
    """Events of a file, some outside the window; number 0 is the nominal one."""
    rng = np.random.default_rng([label, number])
    masses = rng.uniform(100, 150, (40 + 10 * label + number, 2))
    masses[0] = (110, 140)  # the ends belong to the window
    return masses


def text(label, number):
    # %.18e is what numpy.savetxt writes and what a double needs.
    stream = io.StringIO()
    np.savetxt(stream, events(label, number))
    return stream.getvalue()


def assert_events(found, expected):
    # A decimal is read to the last bits of a double, not to the last.
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def inside(masses):
    return masses[((masses >= 110) & (masses <= 140)).all(axis=1)]


def write_nominal(root):
    for label, name in enumerate(NOMINAL):
        (root / name).write_text(text(label, 0))


def write_plain(root):
    for label, folder in enumerate(FOLDERS):
        (root / folder / "processed").mkdir(parents=True)
        for k in range(1, N + 1):
            path = root / folder / "processed" / NAMES[label].format(k)
            path.write_text(text(label, k))


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    data = content.encode()
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def add_folder(archive, name):
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    archive.addfile(member)


def write_archives(root):
    for label, folder in enumerate(FOLDERS):
        with tarfile.open(root / f"{folder}.tar.gz", "w:gz") as archive:
            add_folder(archive, "processed")
            for k in range(N, 0, -1):  # in any order
                name = NAMES[label].format(k)
                add(archive, f"processed/._{name}", "a Macintosh was here")
                add(archive, f"processed/{name}", text(label, k))


@pytest.fixture(params=[write_plain, write_archives])
def root(request, tmp_path):
    write_nominal(tmp_path)
    request.param(tmp_path)
    return tmp_path


def test_reads_the_published_layout(root):
    before = sorted(root.rglob("*"))
    archive = load_dihiggs(root, N)
    for label, nominal in ((0, archive.X_background), (1, archive.X_signal)):
        assert_events(nominal, inside(events(label, 0)))
        for k in range(1, N + 1):
            rows = (archive.y == label) & (archive.simulation == k)
            assert_events(archive.X[rows], inside(events(label, k)))
    assert len(archive.X) == len(archive.y) == len(archive.simulation)
    assert sorted(set(archive.simulation)) == [1, 2, 3]
    assert (np.diff(archive.y) >= 0).all()
    np.testing.assert_array_equal(archive.window, [[110, 140]] * 2)
    assert archive.feature_names == ("m_bb1", "m_bb2")
    assert sorted(root.rglob("*")) == before


def test_first_simulations_and_first_events(root):
    archive = load_dihiggs(str(root), 2, n_events=4)
    assert len(archive.X) == 2 * 2 * 4
    rows = (archive.y == 1) & (archive.simulation == 2)
    assert_events(archive.X[rows], inside(events(1, 2))[:4])
    assert_events(archive.X_signal, inside(events(1, 0)))


def test_another_window_or_none(root):
    archive = load_dihiggs(root, 1, window=None)
    assert_events(archive.X_background, events(0, 0))
    assert archive.window is None
    narrow = load_dihiggs(root, 1, window=(115, 135))
    assert 115 <= narrow.X.min() <= narrow.X.max() <= 135
    np.testing.assert_array_equal(narrow.window, [[115, 135]] * 2)


def test_events_beyond_the_first_chunk_are_read(root, monkeypatch):
    monkeypatch.setattr("sktamm.datasets.dihiggs._archive._CHUNK", 7)
    archive = load_dihiggs(root, N)
    assert_events(archive.X_signal, inside(events(1, 0)))
    rows = (archive.y == 0) & (archive.simulation == 3)
    assert_events(archive.X[rows], inside(events(0, 3)))


def test_files_without_the_inner_folder(tmp_path):
    write_nominal(tmp_path)
    for label, folder in enumerate(FOLDERS):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / NAMES[label].format(1)
        path.write_text("  120 \t 130.5\n\n121 131  \n")
    archive = load_dihiggs(tmp_path, 1)
    assert_events(archive.X, [[120, 130.5], [121, 131]] * 2)


def test_a_folder_is_taken_before_an_archive(tmp_path):
    write_nominal(tmp_path)
    write_archives(tmp_path)
    write_plain(tmp_path)
    for label, folder in enumerate(FOLDERS):
        path = tmp_path / folder / "processed" / NAMES[label].format(1)
        path.write_text("120 130\n")
    assert load_dihiggs(tmp_path, 1).X.tolist() == [[120, 130]] * 2


def test_names_of_members_write_nothing_and_lead_nowhere(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    write_nominal(root)
    write_archives(root)
    name = NAMES[0].format(1)
    with tarfile.open(root / f"{FOLDERS[0]}.tar.gz", "w:gz") as archive:
        add(archive, f"../{name}", "1 2\n")
        add(archive, f"draft/{name}", "3 4\n")
        link = tarfile.TarInfo(f"processed/{name}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
        add(archive, f"/tmp/processed/{name}", "120 130\n")
    before = sorted(tmp_path.rglob("*"))
    archive = load_dihiggs(root, 1)
    assert archive.X[archive.y == 0].tolist() == [[120, 130]]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "no/such/folder"}, "path must be a folder; got 'no/such/folder'"),
        ({"path": None}, "path must be a folder; got None"),
        ({"n_simulations": 0}, "n_simulations must be an integer of at least 1; got 0"),
        ({"n_simulations": 501}, "n_simulations must be at most 500; got 501"),
        ({"n_events": 0}, "n_events must be an integer of at least 1; got 0"),
        ({"n_events": 10_000}, "must hold at least 10000 events in the window .*; it"),
        ({"window": (140, 110)}, "window must be None or two increasing"),
        ({"window": (1, 2, 3)}, "window must be None or two increasing"),
        ({"window": "wide"}, "window must be None or two increasing .*'wide'"),
        ({"window": (0, 1)}, "must hold at least 1 events in the window .*; it has 0"),
    ],
)
def test_refusals(root, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        load_dihiggs(**{"path": root, "n_simulations": 1, **arguments})


@pytest.mark.parametrize("n_simulations", [N + 1, 500])
def test_missing_simulation(root, n_simulations):
    with pytest.raises(InvalidInputError, match=r"must hold the file .*_4\.dat"):
        load_dihiggs(root, n_simulations)


@pytest.mark.parametrize("name", NOMINAL)
def test_missing_nominal_file(root, name):
    (root / name).unlink()
    with pytest.raises(InvalidInputError, match=f"must hold the file .*{name}; it can"):
        load_dihiggs(root, 1)


def test_missing_folder(tmp_path):
    write_nominal(tmp_path)
    message = "the folder background_ssds.* or the file .*big_var.tar.gz; .* neither"
    with pytest.raises(InvalidInputError, match=message):
        load_dihiggs(tmp_path, 1)


BAD = [
    ("", "it is empty"),
    (" \n\n", "it is empty"),
    ("120 130\n120\n", "line 2 has 1"),
    ("120\n130\n", "line 1 has 1"),
    ("120 130\n120 130 1\n", "line 2 has 3"),
    ("120 130 1\n120 130 1\n", "line 1 has 3"),
    ("m_bb1 m_bb2\n120 130\n", "line 1 has 'm_bb1'"),
    ("# 1\n120 130\n", "line 1 has '#'"),
    ("120 130\n\n120 nan\n", "line 3 has 'nan'"),
    ("120 130\n-inf 120\n", "line 2 has '-inf'"),
    ("120 130\n1e999 120\n", "line 2 has '1e999'"),
    ("120 NA\n", "line 1 has 'NA'"),
    ("120,130\n", "line 1 has 1"),
    ('"120" 130\n', "line 1 has '\"120\"'"),
    ("120 True\n", "line 1 has 'True'"),
    ("1_20 130\n", "it cannot be read as such"),
    ("120 \0\xff\n", "line 1 has"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
@pytest.mark.parametrize("place", ["nominal", "simulation", "archive"])
def test_bad_files(tmp_path, content, message, place):
    write_nominal(tmp_path)
    data = content.encode("latin-1")
    if place == "archive":
        write_archives(tmp_path)
        with tarfile.open(tmp_path / f"{FOLDERS[1]}.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(f"processed/{NAMES[1].format(1)}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    else:
        write_plain(tmp_path)
        inner = tmp_path / FOLDERS[1] / "processed" / NAMES[1].format(1)
        path = inner if place == "simulation" else tmp_path / NOMINAL[1]
        path.write_bytes(data)
    rule = "dihiggs_s.*must hold two columns of finite numbers; "
    with pytest.raises(InvalidInputError, match=rule + message):
        load_dihiggs(tmp_path, 1)


@pytest.mark.parametrize("damage", [lambda d: b"text", lambda d: d[: len(d) // 2]])
def test_damaged_archive(tmp_path, damage):
    write_nominal(tmp_path)
    write_archives(tmp_path)
    path = tmp_path / f"{FOLDERS[0]}.tar.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidInputError, match=r"must be a tar\.gz archive; it"):
        load_dihiggs(tmp_path, N)


def test_a_bad_line_far_down_is_named_without_a_warning(tmp_path):
    write_nominal(tmp_path)
    write_plain(tmp_path)
    # Longer than what pandas guesses types from.
    (tmp_path / NOMINAL[0]).write_text("120 130\n" * 150_000 + "120 x\n")
    with pytest.raises(InvalidInputError, match="line 150001 has 'x'"):
        load_dihiggs(tmp_path, 1)
