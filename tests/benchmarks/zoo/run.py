"""The zoo: one method is not right because it is right on one family of toys.

    python tests/benchmarks/zoo/run.py --checkpoint DIR            # small
    python tests/benchmarks/zoo/run.py --checkpoint DIR --full --sets 30

Every study yields sets of simulations and targets of known fraction; every row of the
table is a method, a baseline, or an answer that nobody has. Results lie in the folder,
one file per study, set and row, so that a run can be stopped and go on. Studies that
are sealed are run only with ``--sealed``: choices are made on the others.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import dihiggs
import gaussians
import measured
import numpy as np
import rows
import toys
from cases import FULL, SMALL
from joblib import Parallel, delayed
from measures import HEADER, row_of

STUDIES = [
    *gaussians.STUDIES,
    *toys.STUDIES,
    *dihiggs.STUDIES,
    *measured.STUDIES,
]
EVERY = [rows.ORACLE, rows.RIGHT, rows.NOTHING, *rows.ROWS]


def path_of(options, study, row, number):
    """File of the answers of a row for one set."""
    size = "full" if options.full else "small"
    key = hashlib.sha256(f"{study.name}/{row}".encode()).hexdigest()[:12]
    return options.checkpoint / f"{size}-{key}-{number}.json"


def run_set(options, study, number, wanted):
    """Answers of all rows for one set that are not there yet."""
    missing = [r for r in wanted if not path_of(options, study, r, number).exists()]
    if not missing:
        return
    case = study.case(number, FULL if options.full else SMALL)
    for row in missing:
        if not rows.applies(row, study, case):
            continue
        answers = {"study": study.name, "row": row, "set": number}
        answers |= rows.run(row, study, case)
        path = path_of(options, study, row, number)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(answers))
        part.rename(path)
        print(
            f"{study.name}, set {number}, {row}: {answers['seconds']:.1f} s",
            file=sys.stderr,
            flush=True,
        )


def collected(options, study, row):
    """Answers of a row for all sets that are there."""
    found = []
    for number in range(sets_of(options, study)):
        path = path_of(options, study, row, number)
        if path.exists():
            found.append(json.loads(path.read_text()))
    return found


def sets_of(options, study):
    """Number of sets."""
    return min(options.sets, study.n_sets or options.sets)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--sets", type=int, default=2)
    parser.add_argument("--studies", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--rows", nargs="*", default=EVERY, help="names")
    parser.add_argument("--without", nargs="*", default=[], help="parts of names")
    parser.add_argument("--sealed", action="store_true")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    studies = [
        study
        for study in STUDIES
        if any(part in study.name for part in options.studies)
        and (options.sealed or not study.sealed)
    ]
    wanted = [r for r in options.rows if not any(w in r for w in options.without)]
    if not options.table_only:
        Parallel(options.n_jobs)(
            delayed(run_set)(options, study, number, wanted)
            for number in range(options.sets)
            for study in studies
            if number < sets_of(options, study)
        )
    for study in studies:
        print(f"\n### {study.name}{' (sealed)' if study.sealed else ''}\n\n{HEADER}")
        for row in wanted:
            found = collected(options, study, row)
            if found:
                print(row_of(row, found))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
