"""The graph of a skeleton's pixels: its loops, its junctions, what it takes from the axis."""

import numpy as np
import pytest
from foreign_masks import all_kinds, blobs, pieces_and_holes, ring

from canet.geometry import compact_skeleton
from canet.geometry.pixel_graph import graph_of_pixels, merge_junctions
from canet.geometry.thinning import thin_to


def drawn(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def pieces_and_rings(graph) -> tuple[int, int]:
    count = len(graph)
    leader = list(range(count))

    def find(a: int) -> int:
        while leader[a] != a:
            a = leader[a]
        return a

    for a, b in graph.edges.tolist():
        leader[find(a)] = find(b)
    pieces = len({find(a) for a in range(count)})
    return pieces, len(graph.edges) - count + pieces


@pytest.mark.parametrize(
    ("rows", "branches"),
    [
        (("#####",), 1),
        (("#...#", ".#.#.", "..#..", "..#..", "..#.."), 3),
        (("#..#", ".##.", ".##.", "#..#"), 4),  # a square in the middle is one junction
        ((".###.", "#...#", ".###."), 1),
        (("#.....#", ".#...#.", "..#.#..", "...#...", "..#.#..", ".#...#.", "#.....#"), 4),
    ],
    ids=["line", "y", "square", "ring", "x"],
)
def test_branches(rows, branches):
    graph, _ = merge_junctions(graph_of_pixels(drawn(*rows)))
    assert len(graph.branches) == branches


def test_junctions_around_a_hole_stay_apart():
    rows = ("...#...", "...#...", "..#.#..", "##...##", "..#.#..", "...#...", "...#...")
    picture = drawn(*rows)
    graph, _ = merge_junctions(graph_of_pixels(picture))
    assert pieces_and_rings(graph) == pieces_and_holes(picture) == (1, 1)


@pytest.mark.parametrize("size", [28, 64])
def test_pieces_and_rings_are_those_of_the_pixels(size):
    for name, mask in all_kinds(size):
        thin = thin_to(mask, np.zeros_like(mask))
        graph, node_of = merge_junctions(graph_of_pixels(thin))
        assert pieces_and_rings(graph) == pieces_and_holes(mask), name
        assert len(node_of) == thin.sum() and set(node_of) == set(range(len(graph)))


def test_along_the_axis_positions_are_finer_than_a_pixel():
    mask = ring(300, 110, 20)
    axis = compact_skeleton(mask, 2.0)
    thin = thin_to(mask, axis.draw(mask.shape))
    samples, pixels = axis.at_pixels(thin), graph_of_pixels(thin)
    away = np.hypot(*(samples.xy - 150).T)
    assert np.abs(away - 100).max() < 0.3
    assert samples.inscribed == pytest.approx(10, abs=0.8)
    a, b = samples.xy[pixels.edges].transpose(1, 0, 2)
    assert np.hypot(*(a - b).T).sum() == pytest.approx(2 * np.pi * 100, rel=0.01)
    assert pixels.edge_length.sum() > 1.06 * 2 * np.pi * 100


def test_circles_between_nodes_stay_within_the_shape():
    mask = blobs(128, 5)
    axis = compact_skeleton(mask, 0.5)
    samples = axis.at_pixels(axis.draw(mask.shape))
    from scipy.ndimage import distance_transform_edt

    rows, columns = np.nonzero(axis.draw(mask.shape))
    limit = distance_transform_edt(np.pad(mask, 1))[rows + 1, columns + 1]
    assert (samples.inscribed <= limit + 0.75).all() and np.isfinite(samples.inscribed).all()
