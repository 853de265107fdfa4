"""From an image to a skeleton, its spurs pruned."""

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from canet.core.console import UserError, shown
from canet.core.images import Unreadable
from canet.geometry.graph import Samples, SkeletonGraph
from canet.geometry.pixel_graph import graph_of_pixels, merge_junctions
from canet.geometry.thinning import thin_to
from canet.skeletons.mask import find_mask
from canet.skeletons.methods import Line, draw_line
from canet.skeletons.options import Options
from canet.skeletons.read import read_image
from canet.skeletons.skeleton import Skeleton

BESIDE_PX = 2.0  # of a junction: pixels there may lie on another of its branches
BACK_PX = 3.0  # from a line's end, where its direction is looked for at least
MOVED_PX = 0.9  # by how much a circle may be larger than the tolerance allows


def skeletonize(image: np.ndarray | Image.Image | str | Path, **options: object) -> Skeleton:
    """The skeleton of a mask.

        >>> skeleton = canet.skeletonize("mask.png")
        >>> skeleton.pixels, skeleton.branches, skeleton.to_networkx()
        >>> canet.skeletonize(labels, labels=True, spacing=0.65, unit="um").branches

    Args:
        image: (H, W) bool or numbers, or (H, W, 3 or 4) uint8 RGB or RGBA; one of Pillow's; or the
            path of a file with one image (`read.read_pages` gives each of several).
        options: the fields of `Options`, which says what they mean.

    Returns:
        its pixels and its graph. By the methods `compact` and `canet` no pixel lies outside the
        mask; there is one 8-connected piece for each of the mask's and a loop for each of its
        holes; every 4-connected part is covered, but for what is pruned; no pixel can be taken that
        is not a line's end; and by `compact`, from a tolerance of 1 px up, the circles of
        `graph.radius` redraw the mask up to the tolerance and a pixel.

    Raises:
        UserError: an option is out of its range, the file cannot be read, or the image is no mask.
    """
    asked = Options(**options)
    try:
        return skeleton_of(*read_image(image, asked.kind), asked)
    except Unreadable as error:
        where = f"{shown(Path(image))}: " if isinstance(image, str | Path) else "the image "
        raise UserError(f"{where}{error}") from None


def skeleton_of(grey: np.ndarray, opaque: np.ndarray | None, options: Options) -> Skeleton:
    """`skeletonize` of what `read` gives: values and opacity, (H, W)."""
    mask = find_mask(grey, opaque, options)
    pixels = np.zeros(grey.shape, bool)
    graphs, labels = [], []
    pruned = [0, 0.0]
    for number, box in mask.boxes():
        own = mask.objects[box] == number
        line = draw_line(own, options)
        drawn = _MeasuredLine(line, own, options)
        if options.prunes:
            drawn.prune()
        if options.reach_outline:
            drawn.extend()
        pixels[box] |= drawn.pixels
        graphs.append(drawn.graph.moved((box[1].start, box[0].start)))
        labels.append(np.full(len(graphs[-1]), mask.values[number - 1]))
        pruned = [a + b for a, b in zip(pruned, drawn.pruned)]
    if options.prunes:
        mask.counts |= {"pruned-branches": pruned[0], "pruned-length": pruned[1] * options.spacing}
    label = np.concatenate(labels) if labels else np.empty(0, mask.values.dtype)
    return Skeleton(mask, pixels, SkeletonGraph.union(graphs), label, options)


class _MeasuredLine:
    """A line with its graph, which shrinks as spurs are cut.

    Args:
        line: of one object.
        mask: the object, (H, W) bool.
        options: what to prune.

    Attributes:
        pixels: (H, W) bool, what is left.
        graph: of that.
        pruned: how many branches are gone, and their length in px.
    """

    def __init__(self, line: Line, mask: np.ndarray, options: Options):
        self.options, self.pixels = options, line.pixels
        self.mask, self.depth = mask, line.depth
        _, self.part = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
        self.number = np.full(line.pixels.shape, -1, np.int32)
        self.number[line.pixels] = np.arange(np.count_nonzero(line.pixels))
        self.samples = _measured(line)
        self.pruned = [0, 0.0]
        self.graph, self.node_of = self._graph()

    def _graph(self) -> tuple[SkeletonGraph, np.ndarray]:
        """The graph, and the node of each of its pixels, row by row."""
        found = graph_of_pixels(self.pixels)
        at, known = self.number[self.pixels], self.samples
        facts = {f.name: getattr(known, f.name)[at] for f in fields(known)}
        return merge_junctions(SkeletonGraph(edges=found.edges, **facts))

    def prune(self) -> None:
        """Cut spurs, at each junction the shortest, and look at what remains anew."""
        while spurs := self._spurs():
            self.pruned[0] += len(spurs)
            self.pruned[1] += sum(spur.length_px for spur in spurs)
            gone = np.zeros(len(self.graph), bool)
            for spur in spurs:
                gone[spur.nodes] = True
            gone &= self.graph.degree < 3
            rest = self.pixels.copy()
            rest[self.pixels] = ~gone[self.node_of]
            self.pixels = thin_to(rest, rest)
            self.graph, self.node_of = self._graph()

    def extend(self) -> None:
        """Let lines go on straight from their ends until the mask ends, or another line is near."""
        for branch in self.graph.branches:
            for nodes in (branch.nodes, branch.nodes[::-1]):
                if self.graph.degree[nodes[0]] == 1:
                    self._go_on(nodes)
        self.pixels = thin_to(self.pixels, self.pixels)
        self.graph, self.node_of = self._graph()

    def _go_on(self, nodes: np.ndarray) -> None:
        """Add the pixels ahead of a branch's first node, seen from a radius (or more) behind it."""
        xy = self.graph.xy[nodes]
        away = np.hypot(*(xy - xy[0]).T)
        is_behind = away >= max(self.graph.inscribed[nodes[0]], BACK_PX)
        behind = int(np.argmax(is_behind)) if is_behind.any() else -1
        others = self.pixels.copy()
        own = np.minimum(xy[: behind % len(xy) + 1], np.subtract(others.shape[::-1], 1))
        columns, rows = own.astype(int).T
        others[rows, columns] = False
        near = cv2.dilate(others.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
        ahead = (xy[0] - xy[behind]) / away[behind]
        way = _straight_on(xy[0], ahead, self.mask & ~near) & ~self.pixels
        rows, columns = np.nonzero(way)
        self.number[way] = len(self.samples.xy) + np.arange(len(rows))
        inscribed = self.depth[way] - 0.5
        unknown = np.full(len(rows), np.nan)
        along = (np.stack([columns, rows], axis=1) + 0.5 - xy[0]) @ ahead
        on_ray = xy[0] + along[:, None] * ahead
        more = Samples(on_ray, inscribed, unknown, unknown, inscribed)
        both = ((getattr(of, f.name) for of in (self.samples, more)) for f in fields(Samples))
        self.samples = Samples(*map(np.concatenate, map(list, both)))
        self.pixels |= way

    def _spurs(self) -> list:
        """The shortest branch to cut at each junction."""
        found = {}
        for branch in self.graph.branches:
            ends = self.graph.degree[branch.nodes[[0, -1]]]
            if not branch.is_spur or ends.max() < 3:
                continue
            root = int(branch.nodes[0 if ends[0] > 1 else -1])
            if self._is_short(branch, root):
                best = found.get(root)
                if best is None or branch.length_px < best.length_px:
                    found[root] = branch
        return list(found.values())

    def _is_short(self, branch, root: int) -> bool:
        asked, graph = self.options, self.graph
        limit = max(asked.prune_length, asked.prune_radii * graph.inscribed[root])
        if branch.length_px < limit:
            return True
        if not asked.prune_salience:
            return False
        away = np.hypot(*(graph.xy[branch.nodes] - graph.xy[root]).T)
        own = branch.nodes[away > min(BESIDE_PX, away.max() / 2)]
        return self._outline_lost(own, root, branch.length_px) < asked.prune_salience

    def _outline_lost(self, nodes: np.ndarray, root: int, length_px: float) -> float:
        """Arc less chord at a branch's root, px.

        The outline is one only within a 4-connected part. Twice the length is what a line of one
        pixel has, which hangs on by a corner or which the axis does not reach.
        """
        part = np.empty(len(self.graph), np.int32)
        part[self.node_of] = self.part[self.pixels]
        salience = self.graph.salience[nodes]
        if np.isnan(salience).any() or (part[nodes] != part[root]).any():
            return 2 * length_px
        return float(salience.max())


def _measured(line: Line) -> Samples:
    """Positions and radii of a line's pixels: on the axis, or by the distance from the outside."""
    samples, at = line.axis.at_pixels(line.pixels), np.nonzero(line.pixels)
    # no point is further from the outline than its pixel's centre and the way from there
    centre = np.stack(at[::-1], axis=1) + 0.5
    limit = line.depth[at] - 0.5 + np.hypot(*(samples.xy - centre).T)
    inscribed = np.fmin(samples.inscribed, limit)
    # a circle may have come from a pixel beside
    radius = np.fmin(samples.radius, inscribed + line.tolerance_px + MOVED_PX)
    radius = np.where(np.isnan(samples.radius), inscribed, radius)
    return replace(samples, inscribed=inscribed, radius=radius)


def _straight_on(start: np.ndarray, ahead: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The free pixels on a ray up to the first that is not, (H, W) bool.

    Args:
        start: (2,) x and y, px.
        ahead: (2,) of length 1.
        free: (H, W) bool.
    """
    height, width = free.shape
    steps = np.arange(0, height + width, 0.25)[:, None]
    columns, rows = np.floor(start + steps * ahead).astype(int).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    inside[inside] = free[rows[inside], columns[inside]]
    end = len(inside) if inside.all() else int(np.argmin(inside))
    way = np.zeros_like(free)
    way[rows[:end], columns[:end]] = True
    return way
