"""Joining and trimming: what holds for any probabilities in any shape."""

from itertools import product

import cv2
import numpy as np
import pytest
from skimage.graph import MCP_Geometric

from canet.connect import LEAST_COST, join_pieces, pixel_costs
from canet.distance import closed, distance_map
from canet.files import UserError
from canet.metrics import component_count, euler
from canet.postprocess import connect, to_skeleton
from canet.recipe import Postprocess
from canet.spurs import trim_spurs

SIZE = (31, 43)


def random_shape(rng: np.random.Generator) -> np.ndarray:
    """Blobs, scattered pixels, a single one, nothing, everything; many touch the border."""
    kind = rng.integers(6)
    if kind == 0:
        return rng.random(SIZE) < rng.uniform(0.02, 0.9)
    if kind == 1:
        point = np.zeros(SIZE, bool)
        point[rng.integers(SIZE[0]), rng.integers(SIZE[1])] = True
        return point
    if kind == 2:
        return np.full(SIZE, rng.random() < 0.7)
    smooth = cv2.GaussianBlur(rng.normal(size=SIZE), (0, 0), rng.uniform(1, 5))
    return smooth > np.quantile(smooth, rng.uniform(0.2, 0.9))


def random_levels(rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(4)
    if kind == 0:
        return np.full(SIZE, rng.choice([0, 128, 255]), np.uint8)
    if kind == 1:
        return rng.integers(0, 256, SIZE, np.uint8)
    smooth = cv2.GaussianBlur(rng.normal(size=SIZE), (0, 0), rng.uniform(0.7, 3))
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


SWITCHES = [
    Postprocess(components=c, join=j, thin=t, min_component_px=m, spur_px=n, spur_radii=k)
    for (c, j), (t, m, n, k) in product(
        product(("one", "per_shape"), ("drop", "path", "candidates")),
        ((False, 0, 0, 0), (True, 0, 0, 0), (False, 4, 5, 0), (True, 0, 0, 1.5)),
    )
]


@pytest.mark.parametrize("seed", range(60))
def test_one_piece_or_one_per_piece_of_the_shape(seed):
    rng = np.random.default_rng(seed)
    mask, levels = random_shape(rng), random_levels(rng)
    threshold, guide, body = rng.uniform(0.01, 0.99), rng.random(SIZE) < 0.2, closed(mask)
    for switches in SWITCHES:
        made = to_skeleton(levels, threshold, mask, switches, guide)
        expected = component_count(body) if switches.components == "per_shape" else 1
        assert component_count(made) == max(1, expected), switches
        if mask.any():
            assert not (made & ~body).any(), switches
            assert component_count(made | body) == component_count(body)
            pieces = cv2.connectedComponents(body.view(np.uint8), connectivity=8)[1]
            assert len(np.unique(pieces[made])) == expected, switches


@pytest.mark.parametrize("seed", [*range(60), 2447])  # 2447: where a loop would come to be
def test_trimming_keeps_pieces_and_loops(seed):
    rng = np.random.default_rng(seed)
    skeleton, radius = random_shape(rng), np.full(SIZE, 6, np.float32)
    for limits in ((4, 0), (0, 1), (1000, 0)):
        trimmed = trim_spurs(skeleton, *limits, radius)
        assert not (trimmed & ~skeleton).any()
        assert component_count(trimmed) == component_count(skeleton)
        assert euler(trimmed) == euler(skeleton)


@pytest.mark.parametrize("seed", range(5))
def test_the_path_between_two_pieces_is_the_cheapest(seed):
    rng = np.random.default_rng(seed)
    cost = rng.uniform(0.1, 5, SIZE)
    ends = np.zeros(SIZE, bool)
    ends[3, 4] = ends[27, 39] = True
    joined = join_pieces(ends, np.ones(SIZE, bool), cost)
    search = MCP_Geometric(cost)
    search.find_costs([(3, 4)], [(27, 39)])
    assert {tuple(p) for p in np.argwhere(joined)} == set(search.traceback((27, 39)))


def test_three_pieces_take_the_two_cheap_ways():
    levels = np.full((9, 30), 5, np.uint8)
    skeleton = np.zeros((9, 30), bool)
    skeleton[4, [2, 12, 27]] = True
    levels[4, 2:28] = 200
    joined = join_pieces(skeleton, np.ones_like(skeleton), pixel_costs(levels))
    assert (np.argwhere(joined) == [[4, x] for x in range(2, 28)]).all()


def bent_shape() -> tuple[np.ndarray, np.ndarray]:
    """A U, and levels that see the upper ends of its arms only."""
    mask = np.zeros((30, 30), bool)
    mask[3:27, 3:10] = mask[3:27, 20:27] = mask[20:27, 3:27] = True
    levels = np.full((30, 30), 20, np.uint8)
    levels[5:12, 6] = levels[5:10, 23] = 230
    return mask, levels


def test_paths_stay_inside_the_shape():
    mask, levels = bent_shape()
    made = to_skeleton(levels, 0.5, mask, Postprocess(components="one"))
    assert component_count(made) == 1 and not (made & ~closed(mask)).any()
    assert made[20:27].any() and made[5:12, 6].all() and made[5:10, 23].all()
    dropped = to_skeleton(levels, 0.5, mask, Postprocess(components="one", join="drop"))
    assert (dropped == ((levels > 128) & (np.arange(30) < 15))).all()


def test_paths_along_a_candidate():
    mask, levels = bent_shape()
    guide = np.zeros_like(mask)
    guide[12:25, 4] = guide[25, 4:26] = guide[10:25, 25] = True
    made = to_skeleton(levels, 0.5, mask, Postprocess(components="one", join="candidates"), guide)
    assert (made & guide).sum() > 0.9 * guide.sum() and component_count(made) == 1
    assert pixel_costs(levels, guide)[guide] == pytest.approx(LEAST_COST)
    with pytest.raises(UserError, match="no candidate skeleton"):
        connect(levels > 128, levels, mask, Postprocess(components="one", join="candidates"))


def test_several_pieces_of_the_shape():
    mask = np.zeros((20, 40), bool)
    mask[2:18, 2:15] = mask[2:18, 25:38] = mask[9, 20] = True
    levels = np.zeros(mask.shape, np.uint8)
    levels[9, 4:13], levels[9, 27:30] = 200, 250
    one = to_skeleton(levels, 0.5, mask, Postprocess(components="one"))
    assert one.sum() == 9 and one[9, 4:13].all()
    each = to_skeleton(levels, 0.5, mask, Postprocess(components="per_shape"))
    assert each.sum() == 9 + 3 + 1 and each[9, 20]


def test_an_empty_map_gives_the_deepest_point():
    mask = np.zeros((21, 21), bool)
    mask[3:18, 3:18] = True
    made = to_skeleton(np.zeros((21, 21), np.uint8), 0.5, mask, Postprocess(components="one"))
    assert made.sum() == 1 and made[10, 10]


def test_spurs_by_length():
    skeleton = np.zeros((40, 40), bool)
    skeleton[20, 2:38] = skeleton[14:20, 20] = True
    radius = np.ones(skeleton.shape, np.float32)
    assert (trim_spurs(skeleton, 4, 0, radius) == skeleton).all()
    trimmed = trim_spurs(skeleton, 8, 0, radius)
    assert trimmed[20, 2:38].all() and not trimmed[:19].any()


def test_spurs_by_the_local_radius():
    mask = np.zeros((40, 80), bool)
    mask[5:36, 5:76] = True
    skeleton = np.zeros_like(mask)
    skeleton[20, 10:70] = True
    skeleton[8:20, 40] = True  # 12 px, the radius there is 16
    assert (trim_spurs(skeleton, 0, 0.5, distance_map(mask)) == skeleton).all()
    assert not trim_spurs(skeleton, 0, 1, distance_map(mask))[:19].any()


def test_lines_and_loops_are_no_spurs():
    radius = np.full((40, 40), 50, np.float32)
    line = np.eye(40, dtype=bool)
    assert (trim_spurs(line, 1000, 1, radius) == line).all()
    ring = cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 10, 1) > 0
    tailed = ring | (cv2.line(np.zeros((40, 40), np.uint8), (30, 20), (38, 20), 1) > 0)
    trimmed = trim_spurs(tailed, 20, 0, radius)
    assert euler(trimmed) == 0 and not trimmed[:, 33:].any() and (trimmed & ring).sum() >= 50


def test_of_three_short_arms_two_stay_as_a_line():
    skeleton = np.zeros((40, 40), bool)
    skeleton[20, 12:29] = True
    skeleton[16:20, 20] = True
    trimmed = trim_spurs(skeleton, 1000, 0, np.ones((40, 40), np.float32))
    assert trimmed[20, 12:29].all() and not trimmed[:19].any()


def test_trimming_leaves_the_width():
    skeleton = np.zeros((40, 40), bool)
    skeleton[19:21, 2:38] = skeleton[13:19, 20] = True
    trimmed = trim_spurs(skeleton, 10, 0, np.ones((40, 40), np.float32))
    assert trimmed[19:21, 4:36].all() and not trimmed[:17].any()
