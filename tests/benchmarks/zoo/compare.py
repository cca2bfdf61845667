"""One row of the zoo against the best other one, study by study.

    python tests/benchmarks/zoo/compare.py --checkpoint DIR --row "AutoTAMM()" --sets 5

reads the answers that `run.py` left and prints, for every study, the coverage of the
row with its error and the ratio of its interval score to that of the best row that
covers at least .60 and .87 (a few sets of three targets have an error of a tenth), both
on the sets that all of them have. The best of many rows on a few sets is partly the
luckiest one; "crossed" names the best row on one half of the sets and compares on the
other half. Rows that nobody can have (exact densities, the right simulation), those
that failed, and the row itself do not compete.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from measures import LEVELS, arrays_of, error_of, failed
from rows import AUTO, MEAN, NOTHING, ORACLE, RIGHT
from studies import STUDIES

from sktamm._numerics import interval_score

NOBODY = (ORACLE, RIGHT, NOTHING)
COVERS = (0.60, 0.87)
#: Studies without simulations of one kind, or without a truth.
APART = ("ttbar histograms", "air showers, measured depths")


def answers_of(folder):
    """Answers by study, row and set."""
    found = defaultdict(lambda: defaultdict(dict))
    for path in folder.glob("*.json"):
        own = json.loads(path.read_text())
        if own is not None:
            found[own["study"]][own["row"]][own["set"]] = own
    return found


def measures(found):
    """Interval score and coverage at both levels of every set, shape (n_sets, 3)."""
    truth, _, low, high = arrays_of(found)
    inside = (low <= truth[..., None]) & (truth[..., None] <= high)
    score = interval_score(truth, low[..., 0], high[..., 0], LEVELS[0]).mean(axis=1)
    return np.column_stack([score, inside.mean(axis=1)])


def best_of(table, sets):
    """Name of the row of smallest score on some sets among those that cover."""
    means = {row: own[sets].mean(axis=0) for row, own in table.items()}
    covering = {row: m[0] for row, m in means.items() if (m[1:] >= COVERS).all()}
    scores = covering or {row: m[0] for row, m in means.items()}
    return min(scores, key=scores.get)


def compared(answers, row, sets, rivals):
    """Cells of a study: coverage, best row, ratio, crossed ratio; None without."""
    common = sorted(set(answers.get(row, {})) & set(range(sets)))
    chosen = {
        name: own
        for name, own in answers.items()
        if name not in (*NOBODY, row, *rivals)
        and set(common) <= set(own)
        and not any(failed(f) for k in common for f in own[k]["flags"])
    }
    if len(common) < 2 or not chosen:
        return None
    table = {name: measures([own[k] for k in common]) for name, own in chosen.items()}
    own = measures([answers[row][k] for k in common])
    every, odd = np.arange(len(common)), np.arange(len(common)) % 2 == 1
    best = best_of(table, every)
    crossed = [
        own[there, 0].mean() / table[best_of(table, here)][there, 0].mean()
        for here, there in ((odd, ~odd), (~odd, odd))
    ]
    return {
        "sets": len(common),
        "coverage": own[:, 1:].mean(axis=0),
        "error": [error_of(own[:, k]) for k in (1, 2)],
        "best": best,
        "ratio": own[:, 0].mean() / table[best][:, 0].mean(),
        "crossed": float(np.exp(np.mean(np.log(crossed)))),
    }


def line(study, found):
    """A line of the table."""
    shares = [
        f"{share:.2f} ± {error:.2f}"
        for share, error in zip(found["coverage"], found["error"], strict=True)
    ]
    seal = f" (seal {study.seal})" if study.sealed else ""
    cells = [study.name + seal, str(found["sets"]), *shares, found["best"]]
    cells += [f"{found[key]:.2f}" for key in ("ratio", "crossed")]
    return "| " + " | ".join(cells) + " |"


def summary(name, results):
    """Means over studies."""
    ratios = np.array([[found["ratio"], found["crossed"]] for found in results])
    coverage = np.mean([found["coverage"] for found in results], axis=0)
    geometric = np.exp(np.log(ratios).mean(axis=0))
    return (
        f"{name}: {len(results)} studies, ratio mean {ratios[:, 0].mean():.2f}, "
        f"geometric {geometric[0]:.2f}, largest {ratios[:, 0].max():.2f}; crossed mean "
        f"{ratios[:, 1].mean():.2f}, geometric {geometric[1]:.2f}, largest "
        f"{ratios[:, 1].max():.2f}; coverage {coverage[0]:.3f} / {coverage[1]:.3f}"
    )


def main():
    """Print the table and the summaries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--row", default=AUTO)
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--least-features", type=int, default=0)
    options = parser.parse_args()
    answers = answers_of(options.checkpoint)
    groups = defaultdict(list)
    rivals = {AUTO, MEAN}  # one is what the other answers by default
    print("| study | sets | 68.3 % | 95.5 % | best row | ratio | crossed |")
    print("|---|---|---|---|---|---|---|")
    for study in STUDIES:
        if study.n_features < options.least_features or study.name.startswith(APART):
            continue
        found = compared(answers[study.name], options.row, options.sets, rivals)
        if found:
            print(line(study, found))
            groups[study.sealed * study.seal].append(found)
    print()
    for seal, results in sorted(groups.items()):
        print(summary(f"seal {seal}" if seal else "open", results))


if __name__ == "__main__":
    main()
