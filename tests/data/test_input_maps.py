"""What a network sees: each plane of an input kind, and how planes are put together."""

import cv2
import numpy as np
import pytest

from canet.core.input_planes import PLANES, channels_of, shown_channel
from canet.core.recipe import Input
from canet.data.input_maps import COMPUTE, input_map, input_maps, salience_plane
from canet.geometry.candidates import CANDIDATES, Candidate, ShapeGeometry

EXACT = ["shape", "grey", "distance", "repaired_distance", "soft_distance", "shape+distance+edge"]


def blob() -> np.ndarray:
    """A shape with hole and antialiased edge, touching the border, without symmetry."""
    rng = np.random.default_rng(0)
    shape = np.zeros((48, 48), np.uint8)
    shape[0:30, 5:22] = 255
    shape[20:40, 15:44] = 200
    shape[10, 10] = 0
    shape[19, 22:30] = rng.integers(1, 255, 8)
    return shape


def test_grey_is_the_image_and_shape_its_mask():
    image = blob()
    grey, any_, label = (
        input_map(image, Input(kind="grey"))[0],
        *(input_map(image, Input(kind="shape", mask=mask))[0] for mask in ("any", "label")),
    )
    np.testing.assert_allclose(grey * 255, image, rtol=1e-6)
    assert np.array_equal(any_ > 0, image > 0) and not np.array_equal(any_, label)


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


def test_repair_undents_the_map():
    shape = np.zeros((41, 41), np.uint8)
    shape[5:36, 5:36] = 255
    whole = input_map(shape, Input(kind="distance"))
    shape[20, 20] = 0
    dented = input_map(shape, Input(kind="distance"))
    repaired = input_map(shape, Input(kind="repaired_distance"))
    assert (repaired == whole).all()
    assert dented.max() < 0.8 * whole.max()


def test_one_table_counts_the_channels_of_all():
    assert PLANES.keys() == COMPUTE.keys()
    for name, plane in PLANES.items():
        found = input_map(blob(), Input(kind=name))
        assert found.shape == (plane.channels, 48, 48) and found.dtype == np.float32
        assert np.isfinite(found).all() and (~plane.is_solid or (found[0] > 0).sum() > 800)
    joined = "repaired_distance+candidates+edge+salience"
    assert channels_of(joined) == 6
    whole = input_map(blob(), Input(kind=joined))
    for name, channels in (("candidates", slice(1, 4)), ("salience", slice(5, 6))):
        assert (whole[channels] == input_map(blob(), Input(kind=name))).all()


def test_maps_of_several_shapes_are_those_of_each():
    shapes, settings = [blob(), blob()[::-1]], Input(kind="distance+edge")
    found = input_maps(shapes, settings)
    assert np.array_equal(found, [input_map(shape, settings) for shape in shapes])
    assert (found[0] == found[1][:, ::-1]).all() and (found[0] != found[1]).any()


def test_pictures_show_the_shape():
    shown = {"shape": 0, "shape+distance+edge": 1, "candidates+distance": 3, "salience": 0}
    assert {kind: shown_channel(kind) for kind in shown} == shown


def test_candidates_are_the_drawings_of_the_closed_mask():
    geometry = ShapeGeometry(blob())
    found = input_map(blob(), Input(kind="candidates")) > 0
    closed = [c for c in CANDIDATES if c.mask == "closed"]
    assert len(found) == len(closed) == 3
    assert all((plane == geometry.drawing(c)).all() for plane, c in zip(found, closed))


def test_every_piece_has_candidates():
    shape = np.zeros((128, 128), np.uint8)
    shape[20:60, 20:40] = 255
    shape[80:100, 60:120] = 255
    for plane in input_map(shape, Input(kind="candidates+salience")):
        assert cv2.connectedComponents((plane > 0).astype(np.uint8))[0] - 1 == 2
    assert not input_map(np.zeros_like(shape), Input(kind="candidates")).any()


def test_salience_falls_towards_the_tips_and_is_1_in_rings():
    shape = np.zeros((60, 90), np.uint8)
    shape[10:41, 5:85] = 255
    plane = salience_plane(ShapeGeometry(shape))
    assert plane[25, 45] > 0.8 and 0 < plane[plane > 0].min() < 0.2
    assert plane[25, 45] > plane[13, 8] > 0  # the middle line, a corner's bisector
    shape[:] = 0
    cv2.circle(shape, (45, 30), 25, 255, -1)
    cv2.circle(shape, (45, 30), 12, 0, -1)
    ring = ShapeGeometry(shape)
    salient = salience_plane(ring)
    around = salient[ring.drawing(CANDIDATES[0])]
    assert (around == 1).mean() > 0.9 and around.max() == 1
    assert (salient[~ring.drawing(Candidate("closed", 0.0))] == 0).mean() > 0.99


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [1, -1])
def test_drawings_of_turned_shapes_lie_within_a_pixel_of_the_turned_drawings(turns, flip):
    """They do not turn exactly: an axis between two pixels is drawn below or to the right."""
    image = np.zeros((64, 64), np.uint8)
    cv2.ellipse(image, ((30, 33), (44, 22), 25), 255, -1)
    cv2.circle(image, (48, 44), 9, 255, -1)

    def moved(a):
        return np.ascontiguousarray(np.rot90(a, turns, (-2, -1))[..., ::flip])

    there = input_map(moved(image), Input(kind="candidates"))
    for found, expected in zip(there, moved(input_map(image, Input(kind="candidates")))):
        near = cv2.dilate(expected, np.ones((3, 3))) > 0
        assert near[found > 0].mean() > 0.95 and found.sum() > 20
