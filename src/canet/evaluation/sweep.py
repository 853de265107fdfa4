"""F1 over thresholds on held-out images, and thresholds chosen without the image they judge."""

from dataclasses import dataclass

import numpy as np

from canet.core.console import progress
from canet.core.recipe import Postprocess
from canet.evaluation.out_of_fold import OutOfFold, f1_of, skeleton_of
from canet.geometry.masks import closing
from canet.geometry.metrics import (
    LEVELS,
    f1_score,
    grid_thresholds,
    score_image,
    summarize,
    sweep_f1,
)

SWEEP_STEP = 4  # where post-processing forbids histograms, every 4th threshold is tried,
COARSE_STEP = 4  # of those every 4th first and then the ones around the best
PARTS = 5  # of the cross-fitting


def sweep(images: OutOfFold, settings: Postprocess) -> tuple[np.ndarray, np.ndarray]:
    """The thresholds tried, (T,), and each image's F1 there, (N, T).

    All of `grid_thresholds` where histograms suffice; else a quarter of them, of which those far
    from the best are tried more sparsely.
    """
    thresholds = grid_thresholds()
    if not settings.is_plain:
        return _sweep_one_by_one(images, settings, thresholds[SWEEP_STEP - 1 :: SWEEP_STEP])
    levels = images.levels
    if settings.inside_shape:
        levels = np.stack([np.where(closing(m), x, 0) for x, m in zip(levels, images.masks)])
    f1 = sweep_f1(levels, images.skeletons)
    for i, each in enumerate(levels):  # the most probable pixel stands in for an empty prediction
        empty = thresholds * LEVELS > each.max()
        if empty.any():
            stand_in = skeleton_of(images, i, threshold=thresholds[empty][0], settings=settings)
            f1[i, empty] = f1_score(stand_in, images.skeletons[i])
    return thresholds, f1


def _sweep_one_by_one(
    images: OutOfFold, settings: Postprocess, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    f1: dict[int, np.ndarray] = {}

    def judge(wanted: range, label: str) -> None:
        for t in progress([t for t in wanted if t not in f1], desc=label, unit="threshold"):
            f1[t] = f1_of(images, thresholds[t], settings)

    judge(range(COARSE_STEP // 2, len(thresholds), COARSE_STEP), "sweep")
    best = max(f1, key=lambda t: f1[t].mean())
    judge(
        range(max(0, best - COARSE_STEP + 1), min(len(thresholds), best + COARSE_STEP)),
        "sweep around the best",
    )
    tried = sorted(f1)
    return thresholds[tried], np.stack([f1[t] for t in tried], axis=1)


def cross_fitted(f1: np.ndarray) -> np.ndarray:
    """For each image the threshold that is best for the other parts: indices, (N,).

    Args:
        f1: (N, T), each image's F1 at each threshold.
    """
    part = np.arange(len(f1)) % min(PARTS, len(f1))
    chosen = np.empty(len(f1), int)
    for k in np.unique(part):
        others = f1[part != k] if (part != k).any() else f1
        chosen[part == k] = others.mean(0).argmax()
    return chosen


def cross_fitted_f1(f1: np.ndarray) -> float:
    """Mean F1 where each part's threshold is the best one of the other parts; see above."""
    return float(f1[np.arange(len(f1)), cross_fitted(f1)].mean())


@dataclass(frozen=True)
class Swept:
    """Switches with every threshold tried: thresholds (T,), each image's F1 there (N, T)."""

    switches: Postprocess
    thresholds: np.ndarray
    f1: np.ndarray

    @property
    def best(self) -> float:
        return float(self.f1.mean(0).max())

    @property
    def threshold(self) -> float:
        return float(self.thresholds[self.f1.mean(0).argmax()])


def cross_fitted_scores(images: OutOfFold, settings: Postprocess) -> dict[str, float]:
    """`metrics.summarize`, each image judged at the threshold that is best for others of them."""
    thresholds, f1 = sweep(images, settings)
    chosen = thresholds[cross_fitted(f1)]
    skeletons = [
        skeleton_of(images, i, threshold=t, settings=settings) for i, t in enumerate(chosen)
    ]
    return summarize([score_image(s, label) for s, label in zip(skeletons, images.skeletons)])
