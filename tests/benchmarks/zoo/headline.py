"""Peers beside sktamm on the headline cells, a file per cell, set and row.

    SKTAMM_DATA=FOLDER SKTAMM_CACHE=FOLDER \\
        python tests/benchmarks/zoo/headline.py --checkpoint DIR            # all of it
    python tests/benchmarks/zoo/headline.py --checkpoint DIR --rows PART... --cells PART...
    python tests/benchmarks/zoo/headline.py --checkpoint DIR --store    # results, stored

The pseudo-experiments are those of `run.py`, set by set: 67 sets of three targets, or
as many as the data allow. A run goes on where it was stopped, in one process: the first
sets of all cells before the last ones of any. Peers that are not installed are left out.
"""

import argparse
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import rows
import run
from peers import PEERS
from studies import study_of

SETS = 67
#: Parts of names of rows that take seconds a set: they start with fewer sets.
DEAR = ("NumPyro", "QuaPy", "pyhf", "torch", "Auto", rows.TRANSPORT)
#: Sets are run in these blocks, (dear, first, last), so that all cells grow alike.
BLOCKS = [
    (False, 0, 20),
    (True, 0, 5),
    (False, 20, SETS),
    (True, 5, 20),
    (True, 20, SETS),
]

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
    transport = [rows.TRANSPORT] if rows.transport.installed() else []
    return [*OWN[:3], *BASELINES, *there, *transport, *OWN[3:]]


def missing(options):
    """Cell, row and set of what is not there yet."""
    wanted = [r for r in every() if any(part in r for part in options.rows)]
    wanted = [r for r in wanted if not any(part in r for part in options.without)]
    cells = [c for c in CELLS if any(part in c for part in options.cells)]
    return [
        (cell, row, number)
        for dear, first, last in BLOCKS
        for cell in cells
        for number in range(first, min(last, sets_of(options, cell)))
        for row in wanted
        if dear == any(part in row for part in DEAR)
        and (row != FREE_SCORE or study_of(cell).n_features > 2)
        and not run.path_of(options, cell, row, number).exists()
    ]


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


def parse(arguments=None):
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=SETS)
    parser.add_argument("--cells", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--rows", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--without", nargs="*", default=[], help="parts of names")
    return SimpleNamespace(**vars(parser.parse_args(arguments)), full=False)


def main(arguments=None):
    """Run what is missing."""
    options = parse(arguments)
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    go(options)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
