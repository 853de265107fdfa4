"""A skeleton as files: PNG, overlay, SVG, tables, GraphML, GeoJSON, SWC."""

import json
import math
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

import cv2
import networkx as nx
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from canet.core.console import UserError
from canet.core.files import write_text, write_with
from canet.core.images import encode_png, write_png
from canet.geometry.outline import piece_outlines
from canet.skeletons.skeleton import Skeleton

GROUND, INSIDE = (255, 255, 255), (205, 208, 212)
COLOURS = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)
END, JUNCTION = (20, 20, 20), (200, 20, 30)
OVERLAY_PX = 1024  # that small images are enlarged to, about
APART = 0.5  # of their radius, from one circle that is drawn to the next
DECIMALS = 4  # of a pixel, that files keep
SHIFT = 6  # bits behind the point of a position that OpenCV draws
Writer = Callable[[Skeleton, Path], None]  # into a folder


def write_png_file(skeleton: Skeleton, folder: Path) -> None:
    """`skeleton.png`: (H, W), 255 on the skeleton."""
    write_png(folder / "skeleton.png", skeleton.pixels * np.uint8(255))


def write_overlay(skeleton: Skeleton, folder: Path) -> None:
    """`overlay.png`: see `overlay`."""
    content = encode_png(overlay(skeleton))
    write_with(folder / "overlay.png", lambda path: path.write_bytes(content))


def overlay(skeleton: Skeleton) -> np.ndarray:
    """Branches in colours over the mask, ends and junctions as dots: (H, W, 3) uint8, enlarged."""
    scale = max(1, min(16, OVERLAY_PX // max(skeleton.pixels.shape)))
    objects = skeleton.mask.objects.repeat(scale, 0).repeat(scale, 1)
    shown = objects > 0
    # a line between labels that touch
    shown[1:] &= (objects[1:] == objects[:-1]) | (objects[:-1] == 0)
    shown[:, 1:] &= (objects[:, 1:] == objects[:, :-1]) | (objects[:, :-1] == 0)
    picture = np.where(shown[..., None], np.uint8(INSIDE), np.uint8(GROUND))
    at = np.round((skeleton.graph.xy * scale - 0.5) * 2**SHIFT).astype(np.int32)
    width = max(1, round(scale / 2))
    for k, branch in enumerate(skeleton.graph.branches):
        colour = COLOURS[k % len(COLOURS)]
        line = at[branch.nodes].reshape(-1, 1, 2)
        cv2.polylines(picture, [line], False, colour, width, cv2.LINE_AA, SHIFT)
    for node in skeleton.special:
        colour = JUNCTION if skeleton.graph.degree[node] > 2 else END
        radius = width * 2**SHIFT
        cv2.circle(picture, at[node].tolist(), radius, colour, -1, cv2.LINE_AA, SHIFT)
    return picture


def write_svg(skeleton: Skeleton, folder: Path) -> None:
    """`skeleton.svg`: see `svg`."""
    write_text(folder / "skeleton.svg", svg(skeleton))


def svg(skeleton: Skeleton, *, circles: bool = False) -> str:
    """The mask's outline and a path for each branch, in px of the image.

    Args:
        skeleton: of any size.
        circles: also largest circles within the mask along the branches.
    """
    height, width = skeleton.pixels.shape
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">',
        f'<path id="mask" fill="#cdd0d4" fill-rule="evenodd" d="{_outline_path(skeleton)}"/>',
        "<style>#skeleton path { vector-effect: non-scaling-stroke; stroke-width: 2px }</style>",
    ]
    if circles:
        lines += _circles(skeleton)
    lines.append('<g id="skeleton" fill="none" stroke-linejoin="round" stroke-linecap="round">')
    table = skeleton.branches[["branch-distance", "mean-radius"]].to_numpy()
    digits = max(_decimals(skeleton) - 2, 0)
    for k, (branch, (length, mean)) in enumerate(zip(skeleton.graph.branches, table)):
        said = f"branch {k}, length {length:.{digits}f}, mean radius {mean:.{digits}f} "
        said += skeleton.options.unit
        way = _path(skeleton.graph.xy[branch.nodes])
        lines.append(f'<path stroke="{_colour(k)}" d="{way}"><title>{escape(said)}</title></path>')
    lines.append("</g>")
    lines.append('<g id="nodes">')
    for node in skeleton.special:
        x, y = skeleton.graph.xy[node]
        kind = "#c8141e" if skeleton.graph.degree[node] > 2 else "#141414"
        lines.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="1" fill="{kind}"/>')
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _circles(skeleton: Skeleton) -> list[str]:
    """Largest circles within the mask, along branches about `APART` of their radius apart."""
    graph = skeleton.graph
    lines = ['<g id="radii" fill="none" stroke-opacity="0.5">']
    for k, branch in enumerate(graph.branches):
        xy, radius = graph.xy[branch.nodes], graph.inscribed[branch.nodes]
        way = np.hypot(*np.diff(xy, axis=0).T) / np.maximum(radius[1:], 2)
        number = np.floor(np.concatenate([[0], np.cumsum(way)]) / APART)
        shown = np.flatnonzero(np.diff(number, prepend=-1))
        for (x, y), r in zip(xy[shown].tolist(), radius[shown].tolist()):
            lines.append(
                f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" stroke="{_colour(k)}" '
                'vector-effect="non-scaling-stroke"/>'
            )
    return [*lines, "</g>"]


def _colour(branch: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[branch % len(COLOURS)])


def _path(xy: np.ndarray) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in xy.tolist())


def _outline_path(skeleton: Skeleton) -> str:
    """All outlines of the mask, straight runs as one line."""
    ways = []
    for outline in piece_outlines(skeleton.mask.inside):
        in_order = outline.points[np.lexsort((outline.place, outline.chain))].astype(int)
        for points in np.split(in_order, np.cumsum(outline.length)[:-1]):
            step = np.roll(points, -1, 0) - points
            corner = (step != np.roll(step, 1, 0)).any(1)
            ways.append("M" + "L".join(f"{x} {y}" for x, y in points[corner].tolist()) + "Z")
    return "".join(ways)


def _decimals(skeleton: Skeleton) -> int:
    """Of numbers in the skeleton's unit, so that each keeps `DECIMALS` of a pixel, or one more."""
    return DECIMALS - math.floor(math.log10(skeleton.options.spacing))


def write_csv(skeleton: Skeleton, folder: Path) -> None:
    """`branches.csv` and `nodes.csv`, see `Skeleton.branches` and `Skeleton.nodes`."""
    for name in ("branches", "nodes"):
        table: pd.DataFrame = getattr(skeleton, name)
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))


def write_graphml(skeleton: Skeleton, folder: Path) -> None:
    """`skeleton.graphml`: `Skeleton.to_networkx`; `points` and `radii` as JSON."""
    graph, digits = skeleton.to_networkx(), _decimals(skeleton)
    for _, _, facts in graph.edges(data=True):
        for name in ("points", "radii"):
            facts[name] = json.dumps(facts[name].round(digits).tolist())
    write_with(folder / "skeleton.graphml", lambda path: nx.write_graphml(graph, path))


def write_geojson(skeleton: Skeleton, folder: Path) -> None:
    """`skeleton.geojson`: a LineString for each branch, a Point for each single pixel.

    x to the right and y downwards, from the image's corner, in `options.unit`; not on the earth.
    """
    size, digits, features = skeleton.options.spacing, _decimals(skeleton), []
    table = skeleton.branches.drop(columns=[c for c in skeleton.branches if "coord" in c])
    for branch, row in zip(skeleton.graph.branches, table.to_dict("records")):
        radius = (skeleton.graph.inscribed[branch.nodes] * size).round(digits).tolist()
        covering = (skeleton.graph.radius[branch.nodes] * size).round(digits).tolist()
        row = {k: None if v == np.inf else v for k, v in row.items()}
        way = (skeleton.graph.xy[branch.nodes] * size).round(digits).tolist()
        features.append(
            _feature("LineString", way, row | {"radius": radius, "covering_radius": covering})
        )
    for node in np.flatnonzero(skeleton.graph.degree == 0):
        place = (skeleton.graph.xy[node] * size).round(digits).tolist()
        radius = float(skeleton.graph.inscribed[node] * size)
        facts = {"radius": round(radius, digits), "label": skeleton.label[node].item()}
        features.append(_feature("Point", place, facts))
    content = {"type": "FeatureCollection", "features": features}
    write_text(folder / "skeleton.geojson", json.dumps(content) + "\n")


def _feature(kind: str, coordinates: list, properties: dict) -> dict:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def write_swc(skeleton: Skeleton, folder: Path) -> None:
    """`skeleton.swc`: every node with its radius and its parent; rings are cut, as SWC has none."""
    graph, size = skeleton.graph, skeleton.options.spacing
    _, roots = np.unique(skeleton.component, return_index=True)
    ends = np.flatnonzero(graph.degree == 1)
    roots[skeleton.component[ends]] = ends  # an end, where there is one
    above_all = len(graph)  # one more node, which the roots hang on, makes one tree of them
    a = np.concatenate([graph.edges[:, 0], np.full(len(roots), above_all)])
    b = np.concatenate([graph.edges[:, 1], roots])
    links = coo_array((np.ones(len(a), bool), (a, b)), shape=(above_all + 1,) * 2).tocsr()
    order, parent = breadth_first_order(links, above_all, directed=False)
    order = order[1:]
    order = order[np.argsort(skeleton.component[order], kind="stable")]  # tree after tree
    number = np.empty(len(graph), int)
    number[order] = np.arange(1, len(order) + 1)
    cut = len(graph.edges) - (len(graph) - len(roots))
    unit, digits = skeleton.options.unit, max(_decimals(skeleton), 0)
    lines = [f"# x y z radius in {unit}; {cut} rings are cut", "# id type x y z radius parent"]
    for node in order.tolist():
        facts = (*graph.xy[node], graph.inscribed[node])
        x, y, radius = (f"{value * size:.{digits}f}" for value in facts)
        up = number[parent[node]] if parent[node] < above_all else -1
        lines.append(f"{number[node]} 0 {x} {y} 0 {radius} {up}")
    write_text(folder / "skeleton.swc", "\n".join(lines) + "\n")


FORMATS: dict[str, Writer] = {
    "png": write_png_file,
    "overlay": write_overlay,
    "svg": write_svg,
    "csv": write_csv,
    "graphml": write_graphml,
    "geojson": write_geojson,
    "swc": write_swc,
}

FILES = {  # that they write
    "skeleton.png",
    "overlay.png",
    "skeleton.svg",
    "branches.csv",
    "nodes.csv",
    "skeleton.graphml",
    "skeleton.geojson",
    "skeleton.swc",
}


def writers(names: Iterable[str] | str) -> list[Writer]:
    """What writes the formats of these names, which may be one text with commas.

    Raises:
        UserError: there is no such format, or none is asked for.
    """
    names = names.split(",") if isinstance(names, str) else names
    names = [name.strip() for name in names if name.strip()]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        asked = unknown[0] if unknown else "is empty"
        raise UserError(f"formats {asked}: expected some of {', '.join(FORMATS)}")
    return [FORMATS[name] for name in names]
