"""Shapes unlike the benchmark's, drawn by its rules: every part, real holes, nothing outside."""

from functools import cache

import cv2
import numpy as np
import pytest
from foreign_masks import pieces_and_holes
from scipy import ndimage

from canet.core.console import REPOSITORY
from canet.core.images import read_grey, write_png
from canet.geometry.candidates import plain_skeleton
from canet.postprocess.mend import mended
from canet.selection import forest
from canet.submission.by_geometry import geometry_predictor
from canet.submission.by_method import draw_folder

HOME = REPOSITORY / "weights" / "geometry"


@cache
def predictor():
    return geometry_predictor(HOME, forest.stored_in(HOME))


@pytest.fixture
def run(tmp_path):
    """The skeleton that `make_submission.py --run weights/geometry` draws."""

    def draw(shape: np.ndarray) -> np.ndarray:
        write_png(tmp_path / "shape.png", shape)
        return predictor().predict_files([tmp_path / "shape.png"], 256)["shape.png"]

    return draw


def ground(size: int) -> np.ndarray:
    return np.zeros((size, size), np.uint8)


@pytest.mark.parametrize("size", [64, 100, 300, 1024])
def test_parts_that_touch_in_a_corner(run, size):
    shape, k = ground(size), size // 8
    shape[k : 4 * k, k : 4 * k] = shape[4 * k : 7 * k, 4 * k : 7 * k] = 255
    skeleton = run(shape)
    assert skeleton[: 4 * k].any() and skeleton[4 * k :, 4 * k :].any()
    assert pieces_and_holes(skeleton) == (1, 0)


@pytest.mark.parametrize("end", [(107, 76), (20, 110), (107, 51), (60, 110)])
def test_a_line_of_one_pixel(run, end):
    shape = ground(128)
    cv2.line(shape, (20, 50), end, 255, 1)
    skeleton = run(shape)
    length = max(abs(end[0] - 20), abs(end[1] - 50))
    assert not (skeleton & (shape == 0)).any() and (skeleton & (shape > 0)).sum() >= 0.9 * length


@pytest.mark.parametrize("width", [1, 2, 4, 7])
@pytest.mark.parametrize("ends", [((0.125, 0.166), (0.875, 0.833)), ((0.1, 0.5), (0.9, 0.5))])
@pytest.mark.parametrize("size", [300, 1024])
def test_a_thin_line_in_a_large_image_is_drawn_to_its_ends(run, size, width, ends):
    shape = ground(size)
    a, b = (tuple(round(c * size) for c in end) for end in ends)
    cv2.line(shape, a, b, 255, width)
    rows, columns = np.nonzero(run(shape))
    for x, y in (a, b):
        assert np.hypot(columns - x, rows - y).min() < max(10, size / 75)


@pytest.mark.parametrize("gap", [2, 4, 9])
def test_parts_side_by_side_and_a_dot(run, gap):
    shape = ground(512)
    shape[100:130, 100:160] = shape[100:130, 160 + gap : 220 + gap] = 255
    shape[300:302, 300:302] = 255
    assert run(shape)[298:304, 298:304].any() and run(shape)[:, :160].any()


@pytest.mark.parametrize(("size", "radius"), [(256, 5), (512, 7), (1024, 7), (1024, 15)])
def test_a_small_hole_is_a_loop(run, size, radius):
    shape = ground(size)
    cv2.circle(shape, (size // 2, size // 2), round(0.39 * size), 255, -1)
    cv2.circle(shape, (size // 2, size // 2), radius, 0, -1)
    skeleton = run(shape)
    assert pieces_and_holes(skeleton) == (1, 1) and not (skeleton & (shape == 0)).any()


def test_small_parts_beside_a_large_one(run):
    shape = ground(1024)
    shape[:, 600:900] = shape[100:107, 100:107] = shape[300:307, 100:107] = 255
    assert pieces_and_holes(run(shape))[0] == 3


@pytest.mark.parametrize("size", [300, 700, 1024])
def test_no_loops_come_from_enlarging(run, size):
    shape, k = ground(size), size // 4
    shape[k : 3 * k, k : 3 * k] = 255
    assert pieces_and_holes(run(shape)) == (1, 0)


@pytest.mark.parametrize("end", [(107, 76), (107, 20), (60, 110)])
def test_the_plain_method_joins_what_touches_in_corners(tmp_path, end):
    line, corners = ground(128), ground(128)
    cv2.line(line, (20, 50), end, 255, 1)
    corners[10:30, 10:30] = corners[30:50, 30:50] = corners[50:70, 50:70] = 255
    write_png(tmp_path / "in/line.png", line)
    write_png(tmp_path / "in/corners.png", corners)
    draw_folder("compact", tmp_path / "in", tmp_path / "out")
    drawn = read_grey(tmp_path / "out/line.png") > 0
    assert pieces_and_holes(drawn)[0] == 1 and drawn.sum() > 0.9 * (line > 0).sum()
    assert pieces_and_holes(read_grey(tmp_path / "out/corners.png") > 0) == (1, 0)


def test_two_bars_at_a_distance_of_two():
    """Closing joins them; nothing is drawn between them that nothing needs."""
    shape = ground(256)
    shape[100:110, 20:236] = shape[112:122, 20:236] = 255
    assert ndimage.label(plain_skeleton(shape), np.ones((3, 3)))[1] == 1
    import canet

    skeleton = canet.skeletonize(shape)
    assert skeleton.summary["skeletons"] == 2 and not (skeleton.pixels & (shape == 0)).any()


def test_a_line_in_a_gap_that_closing_fills_is_not_lost():
    shape = ground(90)
    shape[10:17, 5:65] = shape[17:24, 65:72] = 255
    shape[13, 5:65] = 0  # along the axis
    drawn = plain_skeleton(shape)
    skeleton = mended(drawn, shape)
    assert skeleton[:17].sum() > 45 and skeleton[17:].any()
    assert pieces_and_holes(skeleton) == (1, 0)
    dots = ground(60)
    for k in (10, 19):
        dots[k : k + 9, k : k + 9] = 255
        dots[k + 4, k + 4] = 0
    skeleton = mended(plain_skeleton(dots), dots)
    assert skeleton[:19, :19].any() and skeleton[19:, 19:].any()


def test_what_lacks_nothing_stays_as_it_is():
    shape = ground(64)
    cv2.ellipse(shape, (32, 32), (25, 10), 20, 0, 360, 255, -1)
    skeleton = plain_skeleton(shape)
    assert mended(skeleton, shape) is skeleton
