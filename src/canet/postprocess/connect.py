"""One piece instead of many: islands dropped, or joined along the cheapest paths."""

import cv2
import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree

from canet.geometry.candidates import CLOSED, PLAIN
from canet.geometry.distance import distance_map
from canet.geometry.metrics import LEVELS

# Even a certain pixel costs this much, so that the shorter of two certain ways is taken.
LEAST_COST = 0.05
STEPS = ((0, 1), (1, -1), (1, 0), (1, 1))  # (down, right); the other four mirror them


def label_pieces(skeleton: np.ndarray) -> tuple[int, np.ndarray]:
    """Number of 8-connected pieces; each pixel's piece, (H, W) int32 from 1 on, 0 where none."""
    count, pieces = cv2.connectedComponents(skeleton.astype(np.uint8), connectivity=8)
    return count - 1, pieces


def pixel_costs(levels: np.ndarray) -> np.ndarray:
    """What a path pays for a pixel: −log p and a floor.

    Args:
        levels: (H, W) uint8 probabilities, see `metrics.quantize`.

    Returns:
        (H, W) float64, positive.
    """
    return LEAST_COST - np.log((np.arange(LEVELS) + 0.5) / LEVELS)[levels]


def nearest_candidates(
    skeleton: np.ndarray, region: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """In each component of a region the candidate with the highest F1 against the skeleton there.

    Args:
        skeleton: (H, W) bool, within `region`.
        region: (H, W) bool, the shape.
        candidates: (3, H, W) bool, `closed_drawings`; where there is no skeleton, the best single
            one is taken.

    Returns:
        (H, W) bool, within `region`.
    """
    count, parts = label_pieces(region)

    def sizes(pixels: np.ndarray) -> np.ndarray:
        return np.bincount(parts[pixels], minlength=count + 1)

    drawn = sizes(skeleton)
    f1 = [2 * sizes(c & skeleton) / np.maximum(sizes(c) + drawn, 1) for c in candidates]
    best = np.where(drawn, np.argmax(f1, axis=0), CLOSED.index(PLAIN))  # (count + 1,)
    return np.take_along_axis(candidates, best[parts][None], axis=0)[0] & region


def keep_best_part(skeleton: np.ndarray, region: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The 8-connected component of a region with the most skeleton in it.

    The real labels are one component even where the shape has several: they cover one of them.

    Args:
        skeleton: (H, W) bool, within `region`.
        region: (H, W) bool, the shape.
        levels: (H, W) uint8 probabilities; their sum over the skeleton decides, or over the
            region where there is no skeleton.

    Returns:
        (H, W) bool, a component of `region`.
    """
    count, parts = label_pieces(region)
    seen = skeleton if skeleton.any() else region
    weight = np.bincount(parts[seen], weights=levels[seen], minlength=count + 1)
    return parts == 1 + weight[1:].argmax() if count else region


def fill_empty_parts(skeleton: np.ndarray, region: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Give each component of a region without skeleton its most probable pixel.

    Among equally probable ones the deepest, so that an empty map gives a point well inside.

    Args:
        skeleton: (H, W) bool, within `region`.
        region: (H, W) bool, the shape.
        levels: (H, W) uint8 probabilities.
    """
    count, parts = label_pieces(region)
    empty = np.setdiff1d(np.arange(1, count + 1), parts[skeleton])
    if not empty.size:
        return skeleton
    depth = distance_map(region)
    found = ndimage.maximum_position(levels + depth / (1 + depth.max()), parts, empty)
    filled = skeleton.copy()
    filled[tuple(np.transpose(found))] = True
    return filled


def keep_best_pieces(skeleton: np.ndarray, region: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Drop all but the piece with the largest sum of levels, in each component of a region.

    Args:
        skeleton: (H, W) bool, within `region`.
        region: (H, W) bool, the shape.
        levels: (H, W) uint8 probabilities.
    """
    count, pieces = label_pieces(skeleton)
    if count <= 1:
        return skeleton
    parts, own = label_pieces(region)[1][skeleton], pieces[skeleton]
    weight = np.bincount(own, weights=levels[skeleton])
    part_of = np.zeros(count + 1, int)
    part_of[own] = parts
    order = 1 + np.argsort(-weight[1:], kind="stable")
    _, first = np.unique(part_of[order], return_index=True)
    return np.isin(pieces, order[first])


def join_pieces(skeleton: np.ndarray, region: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Connect the pieces within each component of a region by the cheapest paths there are.

    One search from all pieces at once tells where their territories meet. The minimum spanning
    tree over those meetings is a minimum spanning tree over all paths between pieces.

    Args:
        skeleton: (H, W) bool, within `region`.
        region: (H, W) bool, where paths may run.
        cost: (H, W) float, positive; a step costs the mean of its two pixels times its length.

    Returns:
        (H, W) bool: the skeleton and the paths, one piece in each component of the region that
        had any.

    Source: Mehlhorn, "A faster approximation algorithm for the Steiner problem in graphs", 1988.
    """
    count, pieces = label_pieces(skeleton)
    if count <= 1:
        return skeleton
    left, top, width, height = cv2.boundingRect(region.view(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    inner = region[box]
    piece = pieces[box][inner]
    start, end, step = _steps(inner, cost[box])
    distance, previous, source = dijkstra(
        coo_array((step, (start, end)), shape=(len(piece), len(piece))).tocsr(),
        directed=False,
        indices=np.flatnonzero(piece),
        min_only=True,
        return_predecessors=True,
    )
    territory = np.where(source >= 0, piece[np.maximum(source, 0)], 0)  # no source: negative
    meets = (territory[start] != territory[end]) & (territory[start] > 0)
    start, end, step = start[meets], end[meets], step[meets]
    cheapest_first = np.argsort(distance[start] + step + distance[end], kind="stable")
    start, end = start[cheapest_first], end[cheapest_first]
    pairs = np.sort([territory[start], territory[end]], axis=0)
    taken = _spanning_tree(pairs, count)
    on_path = piece > 0
    walkers = np.concatenate([start[taken], end[taken]])
    while walkers.size:  # from the meetings back to the pieces, all paths at once
        on_path[walkers] = True
        walkers = previous[walkers]
        walkers = walkers[walkers >= 0]
    joined = np.zeros_like(skeleton)
    joined[box][inner] = on_path
    return joined


def _steps(region: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From, to and cost of each step within a region, whose pixels are numbered row by row."""
    number = np.cumsum(region.ravel(), dtype=np.int32).reshape(region.shape) - 1
    height, width = region.shape
    starts, ends, costs = [], [], []
    for down, right in STEPS:
        here = slice(height - down), slice(max(0, -right), width - max(0, right))
        there = slice(down, height), slice(max(0, right), width + min(0, right))
        both = region[here] & region[there]
        starts.append(number[here][both])
        ends.append(number[there][both])
        costs.append((cost[here][both] + cost[there][both]) * (np.hypot(down, right) / 2))
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(costs)


def _spanning_tree(pairs: np.ndarray, count: int) -> np.ndarray:
    """Which meetings to take, given the pairs of pieces that meet, (2, M), cheapest first."""
    if not pairs.size:
        return np.zeros(0, int)
    _, first = np.unique(pairs[0].astype(np.int64) * (count + 1) + pairs[1], return_index=True)
    ranks = coo_array((first + 1.0, pairs[:, first]), shape=(count + 1, count + 1))
    return minimum_spanning_tree(ranks.tocsr()).data.astype(int) - 1
