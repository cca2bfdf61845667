"""The zoo: one method is not right because it is right on one family of toys.

    python tests/benchmarks/zoo/run.py --checkpoint DIR --sealed       # small, 1 set
    python tests/benchmarks/zoo/run.py --checkpoint DIR --full --sets 30 --rows all \
        --sets-of NeuralRatioTAMM=3 --markdown zoo.md

Every study yields sets of simulations and targets of known fraction; every row of the
table is a method, a baseline, or an answer that nobody has. Results lie in the folder,
one file per study, set and row, so that a run can be stopped and go on. Studies that
are sealed are run only with ``--sealed``: choices are made on the others. Data that are
not here leave their studies out: see `measured`, `jets` and `airshowers`.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import rows
from cases import FULL, SMALL, chosen
from joblib import Parallel, delayed
from report import markdown, title_of
from studies import STUDIES, case_of, study_of


# -------------------------------------------------------------------------- answers
def path_of(options, study, row, number):
    """File of the answers of a row for one set."""
    size = size_of(options)
    key = hashlib.sha256(f"{study}/{row}".encode()).hexdigest()[:12]
    return options.checkpoint / f"{size.simulated}-{size.target}-{key}-{number}.json"


def answer(options, study, row, number):
    """Write the answers of a row for one set, null where it does not apply."""
    start = time.perf_counter()
    case = case_of(study, number, size_of(options))
    answers = None
    if rows.applies(row, study_of(study), case):
        answers = {"study": study, "row": row, "set": number}
        answers |= rows.run(row, study_of(study), case)
    path = path_of(options, study, row, number)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(answers))
    part.rename(path)
    seconds = time.perf_counter() - start
    return f"{study}, set {number}, {row}: {seconds:.1f} s" if answers else None


def collected(options, study, row):
    """Answers of a row for all sets that are there."""
    found = []
    for number in range(sets_of(options, study, row)):
        path = path_of(options, study.name, row, number)
        if path.exists():
            found.append(json.loads(path.read_text()))
    return [answers for answers in found if answers is not None]


def size_of(options):
    """Events of simulations and targets."""
    return FULL if options.full else SMALL


def sets_of(options, study, row):
    """Number of sets of a row."""
    fewer = [n for part, n in options.sets_of.items() if part in row]
    return min([options.sets, *fewer, study.n_sets or options.sets])


# -------------------------------------------------------------------------- the run
def missing(options, studies, wanted):
    """What is not there yet, sets outside, so that all studies grow alike."""
    return [
        (study.name, row, number)
        for number in range(options.sets)
        for study in sorted(studies, key=lambda s: -s.n_features)
        for row in wanted
        if number < sets_of(options, study, row)
        and not path_of(options, study.name, row, number).exists()
    ]


def run(options, tasks):
    """Answer all tasks, and say how far it is."""
    start, n = time.perf_counter(), len(tasks)
    parallel = Parallel(
        options.n_jobs,
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="all",
    )
    done = parallel(delayed(answer)(options, *task) for task in tasks)
    for k, line in enumerate(done, 1):
        if line:
            spent = time.perf_counter() - start
            left = spent * (n - k) / k
            print(
                f"{k} of {n}, {spent:.0f} s (about {left:.0f} s left): {line}",
                file=sys.stderr,
                flush=True,
            )


# -------------------------------------------------------------------------- options
def limits(entries):
    """Parts of names of rows and their numbers of sets, from "PART=N"."""
    pairs = [entry.rpartition("=") for entry in entries]
    return {part: int(number) for part, _, number in pairs}


def parse(arguments=None):
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--sets", type=int, default=1)
    parser.add_argument(
        "--sets-of",
        nargs="*",
        default=[],
        metavar="PART=N",
        help="fewer sets for rows with this part of a name",
    )
    parser.add_argument("--studies", nargs="*", default=[""], help="parts of names")
    parser.add_argument(
        "--rows", nargs="*", default=[], help="names, or all; default: all but AutoTAMM"
    )
    parser.add_argument("--without", nargs="*", default=[], help="parts of names")
    parser.add_argument("--sealed", action="store_true")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--table-only", action="store_true")
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    options = parser.parse_args(arguments)
    options.sets_of = limits(options.sets_of)
    options.rows = chosen_rows(options.rows)
    return options


def chosen_rows(names):
    """Rows that were asked for.

    Judging the candidates of AutoTAMM takes longer than all other rows together.
    """
    if names == ["all"]:
        return rows.every()
    return names or [name for name in rows.every() if name != rows.AUTO]


def main(arguments=None):
    """Run what is missing, print the tables."""
    options = parse(arguments)
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    studies = chosen(STUDIES, options.studies, options.sealed)
    wanted = [r for r in options.rows if not any(w in r for w in options.without)]
    if not options.table_only:
        run(options, missing(options, studies, wanted))
    size, name = size_of(options), "full" if options.full else "small"
    title = title_of(size, name, options.sets, options.sets_of, studies)
    text = markdown(
        title, studies, wanted, lambda study, row: collected(options, study, row)
    )
    if options.markdown:
        options.markdown.write_text(text)
    print(text)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
