"""What every skeleton of every mask has, counted and measured."""

import cv2
import numpy as np
from foreign_masks import pieces_and_holes
from scipy import ndimage
from skimage.morphology import skeletonize as zhang_suen

from canet.skeletons import Skeleton

BITS = 4  # behind the point of a circle's place


def redrawn(skeleton: Skeleton) -> np.ndarray:
    """The union of the skeleton's circles, (H, W) bool."""
    picture = np.zeros(skeleton.pixels.shape, np.uint8)
    for (x, y), radius in zip(skeleton.graph.xy - 0.5, skeleton.graph.radius):
        at = (round(x * 2**BITS), round(y * 2**BITS))
        cv2.circle(picture, at, round(radius * 2**BITS), 1, -1, cv2.LINE_8, BITS)
    return picture > 0


def misses_px(skeleton: Skeleton) -> tuple[float, float]:
    """How far a pixel of the mask lies from the circles, and these reach out of it, at most."""
    drawn, inside, graph = redrawn(skeleton), skeleton.mask.inside, skeleton.graph
    rows, columns = np.nonzero(inside & ~drawn)
    away = np.hypot(columns[:, None] + 0.5 - graph.xy[:, 0], rows[:, None] + 0.5 - graph.xy[:, 1])
    uncovered = (away - graph.radius).min(1).max(initial=0)
    return uncovered, ndimage.distance_transform_edt(~inside)[drawn].max(initial=0)


def check_topology(skeleton: Skeleton, mask: np.ndarray) -> None:
    pixels, parts = skeleton.pixels, ndimage.label(mask)[0]
    assert not (pixels & ~mask).any()
    assert pieces_and_holes(pixels) == pieces_and_holes(mask)
    assert (np.unique(parts[pixels]) == np.unique(parts[mask])).all()  # each 4-connected part
    assert (zhang_suen(pixels) == pixels).all()
    facts = skeleton.summary
    assert (facts["skeletons"], facts["rings"]) == pieces_and_holes(mask)
    assert (facts["pieces"], facts["holes"]) == pieces_and_holes(mask)
