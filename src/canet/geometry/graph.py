"""Skeletons as graphs: positions, radii, branches, and how they are drawn."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np


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


@dataclass(frozen=True)
class SkeletonGraph:
    """Nodes with sub-pixel positions and radii, joined by straight edges.

    Attributes:
        xy: (N, 2) float64, px; the image's corner is (0, 0), a pixel's centre is at a half.
        radius: (N,) float64, px: of the circle around each node.
        edges: (M, 2) int64, pairs of nodes.
        arc: (N,) float64, px: length of the outline that lies beyond the node, seen from where the
            skeleton starts; inf in a ring, 0 at the start.
        chord: (N,) float64, px: distance between the two ends of that piece. `arc - chord` is
            the node's salience: how much outline is lost if the skeleton ends before it.
    """

    xy: np.ndarray
    radius: np.ndarray
    edges: np.ndarray
    arc: np.ndarray
    chord: np.ndarray

    @classmethod
    def empty(cls) -> "SkeletonGraph":
        none = np.empty(0)
        return cls(np.empty((0, 2)), none, np.empty((0, 2), np.int64), none, none)

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
        )

    def __len__(self) -> int:
        return len(self.xy)

    @property
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
        at: list[list[tuple[int, int]]] = [[] for _ in range(len(self))]
        for k, (a, b) in enumerate(self.edges.tolist()):
            at[a].append((k, b))
            at[b].append((k, a))
        used = np.zeros(len(self.edges), bool)
        found = []
        for node in [*np.flatnonzero(self.degree != 2), *np.flatnonzero(self.degree == 2)]:
            for edge, other in at[node]:
                if used[edge]:
                    continue
                nodes, edges = [int(node), other], [edge]
                used[edge] = True
                while self.degree[nodes[-1]] == 2 and nodes[-1] != node:
                    step = [(k, b) for k, b in at[nodes[-1]] if not used[k]]
                    if not step:
                        break
                    used[step[0][0]] = True
                    edges.append(step[0][0])
                    nodes.append(step[0][1])
                ends = (self.degree[nodes[0]] == 1) + (self.degree[nodes[-1]] == 1)
                length = float(self.edge_length[edges].sum())
                found.append(Branch(np.array(nodes), np.array(edges), length, ends == 1))
        return found

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
        return SkeletonGraph(
            self.xy[stays],
            self.radius[stays],
            place[self.edges[keep]],
            self.arc[stays],
            self.chord[stays],
        )

    def draw(self, size: tuple[int, int]) -> np.ndarray:
        """The skeleton as pixels, lines one pixel wide.

        Args:
            size: (H, W) of the picture.

        Returns:
            (H, W) bool. A node without edges is drawn as a pixel.
        """
        picture = np.zeros(size, np.uint8)
        if not len(self):
            return picture > 0
        # truncated to pixels, as the labels are drawn
        at = np.clip(self.xy.astype(np.int64), 0, (size[1] - 1, size[0] - 1)).astype(np.int32)
        lines = at[self.edges]  # (M, 2, 2)
        is_long = np.abs(lines[:, 0] - lines[:, 1]).max(1) > 1  # other lines are their two ends
        for x, y in (at[self.degree == 0].T, lines[~is_long].reshape(-1, 2).T):
            picture[y, x] = 1
        for a, b in lines[is_long].tolist():
            cv2.line(picture, a, b, 1, 1)
        return picture > 0
