"""Lines by every method: where they run, where they end."""

import cv2
import numpy as np
import pytest
from foreign_masks import blobs, cross, eight, hand, lines, ring
from guarantees import check_topology
from skimage import morphology

import canet
from canet.geometry.thinning import thin_to


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("skeletonize", morphology.skeletonize),
        ("lee", lambda mask: morphology.skeletonize(mask, method="lee") > 0),
        ("medial_axis", lambda mask: morphology.medial_axis(mask, rng=0)),
        ("thin", morphology.thin),
    ],
)
def test_scikit_images_methods_are_taken_as_they_are(name, method):
    mask = np.pad(blobs(90, 4), ((0, 0), (20, 0)))
    assert (canet.skeletonize(mask, method=name).pixels == method(mask)).all()


@pytest.mark.parametrize("end", [(107, 76), (110, 50), (20, 110), (100, 120), (90, 20)])
def test_a_line_of_one_pixel_is_itself(end):
    mask = np.zeros((128, 128), np.uint8)
    cv2.line(mask, (20, 50), end, 1, 1)
    assert (canet.skeletonize(mask).pixels == (mask > 0)).all()


def test_handwriting_is_itself_and_a_bump_is_none():
    mask = lines(200, 1, 9)
    thin = thin_to(mask, mask)
    assert (canet.skeletonize(thin).pixels == thin).all()
    body = np.zeros((40, 80), bool)
    body[10:30, 10:70] = True
    smooth = canet.skeletonize(body).pixels
    body[9, 40] = body[8, 40] = True  # as long as the tolerance
    assert (canet.skeletonize(body).pixels == smooth).all()
    body[5:8, 40] = True
    assert canet.skeletonize(body).summary["ends"] == 3


def test_lines_reach_the_border_on_demand():
    road = np.zeros((100, 150), np.uint8)
    cv2.line(road, (-20, 30), (170, 60), 1, 11)
    plain, through = (canet.skeletonize(road, reach_border=r) for r in (False, True))
    columns = np.flatnonzero(through.pixels.any(0))
    assert columns[0] == 0 and columns[-1] == 149 and np.flatnonzero(plain.pixels.any(0))[0] > 0
    assert through.summary["branches"] == 1
    assert through.summary["length"] == pytest.approx(150 * np.hypot(1, 30 / 190), rel=0.01)
    width = plain.summary["mean-width"]
    assert through.summary["mean-width"] == pytest.approx(width, abs=0.5)
    wide = np.ones((80, 60), bool)
    wide[:, :10] = False
    assert canet.skeletonize(wide, reach_border=True).pixels.any()


def test_at_the_border_a_road_has_its_width():
    road = np.zeros((200, 200), np.uint8)
    road[90:110] = 1
    facts = canet.skeletonize(road, reach_border=True)
    assert facts.summary["length"] == pytest.approx(200) and len(facts.branches) == 1
    assert facts.branches["min-radius"][0] == pytest.approx(10, abs=0.01)
    assert facts.nodes["radius"].tolist() == pytest.approx([10, 10], abs=0.05)


@pytest.mark.parametrize("width", [9, 10, 11, 20, 21])
def test_a_straight_bar_is_straight(width):
    mask = np.zeros((100, 200), np.uint8)
    mask[30 : 30 + width, 20:180] = 1
    table = canet.skeletonize(mask).branches
    longest = table.loc[table["branch-distance"].idxmax()]
    assert table["tortuosity"].max() == pytest.approx(1)
    assert longest["mean-radius"] == pytest.approx(width / 2, abs=0.1)


def test_a_tolerance_may_be_a_share_of_each_objects_width():
    mask = np.zeros((260, 800), np.uint8)
    for left, unit in ((10, 10), (700, 2)):  # the same bar with a tooth, in two sizes
        mask[50 : 50 + 8 * unit, left : left + 40 * unit] = 1
        mask[50 - 2 * unit : 50, left + 20 * unit : left + 21 * unit] = 1
    by_px = canet.skeletonize(mask, tolerance=3).branches["skeleton-id"].value_counts()
    by_share = canet.skeletonize(mask, tolerance="4%").branches["skeleton-id"].value_counts()
    assert by_px[0] > by_px[1] and by_share[0] == by_share[1] == 7


def test_pruning_keeps_what_is_long_wide_or_salient():
    mask = np.zeros((120, 300), np.uint8)
    mask[50:70, 20:280] = 1
    mask[30:50, 100:104] = mask[44:50, 200:210] = 1
    plain = canet.skeletonize(mask, tolerance=1)
    assert plain.summary["ends"] == 6
    for switch in ({"prune_radii": 2}, {"prune_length": 22}, {"prune_salience": 16}):
        pruned = canet.skeletonize(mask, tolerance=1, **switch)  # the long tooth, two ends
        assert pruned.summary["ends"] == 3 and pruned.mask.counts["pruned-branches"] > 2
    assert canet.skeletonize(mask, tolerance=1, prune_length=1000).summary["branches"] == 1


def test_lines_of_one_pixel_have_twice_their_length_of_outline():
    mask = np.zeros((120, 400), np.uint8)
    mask[50:70, 20:380] = 1
    mask[20:50, 60] = 1  # joined by a side
    for k in range(30):
        mask[49 - k, 121 + k] = 1  # joined by corners: each pixel a 4-connected part
    mask[45:50, 90] = mask[49, 30] = mask[48, 31] = 1
    found = {k: canet.skeletonize(mask, prune_salience=k).pixels for k in (0, 5, 30, 59, 115)}
    for salience, pixels in found.items():
        assert pixels[20:40, 60].any() == (salience < 60)
        assert pixels[20:40, 130:160].any() == (salience < 100)
        assert pixels[45:48, 90].any() == (salience < 10)


def test_branches_know_how_many_ends_are_free():
    mask = np.zeros((60, 120), bool)
    mask[20:22, 10:110] = True
    (alone,) = canet.skeletonize(mask).graph.branches
    assert not alone.is_spur
    mask[22:50, 60:62] = True
    assert all(b.is_spur for b in canet.skeletonize(mask).graph.branches)


PLAIN = {"ring": (ring(200, 80, 20), 1, 1), "eight": (eight(), 3, 3), "x": (cross(), 4, 5)}


@pytest.mark.parametrize("method", ["compact", "canet", "medial_axis"])
@pytest.mark.parametrize("name", PLAIN)
def test_branches_of_plain_shapes(name, method):
    mask, least, most = PLAIN[name]
    pruning = {"prune_radii": 1.5} if method == "medial_axis" else {}  # of a circle's stairs
    assert least <= len(canet.skeletonize(mask, method=method, **pruning).branches) <= most


def test_branches_of_a_cross_of_one_pixel():
    assert 4 <= len(canet.skeletonize(cross(200, 1)).branches) <= 5


def test_a_hand_has_five_fingers():
    found = canet.skeletonize(hand())
    assert 6 <= len(found.branches) <= 11 and 6 <= found.summary["ends"] <= 7


def test_under_any_turn_the_axis_stays_and_tips_with_it():
    """A bar of 20 px: its axis within half a pixel of where it is, its tips within two."""
    for degrees in range(0, 90, 7):
        mask = np.zeros((300, 300), np.uint8)
        turned = np.deg2rad(degrees)
        way = np.array([np.cos(turned), np.sin(turned)]) * 100
        box = cv2.boxPoints(((150, 150), (220, 20), degrees))
        cv2.fillPoly(mask, [np.round(box * 16).astype(np.int32)], 1, shift=4)
        graph = canet.skeletonize(mask, prune_radii=1.6).graph
        beside = (graph.xy - 150.5) @ np.array([-way[1], way[0]]) / 100
        middle = np.abs((graph.xy - 150.5) @ way / 100) < 90
        assert np.abs(beside[middle]).max() < 0.8
        assert graph.inscribed[middle] == pytest.approx(10.3, abs=0.8)


@pytest.mark.parametrize("options", [{"tolerance": 5}, {"method": "canet"}])
def test_lines_reach_the_outline_on_demand(options):
    rod = np.zeros((160, 220), np.uint8)
    cv2.line(rod, (30, 40), (180, 110), 1, 21)  # with round ends
    plain, through = (canet.skeletonize(rod, reach_outline=r, **options) for r in (False, True))
    assert plain.summary["branches"] == through.summary["branches"] == 1
    assert not (plain.pixels & ~through.pixels).any()
    short, long = (skeleton.summary["length"] for skeleton in (plain, through))
    assert short + 10 < long == pytest.approx(np.hypot(150, 70) + 21, rel=0.08)
    assert (through.nodes["radius"] < 2).all() and (plain.nodes["radius"] > 4).all()


def test_rods_at_every_angle_are_as_long_as_they_are():
    for k, angle in enumerate(np.linspace(0, np.pi, 24, endpoint=False)):
        half = 50 * np.array([np.cos(angle), np.sin(angle)])
        ends = np.rint([110 - half, 110 + half]).astype(int)
        rod = np.zeros((220, 220), np.uint8)
        cv2.line(rod, *ends.tolist(), 1, 5 + k)
        skeleton = canet.skeletonize(rod, tolerance=4, reach_outline=True)
        assert skeleton.summary["ends"] == 2 and (skeleton.nodes["radius"] < 2.2).all()


@pytest.mark.parametrize("shape", [(24, 4), (32, 8)])
def test_lines_whose_axis_lies_beside_their_pixels_stay_whole(shape):
    mask = blobs(*shape, 0.7)
    check_topology(canet.skeletonize(mask, reach_border=True, reach_outline=True), mask)


def test_no_line_reaches_beyond_the_image():
    for end in range(30, 60):
        rod = np.zeros((60, 40), np.uint8)
        cv2.line(rod, (10, 10), (45, end), 1, 7)
        at = canet.skeletonize(rod, reach_outline=True).graph.xy
        assert (at >= 0).all() and (at <= (40, 60)).all()


def test_lines_stop_where_another_is_near():
    comb = np.zeros((120, 120), bool)
    comb[50:70, 10:110] = True  # a tooth that points at it ends where its line does
    comb[20:50, 55:62] = True
    plain, through = (
        canet.skeletonize(comb, prune_length=25, reach_outline=r) for r in (False, True)
    )
    check_topology(through, comb)
    assert through.summary["junctions"] == plain.summary["junctions"]


def test_networks_of_ones_own_draw_too(trained):
    mask = hand(128)
    own = canet.skeletonize(mask, method="canet", weights=str(trained.run_folder))
    check_topology(own, mask)
    assert (own.pixels != canet.skeletonize(mask, method="canet").pixels).any()
