"""Files that others read: skan, sknw, networkx, shapely, an XML parser."""

import json
import re
from xml.etree import ElementTree

import cv2
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import shapely
import skan
import sknw
from foreign_masks import blobs, cross, eight, hand, noise, ring

import canet
from canet.core.images import read_grey
from canet.skeletons.formats import FORMATS

SHAPES = {
    "ring": ring(120, 50, 12),
    "eight": eight(),
    "cross": cross(),
    "hand": hand(),
    "blobs": blobs(100, 4),
    "noise": noise(40, 0.5),
    "dots": noise(40, 0.02),
    "nothing": np.zeros((20, 30), bool),
}


@pytest.fixture(params=SHAPES)
def written(request, tmp_path):
    """A skeleton and the folder with all of its files."""
    skeleton = canet.skeletonize(SHAPES[request.param], spacing=0.5, unit="um")
    for write in FORMATS.values():
        write(skeleton, tmp_path)
    return skeleton, tmp_path


def read_table(path) -> pd.DataFrame:
    return pd.read_csv(path)


def test_skan_reads_the_picture_and_finds_the_same_branches(written):
    skeleton, folder = written
    pixels = read_grey(folder / "skeleton.png") > 0
    assert (pixels == skeleton.pixels).all()
    table = read_table(folder / "branches.csv")
    if len(table) < 1:
        return
    theirs = skan.summarize(skan.Skeleton(pixels, spacing=0.5), separator="-")
    shared = [c for c in theirs.columns if not c.endswith("-pixel-value")]
    assert set(shared) <= set(table.columns)
    if skeleton.mask.inside.sum() > 3000:  # large shapes: it joins junctions as we do
        assert len(theirs) == pytest.approx(len(table), abs=2)
        counts = table["branch-type"].value_counts()
        assert counts.get(3, 0) == (theirs["branch-type"] == 3).sum()
        assert theirs["branch-distance"].sum() == pytest.approx(
            table["branch-distance"].sum(), rel=0.1
        )


def test_lengths_of_scikit_images_pixels_are_skans():
    skeleton = canet.skeletonize(cross(200, 9), method="medial_axis")
    theirs = skan.summarize(skan.Skeleton(skeleton.pixels), separator="-")
    ours = skeleton.branches
    assert ours["branch-distance"].sum() == pytest.approx(theirs["branch-distance"].sum(), rel=0.02)


def test_sknw_finds_the_same_graph():
    for mask in (ring(120, 50, 12), eight(), cross(), hand()):
        skeleton = canet.skeletonize(mask)
        theirs = sknw.build_sknw(skeleton.pixels.astype(np.uint16), multi=True)
        assert theirs.number_of_edges() == pytest.approx(len(skeleton.branches), abs=1)


def test_networkx_reads_graphml(written):
    skeleton, folder = written
    graph = nx.read_graphml(folder / "skeleton.graphml", node_type=int, force_multigraph=True)
    assert graph.number_of_edges() == len(skeleton.branches)
    keys = [key for _, _, key in graph.edges(keys=True)]
    assert sorted(keys) == list(range(len(keys)))
    own = skeleton.to_networkx()
    assert nx.number_connected_components(own) == skeleton.summary["skeletons"]
    for a, b, facts in graph.edges(data=True):
        points = np.array(json.loads(facts["points"]))
        ends = [(graph.nodes[n]["x"], graph.nodes[n]["y"]) for n in (a, b)]
        assert len(points) == len(json.loads(facts["radii"]))
        assert any(np.allclose(points[[0, -1]], order, atol=1e-3) for order in (ends, ends[::-1]))


def test_shapely_reads_geojson(written):
    skeleton, folder = written
    content = json.loads((folder / "skeleton.geojson").read_text())
    lines = [f for f in content["features"] if f["geometry"]["type"] == "LineString"]
    singles = [f for f in content["features"] if f["geometry"]["type"] == "Point"]
    assert len(lines) == len(skeleton.branches)
    assert len(singles) == (skeleton.graph.degree == 0).sum()
    for feature, length in zip(lines, skeleton.branches["branch-distance"]):
        way = shapely.geometry.shape(feature["geometry"])
        assert way.length == pytest.approx(length, abs=0.02)
        assert len(feature["properties"]["radius"]) == len(way.coords)
        x0, y0, x1, y1 = way.bounds
        height, width = skeleton.pixels.shape
        assert x0 >= 0 and x1 <= width * 0.5 and y0 >= 0 and y1 <= height * 0.5


def test_swc_is_a_forest_of_all_nodes(written):
    skeleton, folder = written
    text = (folder / "skeleton.swc").read_text()
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert len(rows) == len(skeleton.graph)
    parent = {int(r[0]): int(r[6]) for r in rows}
    assert all(up == -1 or up < node for node, up in parent.items())  # parents come first
    assert list(parent.values()).count(-1) == skeleton.summary["skeletons"]
    assert all(float(r[5]) > 0 and int(r[1]) == 0 for r in rows)
    trees = []
    for node, up in parent.items():
        trees.append(node if up < 0 else trees[up - 1])
    assert trees == sorted(trees)  # tree after tree
    assert f"{skeleton.summary['rings']} rings are cut" in text


@pytest.mark.parametrize("spacing", [0.00065, 650.0])
def test_in_any_unit_files_keep_what_they_have_in_pixels(tmp_path, spacing):
    skeleton = canet.skeletonize(hand(), spacing=spacing, unit="mm")
    skeleton.save(tmp_path, ["graphml", "geojson", "swc", "svg"])
    features = json.loads((tmp_path / "skeleton.geojson").read_text())["features"]
    graph = nx.read_graphml(tmp_path / "skeleton.graphml", force_multigraph=True)
    edges = sorted((key, facts) for _, _, key, facts in graph.edges(data=True, keys=True))
    titles = re.findall(r"length ([\d.]+), mean", (tmp_path / "skeleton.svg").read_text())
    for k, branch in enumerate(skeleton.graph.branches):
        xy, radius = skeleton.graph.xy[branch.nodes], skeleton.graph.inscribed[branch.nodes]
        way = np.array(features[k]["geometry"]["coordinates"])
        assert way / spacing == pytest.approx(xy, abs=1e-4)
        for radii in (features[k]["properties"]["radius"], json.loads(edges[k][1]["radii"])):
            assert np.array(radii) / spacing == pytest.approx(radius, abs=1e-4)
        assert float(titles[k]) / spacing == pytest.approx(branch.length_px, abs=0.01)
    radii = np.loadtxt(tmp_path / "skeleton.swc")[:, 5] / spacing
    assert np.sort(radii) == pytest.approx(np.sort(skeleton.graph.inscribed), abs=1e-4)


def test_svg_holds_outline_and_branches(written):
    skeleton, folder = written
    space = {"s": "http://www.w3.org/2000/svg"}
    root = ElementTree.parse(folder / "skeleton.svg").getroot()
    ways = root.findall("s:g[@id='skeleton']/s:path", space)
    assert len(ways) == len(skeleton.branches)
    assert len(root.findall("s:g[@id='nodes']/s:circle", space)) == len(skeleton.nodes)
    outline = root.find("s:path[@id='mask']", space).attrib["d"]
    again = np.zeros(skeleton.pixels.shape, np.uint8)
    rings = [np.array(re.findall(r"-?\d+", way), int).reshape(-1, 2) for way in outline.split("Z")]
    corner = rings[:-1]  # even-odd, drawn at twice the size so that corners are pixels
    twice = np.zeros(np.add(np.multiply(again.shape, 2), 1), np.uint8)
    for chain in corner:
        layer = np.zeros_like(twice)
        cv2.fillPoly(layer, [2 * chain.astype(np.int32)], 1)
        twice ^= layer
    if skeleton.mask.inside.sum() > 2000:
        assert (twice[1::2, 1::2] > 0).mean() == pytest.approx(
            skeleton.mask.inside.mean(), abs=0.01
        )


def test_tables_are_in_the_unit_and_consistent(written):
    skeleton, folder = written
    table, nodes = (read_table(folder / f"{name}.csv") for name in ("branches", "nodes"))
    if not len(table):
        return
    assert np.allclose(table["coord-src-0"], table["image-coord-src-0"] * 0.5, atol=1e-3)
    assert (table["min-radius"] <= table["mean-radius"] + 1e-3).all()
    assert (table["mean-radius"] <= table["max-radius"] + 1e-3).all()
    assert (table["tortuosity"] >= 1 - 1e-6).all()
    assert (table["branch-distance"] >= table["euclidean-distance"] - 1e-4).all()
    ends = set(table["node-id-src"]) | set(table["node-id-dst"])
    assert ends <= set(nodes["node-id"])
    assert skeleton.summary["length"] == pytest.approx(table["branch-distance"].sum(), rel=1e-4)
    kinds = nodes["kind"].value_counts()
    assert kinds.get("end", 0) == skeleton.summary["ends"]
    assert kinds.get("junction", 0) == skeleton.summary["junctions"]


def test_overlays_show_the_mask_and_its_skeleton(written):
    skeleton, folder = written
    picture = cv2.imread(str(folder / "overlay.png"))
    scale = picture.shape[0] // skeleton.pixels.shape[0]
    assert picture.shape[:2] == tuple(scale * n for n in skeleton.pixels.shape)
    if skeleton.mask.inside.sum() > 2000:
        rows, columns = np.nonzero(skeleton.pixels)
        at = picture[rows * scale + scale // 2, columns * scale + scale // 2]
        assert (at.max(1) - at.min(1) > 30).mean() > 0.5  # colours, where mask and ground are grey


def test_an_overlay_of_a_large_image_shows_lines_of_one_pixel(tmp_path):
    mask = np.zeros((1100, 600), np.uint8)
    mask[100, 50:550], mask[200:260, 50:300], mask[200:260, 300:550] = 1, 1, 2
    skeleton = canet.skeletonize(mask, labels=True)
    FORMATS["overlay"](skeleton, tmp_path)
    picture = cv2.imread(str(tmp_path / "overlay.png"))
    assert picture.shape[:2] == mask.shape
    assert (
        (picture[mask > 0] == 255).all(1).sum() <= 60 < (picture[mask > 0] == 255).all(1).sum() + 8
    )
    assert (picture[100, 50:550] < 255).any(1).all()
