import numpy as np
import pytest

from canet.geometry import distance


def test_distance_by_hand():
    mask = np.zeros((5, 7), bool)
    mask[1:4, 1:6] = True
    expected = [[0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 0], [0, 1, 2, 2, 2, 1, 0]]
    found = distance.distance_map(mask)
    assert found[:3].tolist() == expected
    assert found.dtype == np.float32


def test_beyond_the_image_is_background():
    assert distance.distance_map(np.ones((3, 3), bool)).tolist() == [
        [1, 1, 1],
        [1, 2, 1],
        [1, 1, 1],
    ]


def test_wrong_mask_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        distance.distance_map(np.ones((3, 3), np.uint8))


def test_soft_distance_has_no_sharp_ridge():
    mask = np.zeros((41, 41), bool)
    mask[10:31, 3:38] = True
    hard, soft = distance.distance_map(mask), distance.soft_distance_map(mask)
    assert soft.max() < hard.max()
    bend = [abs(np.diff(m[:, 20], 2)[9:29]).max() for m in (hard, soft)]
    assert bend[1] < bend[0]
    assert (soft[~mask] == 0).all()


def test_edges_lie_on_the_outline():
    mask = np.zeros((30, 30), bool)
    mask[8:20, 8:20] = True
    edges = distance.edge_map(mask) > 0
    assert edges.any()
    ys, xs = np.nonzero(edges)
    near_outline = (np.abs(ys - 7.5) <= 1) | (np.abs(ys - 19.5) <= 1)
    near_outline |= (np.abs(xs - 7.5) <= 1) | (np.abs(xs - 19.5) <= 1)
    assert near_outline.all()
