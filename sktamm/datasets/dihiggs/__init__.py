"""Di-Higgs production in four jets: a generator, and the published events."""

from sktamm.datasets.dihiggs._archive import DiHiggsArchive, load_dihiggs
from sktamm.datasets.dihiggs._study import DiHiggsStudy, make_dihiggs

__all__ = ["DiHiggsArchive", "DiHiggsStudy", "load_dihiggs", "make_dihiggs"]
