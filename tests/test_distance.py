import numpy as np
import pytest

from canet import distance
from canet.input_kinds import channels_of
from canet.inputs import input_map
from canet.recipe import Input

EXACT = ["shape", "grey", "distance", "repaired_distance", "soft_distance", "shape+distance+edge"]


def blob(seed: int = 0) -> np.ndarray:
    """A shape with hole and antialiased edge, touching the border, without symmetry."""
    rng = np.random.default_rng(seed)
    shape = np.zeros((48, 48), np.uint8)
    shape[0:30, 5:22] = 255
    shape[20:40, 15:44] = 200
    shape[10, 10] = 0
    shape[19, 22:30] = rng.integers(1, 255, 8)
    return shape


def test_distance_by_hand():
    mask = np.zeros((5, 7), bool)
    mask[1:4, 1:6] = True
    expected = [[0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 0], [0, 1, 2, 2, 2, 1, 0]]
    found = distance.distance_map(mask)
    assert found[:3].tolist() == expected
    assert found.dtype == np.float32


def test_grey_is_the_image_and_shape_its_mask():
    image = blob()
    grey, any_, label = (
        input_map(image, Input(kind="grey"))[0],
        *(input_map(image, Input(kind="shape", mask=mask))[0] for mask in ("any", "label")),
    )
    np.testing.assert_allclose(grey * 255, image, rtol=1e-6)
    assert np.array_equal(any_ > 0, image > 0) and not np.array_equal(any_, label)


def test_beyond_the_image_is_background():
    assert distance.distance_map(np.ones((3, 3), bool)).tolist() == [
        [1, 1, 1],
        [1, 2, 1],
        [1, 1, 1],
    ]


def test_wrong_mask_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        distance.distance_map(np.ones((3, 3), np.uint8))


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [1, -1])
def test_maps_turn_with_their_shape(kind, turns, flip):
    def moved(image):
        return np.rot90(image, turns, (-2, -1))[..., ::flip]

    settings = Input(kind=kind)
    there = input_map(np.ascontiguousarray(moved(blob())), settings)
    here = moved(input_map(blob(), settings))
    assert there.shape[0] == channels_of(kind)
    np.testing.assert_allclose(there, here, atol=2e-6)


def test_all_grey_counts_as_inside():
    faint = np.zeros((5, 5), np.uint8)
    faint[2, 2] = 1
    assert input_map(faint, Input(kind="shape")).sum() == 1


def test_holes_are_filled_and_rings_kept():
    mask = np.ones((30, 30), bool)
    mask[0] = mask[-1] = mask[:, 0] = mask[:, -1] = False
    mask[5, 5] = False  # a hole of one pixel
    mask[10:15, 10:15] = False  # of 25
    mask[20:26, 20:25] = False  # a ring's inside, 30
    filled = distance.fill_holes(mask, 25)
    assert filled[5, 5] and filled[12, 12]
    assert not filled[22, 22] and not filled[0, 0]
    assert (distance.fill_holes(mask, 0) == mask).all()
    assert distance.fill_holes(mask, 30)[22, 22]


def test_a_notch_at_the_border_is_no_hole():
    mask = np.ones((8, 8), bool)
    mask[0, 3] = False
    assert (distance.fill_holes(mask, 25) == mask).all()


def test_repair_undents_the_map():
    shape = np.zeros((41, 41), np.uint8)
    shape[5:36, 5:36] = 255
    whole = input_map(shape, Input(kind="distance"))
    shape[20, 20] = 0
    dented = input_map(shape, Input(kind="distance"))
    repaired = input_map(shape, Input(kind="repaired_distance"))
    assert (repaired == whole).all()
    assert dented.max() < 0.8 * whole.max()


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
