"""The line that a method draws in a mask."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import ndimage
from skimage.morphology import medial_axis, skeletonize, thin

from canet.geometry import SkeletonGraph, compact_skeleton
from canet.geometry.distance import distance_map
from canet.geometry.outline import piece_outlines
from canet.geometry.thinning import thin_through
from canet.skeletons.options import Options

# An axis between two rows of pixels is drawn in the first, whatever the last bits say.
ASIDE_PX = 1e-6
FORK_PX = 0.75
# (H, W) bool → (H, W) bool: scikit-image's, taken as they are
SCIKIT_IMAGE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "skeletonize": skeletonize,
    "lee": lambda mask: skeletonize(mask, method="lee") > 0,
    "medial_axis": lambda mask: medial_axis(mask, rng=0),
    "thin": thin,
}


@dataclass(frozen=True)
class Line:
    """A skeleton's pixels, and the axis that they were drawn from, where a method knows one.

    Attributes:
        pixels: (H, W) bool, within the mask.
        axis: with positions finer than a pixel.
        tolerance_px: the largest of the mask's parts.
        depth: (H, W) float32, px: distance of each pixel's centre from the nearest one outside.
    """

    pixels: np.ndarray
    axis: SkeletonGraph
    tolerance_px: float
    depth: np.ndarray


def draw_line(mask: np.ndarray, options: Options) -> Line:
    """One object's line: (H, W) bool → the same.

    By scikit-image's methods what they return. By ours one 8-connected piece in each of the mask's,
    through all of its 4-connected parts, with a loop around each hole, and thin.
    """
    if options.method in SCIKIT_IMAGE:
        pixels = SCIKIT_IMAGE[options.method](mask)
        return Line(pixels, SkeletonGraph.empty(), 0.0, distance_map(mask))
    margin = _margin(mask) if options.reach_border else 0
    whole = np.pad(mask, margin, mode="edge")
    kept, axis, tolerance_px = _draw(whole, options)
    height, width = mask.shape
    image = slice(margin, margin + height), slice(margin, margin + width)
    kept, depth = kept[image], distance_map(whole)[image]
    axis = axis.moved(-margin).within(mask.shape)
    if options.method == "compact":
        kept = kept | _thin_lines(mask, tolerance_px)
    ends = _ends_of(axis, mask.shape)
    return Line(thin_through(mask, kept, distance=depth, ends=ends), axis, tolerance_px, depth)


def _draw(mask: np.ndarray, options: Options) -> tuple[np.ndarray, SkeletonGraph, float]:
    """What is to be kept of a mask, (H, W) bool, its axis and the largest tolerance."""
    if options.method == "canet":
        from canet.skeletons.by_network import network_line  # torch takes seconds to import

        return network_line(mask, options.weights), SkeletonGraph.empty(), 0.0
    tolerances = _tolerances(mask, options)
    graphs, around = [], []
    for outline, tolerance_px in zip(piece_outlines(mask), tolerances):
        graphs.append(compact_skeleton(outline, tolerance_px))
        around.append(outline.length.max())
    axis = SkeletonGraph.union(graphs).moved(-ASIDE_PX)
    # the shorter way round, wherever the skeleton was begun; infinite in rings
    rest = np.repeat(around, [len(g) for g in graphs]) - axis.arc
    axis = replace(axis, arc=np.where(np.isinf(axis.arc), np.inf, np.minimum(axis.arc, rest)))
    axis = _without_forks(axis)
    return axis.draw(mask.shape), axis, max(tolerances, default=0.0)


def _without_forks(axis: SkeletonGraph) -> SkeletonGraph:
    """Without two end branches of less than half a pixel's diagonal, which pixels show as a hook.

    The junction takes over the circle that redraws the shape there.
    """
    ends, radius = axis.edges, axis.radius.copy()
    ends = np.where((axis.degree[ends[:, :1]] == 1), ends, ends[:, ::-1])  # a free end comes first
    tips, roots = ends.T
    is_fork = (axis.degree[tips] == 1) & (axis.degree[roots] > 2) & (axis.edge_length < FORK_PX)
    gone = np.bincount(roots[is_fork], minlength=len(axis))
    is_fork &= (gone[roots] > 1) & (gone[roots] < axis.degree[roots])
    np.maximum.at(radius, roots[is_fork], radius[tips[is_fork]])
    return replace(axis, radius=radius).without(np.flatnonzero(is_fork))


def _ends_of(axis: SkeletonGraph, size: tuple[int, int]) -> np.ndarray:
    """Pixels of an axis' ends, (H, W) bool."""
    ends = np.zeros(size, bool)
    columns, rows = np.minimum(axis.xy[axis.degree < 2].astype(int), np.subtract(size[::-1], 1)).T
    ends[rows, columns] = True
    return ends


def _tolerances(mask: np.ndarray, options: Options) -> list[float]:
    """Of each 4-connected part, in the order of `piece_outlines`."""
    count, parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    if "%" not in str(options.tolerance):
        return [options.tolerance_of(0.0)] * (count - 1)
    radius = ndimage.maximum(distance_map(mask), parts, range(1, count)) - 0.5
    return [options.tolerance_of(2 * r) for r in radius]


def _thin_lines(mask: np.ndarray, tolerance_px: float) -> np.ndarray:
    """Where a mask is one pixel wide, (H, W) bool, and that further than the tolerance.

    Such a line is its own skeleton; a bump of the outline is as thin, but shorter.
    """
    inside = mask.view(np.uint8)
    square = np.ones((2, 2), np.uint8)
    wide = cv2.dilate(
        cv2.erode(inside, square, anchor=(0, 0), borderValue=0),
        square,
        anchor=(1, 1),
        borderValue=0,
    )
    narrow = mask & (wide == 0)
    if not (narrow.any() and wide.any()):
        return narrow
    away = cv2.distanceTransform(1 - wide, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    count, lines = cv2.connectedComponents(narrow.view(np.uint8), connectivity=8)
    longest = np.zeros(count)
    np.maximum.at(longest, lines[narrow], away[narrow])
    return (longest > tolerance_px)[lines] & narrow


def _margin(mask: np.ndarray) -> int:
    """How far a mask must go on beyond the image for its lines to reach the border.

    Half of the longest run along a side, since a line turns to the corners that far from its end.
    """
    sides = np.concatenate([np.pad(s, 1) for s in (mask[0], mask[-1], mask[:, 0], mask[:, -1])])
    starts, ends = np.flatnonzero(np.diff(sides.astype(np.int8), prepend=0)).reshape(-1, 2).T
    return int((ends - starts).max(initial=0)) // 2 + 4
