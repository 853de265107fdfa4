"""Skeletons that nothing learns: every method on small shapes."""

import numpy as np
import pytest

from canet.geometry.classical import METHODS, distance_ridge, lu_wang, morphological_skeleton


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("side", [1, 2, 5, 20])
def test_no_method_is_empty_where_the_shape_is_not(method, side):
    shape = np.zeros((40, 40), np.uint8)
    shape[10 : 10 + side, 8 : 8 + side] = 255
    skeleton = METHODS[method](shape)
    assert skeleton.dtype == bool and skeleton.any() and not (skeleton & (shape == 0)).any()
    assert not METHODS[method](np.zeros_like(shape)).any()


def thinned_slowly(mask: np.ndarray) -> np.ndarray:
    """Lü and Wang's conditions pixel by pixel, as they are written."""
    now = np.pad(mask, 1).astype(int)
    while True:
        removed = 0
        for half in (0, 1):
            gone = []
            for i, j in np.argwhere(now):
                north, east, south, west = (-1, 0), (0, 1), (1, 0), (0, -1)
                ring = [north, (-1, 1), east, (1, 1), south, (1, -1), west, (-1, -1)]
                p = [now[i + di, j + dj] for di, dj in ring]
                rises = sum(a == 0 and b == 1 for a, b in zip(p, p[1:] + p[:1]))
                n, e, s, w = p[::2]
                open_sides = (n * e * s, e * s * w) if half == 0 else (n * e * w, n * s * w)
                if 3 <= sum(p) <= 6 and rises == 1 and not any(open_sides):
                    gone.append((i, j))
            for i, j in gone:
                now[i, j] = 0
            removed += len(gone)
        if not removed:
            return now[1:-1, 1:-1] > 0


def test_lu_wang_is_what_it_says():
    rng = np.random.default_rng(0)
    for density in (0.5, 0.7, 0.9):
        for _ in range(5):
            mask = rng.random((17, 19)) < density
            assert np.array_equal(lu_wang(mask), thinned_slowly(mask))
    slanted = np.eye(20, dtype=bool) | np.eye(20, k=1, dtype=bool)
    assert lu_wang(slanted).any(0).sum() >= 19  # where Zhang and Suen's own conditions leave less


def test_ridge_and_morphology_of_a_bar():
    bar = np.zeros((21, 60), bool)
    bar[6:15, 5:55] = True  # nine pixels high: one line in the middle
    for method in (distance_ridge, morphological_skeleton):
        skeleton = method(bar)
        assert (skeleton[:, 15:45].sum(0) == 1).all() and skeleton[10, 15:45].all()
