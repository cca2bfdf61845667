"""Peers beside sktamm on the headline cells, a file per cell, set and row.

    export SKTAMM_DATA=FOLDER SKTAMM_CACHE=FOLDER
    python tests/benchmarks/zoo/headline.py --checkpoint DIR             # all of it
    python tests/benchmarks/zoo/headline.py --checkpoint DIR --rows PART --cells PART
    python tests/benchmarks/zoo/headline.py --checkpoint DIR --store     # no run

The pseudo-experiments are those of `run.py`, set by set: 67 sets of three targets, or
as many as the data allow. A run goes on where it was stopped, in one process, in the
order of ``BLOCKS``, and leaves out what is stored already, whichever machine did it.
Peers that are not installed are left out. ``--store`` adds the answers of DIR to
``results/headline.json``, which `make_page.py` reads.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import rows
import run
from measures import bad, failed
from peers import PEERS
from studies import is_here, study_of

RESULTS = Path(__file__).parents[1] / "results/headline.json"
SETS = 67
PEAK = "peak on a gamma spectrum, strength {}, K = {}"
BINNED_CELLS = [
    *[PEAK.format(strength, k) for strength in (1, 2, 0) for k in (5, 10)],
    "Gaussian, 2 features, published truth",
    "Gaussian, 2 features, drawn truth",
    "di-Higgs, 2 masses, one scale",
    "di-Higgs, 2 masses, a scale per class",
    "ttbar histograms",
]
EVENT_CELLS = [
    "Gaussian, 5 features, drawn truth",
    "cytometry: Monocytes",
    "quark and gluon jets",
    "counts, 3 discrete features",
    "images: 3 among 5, 8, 9, 6 components, distortion 1",
]
CELLS = [*BINNED_CELLS, *EVENT_CELLS]

#: Parts of names of rows that take seconds a set, and ten seconds.
DEAR = "pyhf", rows.TRANSPORT
DEAREST = "NumPyro", "QuaPy", "torch"
#: `AutoTAMM()` judges what is cheap to answer; in 79 of 79 sets (five of a cell, jets
#: seven, ttbar two) it answered the default, so that its own row comes last.
PRICES = (1, DEAR), (2, DEAREST), (3, (rows.AUTO,))
#: Cells, prices of rows, first and last set: what tells most for the time comes first.
BLOCKS = [
    (BINNED_CELLS, (0,), 0, 20),
    (EVENT_CELLS, (0,), 0, 5),
    (BINNED_CELLS, (1,), 0, 5),
    (CELLS, (1, 2), 0, 1),
    (BINNED_CELLS, (0,), 20, 40),
    (CELLS, (1, 2), 1, 2),
    (BINNED_CELLS, (0,), 40, SETS),
    (EVENT_CELLS, (0,), 5, 20),
    (CELLS, (1,), 2, 20),
    (CELLS, (2,), 2, 5),
    (CELLS, (0, 1), 20, SETS),
    (CELLS, (2,), 5, SETS),
    (CELLS, (3,), 0, SETS),
]

#: What is stored of a row, set by set.
NAMES = ("sets", "kappa", "low", "high", "flags", "seconds")
NONE: dict[str, list] = {name: [] for name in NAMES}

#: Up to two features the bins are those of the features.
FREE_SCORE = "all templates free, score"
OWN = ["BinnedTopicTAMM()", rows.MEAN, rows.FAMILIES, rows.AUTO]
BASELINES = [
    rows.ORACLE,
    rows.RIGHT,
    "one simulation",
    "pooled simulations",
    "all templates free",
    FREE_SCORE,
]


def every():
    """Names of the rows, ours and the referees first, those that take long last."""
    there = [name for name, peer in PEERS.items() if peer.installed()]
    return [*OWN[:3], *BASELINES, *there, rows.TRANSPORT, *OWN[3:]]


def missing(options):
    """Cell, row and set of what is not there yet."""
    wanted = [r for r in every() if any(part in r for part in options.rows)]
    wanted = [r for r in wanted if not any(part in r for part in options.without)]
    before = stored_before()
    tasks = [
        (cell, row, number)
        for cells, prices, first, last in BLOCKS
        for cell in cells
        if is_here(cell)
        for number in range(first, min(last, sets_of(options, cell)))
        for row in wanted
        if price_of(row) in prices
        and any(part in cell for part in options.cells)
        and (row != FREE_SCORE or study_of(cell).n_features > 2)
        and number not in before.get(cell, {}).get("rows", {}).get(row, NONE)["sets"]
        and not run.path_of(options, cell, row, number).exists()
    ]
    return list(dict.fromkeys(tasks))


def price_of(row):
    """0 for what is cheap."""
    if row == rows.FAMILIES:
        return 0
    return sum(any(part in row for part in own) * k for k, own in PRICES)


def sets_of(options, cell):
    """Number of sets of a cell."""
    return min(options.sets, study_of(cell).n_sets or options.sets)


def go(options):
    """Answer what is missing, and say how far it is."""
    start, tasks = time.perf_counter(), missing(options)
    for k, task in enumerate(tasks, 1):
        line = run.answer(options, *task)
        if line:
            spent = time.perf_counter() - start
            print(
                f"{k} of {len(tasks)}, {spent:.0f} s: {line}",
                file=sys.stderr,
                flush=True,
            )


# -------------------------------------------------------------------------- results
def stored_before():
    """Cells of `RESULTS`, if there are any."""
    return json.loads(RESULTS.read_text())["cells"] if RESULTS.exists() else {}


def stored(options):
    """All answers as `peers_table` reads them: numbers in units of .0001."""
    before = stored_before()
    cells = {cell: own for cell, own in before.items() if not is_here(cell)}
    for cell in filter(is_here, CELLS):
        old = before.get(cell, {"truth": {}, "rows": {}})
        truth = dict(old["truth"])
        found = {
            row: _stored(options, cell, row, truth, old["rows"].get(row, NONE))
            for row in every_one()
        }
        found = {row: own for row, own in found.items() if own["sets"]}
        if study_of(cell).n_features <= 2:
            found.pop(FREE_SCORE, None)
        ours = rows.MEAN if study_of(cell).n_features > 2 else OWN[0]
        if ours in found or rows.AUTO in found:
            cells[cell] = {"truth": truth, "rows": found}
    cells = {cell: cells[cell] for cell in CELLS if cell in cells}
    return {"unit": 1e-4, "levels": rows.LEVELS, "cells": cells}


def every_one():
    """Names of the rows, whether their peers are installed here or not."""
    return [*OWN, *BASELINES, *PEERS, rows.TRANSPORT]


def _stored(options, cell, row, truth, before):
    """Answers of a row; ``truth`` is told the fractions of every set."""
    out = {name: [] for name in NONE}
    for number in range(sets_of(options, cell)):
        path = run.path_of(options, cell, row, number)
        own = json.loads(path.read_text()) if path.exists() else None
        if own is None:
            if number in before["sets"]:
                k = before["sets"].index(number)
                for name, values in before.items():
                    out[name].append(values[k])
            continue
        truth[str(number)] = _small(own["truth"])
        low, high = np.moveaxis(np.array(own["interval"]), 1, 0)
        for name, values in (("kappa", own["kappa"]), ("low", low), ("high", high)):
            out[name].append(_small(values))
        out["sets"].append(number)
        out["flags"].append([_state(flags) for flags in own["flags"]])
        out["seconds"].append(round(own["seconds"], 1))
    return out


def _small(values):
    """Whole numbers of units; refuses what is none."""
    if not np.isfinite(values).all():
        raise ValueError(f"answers must be finite to be stored, got {values}.")
    return np.rint(1e4 * np.array(values)).astype(int).tolist()


def _state(flags):
    """0 for nothing, 1 flagged, 2 not converged, 3 failed."""
    return 3 if failed(flags) else 2 if bad(flags) else int(bool(flags))


# -------------------------------------------------------------------------- options
def parse(arguments=None):
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=SETS)
    parser.add_argument("--cells", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--rows", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--store", action="store_true", help="results, nothing run")
    parser.add_argument("--without", nargs="*", default=[], help="parts of names")
    return SimpleNamespace(**vars(parser.parse_args(arguments)), full=False)


def main(arguments=None):
    """Run what is missing, or store what is there."""
    options = parse(arguments)
    if options.store:
        RESULTS.write_text(json.dumps(stored(options), separators=(",", ":")) + "\n")
        return
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    go(options)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
