import re
from xml.etree import ElementTree

import numpy as np
from foreign_masks import cross, hand, noise

from canet.app import view
from canet.app.shapes import to_mask
from canet.skeletons import skeletonize

SVG = "{http://www.w3.org/2000/svg}"


def drawn(mask: np.ndarray, *, circles: bool = True) -> ElementTree.Element:
    return ElementTree.fromstring(view.picture(skeletonize(mask), circles=circles))


def test_every_branch_is_a_path_and_a_row_of_the_same_colour():
    skeleton = skeletonize(hand())
    paths = drawn(hand()).findall(f".//{SVG}g[@id='skeleton']/{SVG}path")
    rows = re.findall(r'fill="rgb\(([^)]*)\)".*?<td>([\d.]+)</td>', view.table(skeleton))
    assert len(paths) == len(rows) == len(skeleton.branches) > 5
    told = {(path.get("stroke"), re.search(r"length ([\d.]+)", path[0].text)[1]) for path in paths}
    listed = {
        ("#" + "".join(f"{int(c):02x}" for c in colour.split(",")), length)
        for colour, length in rows
    }
    assert told == listed
    lengths = [float(length) for _, length in rows]
    assert lengths == sorted(lengths, reverse=True)


def test_circles_lie_within_the_mask_and_only_if_they_are_asked_for():
    mask = hand()
    circles = drawn(mask).findall(f".//{SVG}g[@id='radii']/{SVG}circle")
    assert len(circles) > 20
    angles = np.linspace(0, 2 * np.pi, 40)
    for circle in circles:
        x, y, r = (float(circle.get(key)) for key in ("cx", "cy", "r"))
        columns = (x + (r - 1) * np.cos(angles)).astype(int)
        rows = (y + (r - 1) * np.sin(angles)).astype(int)
        assert r < 1 or mask[rows, columns].all()
    assert drawn(mask, circles=False).find(f".//{SVG}g[@id='radii']") is None


def test_the_table_ends_with_how_many_it_leaves_out():
    skeleton = skeletonize(noise(80, 0.5))
    more = len(skeleton.branches) - view.MOST_ROWS
    assert more > 0
    html = view.table(skeleton)
    assert html.count("<tr>") == view.MOST_ROWS + 1 and f"… and {more:,} shorter ones" in html


def test_very_many_branches_are_shown_as_pixels(monkeypatch):
    skeleton = skeletonize(cross())
    assert view.picture(skeleton, circles=True).startswith('<div role="img"')
    monkeypatch.setattr(view, "MOST_PATHS", 3)
    shown = ElementTree.fromstring(view.picture(skeleton, circles=True).replace(">", "/>"))
    assert shown.tag == "img" and shown.get("alt").startswith("Skeleton: 4 branches")
    assert to_mask(shown.get("src")).shape == (skeleton.pixels.shape[0] * 5,) * 2


def test_the_summary_counts():
    assert view.summary(skeletonize(cross())).startswith("4 branches, 4 ends, 1 junction, 0 rings;")
