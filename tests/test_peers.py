"""Peers of the zoo: right where they must be, and pages that are what results say."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmark_modules import BENCHMARKS, importing

from sktamm.base import ComponentTable, Simulations
from sktamm.inference import FrequentistInference
from sktamm.mixture import ExponentialForm, RidgePrior

LEVELS = (0.683, 0.955)
KAPPA = 0.3
# Where environments of peers lie already, if anywhere.
CACHE = Path(os.environ.get("SKTAMM_CACHE", Path.home() / ".cache/sktamm"))


@pytest.fixture
def zoo(monkeypatch, tmp_path):
    """Modules of the zoo by name."""
    monkeypatch.setenv("SKTAMM_CACHE", str(tmp_path / "cache"))
    yield from importing(monkeypatch, BENCHMARKS / "zoo", BENCHMARKS)


def a_study(cases, names=(0, 1, 2)):
    """Right simulations of a normal signal on a uniform background, in [0, 1]."""

    def draw(rng, size):
        def events(c, setting, n):
            return (rng.normal(0.5, 0.1, n) if c else rng.random(n))[:, None] % 1.0

        own = cases.from_sources(
            events, list(names), 0, size, rng, kappas=(KAPPA, KAPPA)
        )
        named = np.array(names)[np.unique(own.simulation, return_inverse=True)[1]]
        return cases.Case(
            own.X, own.y, named, own.targets, own.truth, own.densities, own.weight
        )

    return cases.Study("normal on uniform", draw, 1)


def recovered(found, exact=0.0088, widest=2.5):
    """Kappa within three half-widths, of which a right fit has one of ``exact``.

    That is the error of a fit of 5 000 events with known densities.
    """
    low, high = np.array(found["interval"])[..., 0].T
    half = 0.5 * (high - low)
    np.testing.assert_array_less(np.abs(np.array(found["kappa"]) - KAPPA), 3 * half)
    np.testing.assert_array_less(0.8 * exact, half)
    np.testing.assert_array_less(half, widest * exact)
    assert found["flags"] == [[], []]


#: Library, simulations, and how much wider than a right fit: a unit ridge allows for
#: more than there is, as does a t of one degree of freedom.
PEERS = {
    "iminuit, 2K templates": ("iminuit", 3, 2.5),
    "t of Sellentin and Heavens": ("sktamm", 3, 5.0),
    "t of Percival et al.": ("sktamm", 6, 2.5),
    "NumPyro, linear": ("numpyro", 3, 2.5),
    "pyhf, two-point": ("pyhf", 3, 2.5),
    "neural estimation, plain torch": ("torch", 3, 5.0),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_recovers_a_fraction(zoo, name, monkeypatch):
    library, n_simulations, widest = PEERS[name]
    pytest.importorskip(library)
    cases, peer = zoo("cases"), zoo("peers").PEERS[name]
    monkeypatch.setattr(sys.modules["peers.plain_torch"], "EPOCHS", 20)
    monkeypatch.setattr(sys.modules["peers.plain_torch"], "N_MEMBERS", 2)
    study = a_study(cases, range(n_simulations))
    case = study.case(1, cases.Size(3000, 5000))
    assert peer.applies(study, case)
    recovered(peer.answers(study, case, LEVELS), widest=widest)


@pytest.mark.filterwarnings("ignore")
def test_pyhf_is_told_families(zoo):
    pytest.importorskip("pyhf")
    cases, models = (
        zoo("cases"),
        zoo("peers.pyhf_models") and sys.modules["peers.pyhf_models"],
    )
    names = ["nominal", "scale_down", "scale_up", "width_up"]
    assert models.families("b", names, 0) == [("scale", (2, 1)), ("width", (3, None))]
    study = a_study(cases, names)
    case = study.case(1, cases.Size(3000, 5000))
    peer = sys.modules["peers"].PEERS["pyhf, families"]
    recovered(peer.answers(study, case, LEVELS))
    assert not peer.applies(study, a_study(cases).case(0, cases.Size(10, 10)))


def test_percival_needs_more_simulations_than_directions(zoo):
    zoo("peers")
    exponent = sys.modules["peers.student"].exponent
    assert exponent("sellentin", 10, 9) == 10.0
    # B = (10 - 5 - 2) / (4 * 1) = .75, m = 1 + 2 + (9 + .75 * 4) / (1 + .75 * 4).
    assert exponent("percival", 10, 5) == pytest.approx(6.0)
    assert exponent("percival", 6, 1) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("size", "law", "d"), [(4, "sellentin", 3), (7, "percival", 2)]
)
def test_the_t_has_the_sampled_covariance(zoo, size, law, d):
    """Its density, from the coefficients of the log densities."""
    zoo("peers")
    student = sys.modules["peers.student"]
    logs, reference, _ = tilted(size)
    basis = np.linspace(-1.0, 1.0, len(logs))[:, None] ** np.arange(1, 6)
    table = bins(logs, reference, np.ones(len(logs)), basis)
    found = student.SampledCovariance(law).expand(table, 1)
    own = (reference[:, None] * basis).T @ logs[:, size:]
    values, vectors = np.linalg.eigh(np.cov(own))
    root = vectors[:, -d:] * np.sqrt(values[-d:])
    z = np.random.default_rng(0).normal(size=(3, d))
    x = found.directions[size:] @ z.T
    chi2 = (np.linalg.pinv(root) @ x) ** 2
    m = {"sellentin": 4.0, "percival": student.exponent("percival", 7, 2)}[law]
    expected = -0.5 * m * np.log1p(chi2.sum(axis=0) / ((1 + 1 / size) * (size - 1)))
    np.testing.assert_allclose(found.penalty.value(z), expected, rtol=1e-6)


def test_the_error_of_free_templates_is_that_of_known_densities(zoo):
    """One template per class, of 10^8 events: the inverse root of the information."""
    pytest.importorskip("iminuit")
    zoo("peers")
    _, _, density = tilted(1)
    mean = 0.7 * density[0] + 0.3 * density[1]
    kappa, error, valid = sys.modules["peers.templates"].fit(
        np.rint(5000 * mean), 1e8 * density, np.array([False, True])
    )
    information = 5000 * ((density[1] - density[0]) ** 2 / mean).sum()
    assert valid
    assert kappa == pytest.approx(0.3, abs=0.05 * error)
    assert error == pytest.approx(information**-0.5, rel=0.03)


# ------------------------------------------------------------- the neural estimation
def tilted(size=4, n_bins=20, seed=0):
    """Log ratios of 2 x size densities in bins, background first, and the mixture."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1.0, 1.0, n_bins)
    centres = np.stack([-0.8 * x, 1.5 * x - x**2])
    tilt = 0.2 * rng.normal(size=(2, size, 2)) @ np.stack([x, x**2])
    density = np.exp(centres[:, None] + tilt).reshape(2 * size, n_bins)
    density /= density.sum(axis=1, keepdims=True)
    reference = density.mean(axis=0)
    return np.log(density / reference).T, reference, density


def test_plain_torch_agrees_with_sktamm(zoo):
    """The same model in bins: equal up to the noise of the reference, one in forty."""
    zoo("peers")
    torch_fit = sys.modules["peers.plain_torch"].fit
    logs, reference, density = tilted()
    signal = np.repeat([False, True], 4)
    p = 0.3 * density[signal].mean(axis=0) + 0.7 * density[~signal].mean(axis=0)
    counts = np.random.default_rng(1).multinomial(5000, p)
    copies = np.rint(200_000 * reference).astype(int)
    found = torch_fit(
        np.repeat(logs, counts, axis=0), np.repeat(logs, copies, axis=0), signal
    )
    ours = frequentist(logs, reference, counts)
    assert found.converged
    assert found.kappa == pytest.approx(ours.kappa[0], abs=0.05 * ours.std[0])
    assert found.std == pytest.approx(ours.std[0], rel=0.1)


def bins(logs, reference, counts, basis=None):
    """Table of densities of two classes in bins, background first."""
    size = logs.shape[1] // 2
    classes = np.repeat([0, 1], size)
    described = Simulations(
        logs, logs, None, classes, np.arange(2 * size), np.eye(2 * size), False
    )
    weight = counts[None].astype(float)
    basis = np.zeros((len(logs), 0)) if basis is None else basis
    return ComponentTable(
        logs, weight, weight, logs, reference, classes, 2, 1, described, basis, basis,
        None, True,
    )  # fmt: skip


def frequentist(logs, reference, counts):
    """Answer of sktamm to counts in bins with the published prior."""
    table, prior = bins(logs, reference, counts), RidgePrior()
    return FrequentistInference(interval="wald").infer(
        table,
        ExponentialForm().build(table, prior),
        np.array(LEVELS),
        informative=prior.informative,
        bounded=False,
        seed=np.random.SeedSequence(0),
        n_jobs=None,
    )


def test_slopes_of_the_sandwich_are_those_of_the_objective(zoo):
    zoo("peers")
    torch, plain = pytest.importorskip("torch"), sys.modules["peers.plain_torch"]
    logs, _, _ = tilted()
    signal = np.repeat([False, True], 4)
    rng = np.random.default_rng(0)
    data, ref = (
        plain._of_classes(logs[rng.integers(0, 20, n)], signal) for n in (300, 500)
    )
    theta = torch.tensor(0.2 * rng.normal(size=9)).requires_grad_()
    plain.objective(theta, data, ref).backward()
    at = theta.detach()
    q, slopes, _, _ = plain._slopes(at, data)
    total = -(slopes / q[:, None]).sum(dim=0)
    _, slopes, d, d_slopes = plain._slopes(at, ref)
    total += 300 / 500 * slopes.sum(dim=0)
    total += 300 * d.mean() * d_slopes.mean(dim=0)
    total[3:] += at[3:]
    np.testing.assert_allclose(total, theta.grad, rtol=1e-10)


# ------------------------------------------------------------------ other environments
WORKER = """
import os
from answering import serve

def respond(question):
    if int(question["n"]) < 0:
        os._exit(1)
    if int(question["n"]) == 0:
        raise ValueError("nothing")
    return {"n": int(question["n"]) + 1}

serve(respond)
"""


def test_a_worker_answers_refuses_and_starts_again(zoo, tmp_path):
    zoo("peers")
    isolated = sys.modules["peers.isolated"]
    script = tmp_path / "plus_one.py"
    script.write_text(
        f"import sys; sys.path.append({str(BENCHMARKS / 'zoo/peers/workers')!r})"
        + WORKER
    )
    worker = isolated.Worker(Path(sys.executable), script)
    assert worker.ask(n=1) == {"n": 2}
    with pytest.raises(RuntimeError, match="nothing"):
        worker.ask(n=0)
    with pytest.raises(RuntimeError, match="died"):
        worker.ask(n=-1)
    assert worker.ask(n=2) == {"n": 3}
    worker.close()


@pytest.mark.skipif(
    not (CACHE / "peers/quapy/made.txt").exists(), reason="no environment of QuaPy"
)
@pytest.mark.parametrize("method", ["EMQ", "KDEy-ML", "ACC"])
def test_quapy_recovers_a_fraction(zoo, monkeypatch, method):
    cases, peer = zoo("cases"), zoo("peers").PEERS[f"QuaPy {method}"]
    monkeypatch.setattr(sys.modules["peers.isolated"], "FOLDER", CACHE / "peers")
    study = a_study(cases)
    case = study.case(1, cases.Size(3000, 5000))
    recovered(peer.answers(study, case, LEVELS))
    sys.modules["peers.quapy"].worker().close()


# ------------------------------------------------------------------------------ pages
def test_pages_are_what_the_results_say(zoo):
    for path, text in zoo("make_page").pages().items():
        assert path.read_text("utf-8") == text, f"run make_page.py: {path.name}"


def test_a_stored_table_is_printed(zoo, tmp_path, monkeypatch):
    store, make_page = zoo("store"), zoo("make_page")
    for folder, name in ((store.FOLDER, "FOLDER"),):
        monkeypatch.setattr(store, name, tmp_path)
        assert folder.name == "results"
    rows = [["one", 1.23456], ["two", 20]]
    store.store("speed", ["what", "s"], rows, command="x.py", note="Here.",
                folder=tmp_path)  # fmt: skip
    content = store.read("speed", tmp_path)
    text = store.markdown(content)
    assert text.splitlines()[2:] == [
        "| one | 1.23 |",
        "| two | 20 |",
        "",
        "`x.py`. Here.",
    ]
    with pytest.raises(ValueError, match="2 cells"):
        store.store("speed", ["what", "s"], [["one"]], command="x.py", folder=tmp_path)
    assert make_page.PLACE.findall("a\n{{table speed}}\n") == [("table", "speed")]


def a_row(table, scale, shift, n_sets=40, seed=0):
    """Answers of normal errors, half-width ``scale`` of their deviation."""
    rng = np.random.default_rng(seed)
    kappa = 0.3 + 0.01 * (rng.normal(size=(n_sets, 3)) + shift)
    reach = 0.01 * scale * np.array([1.0, 2.0])
    return table.Row(
        np.arange(n_sets),
        np.full((n_sets, 3), 0.3),
        kappa,
        kappa[..., None] - reach,
        kappa[..., None] + reach,
        np.zeros((n_sets, 3), int),
        np.ones(n_sets),
    )


def test_the_best_peer_is_the_best_of_those_that_cover(zoo):
    table = zoo("peers_table")
    rows = {
        "BinnedTopicTAMM()": a_row(table, 1.5, 0.0),
        "narrow": a_row(table, 0.4, 0.0),
        "right": a_row(table, 1.0, 0.0),
        "biased": a_row(table, 1.0, 1.5),
        "exact densities": a_row(table, 1.0, 0.0),
    }
    assert list(table.rivals(rows)) == ["right"]
    value, spread = table.rivals(rows)["right"]
    assert value < 1.0 - 2 * spread
    text = table.sentences({"a cell": rows})
    assert text.startswith("- a cell: right has 0.90 ")
    assert text.endswith("beyond the error.")
    assert "| **right** |" in table.details({"a cell": rows})


def test_a_band_is_wilson_s(zoo):
    """Brown, Cai and DasGupta: x = 7 of 10, the roots of a quadratic equation."""
    low, high = zoo("peers_table").wilson(0.7, 10)
    for end in (low, high):
        assert (0.7 - end) ** 2 == pytest.approx(1.9599640**2 * end * (1 - end) / 10)
    assert low < 0.7 < high


def test_answers_are_stored_in_small_units(zoo, tmp_path, monkeypatch):
    headline, run = zoo("headline"), zoo("run")
    monkeypatch.setattr(headline, "CELLS", headline.BINNED_CELLS[:1])
    monkeypatch.setattr(headline, "RESULTS", tmp_path / "headline.json")
    cell = headline.CELLS[0]
    options = headline.parse(["--checkpoint", str(tmp_path)])
    answers = {
        "truth": [0.1] * 3,
        "kappa": [0.12345, 0.2, 0.3],
        "interval": [[[0.1, 0.05], [0.2, 0.25]]] * 3,
        "flags": [[], ["span"], ["failed: no"]],
        "seconds": 1.26,
    }
    path = run.path_of(options, cell, "BinnedTopicTAMM()", 5)
    path.write_text(json.dumps(answers))
    headline.main(["--checkpoint", str(tmp_path), "--store"])
    row = zoo("peers_table").read(tmp_path / "headline.json")[cell]["BinnedTopicTAMM()"]
    np.testing.assert_allclose(row.kappa, [[0.1234, 0.2, 0.3]], atol=1e-4)
    np.testing.assert_allclose(row.low[0, 0], [0.1, 0.05])
    np.testing.assert_allclose(row.high[0, 0], [0.2, 0.25])
    assert row.sets.tolist() == [5]
    assert row.flags.tolist() == [[0, 1, 3]]
    assert row.seconds.tolist() == [1.3]


def test_what_is_stored_is_not_run_again_and_stays(zoo, tmp_path, monkeypatch):
    headline, run = zoo("headline"), zoo("run")
    cell, row = headline.BINNED_CELLS[0], "BinnedTopicTAMM()"
    monkeypatch.setattr(headline, "CELLS", [cell])
    monkeypatch.setattr(headline, "RESULTS", tmp_path / "headline.json")
    monkeypatch.setattr(headline, "every", lambda: [row])
    arguments = ["--checkpoint", str(tmp_path), "--sets", "3"]
    options = headline.parse([*arguments, "--cells", cell])
    for number, kappa in ((1, 0.2), (0, 0.1)):
        answers = {
            "truth": [0.1],
            "kappa": [kappa],
            "interval": [[[0.1, 0.05], [0.2, 0.25]]],
            "flags": [[]],
            "seconds": 1.0,
        }
        path = run.path_of(options, cell, row, number)
        path.write_text(json.dumps(answers))
        headline.main([*arguments, "--store"])
        path.unlink()
    assert headline.missing(options) == [(cell, row, 2)]
    found = zoo("peers_table").read(tmp_path / "headline.json")[cell][row]
    assert found.sets.tolist() == [0, 1]
    np.testing.assert_allclose(found.kappa[:, 0], [0.1, 0.2])


def test_an_error_that_is_no_number_knows_nothing(zoo):
    answers = zoo("peers").intervals.of_error([(0.3, np.nan, True)], [0.683, 0.955])
    assert answers["interval"] == [[[0.0, 0.0], [1.0, 1.0]]]
    assert answers["flags"] == [["not_converged"]]


def test_answers_that_are_not_finite_are_not_stored(zoo):
    with pytest.raises(ValueError, match="must be finite to be stored"):
        zoo("headline")._small([0.1, np.nan])
