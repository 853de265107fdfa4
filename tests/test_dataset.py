import re
import shutil

import numpy as np
import pytest

from canet.dataset import ImageFolders, class_of, find_problems, list_images
from canet.files import UserError, read_grey, write_png
from canet.recipe import Data


@pytest.fixture
def folders(data_root, tmp_path) -> ImageFolders:
    """A copy of the tiny data set to break."""
    root = tmp_path / "copy"
    shutil.copytree(data_root, root)
    return ImageFolders(root, Data(root=root))


def first(folder):
    return list_images(folder)[0]


def swap(path):
    write_png(path, 255 - read_grey(path))


def cut(path, keep: int):
    path.write_bytes(path.read_bytes()[:keep])


def blank(path):
    write_png(path, np.zeros((256, 256), np.uint8))


def fill_outside(folders):
    shape, label = first(folders.train_shapes), first(folders.train_skeletons)
    outside = read_grey(shape) == 0
    write_png(label, np.uint8(255) * (outside & np.eye(256, dtype=bool)))


BREAKS = {
    "folder is missing": lambda f: shutil.rmtree(f.train_skeletons),
    "holds no PNG": lambda f: [p.unlink() for p in list_images(f.test_shapes)],
    "has no skeleton": lambda f: first(f.train_skeletons).unlink(),
    "has no shape": lambda f: first(f.train_shapes).unlink(),
    "is 128×256, expected 256×256": lambda f: write_png(
        first(f.train_shapes), np.full((256, 128), 255, np.uint8)
    ),
    "img_train_shape/.*damaged PNG": lambda f: cut(first(f.train_shapes), 40),
    "img_train2/.*is empty, not a PNG": lambda f: cut(first(f.train_skeletons), 0),
    "img_train_shape/.*black on white": lambda f: swap(first(f.train_shapes)),
    "img_train2/.*black on white": lambda f: swap(first(f.train_skeletons)),
    "is empty": lambda f: blank(first(f.train_skeletons)),
    "is all black": lambda f: blank(first(f.test_shapes)),
    "lie outside the shape": fill_outside,
}


def test_a_good_data_set_has_no_problems(folders):
    assert find_problems(folders) == []


def test_a_folder_of_other_pictures_says_what_it_holds(tmp_path):
    for name in ("a.jpg", "b.JPG", "c.tif", "LICENSE"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"holds no PNG but 2 \.jpg; 1 \.tif; .* convert"):
        list_images(tmp_path)


@pytest.mark.parametrize("message", BREAKS)
def test_each_problem_is_found(folders, message):
    BREAKS[message](folders)
    problems = find_problems(folders)
    assert len(problems) == 1
    assert re.search(message, problems[0])
    assert "\n" not in problems[0]


def test_all_problems_are_listed_at_once(folders):
    BREAKS["has no skeleton"](folders)
    shapes = list_images(folders.train_shapes)
    cut(shapes[3], 40)
    swap(shapes[4])
    shutil.rmtree(folders.test_shapes)
    assert len(find_problems(folders)) == 4


def test_trees_are_shown(folders):
    assert "img_train2/" in folders.expected_tree()
    assert "img_train_shape/      15 PNGs" in folders.found_tree()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("dog-12.png", "dog"), ("sea_snake-1.png", "sea_snake"), ("plain.png", "plain")],
)
def test_class_is_what_precedes_the_number(name, expected):
    assert class_of(name) == expected


def test_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        list_images(tmp_path / "nowhere")
