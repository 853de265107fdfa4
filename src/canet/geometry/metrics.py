"""How good a skeleton is. The challenge's score is the mean of each image's F1, no tolerance."""

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.measure import euler_number

LEVELS = 256


def f1_score(prediction: np.ndarray, label: np.ndarray) -> float:
    """F1 of one image, pixel by pixel.

    Args:
        prediction: (H, W) bool.
        label: (H, W) bool.

    Returns:
        0 to 1; an empty prediction or no common pixel is 0 (the organisers' script divides by
        zero there).
    """
    hits = np.count_nonzero(prediction & label)
    total = np.count_nonzero(prediction) + np.count_nonzero(label)
    return 2 * hits / total if total else 0.0


def recall_within_1px(prediction: np.ndarray, label: np.ndarray) -> float:
    """Share of label pixels with a predicted pixel among their 3×3 neighbours, 0 to 1."""
    if not label.any():
        return 0.0
    near = cv2.dilate(prediction.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.count_nonzero(near & label) / np.count_nonzero(label)


def component_count(prediction: np.ndarray) -> int:
    """Number of 8-connected components."""
    return cv2.connectedComponents(prediction.astype(np.uint8), connectivity=8)[0] - 1


def count_blocks(prediction: np.ndarray) -> int:
    """Number of 2×2 blocks of skeleton pixels, overlapping ones too: where it is not thin."""
    rows = prediction[1:] & prediction[:-1]
    return np.count_nonzero(rows[:, 1:] & rows[:, :-1])


def euler(prediction: np.ndarray) -> int:
    """Euler number: 8-connected components less their loops (Betti numbers β₀ − β₁)."""
    return euler_number(prediction, connectivity=2)


@dataclass(frozen=True)
class Score:
    """One image's figures; `hits`, `predicted`, `labelled` are pixel counts.

    `components` is the Betti number β₀; `breaks`, the components beyond the first, is its error
    against the real labels, which are one component each.
    """

    f1: float
    recall_1px: float
    precision_1px: float
    components: int
    breaks: int
    blocks_2x2: int
    euler: int
    label_euler: int
    hits: int
    predicted: int
    labelled: int

    @property
    def f1_within_1px(self) -> float:
        """Harmonic mean of recall and precision within one pixel, 0 to 1."""
        total = self.recall_1px + self.precision_1px
        return 2 * self.recall_1px * self.precision_1px / total if total else 0.0


def score_image(prediction: np.ndarray, label: np.ndarray) -> Score:
    """All figures of one image, (H, W) bool each."""
    components = component_count(prediction)
    return Score(
        f1=f1_score(prediction, label),
        recall_1px=recall_within_1px(prediction, label),
        precision_1px=recall_within_1px(label, prediction),
        components=components,
        breaks=max(0, components - 1),
        blocks_2x2=count_blocks(prediction),
        euler=euler(prediction),
        label_euler=euler(label),
        hits=np.count_nonzero(prediction & label),
        predicted=np.count_nonzero(prediction),
        labelled=np.count_nonzero(label),
    )


def summarize(scores: list[Score]) -> dict[str, float]:
    """The figures of a set of images.

    Returns:
        `f1`: per-image F1, the challenge's score; `pooled_f1`: of all pixels of all images
        together; `f1_within_1px` and what it is of, `recall_1px` and `precision_1px`: means within
        one pixel; `one_component`: share of predictions that are exactly one 8-connected
        component; `breaks`, `blocks_2x2`: means; `euler_match`: share of predictions with the
        Euler number of their label.
    """
    total = sum(s.predicted + s.labelled for s in scores)
    return {
        "images": len(scores),
        "f1": float(np.mean([s.f1 for s in scores])),
        "pooled_f1": 2 * sum(s.hits for s in scores) / total if total else 0.0,
        "f1_within_1px": float(np.mean([s.f1_within_1px for s in scores])),
        "recall_1px": float(np.mean([s.recall_1px for s in scores])),
        "precision_1px": float(np.mean([s.precision_1px for s in scores])),
        "one_component": float(np.mean([s.components == 1 for s in scores])),
        "breaks": float(np.mean([s.breaks for s in scores])),
        "blocks_2x2": float(np.mean([s.blocks_2x2 for s in scores])),
        "euler_match": float(np.mean([s.euler == s.label_euler for s in scores])),
    }


def quantize(probability: np.ndarray) -> np.ndarray:
    """Probabilities 0..1 → uint8 levels, for storing and sweeping.

    Level q holds probabilities in [q/256, (q+1)/256); p ≥ t and level ≥ 256·t agree for every
    threshold t that is a multiple of 1/256, `grid_thresholds` gives those.
    """
    return np.minimum(probability * LEVELS, LEVELS - 1).astype(np.uint8)


def grid_thresholds() -> np.ndarray:
    """The thresholds at which a sweep over levels is exact: 1/256 … 255/256."""
    return np.arange(1, LEVELS) / LEVELS


def sweep_f1(levels: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Each image's F1 at every threshold of `grid_thresholds`, from two histograms.

    Args:
        levels: (N, H, W) uint8 from `quantize`.
        label: (N, H, W) bool.

    Returns:
        (N, 255) float.
    """
    f1 = np.empty((len(levels), LEVELS - 1))
    for i, (image, truth) in enumerate(zip(levels, label)):
        all_counts = np.bincount(image.ravel(), minlength=LEVELS)
        hit_counts = np.bincount(image[truth], minlength=LEVELS)
        predicted = all_counts[::-1].cumsum()[::-1][1:]  # pixels at or above each threshold
        hits = hit_counts[::-1].cumsum()[::-1][1:]
        total = predicted + np.count_nonzero(truth)
        f1[i] = 2 * hits / np.maximum(total, 1)
    return f1


def best_threshold(levels: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """The threshold with the highest mean per-image F1, and that F1; see `sweep_f1`."""
    means = sweep_f1(levels, label).mean(0)
    best = int(means.argmax())
    return float(grid_thresholds()[best]), float(means[best])
