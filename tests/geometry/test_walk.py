"""Points found in cells near a circle, against looking at every point."""

import cv2
import numpy as np
import pytest

from canet.geometry import compact_skeleton, trace_outline
from canet.geometry.outline import piece_outlines
from canet.geometry.walk import into_cells, next_met, touched


def masks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:150, :190] - 75
    smooth = [cv2.GaussianBlur(rng.normal(size=(90, 70)), (0, 0), s) > 0 for s in (1, 2, 6)]
    return {
        "noise": rng.random((60, 75)) < 0.6,
        "fine": smooth[0],
        "lines": smooth[1],
        "blobs": smooth[2],
        "disc": np.hypot(x, y) < 70,
        "ring": (np.hypot(x, y) < 70) & (np.hypot(x, y) > 40),
        "star": np.hypot(x, y) < 45 + 25 * np.cos(5 * np.arctan2(y, x)),
        "full": np.ones((40, 130), bool),
    }


@pytest.mark.parametrize(("name", "mask"), masks().items())
def test_a_circle_meets_and_touches_the_points_that_are_nearest(name, mask):
    outline = trace_outline(mask)
    points, cells = outline.points, into_cells(outline.points)
    alive = np.random.default_rng(1).random(len(points)) < 0.9
    found, angle = np.empty(len(points), np.int64), np.empty(len(points))
    for p in np.flatnonzero(alive & alive[outline.following])[:: max(1, len(points) // 300)]:
        q = outline.following[p]
        p, q = q, p  # into the shape
        cx, cy = (points[p] + points[q]) / 2
        met = next_met(points, alive, cells, p, q, cx, cy)
        expected = first_met(points, alive, p, q, (cx, cy))
        assert met == (-1 if expected is None else expected[0])
        if expected is None:
            continue
        centre = expected[1]
        radius, count = touched(points, alive, cells, *centre, met, found, angle)
        distance = np.hypot(*(points - centre).T).astype(np.float32)
        distance[~alive] = np.inf
        assert radius == distance.min()
        assert set(found[:count]) == set(np.flatnonzero(distance == distance.min()))
        assert (np.diff(angle[:count]) >= 0).all()


def first_met(points, alive, p, q, centre):
    """The first point and the new centre, by a formula over all points; None where none is met."""
    way = points[q] - points[p]
    normal = np.array([way[1], -way[0]])
    ahead = (points - points[p]) @ normal
    square = ((centre - points[p]) ** 2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        w = (((centre - points) ** 2).sum(1) - square) / (2 * ahead)
    w[~alive | (ahead <= 0)] = np.inf
    if not np.isfinite(w.min()):
        return None
    return w.argmin(), centre + w.min() * normal


@pytest.mark.parametrize("density", [0.3, 0.5, 0.6, 0.9])
def test_pieces_that_touch_in_corners_come_to_an_end(density):
    """A border was followed round and round in search of a point of another one."""
    mask = np.random.default_rng(0).random((64, 69)) < density
    graph = compact_skeleton(mask, 1.05)
    assert len(graph) and np.isfinite(graph.xy).all()


def test_each_pieces_outline_is_that_of_the_piece_alone():
    rng = np.random.default_rng(2)
    mask = cv2.GaussianBlur(rng.normal(size=(70, 90)), (0, 0), 2) > 0.3
    count, piece = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    outlines = list(piece_outlines(mask))
    assert len(outlines) == count - 1 > 10
    for k, outline in enumerate(outlines, start=1):
        alone = trace_outline(piece == k)
        assert np.array_equal(outline.points, alone.points)
        assert np.array_equal(outline.following, alone.following)
    with pytest.raises(ValueError, match="expected 2-D bool"):
        list(piece_outlines(mask.astype(np.uint8)))
