"""The box of a shape, as the network looks at it."""

import numpy as np
import pytest

from canet.data.windows import padded_together, window_of, window_sizes


@pytest.mark.parametrize(
    "rows, columns, expected",
    [
        ((100, 120), (90, 130), ((94, 126), (78, 142))),  # 20 and 40 px, with margins 24 and 44
        ((0, 10), (250, 256), ((0, 32), (224, 256))),  # moved into the image
        ((10, 250), (0, 256), ((0, 256), (0, 256))),
        ((112, 140), (112, 141), ((110, 142), (94, 158))),  # 28 px and its margin fit, 29 do not
    ],
)
def test_windows_show_the_shape_in_their_middle(rows, columns, expected):
    picture = np.zeros((2, 256, 256), np.float32)
    picture[1, slice(*rows), slice(*columns)] = -1
    found = window_of(picture)
    assert tuple((s.start, s.stop) for s in found) == expected
    assert (picture[:, found[0], found[1]] != 0).sum() == (picture != 0).sum()


def test_nothing_is_looked_at_in_a_corner():
    rows, columns = window_of(np.zeros((1, 64, 96)))
    assert (rows, columns) == (slice(0, 32), slice(0, 32))


def test_windows_are_never_larger_than_the_image():
    assert window_sizes(np.array([[1, 40], [200, 250]]), (100, 256)).tolist() == [
        [32, 64],
        [100, 256],
    ]
    assert window_of(np.ones((1, 20, 50))) == (slice(0, 20), slice(0, 50))


def test_padding_puts_pictures_of_all_sizes_together():
    together = padded_together([np.ones((2, 3, 5), np.float32), np.ones((2, 4, 1), np.float32)])
    assert together.shape == (2, 2, 4, 5) and together.dtype == np.float32
    assert together.sum((1, 2, 3)).tolist() == [30, 8] and together[1, :, :, 0].all()
