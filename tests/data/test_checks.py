import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import SIZE_PX

from canet.core.console import UserError
from canet.core.images import read_grey, write_png
from canet.core.recipe import Data
from canet.data.checks import check_shapes, find_problems
from canet.data.data_set import DataSet, ImageFolder, class_of, list_images, warn_of_others


@pytest.fixture
def data(data_root, tmp_path) -> DataSet:
    """A copy of the tiny data set to break."""
    root = tmp_path / "copy"
    shutil.copytree(data_root, root)
    return DataSet(root, Data(root=root, size_px=SIZE_PX))


def first(folder: ImageFolder) -> Path:
    return list_images(folder.path)[0]


def swap(path):
    write_png(path, 255 - read_grey(path))


def cut(path, keep: int):
    path.write_bytes(path.read_bytes()[:keep])


def blank(path):
    write_png(path, np.zeros((SIZE_PX, SIZE_PX), np.uint8))


def change(path, how):
    write_png(path, how(read_grey(path)))


def soften(label):
    label[0, 0] = 120
    return label


def thicken(label):
    return cv2.dilate(label, np.ones((3, 3), np.uint8))


def fill_outside(data):
    shape, label = first(data.train_shapes), first(data.train_skeletons)
    outside = read_grey(shape) == 0
    write_png(label, np.uint8(255) * (outside & np.eye(SIZE_PX, dtype=bool)))


BREAKS = {
    "folder is missing": lambda f: shutil.rmtree(f.train_skeletons.path),
    "holds no PNG": lambda f: [p.unlink() for p in list_images(f.test_shapes.path)],
    "has no skeleton": lambda f: first(f.train_skeletons).unlink(),
    "has no shape": lambda f: first(f.train_shapes).unlink(),
    "is 32×64, expected 64×64": lambda f: write_png(
        first(f.train_shapes), np.full((64, 32), 255, np.uint8)
    ),
    "img_train_shape/.*damaged PNG": lambda f: cut(first(f.train_shapes), 40),
    "img_train2/.*is empty, not a PNG": lambda f: cut(first(f.train_skeletons), 0),
    "img_train_shape/.*black on white": lambda f: swap(first(f.train_shapes)),
    "img_train2/.*black on white": lambda f: swap(first(f.train_skeletons)),
    "is empty": lambda f: blank(first(f.train_skeletons)),
    "is all black": lambda f: blank(first(f.test_shapes)),
    "lie outside the shape": fill_outside,
    "has 3 grey levels": lambda f: change(first(f.train_skeletons), soften),
    "3 and more pixels wide": lambda f: change(first(f.train_skeletons), thicken),
}


def test_a_good_data_set_has_no_problems(data):
    assert find_problems(data) == []


def test_a_folder_of_other_pictures_says_what_it_holds(tmp_path):
    for name in ("a.jpg", "b.JPG", "c.tif", "LICENSE"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"holds no PNG but 2 \.jpg; 1 \.tif; .* convert"):
        list_images(tmp_path)


def test_what_macos_writes_beside_a_file_is_no_image(data):
    (data.train_shapes.path / "._box-1.png").write_bytes(b"\0\5\x16\7 Mac OS X")
    assert find_problems(data) == []


def test_other_images_beside_pngs_are_named(data, capsys):
    folder = data.test_shapes.path
    warn_of_others(folder)
    assert not capsys.readouterr().out
    for name in ("b.tif", "a.jpg", "LICENSE"):
        (folder / name).touch()
    warn_of_others(folder)
    assert "left out, since no PNG: a.jpg; b.tif; convert" in capsys.readouterr().out


@pytest.mark.parametrize("message", BREAKS)
def test_each_problem_is_found(data, message):
    BREAKS[message](data)
    problems = find_problems(data)
    assert len(problems) == 1
    assert re.search(message, problems[0])
    assert "\n" not in problems[0]


def test_a_line_of_two_pixels_along_the_border_is_no_thick_one(data):
    shape, label = first(data.train_shapes), first(data.train_skeletons)
    write_png(shape, np.full((SIZE_PX, SIZE_PX), 255, np.uint8) * np.tri(SIZE_PX, dtype=np.uint8).T)
    line = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    line[:2, 4:60] = 255
    write_png(label, line)
    assert find_problems(data) == []


def test_all_problems_are_listed_at_once(data):
    BREAKS["has no skeleton"](data)
    shapes = list_images(data.train_shapes.path)
    cut(shapes[3], 40)
    swap(shapes[4])
    shutil.rmtree(data.test_shapes.path)
    assert len(find_problems(data)) == 4


def test_trees_are_shown(data):
    assert "img_train2/" in data.expected_tree()
    assert "img_train_shape/      15 PNGs" in data.found_tree()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("dog-12.png", "dog"), ("sea_snake-1.png", "sea_snake"), ("plain.png", "plain")],
)
def test_class_is_what_precedes_the_number(name, expected):
    assert class_of(name) == expected


def test_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        list_images(tmp_path / "nowhere")


def test_shapes_of_any_size_are_looked_at_and_told_apart_by_content(tmp_path):
    for name, size in (("a.png", (8, 20)), ("b.png", (30, 5))):
        write_png(tmp_path / name, np.full(size, 255, np.uint8))
    sizes, digest = check_shapes(list_images(tmp_path))
    assert sizes == {"a.png": (8, 20), "b.png": (30, 5)}
    assert digest == ImageFolder(tmp_path).digest
    write_png(tmp_path / "b.png", np.full((30, 5), 254, np.uint8))
    assert check_shapes(list_images(tmp_path))[1] != digest
    blank(tmp_path / "a.png")
    cut(tmp_path / "b.png", 0)
    with pytest.raises(UserError, match=r"2 of 2 shapes .*all black.*b\.png: is empty"):
        check_shapes(list_images(tmp_path))
