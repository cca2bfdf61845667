"""Results and adapted models as other programs read them.

Simulated events
----------------
event_weights
"""

from sktamm.exports._weights import event_weights

__all__ = ["event_weights"]
