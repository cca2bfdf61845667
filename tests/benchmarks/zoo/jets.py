"""Showered jets: the fraction of quarks among quarks and gluons, one tune the truth.

    # in an environment of its own; the newest sources take half an hour to compile
    pip install --only-binary :all: pythia8mc fastjet numpy
    python tests/benchmarks/zoo/jets.py --make ~/.cache/sktamm/jets.npz

makes the file in about 40 minutes of processor, shared by all cores. It is read from
the folder that ``SKTAMM_CACHE`` names (``~/.cache/sktamm`` if it names none); without
it the study is left out. Jets of 13 TeV collisions, anti-kT with R = .4, 100 to 160
GeV, |eta| < 2, within .3 of a parton of the hard process gg -> gg (background) or qq ->
qq (signal). The spectrum of the hard process, 100 to 160 GeV, is nearly flat, for both
classes and in all settings (the weights that would make it fall again are not used).
Every setting in turn is the truth; no jet serves twice in a set.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
from cases import CACHE, KAPPAS, Case, Study

FILE = CACHE / "jets.npz"
RADIUS, LOW, HIGH = 0.4, 100.0, 160.0
PROCESSES = ("gg2gg", "qq2qq")
FEATURES = ("multiplicity", "pTD", "LHA", "width", "mass/pT", "eccentricity")

#: What a simulation changes; all but the last are the simple shower.
SETTINGS = {
    "Monash": [],
    "A14": ["Tune:pp = 21"],
    "4C": ["Tune:pp = 5"],
    "alphaS of the shower .15": ["TimeShower:alphaSvalue = 0.15"],
    # Mode 2 of Christiansen and Skands, arXiv:1505.01681, table 5.
    "colour reconnection": [
        "ColourReconnection:mode = 1",
        "ColourReconnection:allowDoubleJunRem = off",
        "ColourReconnection:m0 = 0.3",
        "ColourReconnection:junctionCorrection = 1.20",
        "ColourReconnection:timeDilationMode = 2",
        "ColourReconnection:timeDilationPar = 0.18",
        "BeamRemnants:remnantMode = 1",
        "BeamRemnants:saturation = 5",
        "MultiPartonInteractions:pT0Ref = 2.15",
        "StringPT:sigma = 0.335",
        "StringZ:aLund = 0.36",
        "StringZ:bLund = 0.56",
        "StringFlav:probQQtoQ = 0.078",
        "StringFlav:probStoUD = 0.2",
    ],
    # Monash has a = .68, b = .98, sigma = .335 and .217.
    "hadronisation": [
        "StringZ:aLund = 0.40",
        "StringZ:bLund = 1.20",
        "StringPT:sigma = 0.40",
        "StringFlav:probStoUD = 0.27",
    ],
    "Vincia": ["PartonShowers:model = 2", "Vincia:EWmode = 0"],
}


# --------------------------------------------------------------------- the study
def _case(rng, size, number) -> Case:
    """A setting is the truth; its jets go to one target each, the rest are labelled."""
    with np.load(FILE) as file:
        X, y, simulation = file["X"], file["y"], file["simulation"]
    own = {
        c: list(rng.permutation(np.flatnonzero((y == c) & (simulation == number))))
        for c in (0, 1)
    }
    # All but a fifth of the background of the truth goes to the targets.
    per_target = int(0.8 * len(own[0]) / sum(1.0 - kappa for kappa in KAPPAS))
    n = min(size.target, per_target)
    targets = []
    for kappa in KAPPAS:
        signal = rng.binomial(n, kappa)
        rows = [
            own[c].pop() for c, m in enumerate((n - signal, signal)) for _ in range(m)
        ]
        targets.append((X[rng.permutation(rows)], kappa))
    rest = own[0] + own[1]
    others = [k for k in np.unique(simulation) if k != number]
    used = np.concatenate(
        [
            np.flatnonzero((y == c) & (simulation == k))[: size.simulated]
            for c in (0, 1)
            for k in others
        ]
    )
    return Case(X[used], y[used], simulation[used], targets, (X[rest], y[rest]))


# ------------------------------------------------------------------ making the file
def _generator(process, changes, seed):
    """Pythia, ready to go."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in [
        "Print:quiet = on",
        "Beams:eCM = 13000.",
        f"HardQCD:{process} = on",
        f"PhaseSpace:pTHatMin = {LOW}",
        f"PhaseSpace:pTHatMax = {HIGH}",
        "PhaseSpace:bias2Selection = on",  # to a nearly flat spectrum; see the module
        "PhaseSpace:bias2SelectionPow = 5.",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        *changes,
    ]:
        if not pythia.readString(line):
            raise ValueError(f"pythia8mc does not know the setting {line!r}.")
    if not pythia.init():
        raise RuntimeError(f"pythia8mc cannot start with {changes!r}.")
    return pythia


def _chosen(pythia):
    """Jets of one event near a parton of the hard process, in the window."""
    import fastjet

    particles = [
        fastjet.PseudoJet(p.px(), p.py(), p.pz(), p.e())
        for p in pythia.event
        if p.isFinal() and p.isVisible() and abs(p.eta()) < 2.5
    ]
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    cluster = fastjet.ClusterSequence(particles, definition)
    partons = [pythia.process[i] for i in (5, 6)]
    found = [
        jet
        for jet in cluster.inclusive_jets(LOW)
        if jet.pt() < HIGH
        and abs(jet.eta()) < 2.0
        and any(_distance(jet, p) < 0.3 for p in partons)
    ]
    return [_features(jet) for jet in found]


def _distance(jet, parton):
    turn = abs(jet.phi_std() - parton.phi())
    return np.hypot(jet.rap() - parton.y(), min(turn, 2.0 * np.pi - turn))


def _features(jet):
    """The `FEATURES` of a jet; angles in units of the radius."""
    parts = jet.constituents()
    z = np.array([p.pt() for p in parts])
    z /= z.sum()
    offset = np.array([(p.rap() - jet.rap(), p.delta_phi_to(jet)) for p in parts])
    angle = np.hypot(*offset.T) / RADIUS
    spread = np.linalg.eigvalsh((z[:, None] * offset).T @ offset)
    return (
        len(parts),
        np.sqrt(z @ z),
        z @ np.sqrt(angle),
        z @ angle,
        jet.m() / jet.pt(),
        1.0 - spread[0] / spread[1] if spread[1] > 0 else 0.0,
    )


def source(process, changes, n, seed):
    """Features of n jets, (n, 6)."""
    pythia = _generator(process, changes, seed)
    found: list[tuple] = []
    while len(found) < n:
        if pythia.next():
            found += _chosen(pythia)
    return np.array(found[:n])


def _timed(job, n):
    """Features of n jets of one setting k and class c, with a line of progress."""
    k, c = job
    name, process = list(SETTINGS)[k], PROCESSES[c]
    start = time.perf_counter()
    X = source(process, SETTINGS[name], n, seed=1 + 2 * k + c)
    print(f"{name}, {process}: {time.perf_counter() - start:.0f} s", flush=True)
    return X


def make(path, n):
    """Write the file: features X, class y, number of the setting and their names."""
    jobs = list(product(range(len(SETTINGS)), range(len(PROCESSES))))
    with ProcessPoolExecutor() as workers:
        X = list(workers.map(_timed, jobs, [n] * len(jobs)))
    k, c = np.repeat(jobs, n, axis=0).T
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        X=np.concatenate(X),
        y=c,
        simulation=k,
        settings=list(SETTINGS),
        features=FEATURES,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make", type=Path, required=True, metavar="FILE")
    parser.add_argument("--events", type=int, default=5_000, help="of a source")
    options = parser.parse_args()
    make(options.make, options.events)


STUDIES = (
    [
        Study(
            "quark and gluon jets",
            _case,
            len(FEATURES),
            sealed=True,
            n_sets=len(SETTINGS),
            numbered=True,
        )
    ]
    if FILE.exists()
    else []
)

if __name__ == "__main__":
    main()
