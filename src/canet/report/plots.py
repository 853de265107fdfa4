"""The page's plots: small, so that their text stays legible on a phone; SVG, on white."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from optuna.trial import TrialState

from canet.evaluation.pictures import BLUE, GREEN, GREY, ORANGE, threshold_figure
from canet.geometry.metrics import Score
from canet.report.facts import Training
from canet.report.held_out import HeldOut
from canet.report.searches import Search

SIZE_IN = (4.6, 3.1)
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.axisbelow": True,
    "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#d55e00"]),
    "svg.hashsalt": "canet",  # the same page from the same run
    "svg.fonttype": "path",
}
MOST_PIECES = 10  # the last bar of the histogram: so many or more


def svg_of(figure: Figure) -> bytes:
    """The figure as an SVG file; it is closed."""
    with io.BytesIO() as file, plt.rc_context(STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
        return file.getvalue()


def _axes(**settings: object) -> tuple[Figure, Axes]:
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=SIZE_IN, layout="constrained")
        axis.set(**settings)
        return figure, axis


def history_figure(trainings: list[Training], column: str, label: str, *, log: bool) -> Figure:
    """One column of the histories over epochs, a line a fold."""
    figure, axis = _axes(xlabel="epoch", ylabel=label, yscale="log" if log else "linear")
    for training in trainings:
        rows = training.history.dropna(subset=column)
        marker = "o" if len(rows) < 60 else None
        name = f"fold {training.fold}"
        axis.plot(rows["epoch"], rows[column], marker=marker, ms=3, label=name)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if log:  # 0.5, not 5 × 10⁻¹
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    if len(trainings) > 1:
        axis.legend(frameon=False)
    return figure


def sweep_figure(held_out: HeldOut, trials: list[tuple[float, float]]) -> Figure:
    """Per-image F1 over thresholds, with the search's trials."""
    with plt.rc_context(STYLE):
        dots = {f"{len(trials)} trials of the search": trials}
        return threshold_figure(
            held_out.curves, dots, chosen=held_out.tuned["threshold"], size_in=SIZE_IN
        )


def f1_histogram(scores: list[Score]) -> Figure:
    """How many images have which F1."""
    f1 = np.array([s.f1 for s in scores])
    figure, axis = _axes(xlabel="F1 of an image", ylabel="images")
    lowest = min(np.floor(f1.min() * 20) / 20, 0.95)
    bins = np.linspace(lowest, 1, 1 + round((1 - lowest) / 0.02))
    axis.hist(f1, bins=bins, color=BLUE)
    axis.axvline(f1.mean(), color=ORANGE, label=f"mean {f1.mean():.4f}")
    axis.axvline(np.median(f1), color=GREY, ls=":", label=f"median {np.median(f1):.4f}")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False, loc="upper left")
    return figure


def pieces_histogram(groups: dict[str, list[Score]]) -> Figure:
    """How many predictions have how many pieces, beside each other for each group."""
    figure, axis = _axes(xlabel="8-connected pieces of a prediction", ylabel="images")
    counts = {k: [min(s.components, MOST_PIECES) for s in of] for k, of in groups.items()}
    most = max(max(pieces) for pieces in counts.values())
    width, at = 0.8 / len(groups), np.arange(1, most + 1)
    for k, ((name, pieces), color) in enumerate(zip(counts.items(), (BLUE, ORANGE))):
        bars = np.bincount(pieces, minlength=most + 1)[1:]
        axis.bar(at + (k - (len(groups) - 1) / 2) * width, bars, width, color=color, label=name)
    axis.set_xticks(at, [f"{MOST_PIECES}+" if n == MOST_PIECES else str(n) for n in at])
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    if len(groups) > 1:
        axis.legend(frameon=False)
    return figure


def choices_figure(choices: pd.DataFrame, candidates: list[str]) -> Figure:
    """How often each candidate was taken, and how often it is the best."""
    figure, axis = _axes(xlabel="candidate", ylabel="images")
    at = np.arange(len(candidates))
    for shift, column, color in ((-0.2, "best", GREY), (0.2, "taken", BLUE)):
        counts = choices[column].value_counts().reindex(candidates, fill_value=0)
        axis.bar(at + shift, counts, 0.4, color=color, label=column)
    axis.set_xticks(at, [name.replace("_", "\n") for name in candidates])
    axis.legend(frameon=False)
    return figure


def trials_figure(search: Search) -> Figure:
    """Every trial's F1, and the best so far."""
    figure, axis = _axes(xlabel="trial", ylabel="per-image F1")
    done = search.completed
    best = np.maximum.accumulate([t.value for t in done])
    axis.step([t.number for t in done], best, where="post", color=ORANGE, label="best so far")
    axis.plot([t.number for t in done], [t.value for t in done], "o", color=BLUE, ms=4, label="F1")
    pruned = [t for t in search.trials if t.state == TrialState.PRUNED]
    last = [max(t.intermediate_values.items())[1] for t in pruned if t.intermediate_values]
    at = [t.number for t in pruned if t.intermediate_values]
    if at:
        axis.plot(at, last, "x", color=GREY, label="pruned, its last F1")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False)
    return figure


def importance_figure(search: Search) -> Figure:
    """How much of the differences in F1 each parameter explains."""
    figure, axis = _axes(xlabel="share of the variance of F1", xlim=(0, 1))
    names = list(search.importance)[::-1]
    bars = axis.barh(names, [search.importance[n] for n in names], color=BLUE)
    axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axis.grid(visible=False, axis="y")
    return figure
