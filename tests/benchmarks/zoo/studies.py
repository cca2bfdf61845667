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


def study_of(name: str) -> Study:
    """The study of a name."""
    return next(s for s in [*STUDIES, *toys.MORE] if s.name == name)


def is_here(name: str) -> bool:
    """Whether the data of a study are here."""
    return any(s.name == name for s in [*STUDIES, *toys.MORE])


@lru_cache(maxsize=1)
def case_of(name: str, number: int, size: Size) -> Case:
    """The case of a set; the last one is kept, since many rows ask for it."""
    return study_of(name).case(number, size)
