"""The graph of a skeleton that is given as pixels."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from canet.geometry.graph import SkeletonGraph

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (down, right)


def graph_of_pixels(skeleton: np.ndarray) -> SkeletonGraph:
    """The pixels of a skeleton as nodes at their centres, neighbours joined.

    Diagonal neighbours are not joined where a pixel beside both is there, and four pixels in a
    square are joined by three edges: a loop of the graph is a loop of the skeleton.

    Args:
        skeleton: (H, W) bool, thin.

    Returns:
        the graph, nodes row by row; radii, arc and chord are 0, since they are not known.
    """
    rows, columns = np.nonzero(skeleton)
    number = np.full(np.add(skeleton.shape, 2), -1, np.int32)
    number[rows + 1, columns + 1] = np.arange(len(rows))

    def beside(down: int, right: int) -> np.ndarray:
        return number[rows + 1 + down, columns + 1 + right]

    edges = []
    for down, right in STEPS:
        there = beside(down, right)
        joined = there >= 0
        if down and right:
            joined &= (beside(down, 0) < 0) & (beside(0, right) < 0)
        elif right:  # the lower side of a square
            joined &= (beside(-1, 0) < 0) | (beside(-1, 1) < 0)
        edges.append(np.stack([np.flatnonzero(joined), there[joined]], axis=1))
    unknown = np.zeros(len(rows))
    xy = np.stack([columns, rows], axis=1) + 0.5
    joined = np.concatenate(edges).astype(np.int64)
    return SkeletonGraph(xy, unknown, joined, unknown, unknown, unknown)


def merge_junctions(graph: SkeletonGraph) -> tuple[SkeletonGraph, np.ndarray]:
    """Junctions that are neighbours as one node, the one with the largest inscribed circle.

    Neighbours that enclose a hole stay as they are.

    Args:
        graph: of pixels.

    Returns:
        the graph, and (N,) int64: the new node of each old one.
    """
    is_junction = graph.degree > 2
    short = is_junction[graph.edges].all(1)
    count = len(graph)
    a, b = graph.edges[short].T
    links = coo_array((np.ones(len(a), bool), (a, b)), shape=(count, count))
    _, cluster = connected_components(links, directed=False)
    nodes_of = np.bincount(cluster, minlength=1)
    edges_of = np.bincount(cluster[a], minlength=len(nodes_of))
    is_tree = edges_of < nodes_of
    best = np.lexsort((-graph.inscribed, cluster))
    leader = np.empty(len(nodes_of), np.int64)
    leader[cluster[best[::-1]]] = best[::-1]
    stands_for = np.where(is_tree[cluster], leader[cluster], np.arange(count))
    gone = short & is_tree[cluster[graph.edges[:, 0]]]
    stays = stands_for == np.arange(count)
    place = np.cumsum(stays) - 1
    node_of = place[stands_for]
    return graph.with_nodes(stays, node_of[graph.edges[~gone]]), node_of
