"""Tiles of a large image: each pixel from one of them, well away from its edges."""

import numpy as np
import pytest

from canet.inference.tiles import LARGEST_PX, OVERLAP_PX, TILE_PX, predict_in_tiles


@pytest.mark.parametrize("size", [(513, 40), (700, 900), (1024, 257), (256, 1025)])
def test_every_pixel_is_said_once_and_far_from_a_tiles_edge(size):
    """What a tile says of a pixel is its own distance from the tile's edge."""
    maps = np.ones((2, 1, *size), np.float32)

    def predict(tiles: np.ndarray) -> np.ndarray:
        height, width = tiles.shape[-2:]
        assert max(height, width) <= TILE_PX
        y, x = np.indices((height, width))
        away = np.minimum.reduce([y, x, height - 1 - y, width - 1 - x]) + 1
        return np.repeat(away[None].clip(max=255), len(tiles), 0).astype(np.uint8)

    levels = predict_in_tiles(predict, maps)
    assert levels.shape == (2, *size)
    y, x = np.indices(size)
    border = np.minimum.reduce([y, x, size[0] - 1 - y, size[1] - 1 - x]) + 1
    assert (levels >= np.minimum(border, OVERLAP_PX // 2)).all()


def test_small_images_stay_whole_and_empty_tiles_are_left_out():
    seen = []

    def predict(tiles: np.ndarray) -> np.ndarray:
        seen.append(tiles.shape)
        return np.ones((len(tiles), *tiles.shape[-2:]), np.uint8)

    predict_in_tiles(predict, np.ones((3, 1, LARGEST_PX, 100), np.float32))
    assert seen == [(3, 1, LARGEST_PX, 100)]
    maps = np.zeros((1, 1, 1000, 1000), np.float32)
    maps[0, 0, 10, 10] = 1
    levels = predict_in_tiles(predict, maps)
    assert seen[1] == (1, 1, TILE_PX, TILE_PX)
    assert levels[0, 10, 10] == 1 and not levels[0, 300:].any()
    assert not predict_in_tiles(predict, maps * 0).any() and len(seen) == 2
