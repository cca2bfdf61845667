"""Peers: what users have today, written as a skilled user would call it."""

from peers import numpyro_linear, plain_torch, pyhf_models, quapy, student, templates
from peers.peer import Peer

#: Peers by the name of their row.
PEERS: dict[str, Peer] = {
    "iminuit, 2K templates": templates.PEER,
    "t of Sellentin and Heavens": student.peer("sellentin", 3),
    "t of Percival et al.": student.peer("percival", 6),
    "NumPyro, linear": numpyro_linear.PEER,
    "pyhf, two-point": pyhf_models.peer(
        pyhf_models.two_point, lambda study, case: True
    ),
    "pyhf, families": pyhf_models.peer(
        pyhf_models.families,
        lambda study, case: pyhf_models.NOMINAL in list(case.simulation),
    ),
    "neural estimation, plain torch": plain_torch.PEER,
    "QuaPy ACC": quapy.peer("ACC"),
    "QuaPy EMQ": quapy.peer("EMQ"),
    "QuaPy KDEy-ML": quapy.peer("KDEy-ML"),
}
