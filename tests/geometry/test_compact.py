"""Compact skeletons: properties of simple shapes, and the authors' own drawings where at hand.

Those are `input/compact-skeleton-targets.npz`, of which input/README.md says what it holds.
"""

from hashlib import sha256

import cv2
import numpy as np
import pytest

from canet.core.console import REPOSITORY
from canet.core.images import read_grey
from canet.data.data_set import read_skeleton
from canet.data.demo import example
from canet.geometry import SkeletonGraph, compact_skeleton, salient_medial_axis, trace_outline
from canet.geometry.masks import any_mask, closed_mask, closing, label_mask
from canet.geometry.metrics import component_count, f1_score
from canet.geometry.outline import BUCKETS, _hash_order

TARGETS = REPOSITORY / "input" / "compact-skeleton-targets.npz"
REAL = REPOSITORY / "input" / "pixel-skelneton"


def disc(radius: float, size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5
    return (x - size / 2) ** 2 + (y - size / 2) ** 2 <= radius**2


def rectangle(height: int, width: int, size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[10 : 10 + height, 5 : 5 + width] = True
    return mask


def euler_number(graph: SkeletonGraph) -> int:
    return int((graph.degree > 0).sum()) - len(graph.edges)


def test_outline_follows_pixel_corners():
    outline = trace_outline(rectangle(3, 5))
    assert len(outline) == 16 and outline.length.tolist() == [16]
    step = outline.points[outline.following] - outline.points
    assert (np.abs(step).sum(1) == 1).all()
    assert outline.points.min(0).tolist() == [5, 10] and outline.points.max(0).tolist() == [10, 13]


def test_outline_of_touching_pixels_has_the_corner_twice():
    outline = trace_outline(np.eye(2, dtype=bool))
    assert outline.length.tolist() == [4, 4]
    assert (outline.points == (1, 1)).all(1).sum() == 2


def test_disc_is_its_centre():
    graph = compact_skeleton(disc(20), 1.0)
    assert np.hypot(*(graph.xy - 32).T).max() < 1.5
    assert graph.radius[0] == pytest.approx(20, abs=1)


def test_rectangle_has_its_middle_line_and_at_tolerance_0_its_corners():
    plain, full = (compact_skeleton(rectangle(11, 41), e) for e in (2.5, 0.0))
    assert np.ptp(plain.xy[:, 1]) < 0.01 and plain.xy[0, 1] == pytest.approx(15.5)
    assert (plain.degree == 1).sum() == 2 and (full.degree == 1).sum() == 4
    assert full.xy[:, 0].min() == pytest.approx(5.5) and plain.xy[:, 0].min() > 6


def test_annulus_is_a_ring():
    ring = disc(28) & ~disc(16)
    graph = compact_skeleton(ring, 2.0)
    assert euler_number(graph) == 0
    assert np.hypot(*(graph.xy - 32).T) == pytest.approx(22, abs=1.5)
    assert np.isinf(graph.salience[1:]).any()


def test_two_holes_make_two_rings():
    mask = rectangle(40, 54)
    mask[20:40, 15:25] = mask[20:40, 38:48] = False
    assert euler_number(compact_skeleton(mask, 2.0)) == -1


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.0, 5.0])
def test_smallest_and_largest_shapes(tolerance):
    pixel = np.zeros((9, 9), bool)
    pixel[3, 4] = True
    assert np.argwhere(compact_skeleton(pixel, tolerance).draw((9, 9))).tolist() == [[3, 4]]
    line = np.zeros((9, 40), bool)
    line[5, 3:30] = True
    drawn = compact_skeleton(line, tolerance).draw(line.shape)
    assert (drawn <= line).all() and drawn.sum() > 20 - 2 * tolerance
    full = compact_skeleton(np.ones((32, 48), bool), tolerance)
    assert component_count(full.draw((32, 48))) == 1
    nothing = compact_skeleton(np.zeros((8, 8), bool), tolerance)
    assert len(nothing) == 0 and not nothing.draw((8, 8)).any()


def test_a_shape_of_noise_stays_one_piece():
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = cv2.GaussianBlur(rng.normal(size=(96, 96)), (0, 0), 3) > 0.0
        for tolerance in (0.0, 1.0, 2.0):
            graph = compact_skeleton(mask, tolerance, longest_piece=True)
            assert component_count(graph.draw(mask.shape)) == 1
            assert np.isfinite(graph.xy).all() and (graph.radius > 0).all()


def test_circles_cover_the_shape_up_to_the_tolerance():
    shape = any_mask(example(0, 3)[1])
    graph = compact_skeleton(shape, 2.0)
    y, x = np.nonzero(shape)
    gap = np.hypot(x[:, None] + 0.5 - graph.xy[:, 0], y[:, None] + 0.5 - graph.xy[:, 1])
    assert ((gap - graph.radius).min(1) <= 4).all()


def test_every_piece():
    mask = rectangle(11, 20) | np.roll(rectangle(11, 20), (30, 30), (0, 1))
    one, both = compact_skeleton(mask, 2.0, longest_piece=True), compact_skeleton(mask, 2.0)
    assert component_count(one.draw(mask.shape)) == 1
    assert component_count(both.draw(mask.shape)) == 2
    assert len(compact_skeleton(trace_outline(mask), 2.0)) == len(one)


def test_branches_cover_every_edge_once():
    mask = rectangle(11, 41) | np.roll(rectangle(41, 11), (5, 15), (0, 1))
    mask[25:30, 24:28] = False
    graph = compact_skeleton(mask, 0.5)
    edges = np.concatenate([b.edges for b in graph.branches])
    assert sorted(edges) == list(range(len(graph.edges)))
    spur = next(b for b in graph.branches if b.is_spur)
    fewer = graph.without(spur.edges)
    assert len(fewer.edges) == len(graph.edges) - len(spur.edges)
    assert component_count(fewer.draw(mask.shape)) == 1


def test_a_larger_tolerance_never_needs_more_ends():
    shape = closing(any_mask(example(0, 5)[1]))
    ends = [(compact_skeleton(shape, e).degree == 1).sum() for e in (0.0, 1.0, 2.0, 4.0)]
    assert ends == sorted(ends, reverse=True) and ends[0] > ends[-1]


def test_what_is_no_shape_is_refused():
    with pytest.raises(ValueError, match="expected 2-D bool"):
        compact_skeleton(np.zeros((8, 8), np.uint8), 1.0)
    with pytest.raises(ValueError, match="expected 0 or more"):
        compact_skeleton(np.ones((8, 8), bool), -1.0)


def test_salient_medial_axis_is_connected_and_near_the_compact_skeleton():
    shape = closing(any_mask(example(0, 5)[1]))
    medial, compact = salient_medial_axis(shape), compact_skeleton(shape, 2.0)
    assert component_count(medial.draw(shape.shape)) == 1
    near = cv2.dilate(medial.draw(shape.shape).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    drawn = compact.draw(shape.shape)
    assert (drawn & near).sum() > 0.8 * drawn.sum()
    assert len(salient_medial_axis(np.zeros((8, 8), bool))) == 0
    coarse, fine = (salient_medial_axis(shape, spacing_px=s) for s in (3.0, 0.4))
    assert 0 < len(coarse) < len(fine)
    corners = trace_outline(shape).points
    away = np.hypot(*(medial.xy[:, None] - corners).transpose(2, 0, 1)).min(1)
    assert (medial.radius <= away + 1e-6).all() and (medial.radius >= away - 0.5).all()


@pytest.mark.skipif(not TARGETS.is_file(), reason="the authors' drawings are not in input/")
def test_equals_the_authors_program():
    targets = np.load(TARGETS)
    for tolerance in (1, 2):
        f1 = []
        for name, packed in list(zip(targets["names"], targets[f"closed_eps{tolerance}"]))[::5]:
            mask = closed_mask(read_grey(REAL / "img_train_shape" / str(name)))
            drawn = compact_skeleton(mask, tolerance).draw(mask.shape)
            f1.append(f1_score(drawn, np.unpackbits(packed, axis=-1) > 0))
        assert np.mean(f1) > 0.997 and np.mean(np.array(f1) == 1) >= 0.7


@pytest.mark.skipif(not REAL.is_dir(), reason="the data set is not in input/")
def test_the_labels_are_compact_skeletons():
    f1 = []
    for path in sorted((REAL / "img_train_shape").glob("*.png"))[::10]:
        mask = label_mask(read_grey(path))
        label = read_skeleton(REAL / "img_train2" / path.name)
        drawings = [compact_skeleton(mask, e).draw(mask.shape) for e in (1.05, 2, 3)]
        f1.append(max(f1_score(drawing, label) for drawing in drawings))
    assert np.mean(f1) > 0.996 and np.mean(np.array(f1) == 1) >= 0.57


def digest(pictures: list[np.ndarray]) -> str:
    return sha256(np.packbits(pictures).tobytes()).hexdigest()[:16]


# Of generated shapes: the mask; its skeletons drawn a little beside, and as they are.
DRAWINGS = {
    2: ("e1b8948cce37753c", "bcd244aa96905560", "aea1af6f0f87096b"),
    6: ("a6b55db39eaa288e", "cf675c117c191f26", "fc6aeafbc254c56c"),
    8: ("6dab78be76b66f24", "b04e7da12bacc98c", "cc69aaf52d9451ad"),
}


@pytest.mark.parametrize("number", DRAWINGS)
def test_drawings_stay_as_they_are_to_the_last_bit(number):
    """Off the borders between pixels rounding decides nothing; on them the labels ask for it."""
    mask = label_mask(example(0, number)[1])
    graphs = [compact_skeleton(mask, tolerance) for tolerance in (1.05, 2, 3)]
    beside = digest([graph.moved((0.003, 0.007)).draw(mask.shape) for graph in graphs])
    exactly = digest([graph.draw(mask.shape) for graph in graphs])
    assert (digest([mask]), beside, exactly) == DRAWINGS[number]


@pytest.mark.parametrize("count", [0, 1, 13, 14, 29, 30, 200])
def test_points_lie_in_the_order_of_a_hash_table_that_grows(count):
    keys, sizes = [], iter(BUCKETS)
    size = next(sizes)
    for key in range(count):
        if len(keys) == size:  # its elements move to the front one by one
            keys, size = keys[::-1], next(sizes)
        keys = [key, *keys]
    assert _hash_order(count).tolist() == keys
