"""Training shapes drawn anew, turned and scaled by any amount, with labels that are exact again.

A label that is turned with its pixels is not the label of the turned shape: drawn, mirrored and
mirrored back, a line agrees with itself only to F1 0.94. Labels of this benchmark are compact
skeletons, so the skeleton of the new drawing can be computed instead, with the image's own mask and
tolerance (`geometry.candidates`).
"""

from functools import cached_property

import cv2
import numpy as np

from canet.core.console import progress
from canet.core.cores import in_threads
from canet.core.recipe import Augment, Input
from canet.data.input_maps import input_map
from canet.data.training_set import Samples
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.geometry.metrics import f1_score

FINER = 4  # drawn at so many times the size, then averaged: edges have 17 grey levels
MARGIN_PX = 2
LEAST_F1 = 0.8  # a label that no candidate comes near to is not one of them


def own_candidates(shapes: np.ndarray, skeletons: np.ndarray) -> np.ndarray:
    """Which candidate each label is: the one with the highest F1; −1 where none is close.

    Args:
        shapes: (N, H, W) uint8 grey.
        skeletons: (N, H, W) of 0 and 1.

    Returns:
        (N,) int64, positions in CANDIDATES.
    """

    def best(pair: tuple[np.ndarray, np.ndarray]) -> int:
        shape, skeleton = pair
        f1 = [f1_score(drawing, skeleton > 0) for drawing in ShapeGeometry(shape).drawings]
        return int(np.argmax(f1)) if max(f1) >= LEAST_F1 else -1

    found = in_threads(best, zip(shapes, skeletons))
    found = progress(found, total=len(shapes), desc="candidates", unit="image", delay=2)
    return np.array(list(found), np.int64)


def draw_affine(shape: np.ndarray, settings: Augment, rng: np.random.Generator) -> np.ndarray:
    """A random affine map, source pixels to new ones, that keeps the shape inside the image.

    Flipped or not, turned by any angle, scaled by a factor between 1 / `scale` and `scale` in each
    direction, as far as there is room, and laid anywhere.

    Args:
        shape: (H, W) uint8 grey, not empty.
        settings: the recipe's `augment` section.
        rng: draws.

    Returns:
        (2, 3) float64.
    """
    height, width = shape.shape
    rows, columns = np.nonzero(shape)
    corners = np.array(
        [
            [a, b]
            for a in (columns.min(), columns.max() + 1.0)
            for b in (rows.min(), rows.max() + 1.0)
        ]
    )  # (4, 2), x and y
    angle, reach = rng.uniform(0, 2 * np.pi), np.log(settings.scale)
    scales = np.exp(rng.uniform(-reach, reach, 2)) * [rng.choice([-1.0, 1.0]), 1]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn * scales  # columns scaled: first scaled, then turned
    box = np.ptp(corners @ matrix.T, axis=0)
    room = np.array([width, height]) - 2 * MARGIN_PX
    matrix *= min(1.0, *(room / box))
    moved = corners @ matrix.T
    free = room - np.ptp(moved, axis=0)
    place = MARGIN_PX + rng.uniform(0, 1, 2) * free - moved.min(0)
    return np.column_stack([matrix, place])


def drawn_anew(shape: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The shape under an affine map, with antialiased edges: (H, W) uint8 → (H, W) uint8.

    Args:
        shape: grey; its outline is where grey is one half.
        affine: (2, 3), source to new; corners of the image are (0, 0).
    """
    height, width = shape.shape
    # to OpenCV's frame, in which the centre of a pixel is whole
    fine = FINER * affine
    fine[:, 2] += 0.5 * fine[:, :2].sum(1) - 0.5
    size = (FINER * width, FINER * height)
    warped = cv2.warpAffine(shape, fine, size, flags=cv2.INTER_LINEAR)
    inside = np.where(warped > 127, np.uint8(255), np.uint8(0))
    return cv2.resize(inside, (width, height), interpolation=cv2.INTER_AREA)


class Relabeller:
    """Draws training images anew.

    Args:
        samples: the training images, with their shapes.
        settings: the recipe's `augment` section.
        planes: its `input` section.
    """

    def __init__(self, samples: Samples, settings: Augment, planes: Input):
        self.shapes, self.settings, self.planes = samples.shapes, settings, planes
        self.candidates = own_candidates(samples.shapes, samples.skeletons)

    def __call__(self, index: int, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Input (C, H, W) float32 and label (H, W) uint8; None where the image stays as it is.

        It does, too, where nothing is left of it: a faint line of a pixel may vanish.

        Args:
            index: of the image.
            seed: all that is drawn is a function of it.
        """
        affine = self.affine(index, seed)
        if affine is None:
            return None
        new = drawn_anew(self.shapes[index], affine)
        if not new.any():
            return None
        label = ShapeGeometry(new).drawing(CANDIDATES[self.candidates[index]])
        return input_map(new, self.planes), label.astype(np.uint8)

    def affine(self, index: int, seed: int) -> np.ndarray | None:
        """How the image is drawn anew, (2, 3), source pixels to new ones; None where it stays."""
        rng = np.random.default_rng(seed)
        if rng.random() >= self.settings.relabel or self.candidates[index] < 0:
            return None
        return draw_affine(self.shapes[index], self.settings, rng)

    def box(self, index: int, affine: np.ndarray) -> np.ndarray:
        """Height and width, in pixels, of the image drawn anew: (2,) float64."""
        return np.ptp(self._hulls[index] @ affine[:, :2].T, axis=0)[::-1]

    @cached_property
    def _hulls(self) -> list[np.ndarray]:
        """The corners of each shape's convex hull, (n, 2) x and y."""
        return [cv2.convexHull(cv2.findNonZero(shape))[:, 0] for shape in self.shapes]
