"""Candidate skeletons as channels of a network's input: drawings, salience, radii, the way there.

A drawn skeleton does not turn exactly with its shape, as the labels do not either: coordinates are
truncated to pixels, so an axis on the border between two is drawn below or to the right of it,
whichever way the shape is turned. Turned maps and the maps of turned shapes have F1 0.91 against
each other (real shapes) and lie within a pixel. Offsets are not drawn: they turn with a mean error
of 0.003 px.
"""

import cv2
import numpy as np

from canet.distance import SCALE_PX
from canet.geometry.candidates import CANDIDATES, Candidate, ShapeGeometry
from canet.geometry.graph import SkeletonGraph
from canet.geometry.kernel import compiled

FINE = CANDIDATES[0]  # the axis that radius and offset speak of: tolerance 1.05, closed mask
WHOLE = Candidate("closed", 0.0)  # nothing is left out: salience says what matters
SALIENCE_PX = 8.0  # becomes a half
OFFSET_PX = 8.0  # becomes 1; so does all that is farther


def candidate_planes(geometry: ShapeGeometry, mask: str) -> np.ndarray:
    """The drawings of the candidates on a mask, finest first.

    Args:
        geometry: of the shape.
        mask: `closed` (tolerances 1.05, 2, 3) or `filled` (1.05, 2).

    Returns:
        (3 or 2, H, W) bool.
    """
    return np.stack([geometry.drawing(c) for c in CANDIDATES if c.mask == mask])


def salience_plane(geometry: ShapeGeometry) -> np.ndarray:
    """How much outline hangs on each pixel of the full medial axis: s / (s + 8 px).

    s is arc minus chord of the edge drawn there; in a ring it is infinite.

    Returns:
        (H, W) float32, 0 to 1; 0 off the axis. Where edges overlap, the most salient counts.
    """
    graph, size = geometry.graph(WHOLE), geometry.shape.shape
    # an edge of a compact skeleton leads away from the start; those that close rings come last
    s = graph.salience[graph.edges[:, 1]]
    s[max(0, len(graph) - 1) :] = np.inf
    value = 1 - SALIENCE_PX / (SALIENCE_PX + s)
    at = np.clip(graph.xy.astype(np.int64), 0, (size[1] - 1, size[0] - 1))  # as `draw` truncates
    picture = np.zeros(size, np.float32)
    for k in np.argsort(value, kind="stable"):
        a, b = at[graph.edges[k]].tolist()
        cv2.line(picture, a, b, float(value[k]), 1)
    return picture


def radius_plane(geometry: ShapeGeometry) -> np.ndarray:
    """The shape's radius along its skeleton, in units of 32 px.

    Returns:
        (H, W) float32; 0 off the skeleton of tolerance 1.05.
    """
    graph, drawing = geometry.graph(FINE), geometry.drawing(FINE)
    picture = np.zeros(drawing.shape, np.float32)
    if len(graph):
        ends, share, _ = nearest_on_axis(graph, _centres(drawing))
        radius = graph.radius[ends]
        picture[drawing] = ((1 - share) * radius[:, 0] + share * radius[:, 1]) / SCALE_PX
    return picture


def offset_planes(geometry: ShapeGeometry) -> np.ndarray:
    """From each shape pixel's centre to the nearest point of the axis, exact within the pixel.

    Returns:
        (2, H, W) float32: x to the right and y downwards, in units of 8 px; longer vectors are
        shortened to 1. 0 outside the closed shape.
    """
    return axis_offsets(geometry.graph(FINE), geometry.masks[FINE.mask])


def axis_offsets(graph: SkeletonGraph, mask: np.ndarray) -> np.ndarray:
    """`offset_planes` of any skeleton: (2, H, W) float32, 0 outside the mask, (H, W) bool."""
    planes = np.zeros((2, *mask.shape), np.float32)
    if len(graph):
        centres = _centres(mask)
        offset = nearest_on_axis(graph, centres)[2] - centres
        length = np.hypot(*offset.T)
        planes[:, mask] = (offset / np.maximum(length, OFFSET_PX)[:, None]).T
    return planes


def nearest_on_axis(
    graph: SkeletonGraph, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest point of a skeleton's edges.

    Args:
        graph: with at least one node.
        points: (N, 2) float64, x and y in px.

    Returns:
        the two nodes of its edge, (N, 2); the share of the way between them, (N,); and where it
        is, (N, 2).
    """
    alone = np.flatnonzero(graph.degree == 0)
    edges = np.concatenate([graph.edges, np.stack([alone, alone], axis=1)])
    start, way = graph.xy[edges[:, 0]], graph.xy[edges[:, 1]] - graph.xy[edges[:, 0]]
    own, share = _nearest(start, way, np.asarray(points, np.float64))
    return edges[own], share, start[own] + share[:, None] * way[own]


@compiled
def _nearest(start, way, points):
    """The nearest of some line segments and the share of the way along it; the first of equals.

    All are compared: a search tree of points along them takes as long, and errs at their ends.
    """
    own = np.zeros(len(points), np.int64)
    share = np.zeros(len(points))
    inverse = np.zeros(len(start))
    for k in range(len(start)):
        square = way[k, 0] * way[k, 0] + way[k, 1] * way[k, 1]
        if square > 0:
            inverse[k] = 1 / square
    for i in range(len(points)):
        best = np.inf
        for k in range(len(start)):
            dx, dy = points[i, 0] - start[k, 0], points[i, 1] - start[k, 1]
            t = min(max((dx * way[k, 0] + dy * way[k, 1]) * inverse[k], 0.0), 1.0)
            dx -= t * way[k, 0]
            dy -= t * way[k, 1]
            distance = dx * dx + dy * dy
            if distance < best:
                best, own[i], share[i] = distance, k, t
    return own, share


def _centres(mask: np.ndarray) -> np.ndarray:
    """(N, 2) x and y of the centres of a mask's pixels, px, row by row."""
    rows, columns = np.nonzero(mask)
    return np.stack([columns, rows], axis=1) + 0.5
