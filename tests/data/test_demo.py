"""Generated silhouettes: reproducible, well-formed, and labelled as the real ones are."""

import re

import cv2
import numpy as np
import pytest
from skimage.morphology import medial_axis

from canet.data import demo
from canet.geometry import compact_skeleton, label_mask

SEED, COUNT = 3, 60


@pytest.fixture(scope="module")
def examples() -> list[tuple[str, np.ndarray, np.ndarray]]:
    return [demo.example(SEED, i) for i in range(COUNT)]


def hole_sizes(shape: np.ndarray) -> list[int]:
    """Areas in px of the zero regions that do not reach the image's border."""
    padded = np.pad(shape == 0, 1, constant_values=True).astype(np.uint8)
    border = np.pad(np.zeros(shape.shape, bool), 1, constant_values=True)
    _, regions, stats, _ = cv2.connectedComponentsWithStats(padded, connectivity=4)
    outside = set(regions[border])
    return [int(stats[k, cv2.CC_STAT_AREA]) for k in range(1, len(stats)) if k not in outside]


def share_near(skeleton: np.ndarray, axis: np.ndarray) -> float:
    """Share of skeleton pixels with a pixel of `axis` among themselves and their 8 neighbours."""
    near = cv2.dilate(axis.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return float(near[skeleton].mean())


def test_an_image_depends_on_seed_and_index_only(examples):
    for index in (0, 7, 41):
        name, shape, skeleton = demo.example(SEED, index)
        assert name == examples[index][0]
        assert np.array_equal(shape, examples[index][1])
        assert np.array_equal(skeleton, examples[index][2])
    other_seed = demo.example(SEED + 1, 7)[1]
    assert not np.array_equal(other_seed, examples[7][1])


def test_names_are_unique_and_made_of_class_and_number(examples):
    names = [name for name, _, _ in examples]
    assert len(set(names)) == COUNT
    for name in names:
        match = re.fullmatch(r"([a-z]+)-(\d+)\.png", name)
        assert match and match[1] in demo.CLASSES


def test_pictures_are_like_the_real_files(examples):
    for _, shape, skeleton in examples:
        assert shape.shape == skeleton.shape == (256, 256)
        assert shape.dtype == np.uint8 and skeleton.dtype == bool
        assert shape.min() == 0 and shape.max() == 255
    grey_levels = [len(np.unique(shape)) for _, shape, _ in examples]
    assert np.median(grey_levels) > 150
    label_share = [skeleton.sum() / (shape > 0).sum() for _, shape, skeleton in examples]
    assert 0.02 < np.median(label_share) < 0.045


def test_skeleton_is_one_thin_piece_inside_the_shape(examples):
    for name, shape, skeleton in examples:
        assert cv2.connectedComponents(skeleton.astype(np.uint8), connectivity=8)[0] == 2, name
        assert not skeleton[shape == 0].any(), name
        assert cv2.erode(skeleton.astype(np.uint8), np.ones((3, 3))).sum() == 0, name


def test_skeleton_is_the_compact_one_of_the_shape_before_pinholes(monkeypatch):
    monkeypatch.setattr(demo, "PINHOLE_SHARE", 0)
    for name, shape, skeleton in (demo.example(SEED, i) for i in range(20)):
        assert (compact_skeleton(label_mask(shape), 2.0).draw(shape.shape) == skeleton).all(), name


def test_skeleton_lies_on_the_medial_axis(monkeypatch):
    monkeypatch.setattr(demo, "PINHOLE_SHARE", 0)  # every hole bends the other algorithm's axis
    shares = []
    for _, shape, skeleton in (demo.example(SEED, i) for i in range(16)):
        padded = np.pad(shape > 0, 1)
        shares.append(share_near(skeleton, medial_axis(padded)[1:-1, 1:-1]))
    assert np.mean(shares) > 0.95 and min(shares) > 0.5


@pytest.mark.parametrize("class_name", demo.CLASSES)
def test_every_class_draws(class_name):
    first, second = (demo.draw(class_name, np.random.default_rng(k)) for k in range(2))
    assert not np.array_equal(first[0], second[0])


def test_only_keys_have_a_loop(examples):
    for name, _, skeleton in examples:
        loops = [area for area in hole_sizes(skeleton) if area > 8]
        assert len(loops) == name.startswith("key"), name


def test_some_shapes_have_pinholes(examples):
    more = [demo.example(SEED, k) for k in range(COUNT, 100)]
    holes = [hole_sizes(shape) for _, shape, _ in examples + more]
    small = [[area for area in sizes if area <= 25] for sizes in holes]
    assert 0.04 < np.mean([len(sizes) > 0 for sizes in small]) < 0.3
    assert np.median(np.concatenate(small)) == 1


def test_twins_are_an_earlier_image_turned(examples):
    sources = [demo.source_of(SEED, k) for k in range(2000)]
    twins = [(k, source) for k, source in enumerate(sources) if source != k]
    assert 0.1 < len(twins) / len(sources) < 0.2
    assert all(source < k and sources[source] == source for k, source in twins)
    for k, source in [pair for pair in twins if pair[0] < COUNT]:
        assert examples[k][0].split("-")[0] == examples[source][0].split("-")[0]
        assert best_overlap(examples[k][1], examples[source][1]) > 0.85


def best_overlap(shape: np.ndarray, other: np.ndarray) -> float:
    """Largest soft IoU of two shapes' bounding boxes over the 8 flips and quarter turns."""
    box, fixed = (cropped(image) for image in (shape, other))
    views = [np.rot90(view, turns) for view in (box, box[:, ::-1]) for turns in range(4)]
    return max(np.minimum(v, fixed).sum() / np.maximum(v, fixed).sum() for v in views)


def cropped(shape: np.ndarray) -> np.ndarray:
    """The shape's bounding box, centred in a square and scaled to 128 px: (128, 128) float32."""
    rows, columns = np.nonzero(shape)
    box = shape[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.float32)
    square = np.zeros((max(box.shape),) * 2, np.float32)
    top, left = (len(square) - box.shape[0]) // 2, (len(square) - box.shape[1]) // 2
    square[top : top + box.shape[0], left : left + box.shape[1]] = box
    return cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA)
