"""One picture of what was predicted for a folder of shapes."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from canet.core.files import write_with
from canet.core.images import read_grey
from canet.geometry.masks import any_mask

SHOWN, COLUMNS, CELL_PX, GAP_PX = 24, 6, 256, 6
GROUND, INSIDE, SKELETON = (255, 255, 255), (70, 70, 70), (45, 205, 255)  # blue, green, red


def write_overview(
    shapes: list[Path], skeleton_of: Callable[[str], np.ndarray], path: Path
) -> None:
    """Skeletons over their shapes, of up to `SHOWN` shapes spread evenly over the folder.

    Args:
        shapes: paths of their PNGs.
        skeleton_of: gives the (H, W) uint8 skeleton, more than 0 where it is, by file name.
        path: the PNG to write.
    """
    chosen = np.linspace(0, len(shapes) - 1, min(SHOWN, len(shapes))).round().astype(int)
    cells = [_cell(read_grey(shapes[i]), skeleton_of(shapes[i].name)) for i in chosen]
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    step = CELL_PX + GAP_PX
    picture = np.full((rows * step + GAP_PX, columns * step + GAP_PX, 3), GROUND, np.uint8)
    for k, cell in enumerate(cells):
        top, left = (GAP_PX + step * n for n in divmod(k, columns))
        picture[top : top + CELL_PX, left : left + CELL_PX] = cell
    write_with(path, lambda temporary: temporary.write_bytes(cv2.imencode(".png", picture)[1]))


def _cell(shape: np.ndarray, skeleton: np.ndarray) -> np.ndarray:
    """(CELL_PX, CELL_PX, 3) uint8: a shape of any size, its skeleton about a pixel wide."""
    height, width = shape.shape
    scale = CELL_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    mask = cv2.resize(np.uint8(any_mask(shape)) * 255, size, interpolation=cv2.INTER_AREA)
    at_y, at_x = np.nonzero(skeleton)
    drawn = (mask[..., None] > 127) * np.uint8(INSIDE)
    if scale > 1:
        drawn[cv2.resize(skeleton, size, interpolation=cv2.INTER_NEAREST) > 0] = SKELETON
    else:  # each pixel where it falls, so that none is lost
        drawn[at_y * size[1] // height, at_x * size[0] // width] = SKELETON
    cell = np.zeros((CELL_PX, CELL_PX, 3), np.uint8)
    top, left = (CELL_PX - size[1]) // 2, (CELL_PX - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = drawn
    return cell
