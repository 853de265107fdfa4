"""A skeleton: pixels, graph, and tables of its branches and nodes."""

from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from canet.geometry.graph import Branch, SkeletonGraph
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
        rows = [self._row(branch) for branch in self.graph.branches]
        table = pd.DataFrame(rows, columns=[*COLUMNS, "label"])
        kinds = {c: "int64" for c in COLUMNS[:3] + ("branch-type",)}
        return table.astype(kinds | {c: "float64" for c in COLUMNS if c not in kinds})

    def _row(self, branch: Branch) -> tuple:
        first, last = branch.nodes[0], branch.nodes[-1]
        size = self.options.spacing
        ends = self.graph.xy[[first, last], ::-1].ravel() - 0.5
        radius = self.graph.inscribed[branch.nodes] * size
        straight = float(np.hypot(*(self.graph.xy[first] - self.graph.xy[last]))) * size
        length = branch.length_px * size
        return (
            self.component[first],
            first,
            last,
            length,
            self.kind_of(branch),
            *ends,
            *ends * size,
            straight,
            self._mean(branch) * size,
            radius.min(),
            radius.max(),
            length / straight if straight else np.inf,
            self.label[first],
        )

    def _mean(self, branch: Branch) -> float:
        """Mean radius along a branch, px: each edge counts by its length."""
        weights = self.graph.edge_length[branch.edges]
        radius = self.graph.inscribed[branch.nodes]
        middle = (radius[:-1] + radius[1:]) / 2
        return float(np.average(middle, weights=weights) if weights.sum() else middle.mean())

    def kind_of(self, branch: Branch) -> int:
        """Its `branch-type`."""
        degrees = self.graph.degree[branch.nodes[[0, -1]]]
        if branch.nodes[0] == branch.nodes[-1] and degrees[0] == 2:
            return CYCLE
        free = int((degrees == 1).sum())
        return (JUNCTION_TO_JUNCTION, JUNCTION_TO_END, END_TO_END)[free]

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
        """Ends, junctions, single pixels and rings as nodes, branches as edges.

        Nodes have `x`, `y` and `radius`; edges `length`, `mean_radius`, `min_radius`, `max_radius`
        and the way, `points`, (K, 2), x and y, with its `radii`, (K,); all in `options.unit`.
        """
        size, graph = self.options.spacing, nx.MultiGraph()
        for node, (x, y) in zip(self.special.tolist(), self.graph.xy[self.special] * size):
            radius = float(self.graph.inscribed[node] * size)
            label = self.label[node].item()
            graph.add_node(node, x=float(x), y=float(y), radius=radius, label=label)
        for branch, row in zip(self.graph.branches, self.branches.to_dict("records")):
            graph.add_edge(
                int(branch.nodes[0]),
                int(branch.nodes[-1]),
                length=row["branch-distance"],
                mean_radius=row["mean-radius"],
                min_radius=row["min-radius"],
                max_radius=row["max-radius"],
                points=self.graph.xy[branch.nodes] * size,
                radii=self.graph.inscribed[branch.nodes] * size,
            )
        return graph


COLUMNS = (
    "skeleton-id",
    "node-id-src",
    "node-id-dst",
    "branch-distance",
    "branch-type",
    "image-coord-src-0",
    "image-coord-src-1",
    "image-coord-dst-0",
    "image-coord-dst-1",
    "coord-src-0",
    "coord-src-1",
    "coord-dst-0",
    "coord-dst-1",
    "euclidean-distance",
    "mean-radius",
    "min-radius",
    "max-radius",
    "tortuosity",
)
