"""Studies on data that nobody here made: images, cells, ttbar histograms.

`CYTOMETRY` and `TTBAR` are read from the folder that ``SKTAMM_DATA`` names; without
them their studies are left out.
"""

import os
from functools import cache
from pathlib import Path

import hist
import numpy as np
from cases import KAPPAS, Case, Study, from_sources
from scipy import ndimage
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA

DATA = Path(os.environ.get("SKTAMM_DATA", Path(__file__).parents[4] / "shared/data"))
SIMULATIONS = 6


# ------------------------------------------------------------------------- images
def _distorted(images, settings, n, rng):
    """Copies of images, turned, moved, blurred and noisy, about a simulation's own."""
    turn, zoom, blur, contrast = settings
    out = np.empty((n, 64))
    for i, image in enumerate(images[rng.integers(0, len(images), n)]):
        angle = np.deg2rad(turn + 5.0 * rng.normal())
        size = zoom * np.exp(0.03 * rng.normal())
        cos, sin = np.cos(angle) / size, np.sin(angle) / size
        matrix = np.array([[cos, -sin], [sin, cos]])
        shift = 3.5 - matrix @ (3.5 + 0.3 * rng.normal(size=2))
        moved = ndimage.affine_transform(image, matrix, shift, order=1)
        out[i] = ndimage.gaussian_filter(moved, blur).ravel()
    return contrast * out + 0.5 * rng.normal(size=out.shape)


def _images(signal, others, reduced, distortion):
    """A digit among others; every simulation and the truth have images of their own."""
    bunch = load_digits()

    def case(rng, size) -> Case:
        groups = []
        for digits in (others, (signal,)):
            own = np.flatnonzero(np.isin(bunch.target, digits))
            groups.append(np.array_split(rng.permutation(own), SIMULATIONS + 1))
        settings = [
            (
                8 * distortion * rng.normal(),
                np.exp(0.06 * distortion * rng.normal()),
                0.3 + 0.2 * distortion * abs(rng.normal()),
                np.exp(0.1 * distortion * rng.normal()),
            )
            for _ in range(SIMULATIONS + 1)
        ]

        def draw(c, k, n):
            return _distorted(bunch.images[groups[c][k]], settings[k], n, rng)

        n = size.simulated
        sources = [(c, k) for c in (0, 1) for k in range(SIMULATIONS)]
        X = np.concatenate([draw(c, k, n) for c, k in sources])
        y, simulation = (np.repeat(v, n) for v in zip(*sources, strict=True))
        reduce = PCA(6, random_state=0).fit(X).transform if reduced else np.asarray
        targets = []
        for kappa in KAPPAS:
            n_signal = rng.binomial(size.target, kappa)
            numbers = size.target - n_signal, n_signal
            parts = [draw(c, SIMULATIONS, m) for c, m in enumerate(numbers)]
            targets.append((reduce(np.concatenate(parts)), kappa))
        right = reduce(np.concatenate([draw(c, SIMULATIONS, n) for c in (0, 1)]))
        return Case(reduce(X), y, simulation, targets, (right, np.repeat([0, 1], n)))

    what = "6 components" if reduced else "64 pixels"
    rest = ", ".join(map(str, others))
    name = f"images: {signal} among {rest}, {what}, distortion {distortion:g}"
    return name, case


# --------------------------------------------------------------------- cell nuclei
def _nuclei(rng, size) -> Case:
    """Malignant among benign nuclei; scales, offsets and noise of every simulation."""
    bunch = load_breast_cancer()
    values = (bunch.data - bunch.data.mean(axis=0)) / bunch.data.std(axis=0)
    groups = [
        np.array_split(
            rng.permutation(np.flatnonzero(bunch.target == label)), SIMULATIONS + 1
        )
        for label in (1, 0)
    ]
    n_features = values.shape[1]
    settings = [
        (
            k,
            np.exp(0.1 * rng.normal(size=n_features)),
            0.15 * rng.normal(size=n_features),
        )
        for k in range(SIMULATIONS + 1)
    ]

    def draw(c, given, n):
        k, scale, offset = given
        own = rng.choice(groups[c][k], n)
        noise = 0.3 * rng.normal(size=(n, n_features))
        return scale * values[own] + offset + noise

    *settings, truth = settings
    return from_sources(draw, settings, truth, size, rng)


# ---------------------------------------------------------------------- cytometry
@cache
def _cells():
    with np.load(DATA / "cytometry.npz") as file:
        X, y, sample = file["X"].astype(float), file["y"], file["sample"]
        return X, np.asarray(file["classes"])[y], sample


def _cytometry(kind):
    """One sample is the truth, six others are simulations; natural fractions."""

    def case(rng, size, number) -> Case:
        X, label, sample = _cells()
        samples = np.unique(sample)
        truth = samples[number]
        chosen = rng.choice(samples[samples != truth], SIMULATIONS, replace=False)
        y = (label == kind).astype(int)
        # In the small size, as many cells as another study simulates of both classes.
        rows = np.concatenate(
            [
                rng.permutation(np.flatnonzero(sample == k))[: 2 * size.simulated]
                for k in np.sort(chosen)
            ]
        )
        own = np.flatnonzero(sample == truth)
        n = min(size.target, len(own) // 2)
        targets = []
        for _ in KAPPAS:
            part = rng.choice(own, n, replace=False)
            targets.append((X[part], float(y[part].mean())))
        right = X[own], y[own]
        return Case(X[rows], y[rows], sample[rows], targets, right)

    return case


# -------------------------------------------------------------------------- ttbar
def _ttbar(rng, size, number) -> Case:
    """Public histograms: half of two generators is the truth; all variations known."""
    region, kappa = (("4j1b", 0.832), ("4j2b", 0.968))[number]
    with np.load(DATA / "agc_ttbar.npz") as file:
        names, edges = [str(n) for n in file["name"]], file["edges"]
        contents = dict(zip(names, file["contents"][:, 1:-1], strict=True))

    def histogram(values):
        own = hist.Hist(hist.axis.Variable(edges, name="m_bjj", flow=False))
        own[...] = values
        return own

    X, y, simulation = [], [], []
    for c, process in enumerate(("wjets", "ttbar")):
        for name in names:
            if name.startswith(f"{region}_{process}"):
                X.append(histogram(contents[name]))
                y.append(c)
                own = name.removeprefix(f"{region}_{process}").removeprefix("_")
                simulation.append(own or "nominal")
    data = contents[f"{region}_pseudodata"]
    targets = [(histogram(data), kappa)]
    targets += [(histogram(rng.poisson(data)), kappa) for _ in range(2)]
    return Case(X, y, simulation, targets)


def studies() -> list[Study]:
    """Those whose data are there."""
    out = []
    for signal, others, reduced, distortion, seal in (
        (3, (5, 8, 9), True, 1.0, 0),
        (3, (5, 8, 9), False, 1.0, 0),
        (0, (6, 8, 9), True, 0.3, 0),
        (7, (1, 4, 9), True, 1.0, 1),
        (2, (1, 3, 7), False, 0.5, 1),
        (4, (0, 6, 9), True, 0.7, 2),
        (8, (2, 3, 5), False, 1.0, 2),
    ):
        name, case = _images(signal, others, reduced, distortion)
        n_features = 6 if reduced else 64
        out.append(Study(name, case, n_features, sealed=seal > 0, seal=seal or 1))
    out.append(Study("cell nuclei, 30 features", _nuclei, 30, sealed=True, seal=2))
    if (DATA / "cytometry.npz").exists():
        for kind, seal in (
            ("Monocytes", 0),
            ("CD4+CD8-", 0),
            ("CD8+CD4-", 1),
            ("B", 1),
            ("CD56dim", 2),
            ("Eosinophils", 2),
        ):
            own = _cytometry(kind)
            how = {
                "sealed": seal > 0,
                "n_sets": 10,
                "numbered": True,
                "seal": seal or 1,
            }
            out.append(Study(f"cytometry: {kind}", own, 10, **how))
    if (DATA / "agc_ttbar.npz").exists():
        out.append(Study("ttbar histograms", _ttbar, 0, n_sets=2, numbered=True))
    return out


STUDIES = studies()
