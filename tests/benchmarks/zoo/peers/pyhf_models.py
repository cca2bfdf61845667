"""pyhf: a nominal with two-point variations, one for every other simulation.

The first simulation of a class (or the one named "nominal") is the nominal. Shapes are
normalised and both normalisations are free, for a fraction is asked for.

``two_point``: every other simulation, for each class, is the upward end of a variation
of its own, mirrored at the nominal for the downward end.
``families``: where the names say so, simulations are the two ends of one variation,
shared by the classes; an end that is alone is mirrored.

Bins are as they come, the statistics of templates enter by `staterror`.
"""

import logging
from importlib.util import find_spec

import numpy as np

from peers.histograms import histograms
from peers.intervals import of_error
from peers.peer import Peer

NOMINAL = "nominal"
ENDS = ("_up", "_down", "up", "down")
N_CALLS = 20_000
LARGEST_EDM = 2e-3  # what MIGRAD takes for a minimum at its default tolerance of .1
LEAST = 1e-6  # events: less would be the logarithm of nothing


def family_of(name):
    """Name of a variation without its direction."""
    for end in ENDS:
        name = name.removesuffix(end)
    return name


def two_point(label, names, nominal):
    """Name of the nuisance parameter, and numbers of the ends, for all variations."""
    others = [k for k in range(len(names)) if k != nominal]
    return [(f"{label}_{names[k]}", (k, None)) for k in others]


def families(label, names, nominal):
    """The same from names that end in "up" or "down"; alone, an end is mirrored."""
    found = {}
    for k, name in enumerate(names):
        if k != nominal:
            down = name.endswith("down")
            found.setdefault(family_of(name), [None, None])[down] = k
    out = []
    for name, (up, down) in found.items():
        out.append((name, (up, down) if up is not None else (down, None)))
    return out


def _sample(label, templates, names, yield_, variations):
    """One sample of the workspace."""
    nominal = names.index(NOMINAL) if NOMINAL in names else 0
    shapes = templates / templates.sum(axis=1, keepdims=True) * yield_
    own = np.maximum(shapes[nominal], LEAST)
    size = templates[nominal].sum()
    error = np.sqrt(np.maximum(templates[nominal], 1.0)) / size * yield_
    modifiers = [
        {"name": f"n_{label}", "type": "normfactor", "data": None},
        {"name": "statistics", "type": "staterror", "data": error.tolist()},
    ]
    for name, (up, down) in variations(label, names, nominal):
        high = shapes[up]
        low = 2.0 * own - high if down is None else shapes[down]
        ends = {"hi_data": high, "lo_data": np.maximum(low, LEAST)}
        data = {k: np.maximum(v, LEAST).tolist() for k, v in ends.items()}
        modifiers.append({"name": name, "type": "histosys", "data": data})
    return {"name": label, "data": own.tolist(), "modifiers": modifiers}


def fit(content, seen, variations):
    """Fraction of the signal, its Hesse error, and whether the fit is valid."""
    import pyhf

    used = content + seen.background.sum(axis=0) + seen.signal.sum(axis=0) > 0
    content = content[used]
    half = 0.5 * content.sum()
    names = [[str(name) for name in own] for own in seen.names]
    samples = [
        _sample(label, templates[:, used], own, half, variations)
        for label, templates, own in zip(
            ("b", "s"), (seen.background, seen.signal), names, strict=True
        )
    ]
    spec = {"channels": [{"name": "c", "samples": samples}]}
    model = pyhf.Model(spec, poi_name="n_s")
    minuit = _minimum(model, [*content, *model.config.auxdata])
    if minuit is None:
        return 0.5, 1.0, False
    order = [model.config.par_slice(f"n_{c}").start for c in "bs"]
    value = np.array(minuit.values)[order]
    covariance = np.array(minuit.covariance)[np.ix_(order, order)]
    kappa = value[1] / value.sum()
    slope = np.array([-kappa, 1.0 - kappa]) / value.sum()
    return kappa, np.sqrt(slope @ covariance @ slope), _valid(minuit)


def _valid(minuit):
    """Whether HESSE ended at a minimum."""
    return bool(minuit.accurate and minuit.fmin.edm < LARGEST_EDM)


def _minimum(model, data):
    """Minuit at the minimum that pyhf finds with scipy, errors by `hesse`, or None.

    From pyhf's start MIGRAD takes up to 200 000 calls for forty parameters; SLSQP finds
    the same minimum in a fiftieth of the time.
    """
    import pyhf
    from iminuit import Minuit

    logging.getLogger("pyhf").setLevel(logging.CRITICAL)
    pyhf.set_backend("numpy", "scipy")
    try:
        best = np.asarray(pyhf.infer.mle.fit(data, model, maxiter=2000))
    except pyhf.exceptions.FailedMinimization:
        return None
    minuit = Minuit(lambda p: pyhf.infer.mle.twice_nll(p, data, model)[0], best)
    minuit.errordef, minuit.strategy = Minuit.LEAST_SQUARES, 1
    minuit.limits = model.config.suggested_bounds()
    minuit.hesse()
    if not _valid(minuit):
        minuit.migrad(ncall=N_CALLS)
        minuit.hesse()
    return minuit if minuit.covariance is not None else None


def peer(variations, applies) -> Peer:
    """A peer of one way to make variations."""

    def answers(study, case, levels):
        seen = histograms(study, case)
        found = [fit(own, seen, variations) for own in seen.targets]
        return of_error(found, levels) | {"shared_seconds": seen.seconds}

    return Peer(
        applies, answers, lambda: bool(find_spec("pyhf") and find_spec("iminuit"))
    )
