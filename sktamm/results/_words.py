"""A result in plain text."""

from typing import TYPE_CHECKING

from sktamm.results._digits import rounded

if TYPE_CHECKING:
    from sktamm.results._record import FractionResult

__all__ = ["BLINDED", "OWN_LINES", "choices_line", "own_lines", "result_summary"]

#: Entries of ``method`` that are lists or sentences, each on a line of its own.
OWN_LINES = {
    "families": "families",
    "odd simulations": "odd simulations",
    "near-duplicates": "near-duplicates",
    "left out": "simulations left out",
}
#: What is said wherever a blinded result is shown.
BLINDED = (
    "BLINDED: fractions are shifted by a hidden offset, intervals centred; errors and "
    "widths are true"
)


def choices_line(result: "FractionResult", separator: str = ": ") -> str:
    """Choices of the method in one line."""
    words = {k: v for k, v in result.method.items() if k not in OWN_LINES}
    return ", ".join(f"{k}{separator}{v}" for k, v in words.items())


def own_lines(result: "FractionResult") -> list[str]:
    """Entries of the method that have a line each."""
    return [
        f"{title}: {result.method[k]}"
        for k, title in OWN_LINES.items()
        if k in result.method
    ]


def result_summary(result: "FractionResult") -> str:
    """A few lines per dataset."""
    lines = [BLINDED] if result.is_blinded else []
    lines += [choices_line(result), *own_lines(result)]
    if result.features:
        lines.append(f"features: {', '.join(result.features)}")
    for i in range(result.kappa.size):
        lines += _dataset_lines(result, i)
    return "\n".join(lines)


def _dataset_lines(result: "FractionResult", i: int) -> list[str]:
    kappa, std = result.kappa[i], result.std[i]
    hidden = " (blinded)" if result.is_blinded else ""
    lines = [
        f"dataset {result.dataset[i]}: kappa = {rounded(kappa, std)} +- "
        f"{rounded(std, std)}{hidden} ({result.n_events[i]:.10g} events, fraction of "
        f"class {result.pos_label})"
    ]
    lines += [
        f"  {level:.1%} interval  [{rounded(low, std)}, {rounded(high, std)}]"
        for level, low, high in zip(result.levels, *result.interval[i], strict=True)
    ]
    return [*lines, f"  flags: {', '.join(result.flags[i]) or 'none'}"]
