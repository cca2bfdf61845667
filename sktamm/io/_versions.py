"""Versions of what computes the numbers, for files to say who wrote them."""

import importlib.metadata
import platform

__all__ = ["software"]

_PACKAGES = ("sktamm", "numpy", "scipy", "scikit-learn")


def software() -> dict[str, str | None]:
    """Versions of Python and of the packages behind every number."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    return found | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
