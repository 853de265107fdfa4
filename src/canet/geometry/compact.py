"""One-step compact skeletonization: few branches, all of them needed up to a tolerance.

Durix, Morin, Chambon, Mari & Leonard, "One-step Compact Skeletonization", Eurographics 2019. A
circle walks along the shape's axis from Voronoi vertex to Voronoi vertex. Where all of an arc of
the outline between two of the points that the circle touches lies near the circle, the arc is
erased: no branch goes there, and no later circle meets its points. What remains has no spurs, so
nothing has to be pruned.

The labels of Pixel SkelNetOn are drawings of these skeletons. An even-width part of a shape has
its axis exactly on the border between two pixels, and the last bit of a coordinate decides on
which side it is drawn. The arithmetic here is therefore part of the method: every division,
product and comparison is done in the order that gives the authors' drawings.
"""

import numpy as np

from canet.geometry.graph import SkeletonGraph
from canet.geometry.outline import Outline, piece_outlines, trace_outline
from canet.geometry.walk import walk


def compact_skeleton(
    shape: np.ndarray | Outline, tolerance_px: float, *, longest_piece: bool = False
) -> SkeletonGraph:
    """The compact skeleton of a shape.

    The labels of Pixel SkelNetOn are `compact_skeleton(label_mask(shape), ε).draw(shape.shape)`
    with ε of 1.05, 2 or 3 px, up to what EXPERIMENTS.md lists.

    Args:
        shape: (H, W) bool, True inside; or its outline, where several tolerances are wanted.
        tolerance_px: ε ≥ 0: the shape drawn again from the skeleton's circles differs from the
            shape by about this at most. Larger is simpler; 0 keeps the whole medial axis.
        longest_piece: of a mask in several pieces (4-connected), draw only the one with the longest
            border, as the labels do and as of every outline; else each.

    Returns:
        the graph; empty for an empty mask.

    Raises:
        ValueError: not a 2-D bool mask, or a negative tolerance.

    Source: Durix et al., "One-step Compact Skeletonization", Eurographics 2019.
    """
    if not tolerance_px >= 0:
        raise ValueError(f"tolerance_px is {tolerance_px}; expected 0 or more")
    if not (longest_piece or isinstance(shape, Outline)):
        return SkeletonGraph.union(
            [compact_skeleton(outline, tolerance_px) for outline in piece_outlines(shape)]
        )
    outline = shape if isinstance(shape, Outline) else trace_outline(shape)
    if not len(outline):
        return SkeletonGraph.empty()
    nodes, loops = walk(
        outline.points,
        outline.following,
        outline.chain,
        outline.place,
        outline.length,
        float(tolerance_px),
    )
    parent = nodes[:, 5].astype(np.int64)
    own = np.arange(1, len(nodes))
    tree = np.stack([parent[1:], own], axis=1) if len(nodes) else np.empty((0, 2), np.int64)
    return SkeletonGraph(
        xy=nodes[:, :2].copy(),
        radius=nodes[:, 2].copy(),
        edges=np.concatenate([tree, loops]).astype(np.int64),
        arc=nodes[:, 3].copy(),
        chord=nodes[:, 4].copy(),
        inscribed=nodes[:, 6].copy(),
    )
