"""The pictures of a run, as plain PNG."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from canet.core.files import write_with
from canet.geometry.masks import any_mask
from canet.geometry.metrics import LEVELS, f1_score

# Okabe & Ito, "Color Universal Design", 2008: told apart with every kind of colour vision
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#e69f00", "#009e73", "#595959"
HIT, MISSED, EXTRA = (255, 255, 255), (230, 159, 0), (86, 180, 233)


def _save(figure: Figure, path: Path) -> None:
    write_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))
    plt.close(figure)


def draw_curves(history: list[dict], path: Path) -> None:
    """Loss and held-out F1 over the epochs."""
    table = pd.DataFrame(history)
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.plot(table["epoch"], table["loss"], color="tab:grey", label="training loss")
    axis.set(xlabel="epoch", ylabel="training loss", yscale="log")
    axis.legend(loc="upper left", frameon=False)
    if "f1" in table:
        judged = table.dropna(subset="f1")
        right = axis.twinx()
        right.plot(judged["epoch"], judged["f1"], "o-", color="tab:blue", ms=3, label="held-out F1")
        right.set(ylabel="per-image F1", ylim=(0, 1))
        right.legend(loc="lower right", frameon=False)
    _save(figure, path)


def draw_errors(prediction: np.ndarray, label: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Hits white, missed orange, extra blue over the dim shape: (H, W) bools → (H, W, 3) uint8."""
    picture = np.where(mask[..., None], np.uint8(45), np.uint8(0)).repeat(3, 2)
    picture[label & ~prediction] = MISSED
    picture[prediction & ~label] = EXTRA
    picture[prediction & label] = HIT
    return picture


def draw_panel(
    maps: np.ndarray,
    skeletons: np.ndarray,
    levels: np.ndarray,
    *,
    threshold: float,
    names: list[str],
    path: Path,
    columns: int = 6,
) -> None:
    """The worst, some middling and the best predictions: input, probability, errors.

    Args:
        maps: (N, H, W) float32, one channel of the input.
        skeletons: (N, H, W) bool.
        levels: (N, H, W) uint8 probabilities.
        threshold: 0 to 1.
        names: of the images.
        path: the PNG.
        columns: images shown.
    """
    predictions = levels >= threshold * LEVELS
    f1 = np.array([f1_score(p, s) for p, s in zip(predictions, skeletons)])
    chosen = np.argsort(f1)[np.linspace(0, len(f1) - 1, min(columns, len(f1))).astype(int)]
    figure, axes = plt.subplots(
        3, len(chosen), figsize=(2.4 * len(chosen), 7.6), layout="constrained", squeeze=False
    )
    for column, i in zip(axes.T, chosen):
        column[0].imshow(maps[i], cmap="magma")
        column[1].imshow(levels[i], cmap="gray", vmin=0, vmax=LEVELS - 1)
        column[2].imshow(draw_errors(predictions[i], skeletons[i], maps[i] > 0))
        column[0].set_title(f"{names[i]}\nF1 {f1[i]:.3f}", fontsize=9)
    for axis in axes.ravel():
        axis.set_axis_off()
    figure.suptitle(
        "worst to best: input, probability, errors (white: hit, orange: missed, blue: extra)",
        fontsize=10,
    )
    _save(figure, path)


def draw_threshold_curve(
    thresholds: np.ndarray,
    f1: np.ndarray,
    *,
    trials: list[tuple[float, float]],
    chosen: float,
    path: Path,
) -> None:
    """Per-image F1 over thresholds: the sweep as a line, Optuna's trials as dots."""
    dots = {f"{len(trials)} trials with this post-processing": trials}
    figure = threshold_figure({"sweep": (thresholds, f1)}, dots, chosen=chosen, size_in=(7, 4))
    _save(figure, path)


def threshold_figure(
    lines: dict[str, tuple[np.ndarray, np.ndarray]],
    dots: dict[str, list[tuple[float, float]]],
    *,
    chosen: float,
    size_in: tuple[float, float],
) -> Figure:
    """Per-image F1 over thresholds.

    Args:
        lines: sweeps by label: thresholds (T,), mean F1 there (T,).
        dots: trials by label: (threshold, F1) each.
        chosen: the threshold to mark.
        size_in: width and height, inches.
    """
    figure, axis = plt.subplots(figsize=size_in, layout="constrained")
    for (label, (thresholds, f1)), color in zip(lines.items(), (BLUE, GREEN)):
        axis.plot(thresholds, f1, color=color, label=label)
    for label, trials in dots.items():
        if trials:
            axis.plot(*zip(*trials), "o", color=ORANGE, ms=4, label=label)
    axis.axvline(chosen, color=GREY, ls=":", label=f"chosen: {chosen:.3f}")
    axis.set(xlabel="threshold", ylabel="per-image F1 on out-of-fold images", xlim=(0, 1))
    axis.legend(frameon=False)
    return figure


@dataclass(frozen=True)
class Decision:
    """One image: shape (H, W) uint8, drawings (C, H, W) bool, their likelihoods, label (H, W)."""

    name: str
    shape: np.ndarray
    drawings: np.ndarray
    likely: np.ndarray
    label: np.ndarray


def draw_decisions(decisions: list[Decision], candidates: list[str], path: Path) -> None:
    """One row an image: the shape, every candidate with its errors, the taken one framed, label."""
    figure, axes = plt.subplots(
        len(decisions),
        len(candidates) + 2,
        figsize=(2.3 * (len(candidates) + 2), 2.75 * len(decisions)),
        layout="constrained",
        squeeze=False,
    )
    for row, d in zip(axes, decisions):
        rows, columns = np.nonzero(d.shape)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        mask = any_mask(d.shape)
        row[0].imshow(d.shape[box], cmap="gray", vmin=0, vmax=255)
        row[0].set_title(d.name, fontsize=9)
        for k, (axis, name) in enumerate(zip(row[1:-1], candidates)):
            errors = draw_errors(d.drawings[k], d.label, mask)
            axis.imshow(errors[box], interpolation="antialiased")
            f1 = f1_score(d.drawings[k], d.label)
            axis.set_title(f"{name}\nlikely {d.likely[k]:.2f}   F1 {f1:.3f}", fontsize=8)
        row[-1].imshow(draw_errors(d.label, d.label, mask)[box])
        row[-1].set_title("label", fontsize=9)
        for axis in row:
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set_visible(False)
        for spine in row[1 + d.likely.argmax()].spines.values():
            spine.set(visible=True, color="tab:green", linewidth=3)
    figure.suptitle("framed: taken.   white: hit, orange: missed, blue: extra", fontsize=10)
    _save(figure, path)
