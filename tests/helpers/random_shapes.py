"""Masks of every kind, for tests of what holds for any."""

import cv2
import numpy as np

SIZE = (31, 43)


def random_shape(rng: np.random.Generator) -> np.ndarray:
    """Blobs, scattered pixels, a single one, nothing, everything; many touch the border."""
    kind = rng.integers(6)
    if kind == 0:
        return rng.random(SIZE) < rng.uniform(0.02, 0.9)
    if kind == 1:
        point = np.zeros(SIZE, bool)
        point[rng.integers(SIZE[0]), rng.integers(SIZE[1])] = True
        return point
    if kind == 2:
        return np.full(SIZE, rng.random() < 0.7)
    smooth = cv2.GaussianBlur(rng.normal(size=SIZE), (0, 0), rng.uniform(1, 5))
    return smooth > np.quantile(smooth, rng.uniform(0.2, 0.9))
