"""Thinning: what is kept, what may go, and that a mask's topology never changes."""

import numpy as np
import pytest
from foreign_masks import all_kinds, blobs, noise, pieces_and_holes
from scipy import ndimage
from skimage.morphology import medial_axis, skeletonize

from canet.geometry.distance import distance_map
from canet.geometry.thinning import NEIGHBOURS, SIMPLE, thin_through, thin_to


def removable(skeleton: np.ndarray) -> int:
    """Pixels that could go and are no ends, by counting pieces and holes without each."""
    count = 0
    for y, x in np.argwhere(skeleton):
        around = np.pad(skeleton, 1)[y : y + 3, x : x + 3].copy()
        without = around.copy()
        without[1, 1] = False
        same = pieces_and_holes(np.pad(around, 1)) == pieces_and_holes(np.pad(without, 1))
        count += same and around.sum() > 2
    return count


def test_the_table_is_what_counting_says():
    """A pixel is simple where neither pieces nor holes of its neighbourhood change with it."""
    ways = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    for code in range(256):
        around = np.zeros((3, 3), bool)
        for k, way in enumerate(ways):
            around[way] = code >> k & 1
        without = pieces_and_holes(np.pad(around, 2))
        around[1, 1] = True
        same = without == pieces_and_holes(np.pad(around, 2))
        # of an interior pixel the hole that it would leave is one that counting sees
        assert SIMPLE[code] == same, code
        assert NEIGHBOURS[code] == around.sum() - 1


@pytest.mark.parametrize("size", [1, 2, 3, 28, 64])
def test_topology_stays_and_nothing_more_can_go(size):
    rng = np.random.default_rng(0)
    for density in (0.1, 0.4, 0.6, 0.9, 1.0):
        mask = noise(size, density)
        for kept in (np.zeros_like(mask), mask, rng.random(mask.shape) < 0.1):
            thin = thin_to(mask, kept)
            assert pieces_and_holes(thin) == pieces_and_holes(mask)
            assert not (thin & ~mask).any() and removable(thin) == 0
            assert (skeletonize(thin) == thin).all()


def test_a_skeleton_is_kept_as_it_is():
    mask = blobs(128, 5)
    skeleton = thin_to(mask, medial_axis(mask, rng=0))
    assert (thin_to(mask, skeleton) == skeleton).all()


def test_a_thick_line_is_thinned_to_its_middle_and_not_eaten_from_its_end():
    mask, line = np.ones((60, 60), bool), np.zeros((60, 60), bool)
    line[20:22, 10:50] = True
    slanted = np.tril(np.triu(mask), 1)
    for turned in (line, line.T, slanted, slanted[::-1]):
        longest = max(turned.any(0).sum(), turned.any(1).sum())
        assert thin_to(mask, turned).sum() == pytest.approx(longest, abs=2)


def test_ends_stay_rather_than_what_is_beside():
    mask, line = np.ones((9, 9), bool), np.zeros((9, 9), bool)
    line[4, 2:7] = line[3, 6] = line[4, 6] = True
    for end in ((3, 6), (4, 6)):
        ends = np.zeros_like(line)
        ends[end] = True
        assert thin_to(mask, line, ends=ends)[end]


def test_every_4_connected_part_keeps_a_pixel():
    for name, mask in all_kinds(28):
        parts, count = ndimage.label(mask)
        thin = thin_through(mask, np.zeros_like(mask), distance=distance_map(mask))
        assert len(np.unique(parts[thin])) == count, name
