"""Skeletons as graphs: positions, radii, branches, and how they are drawn."""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import cv2
import numpy as np

from canet.geometry.outline import compiled


@dataclass(frozen=True)
class Branch:
    """A path between two nodes that are ends or junctions.

    Attributes:
        nodes: indices of the graph's nodes along the path; the first equals the last in a ring.
        edges: indices of the graph's edges along the path.
        length_px: of the path.
        is_spur: whether one end, and only one, is a free end.
    """

    nodes: np.ndarray
    edges: np.ndarray
    length_px: float
    is_spur: bool


@compiled
def _trace_paths(begin, edge_at, other_at, degree):  # noqa: C901 (one state)
    """Every edge in one path from an end or junction to the next; rings after them.

    Returns where each path's edges begin (and the end of the last), all nodes of each path, one
    more than its edges, and all edges.
    """
    count = len(edge_at) // 2
    ends = np.empty(count + 1, np.int64)
    nodes = np.empty(2 * count, np.int64)
    edges = np.empty(count, np.int64)
    used = np.zeros(count, np.bool_)
    paths = n = m = 0
    ends[0] = 0
    for rings in (False, True):
        for start in range(len(degree)):
            if (degree[start] == 2) != rings:
                continue
            for k in range(begin[start], begin[start + 1]):
                if used[edge_at[k]]:
                    continue
                nodes[n], n = start, n + 1
                here, via = start, k
                while via >= 0:
                    used[edge_at[via]] = True
                    edges[m], m = edge_at[via], m + 1
                    here, via = other_at[via], -1
                    nodes[n], n = here, n + 1
                    if degree[here] == 2 and here != start:
                        for j in range(begin[here], begin[here + 1]):
                            if via < 0 and not used[edge_at[j]]:
                                via = j
                paths += 1
                ends[paths] = m
    return ends[: paths + 1], nodes[:n], edges[:m]


@dataclass(frozen=True)
class SkeletonGraph:
    """Nodes with sub-pixel positions and radii, joined by straight edges.

    Attributes:
        xy: (N, 2) float64, px; the image's corner is (0, 0), a pixel's centre is at a half.
        radius: (N,) float64, px: of the circle that redraws the shape around each node: larger
            than the inscribed one, by the tolerance at most, where a piece of outline was erased.
        edges: (M, 2) int64, pairs of nodes.
        arc: (N,) float64, px: length of the outline that lies beyond the node, seen from where the
            skeleton starts; inf in a ring, 0 at the start.
        chord: (N,) float64, px: distance between the two ends of that piece. `arc - chord` is
            the node's salience: how much outline is lost if the skeleton ends before it.
        inscribed: (N,) float64, px: radius of the largest circle within the shape.
    """

    xy: np.ndarray
    radius: np.ndarray
    edges: np.ndarray
    arc: np.ndarray
    chord: np.ndarray
    inscribed: np.ndarray

    @classmethod
    def empty(cls) -> "SkeletonGraph":
        none = np.empty(0)
        return cls(np.empty((0, 2)), none, np.empty((0, 2), np.int64), none, none, none)

    @classmethod
    def union(cls, graphs: list["SkeletonGraph"]) -> "SkeletonGraph":
        """All graphs in one; nodes and edges follow each other."""
        graphs = [cls.empty(), *graphs]
        before = np.cumsum([0] + [len(g) for g in graphs])
        return cls(
            np.concatenate([g.xy for g in graphs]),
            np.concatenate([g.radius for g in graphs]),
            np.concatenate([g.edges + k for g, k in zip(graphs, before)]),
            np.concatenate([g.arc for g in graphs]),
            np.concatenate([g.chord for g in graphs]),
            np.concatenate([g.inscribed for g in graphs]),
        )

    def __len__(self) -> int:
        return len(self.xy)

    @cached_property
    def salience(self) -> np.ndarray:
        """(N,) float64, px: arc minus chord."""
        return np.where(np.isinf(self.arc), np.inf, self.arc - self.chord)

    @cached_property
    def degree(self) -> np.ndarray:
        """(N,) number of edges at each node."""
        return np.bincount(self.edges.ravel(), minlength=len(self))

    @cached_property
    def edge_length(self) -> np.ndarray:
        """(M,) float64, px."""
        return np.hypot(*(self.xy[self.edges[:, 0]] - self.xy[self.edges[:, 1]]).T)

    @cached_property
    def branches(self) -> list[Branch]:
        """Every edge in exactly one branch; rings without a junction are branches too."""
        ends, nodes, edges = _trace_paths(*self._adjacency, self.degree)
        found = []
        for k, (first, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist())):
            path, own = nodes[first + k : end + k + 1], edges[first:end]
            free = np.count_nonzero(self.degree[path[[0, -1]]] == 1)
            length = float(self.edge_length[own].sum())
            found.append(Branch(path, own, length, free == 1))
        return found

    @property
    def _adjacency(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where each node's part of the other two begins; its edges in their order, their ends."""
        ends = self.edges.ravel()
        order = np.argsort(ends, kind="stable")
        begin = np.concatenate([[0], np.cumsum(self.degree)])
        return begin, order // 2, self.edges[:, ::-1].ravel()[order]

    def without(self, edges: np.ndarray) -> "SkeletonGraph":
        """The graph without some edges and without the nodes that lose their last edge.

        Args:
            edges: indices to leave out.
        """
        keep = np.ones(len(self.edges), bool)
        keep[edges] = False
        stays = np.bincount(self.edges[keep].ravel(), minlength=len(self)) > 0
        stays |= self.degree == 0
        if not stays.any():  # never nothing: the start stands in
            stays[0] = len(self) > 0
        place = np.cumsum(stays) - 1
        return self.with_nodes(stays, place[self.edges[keep]])

    def with_nodes(self, stays: np.ndarray, edges: np.ndarray) -> "SkeletonGraph":
        """The nodes where `stays`, (N,) bool, is True, and edges between them, (K, 2) int64."""
        of_nodes = {f.name: getattr(self, f.name)[stays] for f in fields(self) if f.name != "edges"}
        return replace(self, edges=edges, **of_nodes)

    def within(self, size: tuple[int, int]) -> "SkeletonGraph":
        """Nodes that lie in a picture of a size (H, W), and the edges between them.

        Those that lie on its border or up to a pixel beyond are put on the border.
        """
        stays = ((self.xy > -1) & (self.xy < np.add(size[::-1], 1))).all(1)
        place = np.cumsum(stays) - 1
        inside = self.with_nodes(stays, place[self.edges[stays[self.edges].all(1)]])
        return replace(inside, xy=np.clip(inside.xy, 0, size[::-1]))

    def moved(self, by: tuple[float, float] | float) -> "SkeletonGraph":
        """The graph with all positions shifted by (x, y), px."""
        return replace(self, xy=self.xy + by)

    def draw(self, size: tuple[int, int]) -> np.ndarray:
        """The skeleton as pixels, lines one pixel wide.

        Args:
            size: (H, W) of the picture.

        Returns:
            (H, W) bool. A node without edges is drawn as a pixel.
        """
        return self._drawn(np.zeros(size, np.uint8), np.ones(len(self.edges), np.uint8)) > 0

    def _drawn(self, picture: np.ndarray, values: np.ndarray) -> np.ndarray:
        """`picture` with each edge in its value, (M,); nodes without edges as 1."""
        if not len(self):
            return picture
        # truncated to pixels, as the labels are drawn
        limit = (picture.shape[1] - 1, picture.shape[0] - 1)
        at = np.clip(self.xy.astype(np.int64), 0, limit).astype(np.int32)
        lines = at[self.edges]  # (M, 2, 2)
        is_long = np.abs(lines[:, 0] - lines[:, 1]).max(1) > 1  # other lines are their two ends
        x, y = at[self.degree == 0].T
        picture[y, x] = 1
        for end in range(2):
            x, y = lines[~is_long, end].T
            picture[y, x] = values[~is_long]
        for (a, b), value in zip(lines[is_long].tolist(), values[is_long].tolist()):
            cv2.line(picture, a, b, value, 1)
        return picture

    def at_pixels(self, skeleton: np.ndarray) -> "Samples":
        """What the graph knows in the pixels of a skeleton that was drawn from it.

        Along an edge the point nearest to the pixel's centre is taken. The circle there touches the
        same points of the outline as those at the edge's two ends, and arc and chord are those of
        its second node, which is the further one from where the skeleton starts. Ends and junctions
        are taken as they are, in the nearest pixel where their own is not in the skeleton.

        Args:
            skeleton: (H, W) bool, the drawing with pixels less or more.
        """
        rows, columns = np.nonzero(skeleton)
        numbers = np.arange(1, len(self.edges) + 1, dtype=np.int32)
        edge = self._drawn(np.zeros(skeleton.shape, np.int32), numbers)[rows, columns] - 1
        at = np.flatnonzero(edge >= 0)
        xy = np.stack([columns, rows], axis=1) + 0.5
        values = np.full((4, len(rows)), np.nan)  # radius, arc, chord, inscribed
        if len(self.edges):
            a, b = self.edges[edge[at]].T
            along = self.xy[b] - self.xy[a]
            squared = (along**2).sum(1)
            share = ((xy[at] - self.xy[a]) * along).sum(1) / np.maximum(squared, 1e-12)
            share = np.clip(share, 0, 1)
            xy[at] = self.xy[a] + share[:, None] * along
            squares = (1 - share) * self.inscribed[a] ** 2 + share * self.inscribed[b] ** 2
            squares -= share * (1 - share) * squared
            inscribed = np.sqrt(np.maximum(squares, 0))
            values[:, at] = [inscribed, self.arc[b], self.chord[b], inscribed]
        nodes, pixels = self._nearest(skeleton, (rows, columns))
        special = self.degree[nodes] != 2
        for is_end in (False, True):  # ends last, since a junction has other nodes beside it
            some = special & ((self.degree[nodes] < 2) == is_end)
            of, into = nodes[some], pixels[some]
            xy[into] = self.xy[of]
            values[:, into] = [self.radius[of], self.arc[of], self.chord[of], self.inscribed[of]]
        np.fmax.at(values[0], pixels, self.radius[nodes])  # no node's circle is lost
        return Samples(xy, *values)

    def _nearest(
        self, skeleton: np.ndarray, pixels: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nodes, and for each the number of the pixel nearest to its own, if one is near."""
        number = np.full(np.add(skeleton.shape, 2 * NEAR_PX), -1, np.int32)
        number[pixels[0] + NEAR_PX, pixels[1] + NEAR_PX] = np.arange(len(pixels[0]))
        limit = (skeleton.shape[1] - 1, skeleton.shape[0] - 1)
        columns, rows = np.clip(self.xy.astype(np.int64), 0, limit).T + NEAR_PX
        found = number[rows, columns]
        steps = range(-NEAR_PX, NEAR_PX + 1)
        ways = sorted(((y, x) for y in steps for x in steps), key=lambda way: np.hypot(*way))
        for down, right in ways[1:]:
            left = np.flatnonzero(found < 0)
            found[left] = number[rows[left] + down, columns[left] + right]
        there = np.flatnonzero(found >= 0)
        return there, found[there]


NEAR_PX = 2  # how far from its own a node's pixel may lie


@dataclass(frozen=True)
class Samples:
    """A graph seen at pixels.

    Attributes:
        xy: (P, 2) float64, px: on the graph; the pixel's centre where the graph is not.
        radius, arc, chord, inscribed: (P,) float64, px, as of the graph's nodes; nan where the
            graph is not.
    """

    xy: np.ndarray
    radius: np.ndarray
    arc: np.ndarray
    chord: np.ndarray
    inscribed: np.ndarray
