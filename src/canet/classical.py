"""Skeletons without learning, through scikit-image, on `shape > 0`."""

from collections.abc import Callable

import numpy as np
from skimage.morphology import medial_axis, skeletonize

# Each: (H, W) bool, True inside the shape → (H, W) bool.
METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    # Zhang & Suen, "A fast parallel algorithm for thinning digital patterns", 1984
    "zhang_suen": lambda mask: skeletonize(mask, method="zhang"),
    # Lee, Kashyap & Chu, "Building skeleton models via 3-D medial surface/axis thinning", 1994
    "lee": lambda mask: skeletonize(mask, method="lee") > 0,
    # distance-ordered thinning; ties are broken by a fixed seed so that it repeats
    "medial_axis": lambda mask: medial_axis(mask, rng=0),
}
