"""Thinning that keeps what it is told to keep, and the topology of a mask always.

Pixels are taken from a mask one by one, those nearest to the outside first, and only where that
neither breaks a piece nor opens a hole nor closes one. So whatever skeleton is to be kept comes out
with as many pieces and loops as the mask has.
"""

import cv2
import numpy as np

from canet.geometry.distance import distance_map
from canet.geometry.outline import compiled

AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise
STEPS_PER_PX = 8  # how finely distances are put in order
KEPT, SEEN = 2, 4  # of a pixel, besides 1: it is there


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Of 256 neighbourhoods: whether their middle is simple, and how many neighbours it has.

    A pixel is simple where one 8-connected run of neighbours and the background beside it remain
    when it goes (Yokoi's number is 1).
    """
    there = (np.arange(256)[:, None] >> np.arange(8)) & 1  # above, then clockwise
    gone = 1 - there
    number = sum(
        gone[:, k] - gone[:, k] * gone[:, k + 1] * gone[:, (k + 2) % 8] for k in range(0, 8, 2)
    )
    return number == 1, there.sum(1)


SIMPLE, NEIGHBOURS = _tables()


@compiled
def _code(state, y, x):
    """Which neighbours are there, a bit for each."""
    code = 0
    for k in range(8):
        dy, dx = AROUND[k]
        code |= np.int64(state[y + dy, x + dx] & 1) << k
    return code


@compiled
def _peel(state, order, bucket_of, buckets, simple):
    """Take simple pixels that need not be kept, in the order of their buckets; see `thin_to`.

    `state` is a padded image of flags, changed in place. `order` are the pixels to begin with,
    flat; pixels that become simple later follow in their own bucket, or in the present one.
    """
    width = state.shape[1]
    flat = state.ravel()
    following = np.full(flat.size, -1, np.int32)
    first = np.full(buckets, -1, np.int32)
    last = np.full(buckets, -1, np.int32)
    for p in order:
        _append(p, bucket_of[p], following, first, last)
        flat[p] |= SEEN
    for b in range(buckets):
        while first[b] >= 0:
            p = first[b]
            first[b] = following[p]
            following[p] = -1
            if first[b] < 0:
                last[b] = -1
            flat[p] &= ~SEEN
            y, x = p // width, p % width
            if not simple[_code(state, y, x)]:
                continue
            flat[p] = 0
            for k in range(8):
                dy, dx = AROUND[k]
                q = (y + dy) * width + x + dx
                if flat[q] == 1:
                    _append(q, max(b, bucket_of[q]), following, first, last)
                    flat[q] |= SEEN


@compiled
def _append(p, b, following, first, last):
    """Put a pixel at the end of a bucket."""
    if last[b] < 0:
        first[b] = p
    else:
        following[last[b]] = p
    last[b] = p


@compiled
def _strip(state, pixels, simple, neighbours):
    """Take simple pixels that are no ends and need not be kept, from four sides by turns.

    So a thick line is thinned to its middle, and not eaten up from its end.
    """
    width = state.shape[1]
    flat = state.ravel()
    changed = True
    while changed:
        changed = False
        for side in range(0, 8, 2):
            dy, dx = AROUND[side]
            count = 0
            for p in pixels:  # those of this side, before any of them goes
                if flat[p] == 1 and not flat[p + dy * width + dx] & 1:
                    flat[p] |= SEEN
            for p in pixels:
                if not flat[p]:
                    continue
                pixels[count] = p
                count += 1
                if flat[p] & SEEN:
                    flat[p] &= ~SEEN
                    code = _code(state, p // width, p % width)
                    if simple[code] and neighbours[code] > 1:
                        flat[p] = 0
                        count -= 1
                        changed = True
            pixels = pixels[:count]
    return pixels


def thin_through(
    mask: np.ndarray, kept: np.ndarray, *, distance: np.ndarray, ends: np.ndarray | None = None
) -> np.ndarray:
    """`thin_to` with a pixel in each 4-connected part of the mask, its deepest where none is kept.

    Args:
        mask, kept, distance, ends: as of `thin_to`.
    """
    count, parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    kept = kept & mask
    lacks = np.bincount(parts[kept], minlength=count) == 0
    lacks[0] = False
    if lacks.any():
        at = np.flatnonzero(lacks[parts])
        deepest_first = at[np.lexsort((-distance.ravel()[at], parts.ravel()[at]))]
        _, first = np.unique(parts.ravel()[deepest_first], return_index=True)
        kept.ravel()[deepest_first[first]] = True
    return thin_to(mask, kept, distance=distance, ends=ends)


def thin_to(
    mask: np.ndarray,
    kept: np.ndarray,
    *,
    distance: np.ndarray | None = None,
    ends: np.ndarray | None = None,
) -> np.ndarray:
    """A skeleton of a mask with its topology, through the pixels that are to be kept.

    First all other pixels go that can, then those of `kept` that make a line more than one pixel
    wide. The rest of them is connected, where it was not, along what lies deepest in the mask.

    Args:
        mask: (H, W) bool, True inside; what lies beyond the image is outside.
        kept: (H, W) bool: the line to keep, of any width; what is outside the mask is ignored.
        distance: (H, W) float32, px, `distance_map(mask)` where it is known already, or another
            order: what is smaller goes first.
        ends: (H, W) bool: pixels of `kept` that stay rather than those beside them.

    Returns:
        (H, W) bool, within the mask: one 8-connected piece in each of the mask's, around each of
        its holes (4-connected background) a loop, and no other; nowhere can a pixel be taken
        that is not a line's end.

    Source: Pudney, "Distance-ordered homotopic thinning", 1998; simple pixels by Yokoi, Toriwaki &
    Fukumura, "An analysis of topological properties of digitized binary pictures", 1975.
    """
    if distance is None:
        distance = distance_map(mask)
    state = np.pad(mask.view(np.uint8) | ((kept & mask) * np.uint8(KEPT)), 1)
    flat = state.ravel()
    order = np.flatnonzero(flat == 1).astype(np.int32)
    if len(order):
        bucket_of = np.pad((distance * STEPS_PER_PX).astype(np.int32), 1).ravel()
        _peel(state, order, bucket_of, int(bucket_of[order].max()) + 1, SIMPLE)
    state &= 1
    if ends is not None:
        state[1:-1, 1:-1] |= (ends & (state[1:-1, 1:-1] > 0)) * np.uint8(KEPT)
    pixels = _strip(state, np.flatnonzero(flat).astype(np.int32), SIMPLE, NEIGHBOURS)
    state &= 1
    _strip(state, pixels, SIMPLE, NEIGHBOURS)
    return state[1:-1, 1:-1] > 0
