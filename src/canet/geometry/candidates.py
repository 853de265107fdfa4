"""The few skeletons of a shape among which the label of Pixel SkelNetOn is.

The labels are compact skeletons of one of two masks, at one of three tolerances. The data set does
not record which of these five. Measured on the 974 training images: the best candidate has a mean
F1 of 0.997 and equals the label pixel by pixel on 61 % of the images.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from canet.geometry.compact import compact_skeleton
from canet.geometry.graph import SkeletonGraph
from canet.geometry.masks import filled_mask, label_mask
from canet.geometry.outline import Outline, piece_outlines, trace_outline

MASKS = {"closed": label_mask, "filled": filled_mask}


@dataclass(frozen=True)
class Candidate:
    """How a candidate is made: `mask` is a key of MASKS."""

    mask: str
    tolerance_px: float

    @property
    def name(self) -> str:
        return f"{self.mask}_{self.tolerance_px:g}"


CANDIDATES = tuple(
    Candidate(mask, tolerance)
    for mask, tolerance in [
        ("closed", 1.05),
        ("closed", 2.0),
        ("closed", 3.0),
        ("filled", 1.05),
        ("filled", 2.0),
    ]
)
PLAIN = CANDIDATES[1]  # the best single one: 0.958
CLOSED = [c for c in CANDIDATES if c.mask == "closed"]


class ShapeGeometry:
    """Masks, outlines, skeletons and drawings of one shape, each computed once when asked for.

    Args:
        shape: (H, W) uint8 grey.
    """

    def __init__(self, shape: np.ndarray):
        self.shape = shape
        self._outlines: dict[str, Outline] = {}
        self._graphs: dict[Candidate, SkeletonGraph] = {}

    @cached_property
    def masks(self) -> dict[str, np.ndarray]:
        """(H, W) bool by name."""
        return {name: mask(self.shape) for name, mask in MASKS.items()}

    def outline(self, mask: str) -> Outline:
        """The outline of the mask of that name."""
        if mask not in self._outlines:
            self._outlines[mask] = trace_outline(self.masks[mask])
        return self._outlines[mask]

    def graph(self, candidate: Candidate) -> SkeletonGraph:
        """The candidate's skeleton."""
        if candidate not in self._graphs:
            self._graphs[candidate] = compact_skeleton(
                self.outline(candidate.mask), candidate.tolerance_px
            )
        return self._graphs[candidate]

    def drawing(self, candidate: Candidate) -> np.ndarray:
        """(H, W) bool: one 8-connected piece, empty only where the shape is."""
        return self.graph(candidate).draw(self.shape.shape)

    @cached_property
    def drawings(self) -> np.ndarray:
        """(len(CANDIDATES), H, W) bool."""
        return np.stack([self.drawing(c) for c in CANDIDATES])


def closed_drawings(geometry: ShapeGeometry) -> np.ndarray:
    """The drawings of the closed mask's candidates, finest first: (3, H, W) bool.

    Labels are in one piece, as their shapes are; a mask in several has a skeleton in each.
    """
    outlines, drawings = list(piece_outlines(geometry.masks["closed"])), []
    for tolerance_px in (c.tolerance_px for c in CLOSED):
        graphs = [compact_skeleton(outline, tolerance_px) for outline in outlines]
        drawings.append(SkeletonGraph.union(graphs).draw(geometry.shape.shape))
    return np.stack(drawings)


def plain_skeleton(shape: np.ndarray) -> np.ndarray:
    """The best single candidate, nothing learned: (H, W) uint8 grey → (H, W) bool."""
    return ShapeGeometry(shape).drawing(PLAIN)
