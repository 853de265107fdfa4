"""What every skeleton of every mask has: counted, not believed."""

import numpy as np
import pytest
from foreign_masks import all_kinds, pieces_and_holes
from guarantees import check_topology, misses_px
from skimage.morphology import skeletonize as zhang_suen

import canet


@pytest.mark.parametrize("size", [28, 64, 128])
@pytest.mark.parametrize("tolerance", [0, 1, 2, 4])
def test_by_geometry(size, tolerance):
    for name, mask in all_kinds(size):
        skeleton = canet.skeletonize(mask, tolerance=tolerance)
        try:
            check_topology(skeleton, mask)
            assert np.isfinite(skeleton.graph.radius).all() and (skeleton.graph.inscribed > 0).all()
            if tolerance:  # parallel lines at a pixel's distance cannot be drawn thin
                assert max(misses_px(skeleton)) <= tolerance + 1
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


@pytest.mark.parametrize(
    "options",
    [
        {"reach_border": True},
        {"reach_outline": True},
        {"reach_border": True, "reach_outline": True},
        {"tolerance": "20%"},
    ],
)
def test_with_other_switches(options):
    for name, mask in all_kinds(64):
        try:
            check_topology(canet.skeletonize(mask, **options), mask)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def test_by_the_network():
    for name, mask in list(all_kinds(64))[4::5]:
        try:
            check_topology(canet.skeletonize(mask, method="canet"), mask)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def test_what_is_pruned_leaves_pieces_and_loops():
    for _, mask in all_kinds(64):
        plain = canet.skeletonize(mask, tolerance=0)
        for switch in ({"prune_length": 9}, {"prune_radii": 2}, {"prune_salience": 9}):
            pruned = canet.skeletonize(mask, tolerance=0, **switch)
            assert not (pruned.pixels & ~plain.pixels).any()
            assert pieces_and_holes(pruned.pixels) == pieces_and_holes(mask)
            assert (zhang_suen(pruned.pixels) == pruned.pixels).all()
            gone = plain.summary["pixels"] - pruned.summary["pixels"]
            assert (pruned.summary["pruned-branches"] > 0) == (gone > 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 700), (31, 43)])
def test_odd_sizes_empty_and_full(shape):
    for mask in (np.zeros(shape, bool), np.ones(shape, bool)):
        check_topology(canet.skeletonize(mask), mask)
        check_topology(canet.skeletonize(mask, reach_border=True, reach_outline=True), mask)
