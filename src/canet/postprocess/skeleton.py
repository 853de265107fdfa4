"""From probabilities to a skeleton."""

import cv2
import numpy as np
from skimage.morphology import skeletonize

from canet.core.console import UserError
from canet.core.recipe import Postprocess
from canet.geometry.distance import distance_map
from canet.geometry.masks import closing
from canet.geometry.metrics import LEVELS
from canet.postprocess.connect import (
    fill_empty_parts,
    join_pieces,
    keep_best_part,
    keep_best_pieces,
    nearest_candidates,
    pixel_costs,
)
from canet.postprocess.spurs import trim_spurs


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
    region: np.ndarray,
    *,
    settings: Postprocess,
    candidates: np.ndarray | None = None,
) -> np.ndarray:
    """One 8-connected piece, or one in each component of the shape.

    Args:
        skeleton: (H, W) bool, within `region`; may be empty.
        levels: (H, W) uint8 probabilities.
        region: (H, W) bool, the closed shape.
        settings: `components` is `one` or `per_shape`.
        candidates: (K, H, W) bool, skeletons to choose from; for `settings.join` = `candidates`.

    Returns:
        (H, W) bool within `region`; empty where the shape is.

    Raises:
        UserError: there are no candidates to choose from.
    """
    if settings.join == "candidates" and candidates is None:
        raise UserError(
            "postprocess.join is candidates, but there are none to choose from; "
            "expected some for each image, or use path"
        )
    if settings.components == "one":
        region = keep_best_part(skeleton, region, levels)
        skeleton = skeleton & region
    if settings.join == "candidates":
        skeleton = nearest_candidates(skeleton, region, candidates)
    skeleton = fill_empty_parts(skeleton, region, levels)
    if settings.join == "drop":
        return keep_best_pieces(skeleton, region, levels)
    return join_pieces(skeleton, region, pixel_costs(levels))


def to_skeleton(
    levels: np.ndarray,
    threshold: float,
    mask: np.ndarray,
    *,
    settings: Postprocess,
    candidates: np.ndarray | None = None,
) -> np.ndarray:
    """The predicted skeleton of one image.

    Args:
        levels: (H, W) uint8 probabilities, see `metrics.quantize`.
        threshold: 0 to 1.
        mask: (H, W) bool, True inside the shape.
        settings: which switches to apply, in the order drop outside, islands, connect, spurs, thin.
        candidates: (K, H, W) bool, skeletons to choose from; for `settings.join` = `candidates`.

    Returns:
        (H, W) bool; never empty, since an empty prediction scores 0 and the organisers' script
        divides by zero there: the most probable pixel stands in. With `settings.components` = `one`
        exactly one 8-connected piece within the closed shape, with `per_shape` one in each of its
        components.

    Raises:
        UserError: see `connect`.
    """
    skeleton = levels >= threshold * LEVELS
    region = closing(mask)
    if settings.inside_shape or settings.components != "any":
        skeleton &= region
    if settings.min_component_px:
        skeleton = drop_islands(skeleton, settings.min_component_px)
    if settings.components != "any":
        skeleton = connect(skeleton, levels, region, settings=settings, candidates=candidates)
    if settings.trims:
        radius = distance_map(region)
        skeleton = trim_spurs(
            skeleton, radius, shorter_px=settings.spur_px, shorter_radii=settings.spur_radii
        )
    if settings.thin:
        skeleton = skeletonize(skeleton)
    if not skeleton.any():
        best = np.where(mask, levels.astype(int), -1).argmax()
        skeleton[np.unravel_index(best, skeleton.shape)] = True
    return skeleton


PIECES = {"one": "one piece", "per_shape": "one piece per piece of the shape"}

WAYS = {"drop": "best kept", "path": "joined by paths", "candidates": "the nearest candidate"}


def in_words(settings: Postprocess) -> str:
    """The switches in words, for messages."""
    said = []
    if settings.min_component_px:
        said.append(f"islands under {settings.min_component_px} px dropped")
    if settings.components != "any":
        said.append(f"{PIECES[settings.components]}, {WAYS[settings.join]}")
    if settings.spur_px:
        said.append(f"spurs under {settings.spur_px} px trimmed")
    if settings.spur_radii:
        said.append(f"spurs under {settings.spur_radii:.2f} radii trimmed")
    if settings.thin:
        said.append("thinned")
    return ", ".join(said) or "no post-processing"
