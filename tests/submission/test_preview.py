"""The picture of what was predicted."""

import cv2
import numpy as np

from canet.core.images import read_grey, write_png
from canet.submission.preview import (
    CELL_PX,
    COLUMNS,
    GAP_PX,
    INSIDE,
    SHOWN,
    SKELETON,
    write_overview,
)


def test_every_skeleton_lies_over_its_shape_whatever_its_size(tmp_path):
    shapes = []
    for k, (height, width) in enumerate([(256, 256), (40, 100), (2000, 900), (3, 1), (256, 300)]):
        shape = np.zeros((height, width), np.uint8)
        shape[height // 4 :, :] = 255
        shapes.append(tmp_path / f"{k}.png")
        write_png(shapes[-1], shape)

    def skeleton_of(name: str) -> np.ndarray:
        shape = read_grey(tmp_path / name)
        line = np.zeros_like(shape)
        line[len(shape) // 2, :] = 255
        return line

    write_overview(shapes, skeleton_of, tmp_path / "all.png")
    picture = cv2.imread(str(tmp_path / "all.png"))
    step = CELL_PX + GAP_PX
    assert picture.shape == (step + GAP_PX, 5 * step + GAP_PX, 3)
    for k, path in enumerate(shapes):
        height, width = read_grey(path).shape
        cell = picture[GAP_PX:step, GAP_PX + k * step : (k + 1) * step]
        line = (cell == SKELETON).all(2)
        across = round(width * CELL_PX / max(height, width))
        assert line.any(0).sum() == across  # as wide as the shape: nothing of it is lost
        assert line.sum(0).max() <= max(1, np.ceil(CELL_PX / max(height, width)))
        below = CELL_PX // 2 + round(height * CELL_PX / max(height, width) / 4)
        assert (cell[below, CELL_PX // 2] == INSIDE).all()


def test_of_many_shapes_some_are_shown_from_first_to_last(tmp_path):
    write_png(tmp_path / "x.png", np.full((8, 8), 255, np.uint8))
    asked = []

    def skeleton_of(name: str) -> np.ndarray:
        asked.append(name)
        return np.full((8, 8), 255, np.uint8)

    paths = []
    for k in range(100):
        paths.append(tmp_path / f"{k:03}.png")
        paths[-1].symlink_to(tmp_path / "x.png")
    write_overview(paths, skeleton_of, tmp_path / "all.png")
    assert len(asked) == SHOWN and asked[0] == "000.png" and asked[-1] == "099.png"
    rows = -(-SHOWN // COLUMNS)
    assert len(cv2.imread(str(tmp_path / "all.png"))) == rows * (CELL_PX + GAP_PX) + GAP_PX
