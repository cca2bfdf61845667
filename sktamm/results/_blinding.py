"""Hiding kappa until the analysis is settled: a shift that only a seed can undo.

What can be shown shifted is shifted by an offset that the seed alone determines; what
shows kappa by its shape, such as a curve that ends at 0, is sealed. The unblinded
result comes out of the seal, not from a subtraction, and is that of before, bit for
bit.
Harrison, "Blind analysis", J. Phys. G 28 (2002) 2679.
"""

import hashlib
import json
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sktamm.exceptions import InvalidInputError
from sktamm.results._parts import Profile
from sktamm.results._seal import open_seal, sealed

if TYPE_CHECKING:
    from sktamm.results._record import FractionResult

__all__ = [
    "SHOWN_DIAGNOSTICS",
    "SHOWN_FLAGS",
    "blinded",
    "check_seed",
    "refuse_blinded",
    "unblinded",
]

# Standard deviation of the offset. Any two fractions between 0 and 1 make a blinded
# value equally likely up to a factor exp(offset / scale^2), 1.2 for two deviations.
_SCALE = 10.0
_SHIFTED = ("kappa", "interval", "fractions")
#: Diagnostics that say nothing about where kappa is; all others are sealed.
SHOWN_DIAGNOSTICS = frozenset(
    {
        "beyond",
        "calibration_units",
        "converged",
        "disagreement",
        "discrepancy",
        "discrepancy_blend",
        "discrepancy_rows",
        "ess_bulk",
        "ess_tail",
        "events_per_bin",
        "exchangeability",
        "goodness_of_fit",
        "interval_scale",
        "laplace_error",
        "mean_pull",
        "n_divergent",
        "n_iterations",
        "out_of_range",
        "overlap",
        "poor_sampling",
        "prior_tension",
        "r_hat",
        "reference_size",
        "singular",
        "span",
        "statistical_std",
        "std_discrepancy",
        "std_ratios",
        "std_reference",
        "unfilled",
    }
)
#: Flags that stay; "at_boundary" and "unphysical" say where kappa is.
SHOWN_FLAGS = frozenset(
    {
        "bad_fit",
        "empty_bins",
        "in_tension",
        "little_overlap",
        "not_converged",
        "not_exchangeable",
        "out_of_range",
        "poor_reference",
        "poor_sampling",
        "rough_integral",
        "singular",
        "sparse_templates",
        "uncertain_ratios",
    }
)


def refuse_blinded(result: "FractionResult", what: str) -> None:
    """Refuse what shows kappa, named ``what``, of a blinded result."""
    if result.is_blinded:
        raise InvalidInputError(
            f"{what} shows kappa and needs a result that is not blinded; unblind it "
            "first with result.unblinded(seed)."
        )


def blinded(result: "FractionResult", seed: str) -> "FractionResult":
    """Result with kappa hidden."""
    if result.seal is not None:
        raise InvalidInputError("A result is blinded once; this one already is.")
    secret = _secret(seed)
    with np.errstate(all="ignore"):  # ends may be infinite
        kappa = result.kappa + _offset(secret)
        half = 0.5 * (result.interval[:, 1] - result.interval[:, 0])
        interval = np.stack([kappa[:, None] - half, kappa[:, None] + half], axis=1)
        fractions = _shifted_fractions(result, kappa)
    shown = {k: v for k, v in result.diagnostics.items() if k in SHOWN_DIAGNOSTICS}
    public = result.std.tobytes() + np.asarray(result.n_events).tobytes()
    return replace(
        result,
        kappa=kappa,
        interval=interval,
        fractions=fractions,
        diagnostics=shown,
        flags=tuple(
            tuple(name for name in flags if name in SHOWN_FLAGS)
            for flags in result.flags
        ),
        draws=None,
        profile=None,
        templates=_without_data(result),
        seal=sealed(_hidden(result), secret, public),
    )


def unblinded(result: "FractionResult", seed: str) -> "FractionResult":
    """Result as it was before it was blinded."""
    if result.seal is None:
        raise InvalidInputError("Only a blinded result can be unblinded; this is none.")
    hidden: Any = open_seal(result.seal, _secret(seed))
    words = json.loads(str(hidden["words"]))
    diagnostics = dict(result.diagnostics)
    for i, name in enumerate(words["sealed"]):
        diagnostics[name] = hidden[f"diagnostic{i}"]
    profile, templates = None, result.templates
    if "profile_kappa" in hidden:
        profile = Profile(hidden["profile_kappa"], hidden["profile_log_density"])
    if templates is not None:
        counts, variances = hidden["counts"], hidden["variances"]
        templates = replace(templates, counts=counts, variances=variances)
    return replace(
        result,
        **{name: hidden[name] for name in _SHIFTED},
        diagnostics={name: diagnostics[name] for name in words["diagnostics"]},
        flags=tuple(tuple(flags) for flags in words["flags"]),
        draws=None
        if words["draws"] is None
        else tuple(hidden[f"draws{i}"] for i in range(words["draws"])),
        profile=profile,
        templates=templates,
        seal=None,
    )


def check_seed(seed: str) -> None:
    """Refuse what is no text, or an empty one."""
    if not isinstance(seed, str) or not seed.strip():
        raise InvalidInputError(f"seed must be a text that is not empty, got {seed!r}.")


def _secret(seed: str) -> bytes:
    """Bytes of a seed, the same however its letters are composed."""
    check_seed(seed)
    return unicodedata.normalize("NFC", seed).encode("utf-8", "surrogatepass")


def _offset(secret: bytes) -> float:
    """Normal number of a secret, with standard deviation ``_SCALE``."""
    digest = hashlib.sha256(b"offset of kappa\0" + secret).digest()
    return _SCALE * float(ndtri((int.from_bytes(digest[:6], "big") + 0.5) / 2**48))


def _shifted_fractions(result: "FractionResult", kappa: NDArray[Any]) -> NDArray[Any]:
    """Fractions (n_datasets, n_classes) with a sum of one, that of kappa blinded."""
    fractions = np.array(result.fractions, dtype=float)
    label = _plain(result.pos_label)
    positive = np.array([_plain(name) == label for name in result.classes], dtype=bool)
    others = fractions[:, ~positive]
    missing = (1.0 - kappa - others.sum(axis=1)) / max(others.shape[1], 1)
    fractions[:, ~positive] = others + missing[:, None]
    fractions[:, positive] = kappa[:, None]
    return fractions


def _plain(label: Any) -> Any:
    """Label as Python has it, which compares with any other."""
    return label.item() if isinstance(label, np.generic) else label


def _without_data(result: "FractionResult") -> Any:
    """Templates whose data are NaN."""
    if result.templates is None:
        return None
    unknown = np.full(result.templates.counts.shape, np.nan)
    return replace(result.templates, counts=unknown, variances=unknown)


def _hidden(result: "FractionResult") -> dict[str, NDArray[Any]]:
    """Arrays that a blinded result does not show."""
    names = [name for name in result.diagnostics if name not in SHOWN_DIAGNOSTICS]
    words = {
        "diagnostics": list(result.diagnostics),
        "sealed": names,
        "flags": result.flags,
        "draws": None if result.draws is None else len(result.draws),
    }
    hidden = {name: getattr(result, name) for name in _SHIFTED}
    hidden["words"] = np.array(json.dumps(words))
    hidden |= {f"diagnostic{i}": result.diagnostics[n] for i, n in enumerate(names)}
    hidden |= {f"draws{i}": draws for i, draws in enumerate(result.draws or ())}
    if result.profile is not None:
        hidden["profile_kappa"] = result.profile.kappa
        hidden["profile_log_density"] = result.profile.log_density
    if result.templates is not None:
        hidden["counts"] = result.templates.counts
        hidden["variances"] = result.templates.variances
    return hidden
