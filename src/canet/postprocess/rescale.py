"""Shapes larger than those that a model knows: skeletonized small, drawn at their own size.

Tolerances and receptive fields are in pixels. On a shape of ten times the size every stair of the
outline grows a branch, and attention between all pixels takes ten thousand times as long.
"""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from canet.geometry.graph import SkeletonGraph
from canet.geometry.masks import closed_mask, fill_holes
from canet.geometry.pixel_graph import graph_of_pixels
from canet.postprocess.connect import join_pieces, label_pieces
from canet.postprocess.skeleton import drop_islands
from canet.postprocess.spurs import thin_fully

LEAST_PX = 4  # of the small shape: smaller pieces and holes are dust
LOST_PX = 2  # of the small shape: how far from it may lie what the large one has
SMOOTHINGS = 4  # of each line between its ends; takes the stairs of the small drawing


def shrink(shape: np.ndarray, longest_px: int) -> np.ndarray:
    """A shape whose longer side is `longest_px`, or twice that, and so on, where thin parts ask.

    Args:
        shape: (H, W) uint8 grey.
        longest_px: of the result; 0 leaves every shape as it is.

    Returns:
        (h, w) uint8, 0 and 255: what is inside by half or more. Of the sizes that keep the number
        of pieces and holes, but for dust, and lose no part, the smallest; the shape itself where
        that would be none.
    """
    region, longest = closed_mask(shape), max(shape.shape)
    while 0 < longest_px < longest:
        dust_px = round(LEAST_PX * (longest / longest_px) ** 2)
        clean = drop_islands(fill_holes(region, dust_px), dust_px)
        small = _covered(clean, longest_px / longest)
        if topology(small) == topology(clean) and not _loses(small, clean):
            return small * np.uint8(255)
        longest_px *= 2
    return shape


def _covered(mask: np.ndarray, factor: float) -> np.ndarray:
    """The pixels of a smaller image that a mask covers by half, (H, W) bool → (h, w) bool."""
    size = tuple(max(1, round(n * factor)) for n in reversed(mask.shape))
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5


def _loses(small: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a part of the large mask lies away from the small one."""
    side = 2 * LOST_PX + 1
    near = cv2.dilate(small.view(np.uint8), np.ones((side, side), np.uint8))
    size = mask.shape[::-1]
    return bool((mask & (cv2.resize(near, size, interpolation=cv2.INTER_NEAREST) == 0)).any())


def count_pieces(shape: np.ndarray) -> int:
    """8-connected pieces of a closed shape, (H, W) uint8 grey; of the challenge's none has two."""
    return label_pieces(closed_mask(shape))[0]


def split_pieces(shape: np.ndarray) -> Iterator[np.ndarray]:
    """Those pieces, each alone: (H, W) uint8 grey, often the shape itself; one at a time."""
    count, pieces = label_pieces(closed_mask(shape))
    if count <= 1:
        yield shape
        return
    for k in range(1, count + 1):
        yield np.where(pieces == k, shape, 0)


def topology(mask: np.ndarray) -> tuple[int, int]:
    """Numbers of 8-connected pieces and of holes, (H, W) bool."""
    outside = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    return label_pieces(mask)[0], cv2.connectedComponents(outside, connectivity=4)[0] - 2


def smoothed(graph: SkeletonGraph, times: int = SMOOTHINGS) -> np.ndarray:
    """Positions with every node between two others drawn towards their middle, (N, 2) float64."""
    xy, between = graph.xy.copy(), graph.degree == 2
    a, b = graph.edges.T
    for _ in range(times):
        around = np.zeros_like(xy)
        np.add.at(around, a, xy[b])
        np.add.at(around, b, xy[a])
        xy[between] = xy[between] / 2 + around[between] / 4
    return xy


def enlarge(skeleton: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A small skeleton at the size of its shape, in smooth lines of one pixel.

    Args:
        skeleton: (h, w) bool, of `shrink(shape)`.
        shape: (H, W) uint8 grey.

    Returns:
        (H, W) bool, with as many pieces, within the closed shape; the skeleton itself where it has
        the size of the shape.
    """
    if skeleton.shape == shape.shape:
        return skeleton
    graph = graph_of_pixels(thin_fully(skeleton))
    scale = np.array(shape.shape[::-1]) / skeleton.shape[::-1]
    xy = smoothed(graph) * scale
    drawn = replace(graph, xy=xy).draw(shape.shape)
    region = closed_mask(shape)
    kept = drawn & region
    if label_pieces(kept)[0] > label_pieces(drawn)[0]:  # a line has left the shape and come back
        kept = join_pieces(kept, region, np.ones(shape.shape))
    return kept
