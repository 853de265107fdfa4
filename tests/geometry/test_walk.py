"""Points found in cells near a circle, against looking at every point."""

import cv2
import numpy as np
import pytest

from canet.geometry import compact_skeleton, trace_outline
from canet.geometry.metrics import component_count
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
    points, cells = outline.points, into_cells(outline.points, outline.following)
    alive = np.ones(len(points), bool)
    touches_itself = len(np.unique(points, axis=0)) < len(points)
    assert touches_itself == (name in ("noise", "fine", "lines"))
    found, angle = np.empty(len(points), np.int64), np.empty(len(points))
    for p in range(0, len(points), max(1, len(points) // 300)):
        q = outline.following[p]
        p, q = q, p  # into the shape
        cx, cy = (points[p] + points[q]) / 2
        met = next_met(points, alive, cells, p, q, cx, cy)
        ways, centre = ways_to(points, p, q, (cx, cy))
        # of the two points in a corner where the shape touches itself, the one on this side
        assert ways[met] == ways.min()
        if not touches_itself:
            assert met == ways.argmin()
        radius, count = touched(points, alive, cells, *centre, met, found, angle)
        distance = np.hypot(*(points - centre).T).astype(np.float32)
        assert radius == distance.min()
        nearest = points[distance == distance.min()]
        assert {(*at,) for at in points[found[:count]]} == {(*at,) for at in nearest}
        assert (np.diff(angle[:count]) >= 0).all()


def ways_to(points, p, q, centre):
    """How far the centre moves to each point, and where to for the first, by a formula."""
    way = points[q] - points[p]
    normal = np.array([way[1], -way[0]])
    ahead = (points - points[p]) @ normal
    square = ((centre - points[p]) ** 2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        w = (((centre - points) ** 2).sum(1) - square) / (2 * ahead)
    w[ahead <= 0] = np.inf
    return w, centre + w.min() * normal


@pytest.mark.parametrize("density", [0.3, 0.5, 0.6, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("tolerance", [0.0, 1.05, 3.0])
def test_a_shape_that_touches_itself_is_walked_on_its_own_side(density, tolerance):
    """Circles passed through corners, walks missed each other and left the mask, or never ended."""
    mask = np.random.default_rng(0).random((64, 69)) < density
    for outline in piece_outlines(mask):
        graph = compact_skeleton(outline, tolerance)
        assert 0 < len(graph) < 2 * len(outline)  # far below the cap: no walk is repeated
    for longest in (False, True):
        drawn = compact_skeleton(mask, tolerance, longest_piece=longest).draw(mask.shape)
        assert drawn.any() and not (drawn & ~mask).any()


def test_every_piece_is_covered_once():
    mask = np.random.default_rng(3).random((64, 69)) < 0.5
    drawn = compact_skeleton(mask, 1.05).draw(mask.shape)
    count, piece = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    assert all(component_count(drawn & (piece == k)) == 1 for k in range(1, count))


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
