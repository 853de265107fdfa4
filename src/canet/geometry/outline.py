"""The border between a shape's pixels and the rest, as closed chains of pixel corners."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numba
import numpy as np

compiled = numba.njit(cache=True, nogil=True)  # how the inner loops are compiled

# Bucket counts of a chained hash table that doubles to the next prime of its list.
BUCKETS = (13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172933)
BUCKETS += (351061, 712697, 1447153, 2938679)
# Above, right, below, left: the neighbour's row and column, the side's start and end (x, y).
SIDES = ((-1, 0, 0, 0, 1, 0), (0, 1, 1, 0, 1, 1), (1, 0, 1, 1, 0, 1), (0, -1, 0, 1, 0, 0))


@dataclass(frozen=True)
class Outline:
    """Chains of pixel corners around a shape, one for each border of each component.

    Attributes:
        points: (N, 2) float64, x and y in pixels, whole numbers; the image's corner is (0, 0) and
            the pixel in row r and column c covers x from c to c + 1 and y from r to r + 1.
            A corner where the shape touches itself occurs twice.
        following: (N,) int64, each point's successor; with x to the right and y downwards the
            inside lies to the right of the way, so that a chain around the shape runs from
            the smaller angle to the larger.
        chain: (N,) int64, which chain a point belongs to.
        place: (N,) int64, the point's place on its chain, in steps of 1 px from its start.
        length: (C,) int64, each chain's length in px.
    """

    points: np.ndarray
    following: np.ndarray
    chain: np.ndarray
    place: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.points)


@compiled
def _cracks(mask):
    """The sides of pixels on the border: start, end (x, y), and which leave a corner."""
    height, width = mask.shape
    count = 0
    for r in range(height + 1):
        for c in range(width + 1):
            here = r < height and c < width and mask[r, c]
            count += here != (r > 0 and c < width and mask[r - 1, c])
            count += here != (c > 0 and r < height and mask[r, c - 1])
    start = np.empty((count, 2), np.int32)
    end = np.empty((count, 2), np.int32)
    leaving = np.full((height + 1, width + 1, 2), -1, np.int32)
    n = 0
    for r in range(height):
        for c in range(width):
            for side in range(4) if mask[r, c] else range(0):
                dr, dc, x0, y0, x1, y1 = SIDES[side]
                if 0 <= r + dr < height and 0 <= c + dc < width and mask[r + dr, c + dc]:
                    continue
                x0, y0 = c + x0, r + y0
                start[n, 0], start[n, 1], end[n, 0], end[n, 1] = x0, y0, c + x1, r + y1
                leaving[y0, x0, 0 if leaving[y0, x0, 0] < 0 else 1] = n
                n += 1
    return start, end, leaving


@compiled
def _successors(start, end, leaving):
    """Each side's successor on its chain."""
    after = np.empty(len(start), np.int64)
    for i in range(len(start)):
        a, b = leaving[end[i, 1], end[i, 0]]
        if b >= 0:  # the shape touches itself here: stay on the same pixel
            turn = (end[i, 0] - start[i, 0]) * (end[a, 1] - start[a, 1])
            turn -= (end[i, 1] - start[i, 1]) * (end[a, 0] - start[a, 0])
            a = a if turn > 0 else b
        after[i] = a
    return after


@compiled
def _chains(after, first_of_row):
    """Sides in the order of their chains, each chain from its first side; chain and place."""
    n = len(after)
    order = np.empty(n, np.int64)
    chain = np.empty(n, np.int64)
    place = np.empty(n, np.int64)
    seen = np.zeros(n, np.bool_)
    k = chains = 0
    for i in first_of_row:
        if seen[i]:
            continue
        begin = k
        while not seen[i]:
            seen[i] = True
            order[k], chain[k], place[k] = i, chains, k - begin
            k += 1
            i = after[i]
        chains += 1
    return order, chain, place


def _hash_order(count: int) -> np.ndarray:
    """The order in which a chained hash table walks through the keys 0 … count − 1.

    A new key goes to the front of the one list through all buckets; a table that grows puts its
    elements to the front one by one, which turns them round.
    """
    order, done = np.empty(0, np.int64), 0
    for size in BUCKETS:
        if done >= count:
            return order
        upto = min(count, size)
        order = np.concatenate([np.arange(upto - 1, done - 1, -1), order[::-1]])
        done = upto
    return np.concatenate([np.arange(count - 1, done - 1, -1), order])


def trace_outline(mask: np.ndarray, corner: tuple[int, int] = (0, 0)) -> Outline:
    """The crack outline of a shape.

    The points are stored in the order in which the labels' authors' program, which keeps them in
    a hash table, goes through them: where several points of a pixel grid are equally near, the
    first one wins, and skeletons equal theirs only with the same winners.

    Args:
        mask: (H, W) bool, True inside; what lies beyond the image is outside.
        corner: x and y of the mask's upper left corner, where it is a part of an image.

    Returns:
        the chains; none for an empty mask.

    Raises:
        ValueError: `mask` is not 2-D bool.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask is {mask.ndim}-D {mask.dtype}; expected 2-D bool")
    start, _, chain, place = _trace(mask)
    return _stored(start + np.array(corner), chain, place)


def _trace(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Start and end (x, y) of all sides along their chains, which chain, and their place on it."""
    start, end, leaving = _cracks(np.ascontiguousarray(mask))
    after = _successors(start, end, leaving)
    row_by_row = np.lexsort((np.arange(len(start)), start[:, 0], start[:, 1]))
    sides, chain, place = _chains(after, row_by_row)
    return start[sides], end[sides], chain, place


def _stored(points: np.ndarray, chain: np.ndarray, place: np.ndarray) -> Outline:
    """Points along their chains in the order of the hash table."""
    count = len(points)
    length = np.bincount(chain) if count else np.empty(0, np.int64)
    following = np.arange(count) + 1
    following[place == length[chain] - 1] -= length
    order = _hash_order(count)
    where = np.empty_like(order)
    where[order] = np.arange(count)
    return Outline(
        points[order].astype(np.float64),
        where[following[order]],
        chain[order],
        place[order],
        length,
    )


def piece_outlines(mask: np.ndarray) -> Iterator[Outline]:
    """The outline of each 4-connected piece by itself, row by row of their first pixels.

    All are traced at once: boxes of long pieces may overlap, and each would be looked through.

    Args:
        mask: (H, W) bool, True inside.

    Raises:
        ValueError: `mask` is not 2-D bool.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask is {mask.ndim}-D {mask.dtype}; expected 2-D bool")
    _, piece = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    start, end, _, place = _trace(mask)
    # the pixel to the right of each side
    (x, y), (right, down) = start.T, (end - start).T
    owner = piece[y - ((right < 0) | (down < 0)), x - ((right < 0) | (down > 0))]
    in_order = np.argsort(owner, kind="stable")
    begins = np.flatnonzero(np.diff(owner[in_order], prepend=0))
    for own in np.split(in_order, begins[1:]) if len(begins) else ():
        first = np.flatnonzero(place[own] == 0)
        number = np.repeat(np.arange(len(first)), np.diff([*first, len(own)]))
        yield _stored(start[own], number, place[own])
