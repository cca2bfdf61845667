"""Generators with a known truth: spectra, clusters, tails, counts, unequal sizes."""

import numpy as np
from cases import Case, Study, from_sources
from scipy import stats


def _spectrum(strength, n_simulations):
    """A peak of 125 +- 12 on a shifted gamma spectrum in [50, 250]."""

    def setting(rng):
        z = strength * rng.normal(size=4)
        return (
            125 + 4 * z[0],
            12 * np.exp(0.2 * z[1]),
            30 * np.exp(0.12 * z[2]),
            (2.5 * np.exp(0.05 * z[3])),
        )

    def law(c, given):
        mean, width, scale, shape = given
        if c == 1:
            return stats.norm(mean, width)
        return stats.gamma(shape, loc=50.0, scale=scale)

    def case(rng, size) -> Case:
        def draw(c, given, n):
            own = law(c, given)
            low, high = own.cdf([50.0, 250.0])
            return own.ppf(rng.uniform(low, high, n))[:, None]

        def densities(X):
            out = []
            for c in (0, 1):
                own = law(c, truth)
                out.append(own.pdf(X[:, 0]) / np.diff(own.cdf([50.0, 250.0])))
            return np.stack(out, axis=1)

        settings, truth = [setting(rng) for _ in range(n_simulations)], setting(rng)
        return from_sources(
            draw, settings, truth, size, rng, densities=densities, kappas=(0.1,) * 3
        )

    name = f"peak on a gamma spectrum, strength {strength:g}, K = {n_simulations}"
    return Study(name, case, 1)


def _resonance(n_events):
    """A narrow resonance at 1 on x^-a, x in [.5, 2], wrong in place, width and a."""

    def setting(rng):
        z = rng.normal(size=3)
        return 1.0 + 0.01 * z[0], 0.04 * np.exp(0.2 * z[1]), 4.0 + 0.3 * z[2]

    def inverse(a, u):
        ends = np.array([0.5, 2.0]) ** (1.0 - a)
        return (ends[0] + u * (ends[1] - ends[0])) ** (1.0 / (1.0 - a))

    def case(rng, size) -> Case:
        def draw(c, given, n):
            mean, width, a = given
            if c == 1:
                return rng.normal(mean, width, n)[:, None]
            return inverse(a, rng.random(n))[:, None]

        def densities(X):
            mean, width, a = truth
            ends = np.array([0.5, 2.0]) ** (1.0 - a)
            falling = X[:, 0] ** -a * (1.0 - a) / (ends[1] - ends[0])
            return np.stack([falling, stats.norm.pdf(X[:, 0], mean, width)], axis=1)

        settings, truth = [setting(rng) for _ in range(6)], setting(rng)
        own = type(size)(size.simulated, n_events)
        return from_sources(draw, settings, truth, own, rng, densities=densities)

    return Study(f"narrow resonance, {n_events} events", case, 1)


def _clusters(spread):
    """Three clusters in five features, every one displaced; the overlap is dialled."""
    centres = np.zeros((3, 5))
    centres[0, :2], centres[2, 1] = 1.5, -1.5
    widths = np.array([0.8, 1.0, 1.0])

    def case(rng, size) -> Case:
        def draw(c, displaced, n):
            part = np.zeros(n, dtype=int) if c == 1 else rng.integers(1, 3, n)
            normal = rng.normal(size=(n, 5))
            return displaced[part] + widths[part, None] * normal

        def densities(X):
            parts = [
                stats.multivariate_normal(truth[i], widths[i] ** 2).pdf(X)
                for i in range(3)
            ]
            return np.stack([0.5 * (parts[1] + parts[2]), parts[0]], axis=1)

        settings = [centres + spread * rng.normal(size=(3, 5)) for _ in range(7)]
        *settings, truth = settings
        return from_sources(draw, settings, truth, size, rng, densities=densities)

    sealed = spread == 0.25
    return Study(
        f"displaced clusters, s = {spread:g}", case, 5, sealed=sealed, seal=1 + sealed
    )


def _tails(rng, size) -> Case:
    """Student t of 1.5 to 4 degrees in three features."""

    def setting():
        z = rng.normal(size=(2, 4))
        return 0.1 * z[:, :3], np.exp(0.1 * z[:, 3])

    def draw(c, given, n):
        shift, scale = given[0][c], given[1][c]
        degrees = np.array([1.5, 2.0, 4.0])
        centre = np.array([1.0, 0.5, 0.2]) * c
        return centre + shift + scale * rng.standard_t(degrees, (n, 3))

    def densities(X):
        out = []
        for c in (0, 1):
            shift, scale = truth[0][c], truth[1][c]
            unit = (X - np.array([1.0, 0.5, 0.2]) * c - shift) / scale
            laws = stats.t.pdf(unit, [1.5, 2.0, 4.0]) / scale
            out.append(laws.prod(axis=1))
        return np.stack(out, axis=1)

    settings, truth = [setting() for _ in range(6)], setting()
    return from_sources(draw, settings, truth, size, rng, densities=densities)


def _counts(rng, size) -> Case:
    """Numbers of jets, leptons and b tags: Poisson, binomial and a category."""

    def setting():
        return 0.1 * rng.normal(size=(2, 3))

    def rates(c, given):
        jets = (3.0, 4.2)[c] * np.exp(given[c, 0])
        tag = 1.0 / (1.0 + np.exp(-((-1.0, 0.4)[c] + 2.0 * given[c, 1])))
        kind = np.array([[0.6, 0.3, 0.1], [0.45, 0.3, 0.25]])[c]
        kind = kind * np.exp(given[c, 2] * np.array([-1.0, 0.0, 1.0]))
        return jets, tag, kind / kind.sum()

    def draw(c, given, n):
        jets, tag, kind = rates(c, given)
        columns = (
            rng.poisson(jets, n),
            rng.binomial(4, tag, n),
            rng.choice(3, n, p=kind),
        )
        return np.stack(columns, axis=1).astype(float)

    def densities(X):
        out = []
        for c in (0, 1):
            jets, tag, kind = rates(c, truth)
            law = stats.poisson.pmf(X[:, 0], jets) * stats.binom.pmf(X[:, 1], 4, tag)
            out.append(law * kind[X[:, 2].astype(int)])
        return np.stack(out, axis=1)

    settings, truth = [setting() for _ in range(6)], setting()
    return from_sources(draw, settings, truth, size, rng, densities=densities)


def _unequal(rng, size) -> Case:
    """Simulations of a twentieth to three times the usual size, two features."""

    def setting():
        return 0.15 * rng.normal(size=(2, 2)), np.exp(0.1 * rng.normal(size=2))

    def draw(c, given, n):
        centre = np.array([[0.0, 0.0], [1.0, 0.6]])[c] + given[0][c]
        width = (1.0, 0.6)[c] * given[1][c]
        return centre + width * rng.normal(size=(n, 2))

    def densities(X):
        out = []
        for c in (0, 1):
            centre = np.array([[0.0, 0.0], [1.0, 0.6]])[c] + truth[0][c]
            width = (1.0, 0.6)[c] * truth[1][c]
            out.append(stats.multivariate_normal(centre, width**2).pdf(X))
        return np.stack(out, axis=1)

    settings, truth = [setting() for _ in range(6)], setting()
    sizes = [round(size.simulated * f) for f in (0.05, 0.1, 0.3, 1.0, 2.0, 3.0)]
    return from_sources(
        draw, settings, truth, size, rng, densities=densities, sizes=sizes
    )


STUDIES = [
    *[_spectrum(strength, 5) for strength in (0, 1, 2)],
    *[_spectrum(1, k) for k in (2, 10)],
    _spectrum(2, 10),
    *[_resonance(n) for n in (50, 500, 5000)],
    *[_clusters(s) for s in (0.05, 0.15, 0.25, 0.4, 1.0)],
    Study("heavy tails, 3 features", _tails, 3, sealed=True),
    Study("counts, 3 discrete features", _counts, 3, sealed=True),
    Study("unequal sizes, 2 features", _unequal, 2),
]

#: Not of the zoo's tables, but of the comparison with peers.
MORE = [_spectrum(0, 10)]
