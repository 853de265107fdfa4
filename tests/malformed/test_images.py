"""PNGs of every kind: every way to write a silhouette is read, whatever is broken is refused."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from broken_files import broken_pngs, good_pngs, harmless_pngs, png, shape_mask, write
from judge import OK, run_and_judge, table
from scripts import run_script
from tiny import tiny_overrides

from canet.core import images
from canet.core.console import REPOSITORY, UserError
from canet.core.images import read_grey, write_png
from canet.core.recipe import Folds
from canet.data.checks import check_shapes
from canet.data.data_set import ImageFolder, list_images
from canet.data.folds import assign_folds, read_folds, write_folds

NOT_UTF8 = os.fsdecode(b"caf\xe9-1.png")
GOOD_PNGS, BROKEN_PNGS, HARMLESS_PNGS = good_pngs(), broken_pngs(), harmless_pngs()


def test_every_way_to_write_a_silhouette_gives_its_skeleton(tmp_path):
    for name, content in GOOD_PNGS.items():
        write(tmp_path / "shapes" / f"{name}.png", content)
    words = ("compact", "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    run_and_judge(tmp_path, OK, "", "baseline", *words)
    wanted = read_grey(tmp_path / "out" / "grey.png")
    found = {name: read_grey(tmp_path / "out" / f"{name}.png") for name in GOOD_PNGS}
    assert wanted.any() and [n for n, s in found.items() if not (s == wanted).all()] == []


def test_damage_that_leaves_the_pixels_alone_is_no_obstacle(tmp_path):
    expected = read_grey(write(tmp_path / "good.png", GOOD_PNGS["grey"]))
    for name, content in HARMLESS_PNGS.items():
        assert (read_grey(write(tmp_path / "x.png", content)) == expected).all(), name


@table(BROKEN_PNGS)
def test_a_broken_image_is_refused_before_anything_is_predicted(case, tmp_path):
    content, expected = case
    write(tmp_path / "shapes" / "a good one.png", GOOD_PNGS["grey"])
    write(tmp_path / "shapes" / "broken.png", content)
    words = ("compact", "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    done = run_and_judge(tmp_path, expected, "shapes/broken.png: ", "baseline", *words)
    assert "1 of 2 shapes cannot be used" in done.stderr


def test_all_broken_images_of_a_data_set_are_listed(data_root, tmp_path):
    shutil.copytree(data_root, tmp_path / "data")
    listed = {k: case for k, case in BROKEN_PNGS.items() if case[1] != "is all black"}
    listed = dict(list(listed.items())[:25])
    for name, (content, _) in listed.items():
        write(tmp_path / "data" / "img_test_shape" / f"{name}.png", content)
    own = [*tiny_overrides(tmp_path / "data", tmp_path), "data.test_skeletons=null"]
    done = run_script("check_input", "--recipe", "demo", "--set", *own)
    assert done.code == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {len(listed)} problems with the data set:\n")
    for name, (_, expected) in listed.items():
        assert any(f"{name}.png: " in li and expected in li for li in done.stderr.splitlines())


def test_all_unusable_shapes_are_counted_and_the_first_ones_named(tmp_path):
    for i in range(9):
        write(tmp_path / f"{i}.png", b"" if i % 4 else GOOD_PNGS["grey"])
    with pytest.raises(UserError) as caught:
        check_shapes(list_images(tmp_path))
    message = str(caught.value)
    assert message.startswith("6 of 9 shapes cannot be used: ") and "… and 1 more" in message
    assert all(f"{i}.png: is empty" in message for i in (1, 2, 3, 5, 6)) and "7.png" not in message


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (300, 2)])
def test_small_and_full_shapes_have_a_size_and_a_skeleton(size, tmp_path):
    write(tmp_path / "shapes" / "x.png", png(np.full(size, 255)))
    assert check_shapes(list_images(tmp_path / "shapes"))[0] == {"x.png": size}
    words = ("compact", "--images", tmp_path / "shapes", "--out", tmp_path / "out")
    run_and_judge(tmp_path, OK, "", "baseline", *words)
    assert read_grey(tmp_path / "out" / "x.png").shape == size


def test_black_on_white_is_predicted_with_a_warning(data_root, tmp_path):
    write_png(tmp_path / "shapes" / "x.png", np.where(shape_mask(), 0, 255).astype(np.uint8))
    words = ("--images", tmp_path / "shapes", "--out", tmp_path / "out")
    shipped = REPOSITORY / "weights" / "geometry"
    done = run_and_judge(tmp_path, OK, "", "make_submission", "--run", shipped, *words)
    assert "warning: x.png looks black on white" in done.stdout


def test_the_challenges_own_images_are_read_as_ever(data_root):
    """By OpenCV's own decoder of 8-bit grey, which they were read with before."""
    real = REPOSITORY / "input" / "pixel-skelneton"
    root = real if real.is_dir() else data_root
    paths = sorted(root.glob("img_*/*.png"))[::7]
    assert paths
    for path in paths:
        plain = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(read_grey(path), plain)


NAMES = ["a b-1.png", "größe-1.png", "骨-1.png", "two\nlines-1.png", "tab\t-1.png", "'q'-1.png"]
NAMES += ['"q"-1.png', "a,b-1.png", "a;b-1.png", ".hidden-1.png", "-1.png", "--help.png"]
NAMES += ["..png", "a..b-1.png", "...png", "NA-1.png", "null-1.png", "nan-1.png", "None-1.png"]
NAMES += ["UPPER-1.PNG", "upper-1.png", "Upper-1.Png", "1e5-1.png", "0x10-1.png", "=1+1-1.png"]
NAMES += ["%s-1.png", "{0}-1.png", "$HOME-1.png", "a\\b-1.png", "*-1.png", "[a]-1.png", "#-1.png"]
NAMES += ["x" * 200 + "-1.png", "\u202egnp-1.png", "é-1.png"]


def test_every_name_that_is_text_survives_zip_table_and_score(tmp_path):
    shapes, labels = tmp_path / "shapes", tmp_path / "labels"
    for name in NAMES:
        write(shapes / name, GOOD_PNGS["grey"])
    words = ("compact", "--images", shapes, "--out", tmp_path / "out")
    run_and_judge(tmp_path, OK, "", "baseline", *words)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(NAMES)
    shutil.copytree(tmp_path / "out", labels)
    words = (tmp_path / "out.zip", labels, "--csv", tmp_path / "each.csv")
    assert " 1.0000 " in run_and_judge(tmp_path, OK, "", "score", *words).stdout
    folder, settings = ImageFolder(shapes), Folds(count=2)
    write_folds(tmp_path / "folds.csv", assign_folds(folder, settings))
    read = read_folds(tmp_path / "folds.csv", folder.names, settings)
    assert read["image"].tolist() == folder.names == sorted(NAMES)
    assert {"NA", "null", "nan", "None"} <= set(read["class"])


@pytest.mark.parametrize("script", ["baseline", "score", "make_submission"])
def test_a_name_that_is_not_utf8_is_to_be_changed(script, tmp_path):
    shapes = tmp_path / "shapes"
    write(shapes / NOT_UTF8, GOOD_PNGS["grey"])
    words = {
        "baseline": ("compact", "--images", shapes, "--out", tmp_path / "out"),
        "score": (shapes, shapes),
        "make_submission": ("--images", shapes, "--out", tmp_path / "out", "--run", "{shipped}"),
    }[script]
    words = [REPOSITORY / "weights/geometry" if w == "{shipped}" else w for w in words]
    run_and_judge(tmp_path, "its name is not UTF-8; rename it", r"caf\udce9-1.png", script, *words)


def test_a_folder_whose_name_is_not_utf8_will_do(tmp_path):
    shapes = tmp_path / os.fsdecode(b"caf\xe9\n")
    write(shapes / "x.png", GOOD_PNGS["grey"])
    words = ("compact", "--images", shapes, "--out", tmp_path / "out")
    run_and_judge(tmp_path, OK, "", "baseline", *words)
    assert json.loads((tmp_path / "out.json").read_text())["images"]["folder"] == shapes.name


def test_a_limit_is_a_matter_of_pixels_not_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MOST_PIXELS", 40 * 56)
    assert read_grey(write(tmp_path / "a.png", GOOD_PNGS["grey"])).shape == (40, 56)
    with pytest.raises(UserError, match="at most 2,240 pixels"):
        read_grey(write(tmp_path / "a.png", png(np.ones((41, 56)))))
