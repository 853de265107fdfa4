"""Trimming the short end branches of a skeleton."""

import cv2
import numpy as np
from skimage.morphology import skeletonize
from skimage.segmentation import watershed

AROUND = np.ones((3, 3), np.uint8)


def thin_fully(skeleton: np.ndarray) -> np.ndarray:
    """Thin to lines without stairs, (H, W) bool.

    Zhang–Suen's result lies better but keeps stairs, whose corners would pass for junctions;
    Lee's after it takes those.
    """
    return skeletonize(skeletonize(skeleton), method="lee") > 0


def trim_spurs(
    skeleton: np.ndarray, radius: np.ndarray, *, shorter_px: float, shorter_radii: float
) -> np.ndarray:
    """Remove end branches shorter than a length or than a multiple of the local radius.

    They are found on the thinned skeleton; the rest keeps the width it has. The shortest of a
    junction goes first and what remains is looked at anew: two branches that become one line count
    with their whole length, and a line without junction is never touched. Loops stay.

    Args:
        skeleton: (H, W) bool.
        radius: (H, W) float, the shape's distance map in pixels.
        shorter_px: branches with fewer pixels go.
        shorter_radii: as well as those with fewer pixels than this times the radius at their
            junction.

    Returns:
        (H, W) bool, a subset with as many 8-connected pieces as before.
    """
    rest = thin_fully(skeleton)
    removed = np.zeros_like(skeleton)
    while (spurs := _find_spurs(rest, radius, shorter_px, shorter_radii)).any():
        removed |= spurs
        rest = thin_fully(rest & ~spurs)  # what was a junction may be a bump now
    if not removed.any():
        return skeleton
    seeds = rest + 2 * removed.astype(np.int32)  # every other pixel goes with the nearer
    flat = np.zeros(skeleton.shape, np.uint8)
    kept = watershed(flat, seeds, mask=skeleton, connectivity=2) == 1
    return kept | _new_holes(kept, skeleton)


def _new_holes(kept: np.ndarray, skeleton: np.ndarray) -> np.ndarray:
    """Removed pixels that `kept` encloses, (H, W) bool: taking those would make a loop."""
    around = np.pad(~kept, 1, constant_values=True).astype(np.uint8)
    count, regions = cv2.connectedComponents(around, connectivity=4)
    enclosed = np.ones(count, bool)
    enclosed[regions[np.pad(~skeleton, 1, constant_values=True)]] = False  # was background before
    enclosed[0] = False
    return enclosed[regions[1:-1, 1:-1]]


def _find_spurs(
    skeleton: np.ndarray, radius: np.ndarray, shorter_px: float, shorter_radii: float
) -> np.ndarray:
    """The shortest spur at each junction, (H, W) bool, without the junction's own pixels."""
    image = skeleton.view(np.uint8)
    neighbours = cv2.filter2D(image, -1, AROUND, borderType=cv2.BORDER_CONSTANT) - image
    junction = skeleton & (neighbours > 2)
    if not junction.any():
        return np.zeros_like(skeleton)
    branches = cv2.connectedComponents((skeleton & ~junction).view(np.uint8), connectivity=8)[1]
    junctions = cv2.connectedComponents(junction.view(np.uint8), connectivity=8)[1]
    length = np.bincount(branches.ravel())
    ending = np.zeros(len(length), bool)
    ending[branches[skeleton & (neighbours == 1)]] = True
    # a branch with an end touches one junction at most, and that in one pixel
    beside = cv2.dilate(junctions.astype(np.float32), AROUND).astype(int)
    foot = (branches > 0) & ending[branches] & (beside > 0)
    branch, at = branches[foot], beside[foot]
    local = cv2.dilate(np.where(junction, radius, 0).astype(np.float32), AROUND)[foot]
    short = length[branch] < np.maximum(shorter_px, shorter_radii * local)
    branch, at = branch[short], at[short]
    order = np.argsort(length[branch], kind="stable")
    _, first = np.unique(at[order], return_index=True)
    return np.isin(branches, branch[order[first]])
