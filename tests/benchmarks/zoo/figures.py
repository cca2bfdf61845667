"""Two figures of the guide from the answers of the zoo.

    python tests/benchmarks/zoo/figures.py --checkpoint DIR --folder doc/figures

The answers are those that ``run.py`` left in the folder.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import rows
from measures import LEVELS, arrays_of
from report import overlap_of
from run import collected, parse
from studies import STUDIES

from sktamm._numerics import interval_score

METHODS = {
    "one simulation": ("one simulation", "0.6", "x"),
    "BinnedTopicTAMM()": ("BinnedTopicTAMM()", "C0", "s"),
    "ScoreTAMM()": ("ScoreTAMM()", "C1", "o"),
    "NeuralRatioTAMM()": ("NeuralRatioTAMM()", "C2", "^"),
}
#: Studies of the second figure, and what each of them shows.
FAILURES = {
    "displaced clusters, s = 1": "hardly any overlap",
    "images: 7 among 1, 4, 9, 6 components, distortion 1": "images, 7 among 1, 4, 9",
    "peak on a gamma spectrum, strength 1, K = 2": "two simulations",
    "ttbar histograms": "generators, variations",
}
NOBODY = rows.ORACLE, rows.RIGHT, rows.NOTHING


def score_of(found):
    """Mean interval score at 68.3 %."""
    truth, _, low, high = arrays_of(found)
    return interval_score(truth, low[..., 0], high[..., 0], LEVELS[0]).mean()


def which_method(options, plt):
    """Interval score over that of the best row, against the overlap."""
    figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for study in STUDIES:
        answers = {r: collected(options, study, r) for r in rows.every()}
        real = [score_of(f) for r, f in answers.items() if f and r not in NOBODY]
        overlap = overlap_of(study, lambda s, r: collected(options, s, r))
        if not real or not overlap:
            continue
        for name, (label, colour, marker) in METHODS.items():
            if answers[name]:
                ratio = score_of(answers[name]) / min(real)
                ax.plot(float(overlap), ratio, marker, color=colour, label=label)
    ax.axhline(1.5, color="0.8", lw=1, zorder=0)
    ax.set(
        yscale="log",
        xlabel="overlap of the simulations of a class",
        ylabel="interval score / that of the best method",
        yticks=[1, 2, 5, 10, 20, 50],
        yticklabels=["1", "2", "5", "10", "20", "50"],
    )
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique.keys(), frameon=False)
    return figure


def when_it_fails(options, plt):
    """Intervals at 95.5 % of all targets, around the truth, study by study."""
    figure, axes = plt.subplots(
        1, len(FAILURES), figsize=(10, 4.4), layout="constrained", sharey=True
    )
    for ax, (name, what) in zip(axes, FAILURES.items(), strict=True):
        study = next(s for s in STUDIES if s.name == name)
        for place, row in enumerate(METHODS):
            found = collected(options, study, row)
            if found:
                _intervals(ax, place, arrays_of(found), _flagged(found))
        ax.axvline(0.0, color="0.3", lw=1)
        ax.set(title=what, xlabel="kappa - truth", xlim=(-0.55, 0.55))
        ax.title.set_fontsize(10)
    axes[0].set_yticks(range(len(METHODS)), [m[0] for m in METHODS.values()])
    axes[0].invert_yaxis()
    return figure


def _flagged(found):
    return np.array([[bool(flags) for flags in f["flags"]] for f in found]).ravel()


def _intervals(ax, place, answers, flagged):
    """One thin line per target: filled if it covers, dotted where it is flagged."""
    truth, kappa, low, high = answers
    shift = truth.ravel()
    ends = np.stack([low[..., 1].ravel() - shift, high[..., 1].ravel() - shift])
    y = place + np.linspace(-0.35, 0.35, shift.size)
    covers = (ends[0] <= 0) & (ends[1] >= 0)
    colour = np.where(covers, "C0", "C3")
    for i in range(shift.size):
        style = ":" if flagged[i] else "-"
        ax.plot(ends[:, i], [y[i], y[i]], style, color=colour[i], lw=1.3)
    ax.scatter(kappa.ravel() - shift, y, s=6, color=colour, zorder=3)


def main():
    """Draw both figures."""
    own = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    own.add_argument("--folder", type=Path, required=True)
    chosen, rest = own.parse_known_args()
    options = parse(rest)
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    chosen.folder.mkdir(parents=True, exist_ok=True)
    for draw in (which_method, when_it_fails):
        draw(options, plt).savefig(chosen.folder / f"{draw.__name__}.png", dpi=130)


if __name__ == "__main__":
    main()
