"""The part of an image that a network looks at: all of it, or the box of the shape.

Outside of its box a shape has no skeleton, and half of a silhouette's picture lies there. A network
that pools over the whole image (context attention does) tells the two apart, so it is trained on
what it predicts from.
"""

import numpy as np

GRID_PX = 32  # every encoder's stride divides it; few sizes, so that many windows have the same
MARGIN_PX = 2


def window_sizes(boxes: np.ndarray, image: tuple[int, int]) -> np.ndarray:
    """Sides of the windows that show boxes with a margin.

    Args:
        boxes: (…, 2), height and width in pixels.
        image: height and width, which no window exceeds.

    Returns:
        (…, 2) int64, multiples of 32 where the image has room.
    """
    wanted = -(-(np.asarray(boxes) + 2 * MARGIN_PX) // GRID_PX) * GRID_PX
    return np.minimum(wanted, image).astype(np.int64)


def box_of(picture: np.ndarray) -> np.ndarray:
    """First and last row and column, plus one, of all that is not 0: (C, H, W) → (2, 2) int64."""
    there = (picture != 0).any(0)
    spans = [np.flatnonzero(there.any(axis)) for axis in (1, 0)]
    return np.array([(s[0], s[-1] + 1) if len(s) else (0, 0) for s in spans], np.int64)


def window_of(picture: np.ndarray) -> tuple[slice, slice]:
    """The window around all that is not 0, with its box in the middle where there is room.

    Args:
        picture: (C, H, W), a network's input.

    Returns:
        rows and columns; the image's corner of 32 px where all is 0.
    """
    (top, bottom), (left, right) = box_of(picture)
    height, width = picture.shape[-2:]
    size = window_sizes((bottom - top, right - left), (height, width))
    first = (top + bottom - size[0]) // 2, (left + right - size[1]) // 2
    row, column = np.clip(first, 0, (height, width) - size).tolist()
    return slice(row, row + int(size[0])), slice(column, column + int(size[1]))


def padded_together(pictures: list[np.ndarray]) -> np.ndarray:
    """(C, h, w) of any sizes as one (N, C, H, W), with zeros to the right and below."""
    height, width = np.max([p.shape[-2:] for p in pictures], axis=0)
    padded = np.zeros((len(pictures), len(pictures[0]), height, width), pictures[0].dtype)
    for row, picture in zip(padded, pictures):
        row[:, : picture.shape[1], : picture.shape[2]] = picture
    return padded
