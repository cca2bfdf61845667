"""All studies of the zoo, and their cases by name."""

from functools import lru_cache

import airshowers
import dihiggs
import gaussians
import jets
import measured
import toys
from cases import Case, Size, Study

STUDIES = [
    *gaussians.STUDIES,
    *toys.STUDIES,
    *dihiggs.STUDIES,
    *jets.STUDIES,
    *measured.STUDIES,
    *airshowers.STUDIES,
]
_BY_NAME = {study.name: study for study in [*STUDIES, *toys.MORE]}


def study_of(name: str) -> Study:
    """The study of a name."""
    return _BY_NAME[name]


def is_here(name: str) -> bool:
    """Whether the data of a study are here."""
    return name in _BY_NAME


@lru_cache(maxsize=1)
def case_of(name: str, number: int, size: Size) -> Case:
    """The case of a set; the last one is kept, since many rows ask for it."""
    return study_of(name).case(number, size)
