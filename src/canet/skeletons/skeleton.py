"""A skeleton: pixels, graph, and tables of its branches and nodes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from canet.core.images import encode_png
from canet.geometry.graph import SkeletonGraph
from canet.postprocess.rescale import topology
from canet.skeletons.mask import Mask
from canet.skeletons.options import Options

END_TO_END, JUNCTION_TO_END, JUNCTION_TO_JUNCTION, CYCLE = range(4)  # as skan numbers them
KINDS = {0: "single", 1: "end", 2: "ring"}  # of nodes, by degree; others are junctions


@dataclass(frozen=True)
class Skeleton:
    """A mask's skeleton.

    Attributes:
        mask: what was skeletonized, and what was done to it.
        pixels: (H, W) bool.
        graph: its nodes are the pixels, but for junctions of several, which are one; positions in
            px, finer than a pixel by `compact`; the image's corner is (0, 0), a pixel's centre is
            at a half. `graph.inscribed` are distances from the outline, as all tables have them;
            `graph.radius` those of the circles that redraw the mask.
        label: (N,) of each node, the value of the object that it lies in.
        options: by which it was made.
    """

    mask: Mask
    pixels: np.ndarray
    graph: SkeletonGraph
    label: np.ndarray
    options: Options

    @cached_property
    def component(self) -> np.ndarray:
        """(N,) int, from 0: the connected part of the graph that each node belongs to."""
        count, (a, b) = len(self.graph), self.graph.edges.T
        links = coo_array((np.ones(len(a), bool), (a, b)), shape=(count, count))
        return connected_components(links, directed=False)[1]

    @cached_property
    def branches(self) -> pd.DataFrame:
        """A row for each branch, in the order of `graph.branches`; columns as skan names them.

        Lengths, radii and `coord-…` are in `options.unit`; `image-coord-…` in pixels, row (0) and
        column (1), whose centres are at whole numbers, as arrays have them. `branch-type`: 0 end to
        end, 1 junction to end, 2 junction to junction, 3 a ring.
        """
        graph, size, found = self.graph, self.options.spacing, self.graph.branches
        ends = np.array([b.nodes[[0, -1]] for b in found], int).reshape(-1, 2)
        length = np.array([b.length_px for b in found])
        first, last = (graph.xy[e, ::-1] - 0.5 for e in ends.T)  # row, column
        straight = np.hypot(*(first - last).T)
        columns = {
            "skeleton-id": self.component[ends[:, 0]],
            "node-id-src": ends[:, 0],
            "node-id-dst": ends[:, 1],
            "branch-distance": length * size,
            "branch-type": self._kinds(ends),
        }
        for scale, kind in ((1, "image-coord"), (size, "coord")):
            for place, xy in (("src", first), ("dst", last)):
                columns |= {f"{kind}-{place}-{axis}": xy[:, axis] * scale for axis in range(2)}
        columns["euclidean-distance"] = straight * size
        columns |= self._radii()
        with np.errstate(divide="ignore", invalid="ignore"):
            columns["tortuosity"] = np.where(straight > 0, length / straight, np.inf)
        return pd.DataFrame(columns | {"label": self.label[ends[:, 0]]})

    def _kinds(self, ends: np.ndarray) -> np.ndarray:
        """`branch-type` of branches between two nodes, (B, 2)."""
        degrees = self.graph.degree[ends]
        kinds = np.array([JUNCTION_TO_JUNCTION, JUNCTION_TO_END, END_TO_END])
        is_ring = (ends[:, 0] == ends[:, 1]) & (degrees[:, 0] == 2)
        return np.where(is_ring, CYCLE, kinds[(degrees == 1).sum(1)])

    def _radii(self) -> dict[str, np.ndarray]:
        """Mean, least and largest radius of branches; edges count by their length in the mean."""
        found, radius = self.graph.branches, self.graph.inscribed * self.options.spacing
        if not found:
            return {f"{name}-radius": np.empty(0) for name in ("mean", "min", "max")}
        own = radius[np.concatenate([b.nodes for b in found])]
        begins = np.cumsum([0] + [len(b.nodes) for b in found[:-1]])
        edges = np.concatenate([b.edges for b in found])
        weight = self.graph.edge_length[edges] + np.finfo(float).tiny
        middle = radius[self.graph.edges[edges]].mean(1)
        first = np.cumsum([0] + [len(b.edges) for b in found[:-1]])
        mean = np.add.reduceat(weight * middle, first) / np.add.reduceat(weight, first)
        return {
            "mean-radius": mean,
            "min-radius": np.minimum.reduceat(own, begins),
            "max-radius": np.maximum.reduceat(own, begins),
        }

    @cached_property
    def special(self) -> np.ndarray:
        """Nodes that branches end at: ends, junctions, single pixels, one of each ring."""
        met = [branch.nodes[[0, -1]] for branch in self.graph.branches]
        return np.union1d(np.flatnonzero(self.graph.degree != 2), np.ravel(met)).astype(int)

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """A row for each end, junction, single pixel and ring (the node where it is cut)."""
        at, size = self.special, self.options.spacing
        y, x = self.graph.xy[at, ::-1].T - 0.5
        degree = self.graph.degree[at]
        return pd.DataFrame(
            {
                "node-id": at,
                "skeleton-id": self.component[at],
                "kind": [KINDS.get(d, "junction") for d in degree],
                "degree": degree,
                "image-coord-0": y,
                "image-coord-1": x,
                "coord-0": y * size,
                "coord-1": x * size,
                "radius": self.graph.inscribed[at] * size,
                "covering-radius": self.graph.radius[at] * size,
                "label": self.label[at],
            }
        )

    @cached_property
    def summary(self) -> dict[str, object]:
        """Sizes of the mask and its skeleton, counts and warnings: a row of `summary.csv`."""
        size, table, degree = self.options.spacing, self.branches, self.graph.degree
        pieces, holes = topology(self.mask.inside)
        length, rings = table["branch-distance"], len(self.graph.edges) - len(self.graph)
        parts = int(self.component.max(initial=-1)) + 1
        radius = self.graph.inscribed * size
        total = length.sum()
        mean = (table["mean-radius"] * length).sum() / total if total else radius.sum()
        largest = radius.max(initial=0)
        return {
            "width": self.pixels.shape[1],
            "height": self.pixels.shape[0],
            "method": self.options.method,
            "threshold": self.mask.threshold,
            "area": int(self.mask.inside.sum()) * size**2,
            "pieces": pieces,
            "holes": holes,
            "objects": len(np.unique(self.label)),
            "skeletons": parts,
            "pixels": int(self.pixels.sum()),
            "length": total,
            "branches": len(table),
            "ends": int((degree == 1).sum()),
            "junctions": int((degree > 2).sum()),
            "rings": rings + parts,
            "mean-width": 2 * (mean if total else largest),
            "largest-width": 2 * largest,
            "unit": self.options.unit,
        } | self.mask.counts

    def to_networkx(self) -> nx.MultiGraph:
        """Ends, junctions, single pixels and rings as nodes, branches as edges, by their numbers.

        Nodes have `x`, `y` and `radius`; edges `length`, `mean_radius`, `min_radius`, `max_radius`
        and the way, `points`, (K, 2), x and y, with its `radii`, (K,); all in `options.unit`.
        """
        size, graph = self.options.spacing, nx.MultiGraph()
        for node, (x, y) in zip(self.special.tolist(), self.graph.xy[self.special] * size):
            radius = float(self.graph.inscribed[node] * size)
            label = self.label[node].item()
            graph.add_node(node, x=float(x), y=float(y), radius=radius, label=label)
        rows = self.branches.to_dict("records")
        for number, (branch, row) in enumerate(zip(self.graph.branches, rows)):
            graph.add_edge(
                int(branch.nodes[0]),
                int(branch.nodes[-1]),
                key=number,  # GraphML's id of the edge, of which Gephi wants each once
                length=row["branch-distance"],
                mean_radius=row["mean-radius"],
                min_radius=row["min-radius"],
                max_radius=row["max-radius"],
                points=self.graph.xy[branch.nodes] * size,
                radii=self.graph.inscribed[branch.nodes] * size,
            )
        return graph

    def save(self, folder: str | Path, formats: Iterable[str] | str = "png") -> None:
        """Write files as `skeletonize.py` does: png, overlay, svg, csv, graphml, geojson, swc.

        Raises:
            UserError: there is no such format.
        """
        from canet.skeletons.formats import writers  # which know what a skeleton is

        for write in writers(formats):
            write(self, Path(folder))

    def _repr_png_(self) -> bytes:
        """What a notebook shows: branches in colours over the mask."""
        from canet.skeletons.formats import overlay

        return encode_png(overlay(self))
