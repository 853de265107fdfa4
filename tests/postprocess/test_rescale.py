import cv2
import numpy as np
import pytest

from canet.data import demo
from canet.geometry import compact_skeleton
from canet.geometry.candidates import PLAIN, plain_skeleton
from canet.geometry.masks import any_mask, closed_mask, label_mask
from canet.geometry.pixel_graph import graph_of_pixels
from canet.postprocess.connect import label_pieces
from canet.postprocess.rescale import enlarge, shrink, smoothed, split_pieces, topology


def blob(size: int = 1000, arm_px: int = 40) -> np.ndarray:
    """An ellipse with an arm, (size, size) uint8."""
    image = np.zeros((size, size), np.uint8)
    cv2.ellipse(image, (300, 600), (150, 250), 30, 0, 360, 255, -1)
    cv2.line(image, (300, 600), (900, 100), 255, arm_px)
    return image


def magnified(shape: np.ndarray, factor: int) -> np.ndarray:
    """A shape with a smooth outline, (H, W) uint8 → (factor · H, factor · W) uint8."""
    large = cv2.resize(any_mask(shape) * np.float32(1), None, fx=factor, fy=factor)
    return (cv2.GaussianBlur(large, (0, 0), factor / 2) >= 0.5) * np.uint8(255)


def test_what_is_small_enough_or_asked_for_stays_as_it_is():
    shape = blob()
    assert shrink(shape, 1000) is shape and shrink(shape, 0) is shape
    skeleton = plain_skeleton(shape)
    assert enlarge(skeleton, shape) is skeleton


@pytest.mark.parametrize(
    ("arm_px", "longest_px", "side"), [(40, 125, 125), (3, 125, 250), (1, 250, 1000)]
)
def test_a_shape_shrinks_as_far_as_its_thin_parts_allow(arm_px, longest_px, side):
    small = shrink(blob(arm_px=arm_px), longest_px)
    assert small.shape == (side, side) and small.dtype == np.uint8
    assert set(np.unique(small)) == {0, 255}


def test_dust_and_pinholes_do_not_count_but_pieces_and_holes_do():
    shape = blob()
    shape[50:54, 60:64], shape[600:604, 300:304] = 255, 0
    assert topology(closed_mask(shape)) == (2, 1)
    assert topology(shrink(shape, 250) > 0) == (1, 0)
    shape[50:100, 60:100], shape[600:620, 300:320] = 255, 0
    assert topology(shrink(shape, 250) > 0) == (2, 1)
    rings = np.zeros((400, 600), np.uint8)  # the gap between them is less than a small pixel
    for x in (200, 404):
        cv2.circle(rings, (x, 200), 100, 255, -1)
    assert topology(closed_mask(rings)) == (2, 0) == topology(any_mask(shrink(rings, 60)))
    assert max(shrink(rings, 60).shape) > 60


def test_lines_keep_their_ends_and_lose_their_stairs():
    stairs = np.zeros((9, 30), bool)
    for x in range(2, 27):
        stairs[2 + x // 5, x] = True
    graph = graph_of_pixels(stairs)
    assert len(graph) == 25 and len(graph.edges) == 24 and (graph.degree == 1).sum() == 2
    xy = smoothed(graph)
    ends = graph.degree == 1
    assert np.array_equal(xy[ends], graph.xy[ends])
    straight = np.polyfit(*graph.xy.T, 1)
    off = [np.abs(np.polyval(straight, p[:, 0]) - p[:, 1])[~ends].max() for p in (graph.xy, xy)]
    assert off[1] < 0.7 * off[0]


@pytest.mark.parametrize("number", range(4))
def test_a_large_shape_gets_the_skeleton_of_the_small_one(number):
    _, shape, _ = demo.example(11, number)
    large = magnified(shape, 4)
    small = shrink(large, 256)
    assert small.shape == shape.shape
    found = enlarge(plain_skeleton(small), large)
    assert found.shape == large.shape and label_pieces(found)[0] == 1
    assert not (found & ~closed_mask(large)).any()
    wanted = compact_skeleton(label_mask(large), 4 * PLAIN.tolerance_px).draw(large.shape)
    assert within(found, wanted, 3) > 0.97 and within(wanted, found, 3) > 0.97
    hairs = plain_skeleton(large)  # its tolerance is four times as fine
    assert topology(found)[1] == topology(wanted)[1] and hairs.sum() > found.sum()


def within(a: np.ndarray, b: np.ndarray, px: float) -> float:
    """Share of `a` that lies near `b`."""
    return float((cv2.distanceTransform((~b).view(np.uint8), cv2.DIST_L2, 5)[a] <= px).mean())


def test_a_line_that_would_leave_the_shape_is_led_back():
    shape = np.zeros((400, 400), np.uint8)  # an L whose inner corner a smooth line would cut
    shape[20:380, 20:32] = shape[368:380, 20:380] = 255
    small = np.zeros((100, 100), bool)
    small[5:95, 7], small[93, 7:95] = True, True
    found = enlarge(small, shape)
    assert label_pieces(found)[0] == 1 and not (found & (shape == 0)).any()


def test_each_piece_of_a_shape_is_found():
    shape = np.zeros((80, 120), np.uint8)
    cv2.circle(shape, (30, 40), 20, 255, -1)
    shape[30:70, 80:95] = 3
    first, second = split_pieces(shape)
    assert first.dtype == np.uint8 and set(np.unique(second)) == {0, 3}
    assert np.array_equal(np.maximum(first, second), shape)
    assert next(split_pieces(first)) is first
    drawn = plain_skeleton(second)
    assert drawn[:, 80:95].any() and not drawn[:, :80].any()
