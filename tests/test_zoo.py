"""The zoo itself: same case for the same number, sealed studies, failures counted."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from benchmark_modules import BENCHMARKS, importing

# By POT 0.9.7, of targets with an event so far away.
POT_SHARES = {
    0.0: (0.62379706, 0.37620294),
    5.0: (0.60995988, 0.39004012),
    20.0: (0.70940641, 0.29059359),  # after all iterations
}


@pytest.fixture
def zoo(monkeypatch, tmp_path):
    """Modules of the zoo by name."""
    monkeypatch.setenv("SKTAMM_CACHE", str(tmp_path / "cache"))
    yield from importing(monkeypatch, BENCHMARKS / "zoo")


def a_study(cases, name="two uniforms", sealed=False):
    """Signal in [.5, 1.5], background in [0, 1], shifted a little."""

    def draw(rng, size):
        def events(c, shift, n):
            return rng.random((n, 1)) + 0.5 * c + shift

        return cases.from_sources(events, [0.0, 0.01, 0.02], 0.01, size, rng)

    return cases.Study(name, draw, 1, sealed)


class Refuses:
    def fit(self, X, y, simulation):
        raise ValueError("no")


def test_a_number_is_a_case(zoo):
    cases = zoo("cases")
    size = cases.Size(20, 30)
    first, again, other = (a_study(cases).case(k, size) for k in (3, 3, 4))
    for (X, kappa), (X_again, kappa_again) in zip(
        first.targets, again.targets, strict=True
    ):
        np.testing.assert_array_equal(X, X_again)
        assert kappa == kappa_again
    np.testing.assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)
    renamed = a_study(cases, "another name").case(3, size)
    assert not np.array_equal(first.X, renamed.X)


def test_sealed_studies_need_the_flag(zoo):
    cases = zoo("cases")
    studies = [a_study(cases, "open"), a_study(cases, "kept open", sealed=True)]
    names = [study.name for study in cases.chosen(studies, ["open"], sealed=False)]
    assert names == ["open"]
    assert len(cases.chosen(studies, ["open"], sealed=True)) == 2
    options = zoo("run").parse(["--checkpoint", "x"])
    assert not options.sealed


def test_studies_have_names_of_their_own_and_enough_are_sealed(zoo):
    studies = zoo("studies").STUDIES
    assert len({study.name for study in studies}) == len(studies)
    assert sum(study.sealed for study in studies) >= 4


def small_zoo(zoo, monkeypatch, tmp_path, arguments):
    """Text of the tables of one study with two rows, one of which fails."""
    cases, run = zoo("cases"), zoo("run")
    study = a_study(cases)
    monkeypatch.setattr(zoo("studies"), "STUDIES", [study])
    monkeypatch.setattr(run, "STUDIES", [study])
    monkeypatch.setattr(cases, "SMALL", cases.Size(20, 30))
    monkeypatch.setattr(run, "SMALL", cases.Size(20, 30))
    monkeypatch.setitem(zoo("rows").ROWS, "refuses", (False, Refuses))
    text = tmp_path / "zoo.md"
    run.main(
        [
            *("--checkpoint", str(tmp_path / "answers"), "--markdown", str(text)),
            *("--n-jobs", "1", "--rows", "[0, 1]", "refuses", *arguments),
        ]
    )
    return text.read_text()


def cells_of(text, row):
    """Cells of a row in the last table of a text."""
    line = [line for line in text.splitlines() if line.startswith(f"| {row} |")][-1]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_failures_are_counted(zoo, monkeypatch, tmp_path):
    text = small_zoo(zoo, monkeypatch, tmp_path, ["--sets", "2"])
    columns = zoo("measures").COLUMNS
    cells = dict(zip(columns, cells_of(text, "refuses"), strict=True))
    assert (cells["sets"], cells["failed"], cells["not converged"]) == (
        "2",
        "6",
        "1.00",
    )
    assert cells["IS 68"].startswith("1.0000")  # as that of [0, 1]
    assert "refuses, 6 times failed: ValueError('no')" in text
    assert "| 1 (1.00/1.00), 6 failed |" in text


def test_rows_have_sets_of_their_own(zoo, monkeypatch, tmp_path):
    text = small_zoo(
        zoo, monkeypatch, tmp_path, ["--sets", "3", "--sets-of", "refus=1"]
    )
    assert cells_of(text, "refuses")[1] == "1"
    assert cells_of(text, "[0, 1]")[1] == "3"
    assert "at most 3 sets of a study, 1 of rows with 'refus'" in text


def test_a_run_goes_on(zoo, monkeypatch, tmp_path):
    small_zoo(zoo, monkeypatch, tmp_path, [])
    answers = sorted((tmp_path / "answers").glob("*.json"))
    assert len(answers) == 2
    first = json.loads(answers[0].read_text())
    answers[0].write_text(json.dumps({**first, "seconds": 77.0}))
    assert "| 77.0 |" in small_zoo(zoo, monkeypatch, tmp_path, [])


def test_errors_come_from_resampling_sets(zoo):
    measures = zoo("measures")
    values = np.random.default_rng(0).normal(size=30)
    exact = np.std(values, ddof=1) / np.sqrt(30)
    assert measures.error_of(values) == pytest.approx(exact, rel=0.1)
    assert np.isnan(measures.error_of(values[:1]))


def test_jets_serve_once(zoo, monkeypatch, tmp_path):
    jets, cases = zoo("jets"), zoo("cases")
    n = 200
    y, simulation = (v.ravel() for v in np.indices((2, 7)).repeat(n, axis=2))
    X = np.arange(len(y), dtype=float)[:, None]
    monkeypatch.setattr(jets, "FILE", tmp_path / "jets.npz")
    np.savez(jets.FILE, X=X, y=y, simulation=simulation)
    case = jets._case(np.random.default_rng(0), cases.Size(50, 4000), 3)
    parts = [case.X, case.truth[0], *(target for target, _ in case.targets)]
    used = np.concatenate(parts).ravel().astype(int)
    assert len(np.unique(used)) == len(used)
    np.testing.assert_array_equal(simulation[case.X.ravel().astype(int)] != 3, True)
    np.testing.assert_array_equal(
        np.bincount(case.simulation), [100] * 3 + [0] + [100] * 3
    )
    for target, kappa in case.targets:
        share = y[target.ravel().astype(int)].mean()
        assert abs(share - kappa) < 5 * np.sqrt(kappa / len(target))


def test_depths_of_showers(zoo):
    """Protons at 10^18.5 eV, table 1 of arXiv:1305.2331 with ln A = 0 and e = -.5."""
    found = zoo("airshowers").gumbel("EPOS-LHC", 1, 18.5)
    mu = 775.589 - 0.5 * 57.589 - 0.25 * 0.820
    np.testing.assert_allclose(found, (mu, 29.403 - 0.048, 0.563 - 0.0195))


def test_transport_finds_the_share(zoo):
    """Two classes far apart: any method must be right."""
    cases, transport = zoo("cases"), zoo("transport")

    def events(c, shift, n):
        return rng.normal(5.0 * c + shift, 0.5, (n, 1))

    rng = np.random.default_rng(0)
    case = cases.from_sources(events, [0.0, 0.1], 0.05, cases.Size(80, 300), rng)
    found = transport.answers(case, (0.683, 0.955))
    np.testing.assert_allclose(found["kappa"], [k for _, k in case.targets], atol=0.06)
    assert np.shape(found["interval"]) == (3, 2, 2)


# Couplings of far events underflow, or nearly.
@pytest.mark.parametrize("far", POT_SHARES)
def test_optimal_transport_has_the_shares_of_pot(zoo, far):
    strength = 0.05
    rng = np.random.default_rng(0)
    sources = [
        [rng.normal(c + shift, 1.0, (n, 2)) for c, n in ((0, 30), (1, 40))]
        for shift in (0.0, 0.2, 0.4)
    ]
    target = rng.normal(0.2, 1.0, (50, 2))
    target[:10] += 1.0
    target[0] += far
    sources[0][1][0] -= far
    shares, converged = zoo("transport").jcpot(sources, target, strength)
    assert converged == (far < 20.0)
    np.testing.assert_allclose(shares, POT_SHARES[far], rtol=1e-6)
    if not find_spec("ot"):
        return
    from ot import bregman

    theirs = bregman.jcpot_barycenter(
        [np.concatenate(own) for own in sources],
        [np.repeat([0, 1], [30, 40]) for _ in sources],
        target,
        reg=strength,
        numItermax=1_000,
        stopThr=1e-5,
        warn=False,
    )
    np.testing.assert_allclose(shares, theirs, rtol=1e-9)
