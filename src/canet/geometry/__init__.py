"""Skeletons by geometry alone: no network, no torch.

`masks` (which pixels are inside) → `outline` (the border between pixels) → `compact` (the skeleton
that the labels of Pixel SkelNetOn are made of) → `graph` (nodes, radii, branches, drawing).

`candidates` are the labels' masks and tolerances, `distance` has distance maps, `medial` a simpler
skeleton from a Voronoi diagram, `classical` thinning and other methods, `metrics` scores.

    >>> graph = compact_skeleton(label_mask(shape), tolerance_px=2.0)
    >>> skeleton = graph.draw(shape.shape)
"""

from canet.geometry.compact import compact_skeleton
from canet.geometry.graph import SkeletonGraph
from canet.geometry.masks import label_mask
from canet.geometry.medial import salient_medial_axis
from canet.geometry.outline import Outline, trace_outline

__all__ = [
    "Outline",
    "SkeletonGraph",
    "compact_skeleton",
    "label_mask",
    "salient_medial_axis",
    "trace_outline",
]
