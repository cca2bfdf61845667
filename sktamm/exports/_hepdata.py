"""A result as tables for HEPData: a submission in YAML.

The folder gets ``submission.yaml``, one document per table, and a file per table with
its independent variables, its dependent variables, errors and qualifiers.

Reference: https://hepdata-submission.readthedocs.io
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sktamm._numerics import FloatArray
from sktamm.exceptions import InvalidInputError
from sktamm.io import provenance, replacing
from sktamm.results import AdaptedTemplates, FractionResult, refuse_blinded

__all__ = ["to_hepdata"]

_MISSING = "-"  # HEPData's word for no value


@dataclass(frozen=True, eq=False)
class _Table:
    """One table of a submission."""

    name: str
    file: str
    description: str
    keywords: dict[str, list[Any]]
    data: dict[str, Any]


def to_hepdata(
    result: FractionResult, folder: str | os.PathLike[str]
) -> tuple[Path, ...]:
    """Write a result as a submission to HEPData.

    Parameters
    ----------
    result : FractionResult
        What was measured.
    folder : path-like
        Folder to write to, made where it is missing. Files of an earlier submission
        with the same names are replaced.

    Returns
    -------
    paths : tuple of Path
        ``submission.yaml``, then the files of its tables: kappa of every dataset with
        standard error and intervals, and for binned estimators data and adapted
        mixture in the bins of every dataset.

    Raises
    ------
    InvalidInputError
        If the result is blinded, the folder is a file, or PyYAML is not installed.

    References
    ----------
    Maguire, Heinrich, Watt, "HEPData: a repository for high energy physics data",
    J. Phys. Conf. Ser. 898 (2017) 102006.

    Examples
    --------
    >>> import tempfile
    >>> from sktamm import BinnedTopicTAMM
    >>> from sktamm.datasets import make_gaussian_study
    >>> from sktamm.exports import to_hepdata
    >>> study = make_gaussian_study(n_simulations=6, n_events=2000, random_state=0)
    >>> tamm = BinnedTopicTAMM(bins=4).fit(
    ...     study.X, study.y, simulation=study.simulation
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = to_hepdata(tamm.infer(study.X_target), folder)
    >>> [path.name for path in paths]
    ['submission.yaml', 'kappa.yaml', 'mixture_0.yaml']
    """
    refuse_blinded(result, "to_hepdata")
    yaml = _import_yaml()
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"folder must be a folder, got the file {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    tables = list(_tables(result))
    documents = [_preamble(), *map(_entry, tables)]
    texts = {"submission.yaml": yaml.safe_dump_all(documents, sort_keys=False)}
    for table in tables:
        texts[table.file] = yaml.safe_dump(table.data, sort_keys=False)
    for name, text in texts.items():
        with replacing(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    return tuple(folder / name for name in texts)


# ------------------------------------------------------------------ private functions
def _import_yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise InvalidInputError(
            "to_hepdata needs PyYAML: pip install 'sktamm[hep]'."
        ) from error
    return yaml


def _preamble() -> dict[str, Any]:
    """What stands before the tables."""
    return {
        "comment": "Signal fractions from several simulations whose blend the data "
        "adapt, measured with sktamm."
    }


def _entry(table: _Table) -> dict[str, Any]:
    """What the submission says of a table."""
    keywords = [{"name": k, "values": v} for k, v in table.keywords.items()]
    return {
        "name": table.name,
        "description": table.description,
        "keywords": keywords,
        "data_file": table.file,
    }


def _tables(result: FractionResult) -> Iterator[_Table]:
    label = str(result.pos_label)
    yield _Table(
        "Signal fraction",
        "kappa.yaml",
        f"Fraction of the events of every dataset that are of class {label}.",
        {"observables": ["kappa"]},
        {
            "independent_variables": [
                {
                    "header": {"name": "dataset"},
                    "values": [{"value": str(name)} for name in result.dataset],
                }
            ],
            "dependent_variables": _measured(result),
        },
    )
    if result.templates is None:
        return
    for i, name in enumerate(result.dataset):
        yield _Table(
            f"Adapted mixture of dataset {name}",
            f"mixture_{i}.yaml",
            f"Data of dataset {name} and the mixture that was adapted to them, in sums "
            "of event weights per bin.",
            {"observables": ["N"]},
            {
                "independent_variables": _bins(result.templates),
                "dependent_variables": _contents(result, result.templates, i),
            },
        )


def _measured(result: FractionResult) -> list[dict[str, Any]]:
    """Kappa with its errors, numbers of events, and flags."""
    said = {**result.method, **_version()}
    qualifiers = [{"name": k, "value": str(v)} for k, v in said.items()]
    flags = [", ".join(names) or "none" for names in result.flags]
    return [
        {
            "header": {"name": f"kappa, fraction of class {result.pos_label}"},
            "qualifiers": qualifiers,
            "values": [_kappa(result, i) for i in range(result.kappa.size)],
        },
        {
            "header": {"name": "sum of event weights"},
            "values": [{"value": _number(n)} for n in result.n_events],
        },
        {"header": {"name": "flags"}, "values": [{"value": f} for f in flags]},
    ]


def _version() -> dict[str, Any]:
    return {"sktamm": provenance()["software"].get("sktamm")}


def _kappa(result: FractionResult, i: int) -> dict[str, Any]:
    """Estimate of a dataset, its standard error and its intervals as errors."""
    kappa, std = result.kappa[i], result.std[i]
    errors = _symmetric(std, "standard error")
    for level, low, high in zip(result.levels, *result.interval[i], strict=True):
        if np.isfinite([low, high]).all():
            ends = {"plus": float(high - kappa), "minus": float(low - kappa)}
            errors += [{"asymerror": ends, "label": f"{level:.1%} interval"}]
    return _with_errors(kappa, errors)


def _symmetric(error: float, label: str) -> list[dict[str, Any]]:
    """An error, unless it is zero or no number, which HEPData refuses."""
    known = np.isfinite(error) and error > 0
    return [{"symerror": float(error), "label": label}] if known else []


def _with_errors(value: float, errors: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"value": _number(value)}
    return found | ({"errors": errors} if errors else {})


def _number(value: Any) -> float | str:
    return float(value) if np.isfinite(value) else _MISSING


def _bins(templates: AdaptedTemplates) -> list[dict[str, Any]]:
    """Edges of every bin along every feature, flow bins in words."""
    index = np.unravel_index(np.arange(templates.counts.shape[1]), templates.shape)
    variables = []
    for name, edges, numbers in zip(
        templates.feature_names, templates.edges, index, strict=True
    ):
        low, high = edges[:-1].tolist(), edges[1:].tolist()
        values: list[dict[str, Any]] = [
            {"low": a, "high": b} for a, b in zip(low, high, strict=True)
        ]
        if templates.flow:
            ends = f"below {low[0]:g}", f"above {high[-1]:g}"
            values = [{"value": ends[0]}, *values, {"value": ends[1]}]
        own = [dict(values[j]) for j in numbers]
        variables.append({"header": {"name": name}, "values": own})
    return variables


def _contents(
    result: FractionResult, templates: AdaptedTemplates, i: int
) -> list[dict[str, Any]]:
    """Data with their errors, the mixture and every class."""
    counts, errors = templates.counts[i], np.sqrt(templates.variances[i])
    data = [
        _with_errors(n, _symmetric(e, "stat"))
        for n, e in zip(counts, errors, strict=True)
    ]
    expected = result.n_events[i] * result.fractions[i]
    adapted = expected[:, None] * templates.adapted[i]
    columns = [_column("mixture", adapted.sum(axis=0))]
    columns += [
        _column(f"class {label}", content)
        for label, content in zip(result.classes, adapted, strict=True)
    ]
    return [{"header": {"name": "data"}, "values": data}, *columns]


def _column(name: str, content: FloatArray) -> dict[str, Any]:
    values = [{"value": _number(v)} for v in content]
    return {"header": {"name": name}, "values": values}
