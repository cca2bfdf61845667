"""The record of a coverage study: one row per pseudo-experiment, and its tables."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sktamm._numerics import IntArray
from sktamm.coverage._errors import coverage_error
from sktamm.coverage._files import import_pyarrow, write_atomically
from sktamm.coverage._measures import FRACTIONS, covers, pulls, summarise
from sktamm.coverage._sets import check_quantiles, distribution, worst_tenth
from sktamm.coverage._summary import describe
from sktamm.exceptions import CheckpointError, InvalidInputError

__all__ = ["CoverageResult"]

BY = ("truth", "size", "strength", "group")
ERRORS = ("auto", "clopper-pearson", "groups", "wilson")
_KEY = b"sktamm.CoverageResult"


@dataclass(frozen=True, eq=False)
class CoverageResult:
    """Pseudo-experiments of known truth: estimates, intervals and how good they are.

    Attributes
    ----------
    experiment : ndarray of int, shape (n,)
        Index in the study, of ``SeedSequence(seed, spawn_key=(experiment,))``.
    truth : ndarray of shape (n,)
        True kappa, or another true parameter.
    size : ndarray of int, shape (n,)
        Number of events.
    strength : ndarray of shape (n,)
        Strength of the misspecification; 0 for none.
    group : ndarray of str, shape (n,)
        Set of simulations that was used; experiments of one group are correlated.
    kappa, std : ndarray of shape (n,)
        Estimates and standard errors; NaN where the fit failed.
    levels : ndarray of shape (n_levels,)
        Levels of the intervals.
    interval : ndarray of shape (n, 2, n_levels)
        Lower and upper ends; NaN where the fit failed.
    flags : ndarray of str, shape (n,)
        Names of the problems found, separated by blanks; empty when healthy.
    failure : ndarray of str, shape (n,)
        Why the fit failed; empty if it did not.
    seconds : ndarray of shape (n,)
        Wall time in seconds: that of the batch, shared equally by its experiments.
    seed : ndarray of int, shape (n,)
        Seed of the study.
    settings : mapping of str to str
        What was studied, in words.
    """

    experiment: NDArray[Any]
    truth: NDArray[Any]
    size: NDArray[Any]
    strength: NDArray[Any]
    group: NDArray[Any]
    kappa: NDArray[Any]
    std: NDArray[Any]
    levels: NDArray[Any]
    interval: NDArray[Any]
    flags: NDArray[Any]
    failure: NDArray[Any]
    seconds: NDArray[Any]
    seed: NDArray[Any]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def pulls(self) -> NDArray[Any]:
        """(kappa - truth) / std of every experiment; NaN where the fit failed."""
        return pulls(self.truth, np.where(self.failed, np.nan, self.kappa), self.std)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether the fit of every experiment failed: it has a reason, or no number."""
        return self._lost(np.arange(self.truth.size))

    def to_frame(self) -> pd.DataFrame:
        """One row per experiment, with ``lower_<level>`` and ``upper_<level>``."""
        columns: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("truth", "size", "strength", "group", "kappa", "std")
        }
        for i, level in enumerate(self.levels):
            columns[f"lower_{level:g}"] = self.interval[:, 0, i]
            columns[f"upper_{level:g}"] = self.interval[:, 1, i]
        columns |= {
            name: getattr(self, name)
            for name in ("flags", "failure", "seconds", "seed")
        }
        index = pd.Index(self.experiment, name="experiment")
        return pd.DataFrame(columns, index=index)

    def table(
        self,
        by: str | Sequence[str] = ("truth",),
        *,
        errors: str = "auto",
        error_level: float = 0.683,
    ) -> pd.DataFrame:
        """Coverage, widths, bias, pulls and interval scores by cell.

        Parameters
        ----------
        by : str or sequence of str, default=("truth",)
            What makes a cell, out of truth, size, strength and group; an empty
            sequence makes one cell of all.
        errors : {"auto", "groups", "clopper-pearson", "wilson"}, default="auto"
            Errors of a coverage: "groups" takes them from the scatter between groups,
            which share their simulations and are correlated; the others count
            experiments as independent. "auto" is "groups" where there are several. A
            cell of one group has no scatter and gets "clopper-pearson".
        error_level : float, default=0.683
            Level of the interval of a coverage.

        Returns
        -------
        table : pandas.DataFrame, one row per cell
            Columns ``n``, ``n_failed``, ``n_groups``; for every level
            ``coverage_0.683`` with ``coverage_lower_0.683`` and
            ``coverage_upper_0.683``, ``p_value_0.683`` (two-sided, against the level),
            ``worst_tenth_0.683`` (mean coverage of the worst tenth of the groups),
            ``mean_width_0.683`` and ``interval_score_0.683``; ``interval_score`` (their
            mean), ``higgsml`` (`higgsml_score` at the level from 0.68 to
            0.685, if there is one), ``bias``, ``rmse``, ``pull_mean`` and ``pull_std``.
            A failed fit is a miss and scores like [0, 1]; if any truth of the study
            lies outside [0, 1], scores leave failed fits out.
        """
        by = _check_by(by, BY)
        self._check_errors(errors, error_level)
        method = "groups" if errors == "auto" else errors
        rows = [
            {**cell, **self._measures(rows, method, error_level)}
            for cell, rows in self._cells(by)
        ]
        table = pd.DataFrame(rows)
        return table.set_index(list(by)) if by else table

    def coverage_quantiles(
        self,
        by: str | Sequence[str] = (),
        *,
        quantiles: float | Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9),
    ) -> pd.DataFrame:
        """Distribution of the coverage over groups, one of which is one set.

        A mean over sets of simulations can be nominal while some sets miss nearly
        always; ``table(by="group")`` lists them.

        Parameters
        ----------
        by : str or sequence of str, default=()
            What makes a cell, out of truth, size and strength; by default all
            experiments are one.
        quantiles : float or sequence of float
            Which quantiles, from 0 (the worst group) to 1.

        Returns
        -------
        table : pandas.DataFrame, one row per cell and level
            Columns ``n_groups``, ``mean`` (groups weigh the same), ``worst_tenth``
            (mean of the worst tenth of the groups, of one at least),
            ``exact_worst_tenth`` (the one to expect of exact intervals of independent
            experiments: groups of few scatter by chance) and a column for each
            quantile, ``q0.5``.
        """
        by = _check_by(by, BY[:-1])
        chosen = check_quantiles(quantiles)
        rows = [
            {
                **cell,
                "level": float(level),
                **distribution(
                    self._covered(rows, i), self.group[rows], float(level), chosen
                ),
            }
            for cell, rows in self._cells(by)
            for i, level in enumerate(self.levels)
        ]
        return pd.DataFrame(rows).set_index([*by, "level"])

    def merge(self, *others: "CoverageResult") -> "CoverageResult":
        """Join the experiments of several studies.

        Parameters
        ----------
        *others : CoverageResult
            Studies of other groups, other seeds or other experiments.

        Returns
        -------
        result : CoverageResult
            All experiments in the order given, and the settings they agree on.

        Raises
        ------
        InvalidInputError
            If the levels differ, or an experiment occurs twice: the same group, seed
            and index.
        """
        parts = [self, *others]
        for part in others:
            if not np.array_equal(part.levels, self.levels):
                raise InvalidInputError(
                    "Studies can be merged only if their levels agree, got "
                    f"{self.levels.tolist()} and {part.levels.tolist()}."
                )
        joined = {n: np.concatenate([getattr(p, n) for p in parts]) for n in _ROWS}
        _check_distinct(joined)
        settings = {
            name: value
            for name, value in self.settings.items()
            if all(part.settings.get(name) == value for part in others)
        }
        return CoverageResult(levels=self.levels, settings=settings, **joined)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all experiments to one Parquet file; it appears complete or not at all.

        Parameters
        ----------
        path : path-like
            File to write; an existing one is replaced.
        """
        arrow = import_pyarrow()
        table = arrow.Table.from_pandas(self.to_frame())
        about = {"levels": self.levels.tolist(), "settings": dict(self.settings)}
        metadata = {**(table.schema.metadata or {}), _KEY: json.dumps(about).encode()}
        buffer = BytesIO()
        arrow.parquet.write_table(table.replace_schema_metadata(metadata), buffer)
        write_atomically(Path(path), lambda file: file.write(buffer.getvalue()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            Parquet file.

        Returns
        -------
        result : CoverageResult
            The same numbers, bit for bit.

        Raises
        ------
        ImportError
            If pyarrow is not installed.
        CheckpointError
            If the file is missing, damaged or holds something else.
        """
        arrow = import_pyarrow()
        try:
            with open(path, "rb") as file:
                table = arrow.parquet.read_table(file)
            about = json.loads(table.schema.metadata[_KEY])
            return cls._from_frame(table.to_pandas(), **about)
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is not a readable CoverageResult "
                f"({type(error).__name__}: {error})."
            ) from error

    @classmethod
    def _from_frame(
        cls, frame: pd.DataFrame, levels: list[float], settings: dict[str, str]
    ) -> Self:
        ends = [
            [frame[f"{end}_{level:g}"].to_numpy(float) for level in levels]
            for end in ("lower", "upper")
        ]
        columns: dict[str, Any] = {"experiment": frame.index.to_numpy()}
        for name in _ROWS:
            if name in frame:
                text = name in ("group", "flags", "failure")
                columns[name] = frame[name].to_numpy(dtype=str if text else None)
        return cls(
            levels=np.array(levels, dtype=float),
            interval=np.ascontiguousarray(np.array(ends).transpose(2, 0, 1)),
            settings=settings,
            **columns,
        )

    def summary(self) -> str:
        """Readable account: what was studied, coverage by level, failures, flags."""
        return describe(self)

    def __repr__(self) -> str:
        """Short form: number of experiments, failures and levels."""
        levels = ", ".join(f"{level:g}" for level in self.levels)
        return (
            f"CoverageResult(n={self.truth.size}, n_failed={int(self.failed.sum())}, "
            f"levels=[{levels}])"
        )

    @property
    def _vacuous(self) -> tuple[float, float] | None:
        """Interval that says nothing; None if the truths are no fractions."""
        low, high = FRACTIONS
        inside = (self.truth >= low) & (self.truth <= high)
        return FRACTIONS if inside.all() else None

    def _check_errors(self, errors: str, error_level: float) -> None:
        if errors not in ERRORS:
            raise InvalidInputError(
                f"errors must be one of {', '.join(ERRORS)}, got {errors!r}."
            )
        if errors == "groups" and np.unique(self.group).size < 2:
            raise InvalidInputError(
                "errors='groups' takes the scatter between groups and needs at least "
                f"two, got {np.unique(self.group).size}."
            )
        if not 0.0 < error_level < 1.0:
            raise InvalidInputError(
                f"error_level must be between 0 and 1, got {error_level!r}."
            )

    def _lost(self, rows: IntArray) -> NDArray[np.bool_]:
        """Whether fits failed."""
        finite = np.isfinite(self.interval[rows]).all(axis=(1, 2))
        known = np.isfinite(self.kappa[rows]) & finite
        return (self.failure[rows] != "") | ~known

    def _covered(self, rows: IntArray, i: int) -> NDArray[np.bool_]:
        """Whether intervals of the i-th level hold their truth; failed fits do not."""
        lower, upper = self.interval[rows, 0, i], self.interval[rows, 1, i]
        return ~self._lost(rows) & covers(self.truth[rows], lower, upper)

    def _cells(self, by: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], IntArray]]:
        """Values that make each cell, sorted, and the rows of its experiments."""
        if not by:
            yield {}, np.arange(self.truth.size)
            return
        frame = pd.DataFrame({name: getattr(self, name) for name in by})
        cells = frame.groupby(list(by), sort=True).indices
        for values, rows in cells.items():
            known = values if isinstance(values, tuple) else (values,)
            yield dict(zip(by, known, strict=True)), np.asarray(rows)

    def _measures(
        self, rows: IntArray, method: str, error_level: float
    ) -> dict[str, float]:
        good = ~self._lost(rows)
        truth, interval = self.truth[rows], self.interval[rows]
        kappa = np.where(good, self.kappa[rows], np.nan)
        measures = summarise(
            truth, kappa, self.std[rows], interval, self.levels.tolist(), self._vacuous
        )
        del measures["failed"]
        cell: dict[str, float] = {
            "n": rows.size,
            "n_failed": int((~good).sum()),
            "n_groups": np.unique(self.group[rows]).size,
        }
        for i, level in enumerate(self.levels):
            covered = self._covered(rows, i)
            error = coverage_error(
                covered, self.group[rows], float(level), method, error_level
            )
            cell[f"coverage_{level:g}"] = measures.pop(f"coverage_{level:g}")
            cell[f"coverage_lower_{level:g}"] = error.lower
            cell[f"coverage_upper_{level:g}"] = error.upper
            cell[f"p_value_{level:g}"] = error.p_value
            cell[f"worst_tenth_{level:g}"] = worst_tenth(covered, self.group[rows])
            for name in (f"mean_width_{level:g}", f"interval_score_{level:g}"):
                cell[name] = measures.pop(name)
        return {**cell, **measures}


# Fields with one entry per experiment.
_ROWS = tuple(
    f.name for f in fields(CoverageResult) if f.name not in ("levels", "settings")
)


def _check_by(by: str | Sequence[str], allowed: Sequence[str]) -> tuple[str, ...]:
    by = (by,) if isinstance(by, str) else tuple(by)
    if not set(by) <= set(allowed) or len(set(by)) < len(by):
        raise InvalidInputError(
            f"by must hold different ones of {', '.join(allowed)}, got {by!r}."
        )
    return by


def _check_distinct(columns: Mapping[str, NDArray[Any]]) -> None:
    names = ["group", "seed", "experiment"]
    frame = pd.DataFrame({name: columns[name] for name in names})
    twice = frame[frame.duplicated()]
    if len(twice):
        group, seed, experiment = twice.iloc[0]
        raise InvalidInputError(
            "Studies can be merged only if no experiment occurs twice, but "
            f"{len(twice)} do, the first one experiment {experiment} of seed {seed} "
            f"and group {group!r}: repeat a study with another random_state, and name "
            "the sets of simulations by group."
        )
