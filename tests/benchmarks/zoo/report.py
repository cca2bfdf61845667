"""The zoo's tables in Markdown: one summary, one table per study."""

import collections

from measures import COLUMNS, bad, failed, row_of, short_of

#: Rows whose simulations are seen in all features, the first that a study has.
OVERLAPS = "NeuralRatioTAMM(form='linear')", "BinnedTopicTAMM()"


def markdown(title, studies, rows, collected):
    """All tables.

    ``collected(study, row)`` gives the answers of a row, a list that may be empty.
    """
    parts = [title, *_summary(studies, rows, collected)]
    for study in studies:
        parts += _of_study(study, rows, collected)
    return "\n".join(parts) + "\n"


def title_of(size, name, sets, sets_of_rows, studies):
    """What was run, in a line, and which studies were sealed."""
    fewer = "".join(f", {n} of rows with {part!r}" for part, n in sets_of_rows.items())
    seals = {study.seal for study in studies if study.sealed}
    sealed = [
        f"seal {k}: " + ", ".join(s.name for s in studies if s.sealed and s.seal == k)
        for k in sorted(seals)
    ]
    return (
        "# Tables of the zoo\n\n"
        f"Size {name}: {size.simulated} events of a class of a simulation, "
        f"{size.target} of a target; at most {sets} sets of a study{fewer}. "
        f"Sealed: {'; '.join(sealed) or 'none'}. Choices were made on the others.\n"
    )


def _summary(studies, rows, collected):
    """Studies against methods: interval score (coverage at 68.3 / 95.5 %)."""
    lines = [
        "## Summary\n",
        "Interval score at 68.3 % (coverage at 68.3 % / at 95.5 %); s: sealed. "
        "Overlap: of the simulations in all features, learned, or in bins where there "
        "are no events.\n",
        *_head(["study", "overlap", *rows]),
    ]
    for study in studies:
        found = [collected(study, row) for row in rows]
        cells = [short_of(f) if f else "" for f in found]
        name = study.name + " (s)" * study.sealed
        lines.append(_line([name, overlap_of(study, collected), *cells]))
    converged = [_converged(studies, row, collected) for row in rows]
    return [*lines, _line(["converged, all studies", "", *converged])]


def overlap_of(study, collected):
    """Mean overlap of the simulations of a study, as text."""
    for row in OVERLAPS:
        known = [v for f in collected(study, row) for v in f.get("overlap", [])]
        known = [v for v in known if v is not None]
        if known:
            return f"{sum(known) / len(known):.2f}"
    return ""


def _converged(studies, row, collected):
    """Share of the fits of a row that converged."""
    flags = [
        own for study in studies for f in collected(study, row) for own in f["flags"]
    ]
    return f"{1 - sum(map(bad, flags)) / len(flags):.3f}" if flags else ""


def _of_study(study, rows, collected):
    """Table of a study, and what failed in it."""
    lines = [f"\n## {study.name}{' (sealed)' if study.sealed else ''}\n"]
    lines += _head(COLUMNS)
    failures: collections.Counter = collections.Counter()
    for row in rows:
        found = collected(study, row)
        if found:
            lines.append(_line(row_of(row, found)))
        flags = [own for f in found for own in f["flags"] if failed(own)]
        failures.update((row, own[0]) for own in flags)
    notes = [f"* {row}, {n} times {text}" for (row, text), n in failures.items()]
    return [*lines, *([""] if notes else []), *notes]


def _head(cells):
    return [_line(cells), "|---" * len(cells) + "|"]


def _line(cells):
    return "| " + " | ".join(cells) + " |"
