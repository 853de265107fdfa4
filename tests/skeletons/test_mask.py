"""What is taken as inside: every kind of image that people bring."""

import io

import numpy as np
import pytest
from PIL import Image

import canet
from canet.core.console import UserError
from canet.skeletons.formats import overlay

BAR = np.zeros((40, 60), bool)
BAR[15:25, 10:50] = True


def inside(image: np.ndarray, **options) -> np.ndarray:
    return canet.skeletonize(image, **options).mask.inside


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.int64, np.float32])
@pytest.mark.parametrize("high", [1, 2, 255])
def test_a_binary_image_is_taken_as_it_is(dtype, high):
    skeleton = canet.skeletonize((BAR * high).astype(dtype))
    assert (skeleton.mask.inside == BAR).all()
    assert skeleton.mask.threshold is None and not skeleton.mask.warnings
    assert (inside(np.where(BAR, 200, 100).astype(np.uint8)) == BAR).all()


def test_a_single_value_is_inside_unless_it_is_0():
    assert inside(np.full((5, 7), 255, np.uint8)).all() and not inside(np.zeros((5, 7))).any()


@pytest.mark.parametrize(("dtype", "high"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_grey_is_cut_at_half_of_its_range_and_said(dtype, high):
    grey = (np.where(BAR, 0.8, 0.1) * high).astype(dtype)
    grey[0, :2] = (np.array([0.45, 0.55]) * high).astype(dtype)
    skeleton = canet.skeletonize(grey)
    assert not skeleton.mask.inside[0, 0] and skeleton.mask.inside[0, 1]
    assert skeleton.mask.threshold == pytest.approx(high / 2)
    assert "4 grey levels: cut at" in skeleton.mask.warnings[0]


def test_a_scan_of_12_bits_is_no_label_image():
    rng = np.random.default_rng(0)
    scan = (np.where(BAR, 3000, 500) + rng.normal(0, 100, BAR.shape)).astype(np.uint16)
    skeleton = canet.skeletonize(scan)
    assert (skeleton.mask.inside == BAR).all() and skeleton.mask.threshold == 2047.5
    dim = (scan // 32).astype(np.uint8)  # below half of 8 bits: nothing, and it is said
    assert "nothing is inside" in " ".join(canet.skeletonize(dim).mask.warnings)


def test_probabilities_may_overshoot_and_scores_are_cut_at_0():
    chances = np.where(BAR, 0.95, 0.05)
    chances[20, 20], chances[0, 0] = 1.02, -0.02
    assert (inside(chances) == BAR).all()
    assert (inside((chances - 0.5) * 10) == BAR).all()
    assert (inside(np.where(BAR, np.inf, 0)) == BAR).all()
    assert (inside(np.where(BAR, 200.0, 10) + (np.arange(60) % 2)) == BAR).all()  # grey as floats


def test_a_threshold_is_a_level_or_otsu():
    grey = np.where(BAR, 90, 10).astype(np.uint8)
    grey[:, ::2] += 5
    assert not inside(grey, threshold=200).any()
    assert (inside(grey, threshold=50) == BAR).all()
    skeleton = canet.skeletonize(grey, threshold="otsu")
    assert (skeleton.mask.inside == BAR).all() and 14 < skeleton.mask.threshold < 90
    assert not inside(np.zeros((4, 4)), threshold="otsu").any()


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.int32, np.int16, np.int8])
def test_otsu_of_large_numbers_takes_no_class_for_each(dtype):
    high = np.iinfo(dtype).max // 4
    grey = (np.where(BAR, 3, 1) * high).astype(dtype)
    grey[0, 0] = np.iinfo(dtype).max
    assert inside(grey, threshold="otsu").sum() == BAR.sum() + 1
    assert inside(np.maximum(grey, high * 2), threshold="otsu").sum() == BAR.sum() + 1


@pytest.mark.filterwarnings("error")
def test_otsu_of_a_binary_image():
    assert (inside(BAR, threshold="otsu") == BAR).all()


def test_labels_below_half_are_inside_and_kept_apart_on_demand():
    labels = np.zeros((256, 256), np.uint8)
    labels[100:110, 20:128], labels[100:110, 128:236] = 1, 2
    together, apart = canet.skeletonize(labels), canet.skeletonize(labels, labels=True)
    columns = np.flatnonzero(together.pixels.any(0))
    assert together.summary["skeletons"] == 1 and columns[0] < 30 and columns[-1] > 225
    assert "--labels" in together.mask.warnings[0]
    assert apart.summary["skeletons"] == apart.summary["objects"] == 2
    assert apart.branches["label"].tolist() == [1, 2]
    numbers = np.where(labels > 1, 4711, labels.astype(np.uint16))
    assert canet.skeletonize(numbers, labels=True).branches["label"].tolist() == [1, 4711]
    assert (inside(numbers) == (labels > 0)).all()  # not cut at half of so many bits
    assert (inside(numbers.astype(np.float32)) == (labels > 0)).all()
    assert (inside(labels.astype(float)) == (labels > 0)).all()
    soft = numbers.copy()
    soft[labels > 0], soft[100, 20:236] = 65535, 20000  # a mask with soft edges is no label image
    assert (inside(soft) == (soft == 65535)).all()


@pytest.mark.parametrize("turn", [np.asarray, np.transpose])
def test_areas_are_numbered_however_the_image_lies(turn):
    stripes = np.zeros((40, 60), np.uint8)
    stripes[5:35, 10:50] = np.arange(40) // 2 + 1
    assert (inside(turn(stripes)) == (turn(stripes) > 0)).all()


def test_touching_labels_each_keep_their_hole():
    labels = np.zeros((60, 100), np.uint8)
    labels[10:50, 10:50], labels[10:50, 50:90] = 1, 2
    labels[25:35, 25:35] = labels[25:35, 65:75] = 0
    assert canet.skeletonize(labels, labels=True).summary["rings"] == 2


def test_black_on_white_is_warned_of_and_inverted_on_demand():
    white = np.uint8(255) * ~BAR
    assert "--invert" in canet.skeletonize(white).mask.warnings[0]
    skeleton = canet.skeletonize(white, invert=True)
    assert (skeleton.mask.inside == BAR).all() and not skeleton.mask.warnings
    chances = np.where(BAR, 0.93, 0.04)
    chances[3, 3] = 0.2  # a probability map is the right way round
    assert "invert" not in " ".join(canet.skeletonize(chances).mask.warnings)


def test_what_is_clear_is_outside():
    rgba = np.zeros((*BAR.shape, 4), np.uint8)
    rgba[BAR] = 255
    rgba[:5] = (255, 255, 255, 0)
    assert (inside(rgba) == BAR).all()
    icon = np.zeros_like(rgba)  # black on nothing
    icon[BAR, 3] = 255
    assert (inside(icon) == BAR).all()
    assert (inside(np.repeat((BAR * np.uint8(255))[..., None], 3, 2)) == BAR).all()


@pytest.mark.parametrize("high", [255, 65535, 1.0])
def test_a_cut_out_in_colour_is_its_opacity_on_demand(high):
    cut_out = np.zeros((*BAR.shape, 4))
    cut_out[BAR] = (0, 0, 0.5, 1)
    cut_out[18, 20:25, :3] = 1  # a highlight
    cut_out[14, 10:50, 3] = 0.4  # a soft edge
    cut_out = (cut_out * high).astype({255: np.uint8, 65535: np.uint16}.get(high, np.float32))
    assert (inside(cut_out, threshold="alpha") == BAR).all()
    skeleton = canet.skeletonize(cut_out)
    assert skeleton.mask.inside.sum() == 5
    assert "what is opaque is outside (--threshold alpha)" in " ".join(skeleton.mask.warnings)
    white = np.full((*BAR.shape, 4), 255, np.uint8) * BAR[..., None]
    assert not canet.skeletonize(white).mask.warnings
    with pytest.raises(UserError, match="is opaque all over; leave --threshold alpha out"):
        canet.skeletonize(cut_out[..., :3], threshold="alpha")
    with pytest.raises(UserError, match="is opaque all over; leave --threshold alpha out"):
        canet.skeletonize(BAR, threshold="alpha")
    half = np.zeros((*BAR.shape, 4), np.float32)
    half[BAR] = (0, 0, 0.5, 0.5)
    for image in (half, half > 0):
        assert (inside(image, threshold="alpha") == BAR).all()


def test_pictures_with_round_corners_and_soft_shadows_are_no_cut_outs():
    window = np.zeros((40, 60, 4), np.uint8)
    window[..., 3] = 255
    window[:3, :3, 3] = 0
    window[18:22, 5:55, :3] = 255
    icon = np.zeros((40, 60, 4), np.uint8)
    icon[5:35, 5:55, 3] = 60  # its shadow
    icon[BAR, 3] = 255
    for image, expected in ((window, window[..., 0] > 0), (icon, BAR)):
        skeleton = canet.skeletonize(image)
        assert (skeleton.mask.inside == expected).all()
        assert "opaque is outside" not in " ".join(skeleton.mask.warnings)


@pytest.mark.parametrize("invert", [False, True])
def test_numbers_that_are_none_are_outside(invert):
    chances = np.where(BAR ^ invert, 0.9, 0.1)
    chances[20, 20] = chances[0, 0] = np.nan
    skeleton = canet.skeletonize(chances, invert=invert)
    assert not skeleton.mask.inside[20, 20] and not skeleton.mask.inside[0, 0]
    assert skeleton.mask.inside.sum() == BAR.sum() - 1
    assert "2 pixels are no numbers" in skeleton.mask.warnings[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_what_is_masked_is_outside(dtype):
    nodata = np.ma.masked_equal(np.where(np.arange(60) < 20, 99, BAR).astype(dtype), 99)
    skeleton = canet.skeletonize(nodata)
    assert (skeleton.mask.inside == (BAR & (np.arange(60) >= 20))).all()
    assert "800 pixels are no numbers" in skeleton.mask.warnings[0]
    assert (inside(np.ma.masked_array(BAR, False)) == BAR).all()


@pytest.mark.parametrize("shape", [(60, 4), (4, 60), (2, 2), (60, 40)])
def test_colours_are_colours_in_narrow_images_too(shape):
    mask = np.arange(np.prod(shape)).reshape(shape) % 5 > 1
    colours = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    assert (inside(colours) == mask).all() and (inside(colours / 255) == mask).all()


def test_levels_of_32_bits_are_cut_at_half_of_what_there_is():
    grey = np.where(BAR, 300_000, 40_000).astype(np.int32) + np.arange(60, dtype=np.int32)
    assert (inside(grey) == BAR).all() and (inside(grey.astype(np.float32)) == BAR).all()


def test_switches_are_numbers_however_they_are_written():
    mask = BAR.copy()
    mask[20, 30] = False
    assert canet.skeletonize(mask, fill_holes=3.0, close="0").mask.counts == {"filled-px": 1}
    scaled = canet.skeletonize(mask, spacing="0.5", prune_length="3", close=2.0)
    assert scaled.summary["largest-width"] < 6


def test_cleaning_is_off_unless_asked_for_and_counted():
    mask = BAR.copy()
    mask[20, 30] = mask[:, 20:22] = False
    mask[2, 2] = mask[35:39, 30:34] = True
    plain = canet.skeletonize(mask)
    assert (plain.mask.inside == mask).all() and not plain.mask.counts
    filled = canet.skeletonize(mask, fill_holes=3)
    assert filled.mask.counts == {"filled-px": 1} and filled.summary["rings"] == 0
    closed = canet.skeletonize(mask, close=2)
    assert 15 <= closed.mask.counts["closed-px"] <= 21 and closed.summary["pieces"] == 3
    assert inside(mask, close=100_000).sum() > mask.sum()
    large = canet.skeletonize(mask, min_area=10)
    assert large.mask.counts == {"dropped-objects": 1} and large.summary["pieces"] == 3
    assert canet.skeletonize(mask, min_area=10_000).summary["skeletons"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "zhang"}, "method 'zhang': expected one of compact"),
        ({"tolerance": "much"}, "tolerance 'much': expected 0 or more pixels"),
        ({"tolerance": -1}, "tolerance -1: expected 0 or more"),
        ({"tolerance": "nan%"}, "expected 0 or more"),
        ({"tolerance": "5%%"}, "tolerance '5%': expected 0 or more"),
        ({"close": 1.5}, "close 1.5: expected a whole number"),
        ({"prune_length": "long"}, "prune_length 'long': expected 0 or more"),
        ({"threshold": "half"}, "threshold 'half': expected a grey level, otsu or alpha"),
        ({"min_area": -3}, "min_area -3: expected a whole number"),
        ({"spacing": 0}, "spacing 0: expected more than 0"),
        ({"prune_salience": 3, "method": "lee"}, "prune_salience is for compact; lee has none"),
        ({"tolerance": 3, "method": "lee"}, "tolerance is for compact; lee has none"),
        ({"weights": "cpu"}, "weights is for canet; compact has none"),
        ({"weights": "nowhere", "method": "canet"}, "no run nowhere; trained runs: "),
        ({"tolerance": "5%", "method": "canet"}, "tolerance is for compact; canet has none"),
        ({"reach_border": True, "method": "thin"}, "for compact and canet; thin has none"),
        ({"reach_outline": True, "method": "lee"}, "for compact and canet; lee has none"),
        ({"labels": True, "invert": True}, "leave threshold and invert out"),
    ],
)
def test_what_does_not_fit_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        canet.skeletonize(BAR, **options)


@pytest.mark.parametrize("image", [np.zeros((9, 9, 5)), np.zeros(4), np.array([["a"]])])
def test_what_is_no_image_is_one_line(image):
    with pytest.raises(UserError, match=r"^the image is an array of"):
        canet.skeletonize(image)


def test_an_image_is_an_array_pillows_or_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(np.where(BAR, 1, 0).astype(np.uint8), mode="P")
    picture.putpalette([255, 255, 255, 0, 0, 0])  # index 1 is black
    picture.save("a.png")
    for image in ("a.png", tmp_path / "a.png", picture):
        assert (inside(image) == ~BAR).all()
        assert (inside(image, labels=True) == BAR).all()
    picture.save("two.gif", save_all=True, append_images=[Image.fromarray(BAR)])
    with pytest.raises(UserError, match=r"^two\.gif: has several images"):
        canet.skeletonize("two.gif")
    with pytest.raises(UserError, match=r"^none\.png: does not exist"):
        canet.skeletonize("none.png")
    np.save("none.npy", np.zeros((0, 5, 5)))
    with pytest.raises(UserError, match=r"^none\.npy: has no image \(shape \(0, 5, 5\)\); exp"):
        canet.skeletonize("none.npy")
    np.save("half.npy", BAR / 2)
    with pytest.raises(UserError, match=r"^half\.npy: has labels that are no whole numbers"):
        canet.skeletonize("half.npy", labels=True)
    with pytest.raises(UserError, match="File name too long"):
        canet.skeletonize("a" * 999 + ".png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(BAR).save("lying.png", exif=exif)
    with Image.open("lying.png") as lying:
        assert inside(lying).shape == inside("lying.png").shape == BAR.T.shape
    whole = tmp_path.joinpath("lying.png").read_bytes()
    tmp_path.joinpath("cut.png").write_bytes(whole[:-30])
    with Image.open("cut.png") as cut, pytest.raises(UserError, match="the image "):
        canet.skeletonize(cut)


def test_a_skeleton_saves_and_shows_itself(tmp_path):
    skeleton = canet.skeletonize(BAR)
    skeleton.save(tmp_path / "out", ["png", "csv"])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "branches.csv",
        "nodes.csv",
        "skeleton.png",
    ]
    skeleton.save(tmp_path / "one", "png, svg")
    assert len(list((tmp_path / "one").iterdir())) == 2
    with pytest.raises(UserError, match="formats pdf: expected some of png, overlay"):
        skeleton.save(tmp_path / "out", ["pdf"])
    shown = np.array(Image.open(io.BytesIO(skeleton._repr_png_())))
    assert (shown == overlay(skeleton)).all()
    assert {"skeletonize", "Options", "Skeleton"} <= set(dir(canet))
