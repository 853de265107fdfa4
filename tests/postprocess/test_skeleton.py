"""From probabilities to a skeleton: what holds for any probabilities in any shape."""

from itertools import product

import cv2
import numpy as np
import pytest
from random_shapes import SIZE, random_shape

from canet.core.console import UserError
from canet.core.recipe import Postprocess
from canet.geometry.masks import closing
from canet.geometry.metrics import component_count
from canet.postprocess.skeleton import connect, drop_islands, to_skeleton


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
    threshold, candidates, body = (
        rng.uniform(0.01, 0.99),
        rng.random((3, *SIZE)) < 0.2,
        closing(mask),
    )
    for switches in SWITCHES:
        made = to_skeleton(levels, threshold, mask, settings=switches, candidates=candidates)
        expected = component_count(body) if switches.components == "per_shape" else 1
        assert component_count(made) == max(1, expected), switches
        if mask.any():
            assert not (made & ~body).any(), switches
            assert component_count(made | body) == component_count(body)
            pieces = cv2.connectedComponents(body.view(np.uint8), connectivity=8)[1]
            assert len(np.unique(pieces[made])) == expected, switches


def bent_shape() -> tuple[np.ndarray, np.ndarray]:
    """A U, and levels that see the upper ends of its arms only."""
    mask = np.zeros((30, 30), bool)
    mask[3:27, 3:10] = mask[3:27, 20:27] = mask[20:27, 3:27] = True
    levels = np.full((30, 30), 20, np.uint8)
    levels[5:12, 6] = levels[5:10, 23] = 230
    return mask, levels


def test_paths_stay_inside_the_shape():
    mask, levels = bent_shape()
    made = to_skeleton(levels, 0.5, mask, settings=Postprocess(components="one"))
    assert component_count(made) == 1 and not (made & ~closing(mask)).any()
    assert made[20:27].any() and made[5:12, 6].all() and made[5:10, 23].all()
    dropped = to_skeleton(levels, 0.5, mask, settings=Postprocess(components="one", join="drop"))
    assert (dropped == ((levels > 128) & (np.arange(30) < 15))).all()


def test_the_candidate_that_agrees_best_is_drawn_in_each_piece():
    mask = np.zeros((20, 60), bool)
    mask[2:18, 2:28] = mask[2:18, 32:58] = True
    candidates = np.zeros((3, 20, 60), bool)
    for row, candidate in zip((5, 9, 14), candidates):
        candidate[row, 4:26] = candidate[row, 34:56] = True
    levels = np.zeros(mask.shape, np.uint8)
    levels[9, 6:12] = levels[14, 36:50] = 200
    levels[5, 4:6] = 200
    settings = Postprocess(components="per_shape", join="candidates")
    made = to_skeleton(levels, 0.5, mask, settings=settings, candidates=candidates)
    assert np.array_equal(np.argwhere(made[:, :30]), np.argwhere(candidates[1, :, :30]))
    assert np.array_equal(np.argwhere(made[:, 30:]), np.argwhere(candidates[2, :, 30:]))
    one = settings.model_copy(update={"components": "one"})
    made = to_skeleton(levels, 0.5, mask, settings=one, candidates=candidates)
    assert np.array_equal(made, candidates[2] & (np.arange(60) > 30))
    made = to_skeleton(np.zeros_like(levels), 0.5, mask, settings=settings, candidates=candidates)
    assert np.array_equal(made, candidates[1])  # where nothing is seen: 2 px
    with pytest.raises(UserError, match="none to choose from"):
        connect(levels > 128, levels, mask, settings=one)


def test_several_pieces_of_the_shape():
    mask = np.zeros((20, 40), bool)
    mask[2:18, 2:15] = mask[2:18, 25:38] = mask[9, 20] = True
    levels = np.zeros(mask.shape, np.uint8)
    levels[9, 4:13], levels[9, 27:30] = 200, 250
    one = to_skeleton(levels, 0.5, mask, settings=Postprocess(components="one"))
    assert one.sum() == 9 and one[9, 4:13].all()
    each = to_skeleton(levels, 0.5, mask, settings=Postprocess(components="per_shape"))
    assert each.sum() == 9 + 3 + 1 and each[9, 20]


def test_an_empty_map_gives_the_deepest_point():
    mask = np.zeros((21, 21), bool)
    mask[3:18, 3:18] = True
    made = to_skeleton(
        np.zeros((21, 21), np.uint8), 0.5, mask, settings=Postprocess(components="one")
    )
    assert made.sum() == 1 and made[10, 10]


def test_islands_are_dropped_but_never_all():
    skeleton = np.zeros((20, 20), bool)
    skeleton[10, 2:12] = True
    skeleton[2, 2:4] = True
    assert drop_islands(skeleton, 5).sum() == 10
    assert drop_islands(skeleton, 50).sum() == 10
    assert drop_islands(skeleton, 2).sum() == 12


def test_switches_and_the_empty_prediction():
    levels = np.zeros((20, 20), np.uint8)
    levels[8:11, 2:18] = 200
    levels[0, 0] = 255
    mask = np.zeros((20, 20), bool)
    mask[5:15, 1:19] = True
    inside = to_skeleton(levels, 0.5, mask, settings=Postprocess())
    assert inside.sum() == 48 and not inside[0, 0]
    assert to_skeleton(levels, 0.5, mask, settings=Postprocess(inside_shape=False))[0, 0]
    thin = to_skeleton(levels, 0.5, mask, settings=Postprocess(thin=True))
    assert 0 < thin.sum() <= 16
    levels[9, 9] = 201
    nothing = to_skeleton(levels, 0.99, mask, settings=Postprocess())
    assert nothing.sum() == 1 and nothing[9, 9]
