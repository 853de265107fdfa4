"""Skeletons without learning: thinning, medial axes, and the geometry of the labels."""

from collections.abc import Callable

import cv2
import numpy as np
from skimage.morphology import medial_axis, skeletonize, thin

from canet.geometry import salient_medial_axis
from canet.geometry.candidates import plain_skeleton
from canet.geometry.distance import distance_map
from canet.geometry.masks import any_mask, label_mask


def _or_deepest(skeleton: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where nothing is left of a small shape, its deepest pixel stands in: none scores 0."""
    if mask.any() and not skeleton.any():
        skeleton[np.unravel_index(distance_map(mask).argmax(), mask.shape)] = True
    return skeleton


def _salient(shape: np.ndarray) -> np.ndarray:
    mask = label_mask(shape)
    return _or_deepest(salient_medial_axis(mask).draw(shape.shape), mask)


# Weights that make the eight neighbours of a pixel one number, clockwise from the one above.
NEIGHBOURS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
# The gradient's length where the two nearest points of the outline are seen 90° apart; less the
# rounding of single precision, so that the axes of a rectangle's corners go.
RIGHT_ANGLE = 0.5**0.5 - 1e-6


def _deletable(fewest: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of 256 neighbourhoods two-subiteration thinning takes a pixel from, in either half."""
    p = (np.arange(256)[:, None] >> np.arange(8)) & 1  # p[:, 0] above, then clockwise
    count = p.sum(1)
    rises = ((p == 0) & (np.roll(p, -1, axis=1) == 1)).sum(1)
    simple = (count >= fewest) & (count <= most) & (rises == 1)
    above, right, below, left = p[:, ::2].T
    first = simple & (above * right * below == 0) & (right * below * left == 0)
    second = simple & (above * right * left == 0) & (above * below * left == 0)
    return first, second


LU_WANG = _deletable(3, 6)


def lu_wang(mask: np.ndarray) -> np.ndarray:
    """Thinning that keeps two-pixel lines on a slant, (H, W) bool → the same.

    Zhang and Suen's conditions, but for pixels with 3 to 6 neighbours in place of 2 to 6.

    Source: Lü & Wang, "A comment on 'A fast parallel algorithm for thinning digital patterns'",
    1986.
    """
    skeleton, changed = mask.astype(np.uint8), True
    while changed:
        changed = False
        for table in LU_WANG:
            around = cv2.filter2D(skeleton, -1, NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
            gone = table[around] & (skeleton > 0)
            skeleton[gone] = 0
            changed |= bool(gone.any())
    return skeleton > 0


def distance_ridge(mask: np.ndarray) -> np.ndarray:
    """Pixels inside where the distance map D is less steep than |∇D| < cos 45°.

    By central differences ∇D is 1 long where one point of the outline is nearest, and cos(α/2) on
    the medial axis, where two are, seen at the angle α. So α > 90° is kept, and the axes of corners
    that are sharp or right go. Neither thin nor connected everywhere; (H, W) bool → the same.

    Source: Foskey, Lin & Manocha, "Efficient computation of a simplified medial axis", 2003.
    """
    down, right = np.gradient(np.pad(distance_map(mask), 1))
    return mask & (np.hypot(down, right) < RIGHT_ANGLE)[1:-1, 1:-1]


def morphological_skeleton(mask: np.ndarray) -> np.ndarray:
    """What openings of the eroded shape lose, (H, W) bool → the same; often in many pieces.

    ∪ₙ (X ⊖ nB) − ((X ⊖ nB) ∘ B) with the 3×3 cross as B.

    Source: Lantuéjoul, "Skeletonization in quantitative metallography", 1980; Serra, "Image
    analysis and mathematical morphology", 1982, chapter XI.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    eroded = np.pad(mask.astype(np.uint8), 1)  # beyond the image is background
    skeleton = np.zeros_like(eroded)
    while eroded.any():
        smaller = cv2.erode(eroded, cross)
        skeleton |= eroded & ~cv2.dilate(smaller, cross)
        eroded = smaller
    return skeleton[1:-1, 1:-1] > 0


# Each: (H, W) uint8 grey → (H, W) bool; all but the last two on `shape > 0`.
METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    # Zhang & Suen, "A fast parallel algorithm for thinning digital patterns", 1984
    # scikit-image's table, which leaves some of what the printed conditions delete
    "zhang_suen": lambda shape: skeletonize(any_mask(shape), method="zhang"),
    # a square of two pixels vanishes under its conditions
    "lu_wang": lambda shape: _or_deepest(lu_wang(any_mask(shape)), any_mask(shape)),
    # Guo & Hall, "Parallel thinning with two-subiteration algorithms", 1989
    "guo_hall": lambda shape: thin(any_mask(shape)),
    # Lee, Kashyap & Chu, "Building skeleton models via 3-D medial surface/axis thinning", 1994
    "lee": lambda shape: skeletonize(any_mask(shape), method="lee") > 0,
    # distance-ordered thinning; ties are broken by a fixed seed so that it repeats
    "medial_axis": lambda shape: medial_axis(any_mask(shape), rng=0),
    "distance_ridge": lambda shape: _or_deepest(distance_ridge(any_mask(shape)), any_mask(shape)),
    "morphological": lambda shape: morphological_skeleton(any_mask(shape)),
    # Ogniewicz & Kübler, "Hierarchic Voronoi skeletons", 1995
    "salient_medial_axis": _salient,
    # Durix et al., "One-step Compact Skeletonization", 2019, at 2 px
    "compact": plain_skeleton,
}
# Those in a run's own scores: Guo and Hall's takes as long as half of the others together.
BESIDE_RUNS = {name: method for name, method in METHODS.items() if name != "guo_hall"}
