"""Joining pieces by cheapest paths."""

import numpy as np
import pytest
from random_shapes import SIZE
from skimage.graph import MCP_Geometric

from canet.postprocess.connect import join_pieces, pixel_costs


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
