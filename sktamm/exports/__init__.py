"""Results and adapted models as other programs read them.

Simulated events: `event_weights`. The adapted binned model: `to_pyhf`,
`kappa_from_pyhf`, `to_hs3`. What a result holds: `to_hist`, `to_arviz`, `to_hepdata`.
"""

from sktamm.exports._arviz import to_arviz
from sktamm.exports._hepdata import to_hepdata
from sktamm.exports._hist import ResultHistograms, to_hist
from sktamm.exports._hs3 import to_hs3
from sktamm.exports._pyhf import kappa_from_pyhf, to_pyhf
from sktamm.exports._weights import event_weights

__all__ = [
    "ResultHistograms",
    "event_weights",
    "kappa_from_pyhf",
    "to_arviz",
    "to_hepdata",
    "to_hist",
    "to_hs3",
    "to_pyhf",
]
