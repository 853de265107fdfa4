"""Images larger than a network knows, in tiles that overlap.

Attention compares every place with every other: an image of four times the side takes 256 times as
long. What a network was trained on is 256 px wide, so that tiles of this size lose little.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

TILE_PX = 256
OVERLAP_PX = 64  # between neighbours; each tile counts up to its middle
LARGEST_PX = 512  # a side up to which an image stays whole


def predict_in_tiles(predict: Callable[[np.ndarray], np.ndarray], maps: np.ndarray) -> np.ndarray:
    """What `predict` makes of images, in tiles where a side is longer than `LARGEST_PX`.

    Tiles in which the maps are 0 all over are outside of the shape and left out.

    Args:
        predict: from maps, (N, C, h, w), to levels, (N, h, w) uint8.
        maps: (N, C, H, W) float32.

    Returns:
        (N, H, W) uint8; 0 where no tile was looked at.
    """
    height, width = maps.shape[-2:]
    if max(height, width) <= LARGEST_PX:
        return predict(maps)
    levels = np.zeros((len(maps), height, width), np.uint8)
    for image, found in zip(maps, levels):
        places = [
            (rows, columns)
            for rows in _spans(height)
            for columns in _spans(width)
            if image[:, rows[0], columns[0]].any()
        ]
        if not places:
            continue
        tiles = np.stack([image[:, rows[0], columns[0]] for rows, columns in places])
        for (rows, columns), tile in zip(places, predict(tiles)):
            found[rows[1], columns[1]] = tile[rows[2], columns[2]]
    return levels


def _spans(length: int) -> list[tuple[slice, slice, slice]]:
    """Along a side: what each tile sees, what it says of the image, and where in itself."""
    size = min(TILE_PX, length)
    count = 1 + max(0, -(-(length - size) // (TILE_PX - OVERLAP_PX)))
    starts = np.linspace(0, length - size, count).round().astype(int).tolist()
    borders = [0, *((a + size + b) // 2 for a, b in pairwise(starts)), length]
    return [
        (slice(s, s + size), slice(low, high), slice(low - s, high - s))
        for s, low, high in zip(starts, borders, borders[1:])
    ]
