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
        image: (H, W) bool or numbers, or (H, W, 3 or 4) uint8 RGB or RGBA, of which what is masked
            or nan is outside; one of Pillow's; or the path of a file with one image
            (`read.read_pages` gives each of several).
        options: the fields of `Options`, which says what they mean.

    Returns:
        its pixels and its graph. By the methods `compact` and `canet` no pixel lies outside the
        mask; there is one 8-connected piece for each of the mask's and a loop for each of its
        holes; every 4-connected part is covered, but for what is pruned; no pixel can be taken that
        is not a line's end; and by `compact`, from a tolerance of 1 px up, the circles of
        `graph.radius` redraw the mask up to the tolerance and a pixel, which noise may pass by
        another pixel, rarely.

    Raises:
        UserError: an option is out of its range, the file cannot be read, or the image is no mask.
    """
    asked = Options(**options)
    try:
        return skeleton_of(*read_image(image, asked.kind), asked)
    except (Unreadable, OSError) as error:
        where = f"{shown(Path(image))}: " if isinstance(image, str | Path) else "the image "
        what = (isinstance(error, OSError) and error.strerror) or error
        raise UserError(f"{where}{what}") from None


def skeleton_of(grey: np.ndarray, opacity: np.ndarray | None, options: Options) -> Skeleton:
    """`skeletonize` of what `read` gives: values and opacity, (H, W)."""
    mask = find_mask(grey, opacity, options)
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
        node_of: its node of each pixel, row by row.
        part_of: the 4-connected part of the mask that each of its nodes lies in.
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
        self._look()

    def _look(self) -> None:
        """Make the graph of the pixels."""
        found = graph_of_pixels(self.pixels)
        at, known = self.number[self.pixels], self.samples
        facts = {f.name: getattr(known, f.name)[at] for f in fields(known)}
        self.graph, self.node_of = merge_junctions(SkeletonGraph(edges=found.edges, **facts))
        self.part_of = np.empty(len(self.graph), np.int32)
        self.part_of[self.node_of] = self.part[self.pixels]

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
            self._look()

    def extend(self) -> None:
        """Let lines go on straight from their ends until the mask ends, or another line is near."""
        pixels_of = _pixels_by_node(self.pixels, self.node_of)
        ways = (nodes for b in self.graph.branches for nodes in (b.nodes, b.nodes[::-1]))
        is_end = self.graph.degree == 1
        added = [self._go_on(nodes, pixels_of) for nodes in ways if is_end[nodes[0]]]
        added = np.concatenate([np.empty((0, 4)), *added])
        rows, columns = added[:, :2].T.astype(int)
        self.number[rows, columns] = len(self.samples.xy) + np.arange(len(added))
        inscribed = self.depth[rows, columns] - 0.5
        unknown = np.full(len(added), np.nan)
        more = Samples(added[:, 2:], inscribed, unknown, unknown, inscribed)
        both = ((getattr(of, f.name) for of in (self.samples, more)) for f in fields(Samples))
        self.samples = Samples(*map(np.concatenate, map(list, both)))
        self.pixels = thin_to(self.pixels, self.pixels)
        self._look()

    def _go_on(self, nodes: np.ndarray, pixels_of: list[np.ndarray]) -> np.ndarray:
        """Add the pixels ahead of a branch's first node, seen from a radius (or more) behind it.

        Returns:
            (K, 4) row and column of each, x and y of its node.
        """
        xy = self.graph.xy[nodes]
        away = np.hypot(*(xy - xy[0]).T)
        is_behind = away >= max(self.graph.inscribed[nodes[0]], BACK_PX)
        behind = int(np.argmax(is_behind)) if is_behind.any() else len(nodes) - 1
        if not away[behind]:  # all of it in one place of the axis: no direction
            return np.empty((0, 4))
        ahead = (xy[0] - xy[behind]) / away[behind]
        own = {tuple(at) for node in nodes[: behind + 1] for at in pixels_of[node].tolist()}
        pixel = pixels_of[nodes[0]][0, ::-1]  # which the axis may pass by: from its nearest point
        start = np.clip(xy[0], pixel, pixel + 1)
        way = [at for at in self._straight_on(start, ahead, own) if not self.pixels[at]]
        at = np.array(way, int).reshape(-1, 2)
        self.pixels[tuple(at.T)] = True
        along = np.maximum((at[:, ::-1] + 0.5 - xy[0]) @ ahead, 0)
        on_ray = np.clip(xy[0] + along[:, None] * ahead, 0, self.mask.shape[::-1])
        return np.concatenate([at, on_ray], axis=1)

    def _straight_on(
        self, start: np.ndarray, ahead: np.ndarray, own: set[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Pixels (row, column) on a ray within the mask, up to the first beside another line.

        Args:
            start: (2,) x and y, px.
            ahead: (2,) of length 1.
            own: pixels of the line that goes on.
        """
        (height, width), way = self.mask.shape, []
        for step in range(4 * (height + width)):
            x, y = np.floor(start + step / 4 * ahead).astype(int).tolist()
            if not (0 <= y < height and 0 <= x < width and self.mask[y, x]):
                break
            if (y, x) in own or (y, x) == (way or [None])[-1]:
                continue
            top, left = max(y - 1, 0), max(x - 1, 0)
            beside = np.argwhere(self.pixels[top : y + 2, left : x + 2]).tolist()
            if any((top + dy, left + dx) not in own for dy, dx in beside):
                break
            way.append((y, x))
        return way

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
        salience, part = self.graph.salience[nodes], self.part_of
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


def _pixels_by_node(pixels: np.ndarray, node_of: np.ndarray) -> list[np.ndarray]:
    """(K, 2) row and column of each node's pixels.

    Args:
        pixels: (H, W) bool.
        node_of: (P,) int, the node of each of them, row by row.
    """
    order = np.argsort(node_of, kind="stable")
    counts = np.bincount(node_of)
    return np.split(np.argwhere(pixels)[order], np.cumsum(counts)[:-1])
