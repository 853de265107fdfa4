"""Candidate skeletons as input channels: what they hold, and that vectors turn with the image."""

import cv2
import numpy as np
import pytest
import torch
from test_distance import blob

from canet.augment import ELEMENTS, SkeletonDataset, VectorD4
from canet.dataset import list_images
from canet.files import read_grey
from canet.geometry import SkeletonGraph
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.geometry.planes import (
    FINE,
    OFFSET_PX,
    axis_offsets,
    nearest_on_axis,
    salience_plane,
)
from canet.input_kinds import PLANES, channels_of, shown_channel, vectors_of
from canet.inputs import COMPUTE, input_map
from canet.prediction import to_view, views
from canet.recipe import Augment, Input, load
from canet.runs import load_run
from canet.training import train_fold
from make_submission import predict_shapes

SIZE = 64


def axis(seed: int = 0) -> SkeletonGraph:
    """Three edges at random places, without ties."""
    xy = np.random.default_rng(seed).uniform(5, SIZE - 5, (4, 2))
    edges = np.array([[0, 1], [1, 2], [1, 3]])
    return SkeletonGraph(xy, np.ones(4), edges, np.zeros(4), np.zeros(4))


def moved_axis(graph: SkeletonGraph, turns: int, flip: bool) -> SkeletonGraph:
    """The axis of the image that is flipped, then turned counter-clockwise."""
    x, y = graph.xy.T
    x = SIZE - x if flip else x
    for _ in range(turns):
        x, y = y, SIZE - x
    return SkeletonGraph(np.stack([x, y], 1), graph.radius, graph.edges, graph.arc, graph.chord)


def moved_mask(mask: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(mask[:, ::-1] if flip else mask, turns))


@pytest.fixture
def mask() -> np.ndarray:
    """Without symmetry."""
    found = np.zeros((SIZE, SIZE), bool)
    found[3:50, 7:30] = found[20:61, 25:44] = True
    return found


def test_one_table_counts_the_channels_of_all():
    assert PLANES.keys() == COMPUTE.keys()
    for name, plane in PLANES.items():
        found = input_map(blob(), Input(kind=name))
        assert found.shape == (plane.channels, 48, 48) and found.dtype == np.float32
        assert np.isfinite(found).all() and (~plane.is_solid or (found[0] > 0).sum() > 800)
    joined = "repaired_distance+candidates+offset+radius"
    assert channels_of(joined) == 7 and vectors_of(joined) == (4,)
    whole = input_map(blob(), Input(kind=joined))
    for name, channels in (("candidates", slice(1, 4)), ("radius", slice(6, 7))):
        assert (whole[channels] == input_map(blob(), Input(kind=name))).all()


def test_pictures_show_the_shape():
    shown = {"shape": 0, "shape+distance+edge": 1, "candidates+distance": 3, "offset": 0}
    assert {kind: shown_channel(kind) for kind in shown} == shown


def test_candidates_are_the_drawings():
    geometry = ShapeGeometry(blob())
    found = input_map(blob(), Input(kind="candidates+raw_candidates")) > 0
    assert (found == geometry.drawings).all() and len(found) == len(CANDIDATES)


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
    around = salience_plane(ring)[ring.drawing(FINE)]
    assert (around == 1).mean() > 0.9 and around.max() == 1


def test_radius_is_half_the_width():
    shape = np.zeros((60, 90), np.uint8)
    shape[10:41, 5:85] = 255
    plane = input_map(shape, Input(kind="radius"))[0] * 32
    assert plane[25, 30:60] == pytest.approx(15.5, abs=0.01)
    assert ((plane > 0) == ShapeGeometry(shape).drawing(FINE)).all()


def test_offsets_lead_to_the_nearest_point():
    graph, everywhere = axis(), np.ones((SIZE, SIZE), bool)
    offset = axis_offsets(graph, everywhere) * OFFSET_PX
    dense = np.linspace(0, 1, 20001)[:, None]
    a, b = graph.xy[graph.edges].transpose(1, 0, 2)
    line = np.concatenate([p + dense * (q - p) for p, q in zip(a, b)])
    for row, column in np.random.default_rng(1).integers(0, SIZE, (50, 2)):
        away = np.hypot(*(line - (column + 0.5, row + 0.5)).T).min()
        assert np.hypot(*offset[:, row, column]) == pytest.approx(min(away, OFFSET_PX), abs=0.02)
    near = np.hypot(*offset) < OFFSET_PX - 0.1
    rows, columns = np.nonzero(near)
    met = np.stack([columns, rows], 1) + 0.5 + offset[:, near].T
    assert near.sum() > 300 and np.abs(nearest_on_axis(graph, met)[2] - met).max() < 1e-4


def test_a_single_node_is_an_axis_too():
    none = np.zeros(1)
    graph = SkeletonGraph(np.array([[9.5, 4.5]]), none, np.empty((0, 2), int), none, none)
    offset = axis_offsets(graph, np.ones((12, 12), bool)) * OFFSET_PX
    assert offset[:, 4, 9].tolist() == [0, 0] and offset[:, 4, 5].tolist() == [4, 0]
    assert offset[:, 0, 9].tolist() == [0, 4]
    assert not axis_offsets(SkeletonGraph.empty(), np.ones((4, 4), bool)).any()


@pytest.mark.parametrize("element", ELEMENTS)
def test_an_augmented_offset_is_that_of_the_turned_axis(element, mask):
    turns, flip = ELEMENTS[element]
    maps = np.concatenate([mask[None], axis_offsets(axis(), mask)]).astype(np.float32)
    step = VectorD4(vectors=(1,))
    kept = maps.copy()
    found = step.apply(maps.transpose(1, 2, 0), element).transpose(2, 0, 1)
    there = moved_mask(mask, turns, flip)
    assert (found[0] == there).all() and (maps == kept).all()
    expected = axis_offsets(moved_axis(axis(), turns, flip), there)
    np.testing.assert_allclose(found[1:], expected, atol=1e-5)
    assert (step.apply_to_mask(mask, element) == there).all()


def test_training_samples_turn_their_vectors(mask):
    maps = np.concatenate([mask[None], axis_offsets(axis(), mask)]).astype(np.float32)[None]
    skeletons = np.zeros((1, SIZE, SIZE), np.uint8)
    skeletons[0, 5, 9] = 1
    expected = {}
    for turns, flip in views(True):
        field = axis_offsets(moved_axis(axis(), turns, flip), moved_mask(mask, turns, flip))
        expected[moved_mask(skeletons[0], turns, flip).tobytes()] = field
    data = SkeletonDataset(maps, skeletons, Augment(shift_px=0), seed=1, vectors=(1,))
    seen = set()
    for epoch in range(60):
        image, label = data[epoch, 0]
        key = label[0].numpy().astype(np.uint8).tobytes()
        np.testing.assert_allclose(image[1:].numpy(), expected[key], atol=1e-5)
        seen.add(key)
    assert seen == expected.keys()


@pytest.mark.parametrize("turns, flip", views(True))
def test_views_turn_their_vectors(turns, flip, mask):
    maps = np.concatenate([axis_offsets(axis(), mask), mask[None]]).astype(np.float32)
    x = torch.from_numpy(maps[None])
    found = to_view(x, turns, flip, vectors=(0,))[0].numpy()
    there = moved_mask(mask, turns, flip)
    assert (found[2] == there).all() and (x[0].numpy() == maps).all()
    expected = axis_offsets(moved_axis(axis(), turns, flip), there)
    np.testing.assert_allclose(found[:2], expected, atol=1e-5)


@pytest.mark.parametrize("turns, flip", views(True))
def test_maps_of_turned_shapes_are_nearly_the_turned_maps(turns, flip):
    """Drawn skeletons do not turn exactly with their shape; off the ties, offsets do."""
    image = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(image, ((30, 33), (44, 22), 25), 255, -1)
    cv2.circle(image, (48, 44), 9, 255, -1)
    there = input_map(moved_mask(image, turns, flip), Input(kind="offset+radius"))
    here = torch.from_numpy(input_map(image, Input(kind="offset+radius"))[None])
    here = to_view(here, turns, flip, vectors=(0,))[0].numpy()
    assert np.median(np.hypot(*(there - here)[:2])[there[0] != 0]) < 0.05
    near = cv2.dilate(here[2], np.ones((3, 3))) > 0
    assert near[there[2] > 0].mean() > 0.95


def test_a_network_learns_from_and_predicts_with_several_channels(overrides, tiny_folds):
    tiny = load("demo", [*overrides, "input.kind=repaired_distance+candidates+offset"])
    train_fold(tiny, 0)
    run = load_run(tiny.run_folder, [], torch.device("cpu"))
    paths = list_images(tiny.data_root / tiny.data.test_shapes)
    shapes = {path.name: read_grey(path) for path in paths}
    skeletons = predict_shapes(run, shapes, True, torch.device("cpu"), "float32", 4)
    assert len(skeletons) == len(paths) and all(s.any() for s in skeletons.values())
