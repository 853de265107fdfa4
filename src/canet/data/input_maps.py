"""The network's input for a shape: the planes of an input kind, computed and stacked.

A drawn skeleton does not turn exactly with its shape, as the labels do not either: coordinates are
truncated to pixels, so an axis on the border between two is drawn below or to the right of it,
whichever way the shape is turned. Distances, edges and the shape itself turn exactly.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from canet.core.console import progress
from canet.core.cores import in_threads
from canet.core.input_planes import parts_of
from canet.core.recipe import Input
from canet.geometry.candidates import ShapeGeometry, closed_drawings
from canet.geometry.compact import compact_skeleton
from canet.geometry.distance import SCALE_PX, distance_map, edge_map, soft_distance_map
from canet.geometry.masks import any_mask, fill_holes, label_mask
from canet.geometry.outline import piece_outlines

SALIENCE_PX = 8.0  # becomes a half


def input_map(shape: np.ndarray, settings: Input) -> np.ndarray:
    """The network's input for one shape.

    Args:
        shape: (H, W) uint8 grey.
        settings: the recipe's `input` section.

    Returns:
        (C, H, W) float32; distances in units of 32 px, all else 0 to 1.
    """
    geometry = ShapeGeometry(shape)  # shared: its masks are made once
    planes = [COMPUTE[name](geometry, settings) for name in parts_of(settings.kind)]
    return np.concatenate(
        [p.reshape(-1, *shape.shape).astype(np.float32, copy=False) for p in planes]
    )


def input_maps(
    shapes: Sequence[np.ndarray], settings: Input, *, label: str | None = None
) -> np.ndarray:
    """Input maps of shapes of one size.

    Args:
        shapes: (H, W) uint8 grey each.
        settings: the recipe's `input` section.
        label: of the progress bar; None shows none.

    Returns:
        (N, C, H, W) float32.
    """

    def compute(shape: np.ndarray) -> np.ndarray:
        return input_map(shape, settings)

    done = in_threads(compute, shapes)
    bar = progress(done, total=len(shapes), desc=label, disable=label is None, delay=2)
    return np.stack(list(bar))


def mask_of(shape: np.ndarray, settings: Input) -> np.ndarray:
    """The mask that the recipe's `input.mask` names: (H, W) uint8 grey → (H, W) bool."""
    return label_mask(shape) if settings.mask == "label" else any_mask(shape)


def salience_plane(geometry: ShapeGeometry) -> np.ndarray:
    """How much outline hangs on each pixel of the full medial axis: s / (s + 8 px).

    s is arc minus chord of the edge drawn there; in a ring it is infinite.

    Returns:
        (H, W) float32, 0 to 1; 0 off the axis. Where edges overlap, the most salient counts.
    """
    size = geometry.shape.shape
    picture = np.zeros(size, np.float32)
    for outline in piece_outlines(geometry.masks["closed"]):
        graph = compact_skeleton(outline, 0.0)  # nothing is left out: salience says what matters
        # an edge of a compact skeleton leads away from the start; those that close rings come last
        s = graph.salience[graph.edges[:, 1]]
        s[max(0, len(graph) - 1) :] = np.inf
        value = 1 - SALIENCE_PX / (SALIENCE_PX + s)
        at = np.clip(graph.xy.astype(np.int64), 0, (size[1] - 1, size[0] - 1))  # as `draw`
        for k in np.argsort(value, kind="stable"):
            a, b = at[graph.edges[k]].tolist()
            cv2.line(picture, a, b, float(value[k]), 1)
    return picture


# Each: geometry, settings → (H, W) or (channels, H, W).
COMPUTE = {
    "shape": lambda g, settings: mask_of(g.shape, settings),
    "grey": lambda g, _: g.shape / 255,
    "distance": lambda g, settings: distance_map(mask_of(g.shape, settings)) / SCALE_PX,
    "repaired_distance": lambda g, settings: (
        distance_map(fill_holes(mask_of(g.shape, settings), settings.max_hole_px)) / SCALE_PX
    ),
    "soft_distance": lambda g, settings: soft_distance_map(mask_of(g.shape, settings)) / SCALE_PX,
    "edge": lambda g, settings: edge_map(mask_of(g.shape, settings)),
    "candidates": lambda g, _: closed_drawings(g),
    "salience": lambda g, _: salience_plane(g),
}
