"""Lists of named estimators as a parameter, as scikit-learn's meta-estimators have."""

from typing import Any, Self

from sktamm.exceptions import IncompatibleChoiceError

__all__ = ["Composition"]


class Composition:
    """Parameters of estimators in a list of (name, estimator) tuples.

    Children inherit scikit-learn's ``_BaseComposition`` as well.
    """

    _parts: str

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this estimator, and of the named ones: ``name__parameter``."""
        params: dict[str, Any] = self._get_params(self._parts, deep=deep)  # type: ignore[attr-defined]
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, or of a named one: ``name__parameter``."""
        self._set_params(self._parts, **params)  # type: ignore[attr-defined]
        return self

    def _check_parts(self) -> None:
        """Refuse what is not a list of names and estimators that measure fractions."""
        given = getattr(self, self._parts)
        try:
            pairs = [(name, estimator) for name, estimator in given]
        except (TypeError, ValueError):
            pairs = []
        names = [name for name, _ in pairs]
        if not pairs or len(set(names)) < len(names):
            raise IncompatibleChoiceError(
                f"{self._parts} must be a list of (name, estimator) tuples with names "
                f"that differ, got {given!r}."
            )
        for name, estimator in pairs:
            if not (hasattr(estimator, "fit") and hasattr(estimator, "infer")):
                raise IncompatibleChoiceError(
                    f"{self._parts} must have the methods 'fit' and 'infer', got "
                    f"{type(estimator).__name__} for {name!r}."
                )
