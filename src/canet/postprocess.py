"""From probabilities to a skeleton."""

import cv2
import numpy as np
from skimage.morphology import skeletonize

from canet.distance import closed
from canet.metrics import LEVELS
from canet.recipe import Postprocess


def drop_islands(skeleton: np.ndarray, min_component_px: int) -> np.ndarray:
    """Remove 8-connected components below `min_component_px` pixels, but keep the largest."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats(
        skeleton.astype(np.uint8), connectivity=8
    )
    if count <= 2:  # background and at most one component
        return skeleton
    area = stats[:, cv2.CC_STAT_AREA]
    keep = area >= min(min_component_px, area[1:].max())
    keep[0] = False
    return keep[regions]


def to_skeleton(
    levels: np.ndarray, threshold: float, mask: np.ndarray, settings: Postprocess
) -> np.ndarray:
    """The predicted skeleton of one image.

    Args:
        levels: (H, W) uint8 probabilities, see `metrics.quantize`.
        threshold: 0 to 1.
        mask: (H, W) bool, True inside the shape.
        settings: which switches to apply, in the order drop outside, islands, thin.

    Returns:
        (H, W) bool; never empty, since an empty prediction scores 0 and the organisers' script
        divides by zero there: the most probable pixel stands in.
    """
    skeleton = levels >= threshold * LEVELS
    if settings.inside_shape:
        skeleton &= closed(mask)
    if settings.min_component_px:
        skeleton = drop_islands(skeleton, settings.min_component_px)
    if settings.thin:
        skeleton = skeletonize(skeleton)
    if not skeleton.any():
        best = np.where(mask, levels.astype(int), -1).argmax()
        skeleton[np.unravel_index(best, skeleton.shape)] = True
    return skeleton
