"""Smooth and ragged shapes, which look as if their labels had different tolerances."""

import cv2
import numpy as np


def blob(seed: int, noisy: bool) -> np.ndarray:
    """A smooth or a ragged shape, (96, 96) uint8."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(18, 32, 2)
    image = np.zeros((96, 96), np.uint8)
    cv2.ellipse(image, ((48, 48), tuple(2 * size), float(rng.uniform(0, 180))), 255, -1)
    if noisy:
        ragged = cv2.GaussianBlur(rng.normal(size=image.shape), (0, 0), 1.2)
        ring = cv2.dilate(image, np.ones((5, 5))) > cv2.erode(image, np.ones((5, 5)))
        image[ring] = np.where(ragged[ring] > 0, 255, 0)
    return image
