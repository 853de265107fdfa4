"""From probabilities to a skeleton."""

import cv2
import numpy as np
from skimage.morphology import skeletonize

from canet.connect import (
    fill_empty_parts,
    join_pieces,
    keep_best_part,
    keep_best_pieces,
    pixel_costs,
)
from canet.distance import closed, distance_map
from canet.files import UserError
from canet.metrics import LEVELS
from canet.recipe import Postprocess
from canet.spurs import trim_spurs


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


def connect(
    skeleton: np.ndarray,
    levels: np.ndarray,
    body: np.ndarray,
    settings: Postprocess,
    guide: np.ndarray | None = None,
) -> np.ndarray:
    """One 8-connected piece, or one in each component of the shape.

    Args:
        skeleton: (H, W) bool, within `body`; may be empty.
        levels: (H, W) uint8 probabilities.
        body: (H, W) bool, the closed shape.
        settings: `components` is `one` or `per_shape`.
        guide: (H, W) bool, a candidate skeleton whose pixels cost little; for `candidates`.

    Returns:
        (H, W) bool within `body`; empty where the shape is.

    Raises:
        UserError: `candidates` without a guide.
    """
    if settings.join == "candidates" and guide is None:
        raise UserError(
            "postprocess.join is candidates, but there is no candidate skeleton to follow; "
            "expected one for each image, or use path"
        )
    if settings.components == "one":
        body = keep_best_part(skeleton, body, levels)
        skeleton = skeleton & body
    skeleton = fill_empty_parts(skeleton, body, levels)
    if settings.join == "drop":
        return keep_best_pieces(skeleton, body, levels)
    cost = pixel_costs(levels, guide if settings.join == "candidates" else None)
    return join_pieces(skeleton, body, cost)


def to_skeleton(
    levels: np.ndarray,
    threshold: float,
    mask: np.ndarray,
    settings: Postprocess,
    guide: np.ndarray | None = None,
) -> np.ndarray:
    """The predicted skeleton of one image.

    Args:
        levels: (H, W) uint8 probabilities, see `metrics.quantize`.
        threshold: 0 to 1.
        mask: (H, W) bool, True inside the shape.
        settings: which switches to apply, in the order drop outside, islands, connect, spurs, thin.
        guide: (H, W) bool, a candidate skeleton, for `settings.join` = `candidates`.

    Returns:
        (H, W) bool; never empty, since an empty prediction scores 0 and the organisers' script
        divides by zero there: the most probable pixel stands in. With `settings.components` = `one`
        exactly one 8-connected piece within the closed shape, with `per_shape` one in each of its
        components.

    Raises:
        UserError: see `connect`.
    """
    skeleton = levels >= threshold * LEVELS
    body = closed(mask)
    if settings.inside_shape or settings.components != "any":
        skeleton &= body
    if settings.min_component_px:
        skeleton = drop_islands(skeleton, settings.min_component_px)
    if settings.components != "any":
        skeleton = connect(skeleton, levels, body, settings, guide)
    if settings.trims:
        radius = distance_map(body)
        skeleton = trim_spurs(skeleton, settings.spur_px, settings.spur_radii, radius)
    if settings.thin:
        skeleton = skeletonize(skeleton)
    if not skeleton.any():
        best = np.where(mask, levels.astype(int), -1).argmax()
        skeleton[np.unravel_index(best, skeleton.shape)] = True
    return skeleton
