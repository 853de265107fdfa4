"""Skeletons of anybody's masks: nothing lost, nothing invented, as pixels and as a graph.

`read` (image files) → `mask` (what is inside) → `methods` (which line, thin, with the mask's
topology) → `skeletonize` (positions, radii, spurs) → `skeleton` (graph, tables) → `formats`
(files); `folder` does this with many images, `options` are the switches.

The rules of the benchmark, which `canet.submission` follows, have no place here: no grey level, no
closing, no size, no single piece is taken for granted.
"""

from canet.skeletons.options import Options
from canet.skeletons.skeleton import Skeleton
from canet.skeletons.skeletonize import skeletonize

__all__ = ["Options", "Skeleton", "skeletonize"]
