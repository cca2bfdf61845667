"""`iminuit.cost.Template` with the templates of all simulations free, called directly.

Yields y_k >= 0; kappa = sum of those of the signal over the sum of all, with the error
that the Hesse covariance propagates. "all templates free" differs by its interval, a
profile likelihood of kappa.
"""

from importlib.util import find_spec

import numpy as np

from peers.histograms import histograms
from peers.intervals import of_error
from peers.peer import Peer

N_CALLS = 20_000


def fit(content, templates, is_signal):
    """Fraction of the signal, its error, and whether the fit is valid."""
    from iminuit import Minuit, cost

    edges = np.arange(len(content) + 1.0)
    model = cost.Template(content, edges, list(templates), method="da")
    start = np.where(is_signal, 0.1 / is_signal.sum(), 0.9 / (~is_signal).sum())
    minuit = Minuit(model, *(start * content.sum()))
    minuit.limits = (0, 2 * content.sum())
    minuit.migrad(ncall=N_CALLS)
    minuit.hesse()
    if minuit.covariance is None:
        return 0.5, 1.0, False
    yields, covariance = np.array(minuit.values), np.array(minuit.covariance)
    kappa = yields[is_signal].sum() / yields.sum()
    slope = (is_signal - kappa) / yields.sum()
    return kappa, np.sqrt(slope @ covariance @ slope), minuit.valid


def answers(study, case, levels):
    """Fractions of all targets."""
    seen = histograms(study, case)
    templates = np.concatenate([seen.background, seen.signal])
    found = [fit(own, templates, seen.is_signal) for own in seen.targets]
    return of_error(found, levels) | {"shared_seconds": seen.seconds}


PEER = Peer(lambda study, case: True, answers, lambda: bool(find_spec("iminuit")))
