"""What a skeleton drawn by the benchmark's rules may lack on shapes unlike the benchmark's.

Its shapes are 256×256, in one 4-connected part, with small holes that are faults. Elsewhere shapes
touch themselves in corners, have parts that vanish when they are made smaller, and real holes.
"""

import cv2
import numpy as np

from canet.geometry import compact_skeleton
from canet.geometry.distance import distance_map
from canet.geometry.masks import any_mask, closed_mask, fill_holes
from canet.geometry.thinning import thin_to
from canet.postprocess.rescale import topology

TOLERANCE_PX = 2.0  # of skeletons in parts that have none
BESIDE_PX = 2.0  # of a line: pixels there mean the same line
FAULT_PX = 25  # holes of the challenge that are filled have at most this many pixels


def mended(skeleton: np.ndarray, shape: np.ndarray, *, is_enlarged: bool = False) -> np.ndarray:
    """A skeleton in all parts of a shape, within it, a loop around each of its holes.

    Args:
        skeleton: (H, W) bool.
        shape: (H, W) uint8 grey.
        is_enlarged: it was drawn from a smaller one, so that any difference is a fault.

    Returns:
        (H, W) bool: the skeleton as it is where it lacks none of that; else with the topology of
        the closed shape, and thin. What closing adds is used only where nothing else connects, or
        where the line runs through it and not beside it.
    """
    region = closed_mask(shape)
    missed = _missed_parts(skeleton, region)
    if not missed.any() and not _differs(skeleton, region, is_enlarged):
        return skeleton
    inside = any_mask(shape)
    lacking = compact_skeleton(missed, TOLERANCE_PX).draw(shape.shape)
    wanted, distance = skeleton | (lacking & missed), distance_map(inside)
    drawn = thin_to(region, wanted & inside, distance=distance)
    # a line in a gap that closing fills stays where none beside it stands in
    away = cv2.distanceTransform((~drawn).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    lost = wanted & region & (away > BESIDE_PX)
    if not lost.any():
        return drawn
    return thin_to(region, (wanted & inside) | lost, distance=distance)


def _missed_parts(skeleton: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The 4-connected parts of a region without a pixel of the skeleton, (H, W) bool."""
    count, parts = cv2.connectedComponents(region.view(np.uint8), connectivity=4)
    missed = np.bincount(parts[skeleton], minlength=count) == 0
    missed[0] = False
    return missed[parts]


def _differs(skeleton: np.ndarray, region: np.ndarray, is_enlarged: bool) -> bool:
    """Whether a skeleton leaves the region, or has other pieces or loops than it."""
    if (skeleton & ~region).any():
        return True
    pieces, loops = topology(skeleton)
    if is_enlarged:
        return (pieces, loops) != topology(region)
    wanted = topology(fill_holes(region, FAULT_PX))
    return pieces != wanted[0] or loops < wanted[1]
