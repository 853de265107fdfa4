"""Skeletons by geometry alone: no network, no torch.

`outline` (the border between pixels) → `compact` (the skeleton that the labels of Pixel
SkelNetOn are made of) → `graph` (nodes, radii, branches, drawing). `medial` is the simpler
relative on a Voronoi diagram. `candidates` (the labels' masks and tolerances) → `features` →
`selection` (a forest that chooses among them).

    >>> graph = compact_skeleton(label_mask(shape), tolerance_px=2.0)
    >>> skeleton = graph.draw(shape.shape)
"""

from pathlib import Path

from canet.geometry.candidates import label_mask
from canet.geometry.compact import compact_skeleton
from canet.geometry.graph import SkeletonGraph
from canet.geometry.medial import salient_medial_axis
from canet.geometry.outline import Outline, trace_outline

# What drawings depend on, for stamps of what is made from them.
CODE = [
    Path(__file__).with_name(name)
    for name in ("outline.py", "compact.py", "graph.py", "candidates.py")
]

__all__ = [
    "CODE",
    "Outline",
    "SkeletonGraph",
    "compact_skeleton",
    "label_mask",
    "salient_medial_axis",
    "trace_outline",
]
