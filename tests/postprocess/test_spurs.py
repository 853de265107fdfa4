"""Trimming end branches: what goes, and what must stay."""

import cv2
import numpy as np
import pytest
from random_shapes import SIZE, random_shape

from canet.geometry.distance import distance_map
from canet.geometry.metrics import component_count, euler
from canet.postprocess.spurs import trim_spurs


@pytest.mark.parametrize("seed", [*range(60), 2447])  # 2447: where a loop would come to be
def test_trimming_keeps_pieces_and_loops(seed):
    rng = np.random.default_rng(seed)
    skeleton, radius = random_shape(rng), np.full(SIZE, 6, np.float32)
    for px, radii in ((4, 0), (0, 1), (1000, 0)):
        trimmed = trim_spurs(skeleton, radius, shorter_px=px, shorter_radii=radii)
        assert not (trimmed & ~skeleton).any()
        assert component_count(trimmed) == component_count(skeleton)
        assert euler(trimmed) == euler(skeleton)


def test_spurs_by_length():
    skeleton = np.zeros((40, 40), bool)
    skeleton[20, 2:38] = skeleton[14:20, 20] = True
    radius = np.ones(skeleton.shape, np.float32)
    assert (trim_spurs(skeleton, radius, shorter_px=4, shorter_radii=0) == skeleton).all()
    trimmed = trim_spurs(skeleton, radius, shorter_px=8, shorter_radii=0)
    assert trimmed[20, 2:38].all() and not trimmed[:19].any()


def test_spurs_by_the_local_radius():
    mask = np.zeros((40, 80), bool)
    mask[5:36, 5:76] = True
    skeleton = np.zeros_like(mask)
    skeleton[20, 10:70] = True
    skeleton[8:20, 40] = True  # 12 px, the radius there is 16
    assert (
        trim_spurs(skeleton, distance_map(mask), shorter_px=0, shorter_radii=0.5) == skeleton
    ).all()
    assert not trim_spurs(skeleton, distance_map(mask), shorter_px=0, shorter_radii=1)[:19].any()


def test_lines_and_loops_are_no_spurs():
    radius = np.full((40, 40), 50, np.float32)
    line = np.eye(40, dtype=bool)
    assert (trim_spurs(line, radius, shorter_px=1000, shorter_radii=1) == line).all()
    ring = cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 10, 1) > 0
    tailed = ring | (cv2.line(np.zeros((40, 40), np.uint8), (30, 20), (38, 20), 1) > 0)
    trimmed = trim_spurs(tailed, radius, shorter_px=20, shorter_radii=0)
    assert euler(trimmed) == 0 and not trimmed[:, 33:].any() and (trimmed & ring).sum() >= 50


def test_of_three_short_arms_two_stay_as_a_line():
    skeleton = np.zeros((40, 40), bool)
    skeleton[20, 12:29] = True
    skeleton[16:20, 20] = True
    trimmed = trim_spurs(skeleton, np.ones((40, 40), np.float32), shorter_px=1000, shorter_radii=0)
    assert trimmed[20, 12:29].all() and not trimmed[:19].any()


def test_trimming_leaves_the_width():
    skeleton = np.zeros((40, 40), bool)
    skeleton[19:21, 2:38] = skeleton[13:19, 20] = True
    trimmed = trim_spurs(skeleton, np.ones((40, 40), np.float32), shorter_px=10, shorter_radii=0)
    assert trimmed[19:21, 4:36].all() and not trimmed[:17].any()
