"""The salience-pruned medial axis: the Voronoi diagram of a finely sampled outline."""

import math

import numpy as np
from scipy.spatial import Voronoi

from canet.geometry.graph import SkeletonGraph
from canet.geometry.outline import trace_outline


def salient_medial_axis(
    mask: np.ndarray, salience_px: float = 8.0, spacing_px: float = 0.25
) -> SkeletonGraph:
    """Voronoi ridges inside a shape, kept where much outline lies between the two sides.

    Simpler than `compact_skeleton`, and connected: along a branch the arc between the two outline
    points of a ridge grows from the tip inwards, so what is kept hangs together.

    Args:
        mask: (H, W) bool, True inside.
        salience_px: keep a ridge where arc minus chord of its two points is at least this, or
            where they lie on different borders (a ring).
        spacing_px: of the samples along the outline; 1 px is divided into whole parts at most so
            long.

    Returns:
        the graph, of all of the shape's pieces; arc and chord are those of the longest of a node's
        ridges. Empty where nothing is salient.

    Source: Ogniewicz & Kübler, "Hierarchic Voronoi skeletons", 1995 (chord residual).
    """
    outline = trace_outline(mask)
    if not len(outline):
        return SkeletonGraph.empty()
    steps = math.ceil(1 / spacing_px)
    towards = outline.points[outline.following] - outline.points
    share = np.arange(steps)[None, :, None] / steps
    samples = (outline.points[:, None] + share * towards[:, None]).reshape(-1, 2)
    chain = np.repeat(outline.chain, steps)
    place = (outline.place[:, None] + share[0, :, 0]).ravel()
    # a diagram of exactly cocircular points is ambiguous: move each by less than matters
    jitter = np.random.default_rng(0).uniform(-1e-7, 1e-7, samples.shape)
    diagram = Voronoi(samples + jitter)
    a, b = diagram.ridge_points.T
    ridges = np.array(diagram.ridge_vertices)
    arc = np.abs(place[a] - place[b])
    arc = np.minimum(arc, outline.length[chain[a]] - arc)
    arc[chain[a] != chain[b]] = np.inf
    chord = np.hypot(*(samples[a] - samples[b]).T)
    inside = np.zeros(len(diagram.vertices), bool)
    pixel = np.floor(diagram.vertices).astype(int)
    height, width = mask.shape
    there = ((pixel >= 0) & (pixel < (width, height))).all(1)
    inside[there] = mask[pixel[there, 1], pixel[there, 0]]
    kept = (ridges >= 0).all(1) & (arc - chord >= salience_px)
    kept &= inside[ridges].all(1)
    used, flat = np.unique(ridges[kept], return_inverse=True)
    edges = flat.reshape(-1, 2).astype(np.int64)
    arcs, chords = np.zeros(len(used)), np.zeros(len(used))
    order = np.argsort(arc[kept], kind="stable")
    for end in range(2):
        arcs[edges[order, end]] = arc[kept][order]
        chords[edges[order, end]] = chord[kept][order]
    xy = diagram.vertices[used]
    nearest = np.empty(len(diagram.vertices))
    for end in ridges[kept].T:  # a vertex is as far from both samples of each of its ridges
        nearest[end] = np.hypot(*(diagram.vertices[end] - diagram.points[a[kept]]).T)
    return SkeletonGraph(xy, nearest[used], edges, arcs, chords, nearest[used])
