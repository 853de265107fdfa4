"""Skeletons without learning: thinning, medial axes, and the geometry of the labels."""

from collections.abc import Callable

import numpy as np
from skimage.morphology import medial_axis, skeletonize

from canet.distance import distance_map, inside
from canet.geometry import salient_medial_axis
from canet.geometry.candidates import label_mask, plain_skeleton


def _salient(shape: np.ndarray) -> np.ndarray:
    """Where nothing of a small shape is salient, its deepest pixel stands in: none scores 0."""
    mask = label_mask(shape)
    skeleton = salient_medial_axis(mask).draw(shape.shape)
    if mask.any() and not skeleton.any():
        skeleton[np.unravel_index(distance_map(mask).argmax(), mask.shape)] = True
    return skeleton


# Each: (H, W) uint8 grey → (H, W) bool; the first three on `shape > 0`.
METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    # Zhang & Suen, "A fast parallel algorithm for thinning digital patterns", 1984
    "zhang_suen": lambda shape: skeletonize(inside(shape), method="zhang"),
    # Lee, Kashyap & Chu, "Building skeleton models via 3-D medial surface/axis thinning", 1994
    "lee": lambda shape: skeletonize(inside(shape), method="lee") > 0,
    # distance-ordered thinning; ties are broken by a fixed seed so that it repeats
    "medial_axis": lambda shape: medial_axis(inside(shape), rng=0),
    # Ogniewicz & Kübler, "Hierarchic Voronoi skeletons", 1995
    "salient_medial_axis": _salient,
    # Durix et al., "One-step Compact Skeletonization", 2019, at 2 px
    "compact": plain_skeleton,
}
