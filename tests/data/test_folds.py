import shutil

import numpy as np
import pandas as pd
import pytest

from canet.core.console import UserError
from canet.core.images import write_png
from canet.core.recipe import Folds
from canet.core.recipe_files import load
from canet.data import folds
from canet.data.data_set import DataSet, ImageFolder, list_images


def write_shapes(folder, per_class: dict[str, int]) -> ImageFolder:
    """Random blobs; image 2k+1 of a class is image 2k mirrored and turned."""
    rng = np.random.default_rng(0)
    for name, count in per_class.items():
        for i in range(count):
            if i % 2 == 0:
                shape = np.zeros((64, 64), np.uint8)
                for _ in range(5):
                    y, x, h, w = rng.integers(4, 40, 4)
                    shape[y : y + h // 2, x : x + w // 2] = 255
            else:
                shape = np.rot90(shape[:, ::-1])
            write_png(folder / f"{name}-{i}.png", np.ascontiguousarray(shape))
    return ImageFolder(folder)


def path_of(recipe):
    return folds.folds_path(DataSet.of(recipe), recipe.folds)


def test_stratified_folds_share_classes_evenly(tmp_path):
    shapes = write_shapes(tmp_path, {"cat": 10, "dog": 20, "cow": 1, "elk": 2})
    table = folds.assign_folds(shapes, Folds(count=5))
    assert sorted(table["image"]) == shapes.names
    counts = table.groupby(["class", "fold"]).size().unstack(fill_value=0)
    assert (counts.loc["cat"] == 2).all()
    assert counts.loc["dog"].between(3, 5).all()  # the three rare images share its stratum


def test_twins_share_a_group_and_grouped_folds_keep_it(tmp_path):
    shapes = write_shapes(tmp_path, {"cat": 20, "dog": 20})
    table = folds.assign_folds(shapes, Folds(scheme="grouped", count=5))
    group = table.set_index("image")["group"]
    assert all(group[f"cat-{i}.png"] == group[f"cat-{i + 1}.png"] for i in range(0, 20, 2))
    assert group.nunique() > 10
    assert (table.groupby("group")["fold"].nunique() == 1).all()


def test_how_alike_twins_are_is_what_the_recipe_says(tmp_path):
    shapes = write_shapes(tmp_path, {"cat": 20})
    for name in shapes.names:
        shape = shapes.read(name).copy()
        if int(name[4:-4]) % 2:  # a mirror image, and a little more
            shape[20:22, 20:24] ^= 255
            write_png(shapes.path / name, shape)
    for similarity, groups in ((0.9, 10), (0.999, 20)):
        settings = Folds(scheme="grouped", count=5, twin_similarity=similarity)
        table = folds.assign_folds(ImageFolder(shapes.path), settings)
        assert table["group"].nunique() == groups


def test_folds_repeat_and_depend_on_the_seed(tmp_path):
    shapes = write_shapes(tmp_path, {"cat": 30})
    first = folds.assign_folds(shapes, Folds())
    assert first.equals(folds.assign_folds(shapes, Folds()))
    assert not first.equals(folds.assign_folds(shapes, Folds(seed=1)))


def test_similarity_of_an_image_with_itself_is_one():
    thumbnail = np.random.default_rng(0).random((1, 64, 64)).astype(np.float32)
    assert folds.similarities(thumbnail)[0, 0] == pytest.approx(1, abs=1e-5)


def test_split_is_disjoint_and_complete():
    table = pd.DataFrame({"image": list("abcdef"), "fold": [0, 1, 2, 0, 1, 2]})
    train, held_out = folds.split(table, 1)
    assert held_out == ["b", "e"] and sorted(train + held_out) == list("abcdef")
    assert folds.split(table, "all") == (list("abcdef"), [])
    with pytest.raises(UserError, match="no fold 7"):
        folds.split(table, 7)


LEAKS = {
    "more than once": lambda t: pd.concat([t, t.assign(fold=(t["fold"] + 1) % 3).head(1)]),
    "missing": lambda t: t.iloc[1:],
    "not in it": lambda t: pd.concat([t, t.head(1).assign(image="stranger.png")]),
    "expected 0 to": lambda t: t.assign(fold=0),
    "several folds": lambda t: t.assign(group=0),
}


@pytest.mark.parametrize("message", LEAKS)
def test_every_leak_is_an_error(tiny, tiny_folds, message):
    path = path_of(tiny)
    names = tiny_folds["image"].tolist()
    settings = tiny.folds.model_copy(update={"scheme": "grouped"})
    good = tiny_folds.assign(group=range(len(tiny_folds)))
    folds.write_folds(path, good)
    assert folds.read_folds(path, names, settings).equals(good)
    folds.write_folds(path, LEAKS[message](good))
    with pytest.raises(UserError, match=message):
        folds.read_folds(path, names, settings)


def test_other_images_or_twins_are_other_folds(tiny, overrides, tmp_path):
    path = path_of(tiny)
    assert path_of(load("demo", [*overrides, "folds.twin_similarity=0.8"])) != path
    copy = tmp_path / "copy" / tiny.data_root.name
    shutil.copytree(tiny.data_root, copy)
    moved = load("demo", [*overrides, f"data.root={copy}"])
    assert path_of(moved) == path
    first, second = list_images(copy / "img_train_shape")[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())  # another image under the same name
    assert path_of(moved) != path
    first.write_bytes(content)
    assert path_of(moved) == path
    first.unlink()
    assert path_of(moved) != path


@pytest.mark.parametrize("size", [(1, 40), (3, 40), (40, 3), (7, 30), (8, 31)])
def test_an_image_is_its_mirror_images_twin(size):
    shape = np.zeros((48, 48), np.uint8)
    shape[3 : 3 + size[0], 2 : 2 + size[1]] = 255
    shape[3, 2] = shape[4, 6] = 0  # not its own mirror image
    shape[3 + size[0] - 1, 9:12] = 0
    views = [np.rot90(shape[:, ::flip], turns) for flip in (1, -1) for turns in range(4)]
    alike = folds.similarities(np.stack([folds.thumbnail(view) for view in views]))
    assert alike.min() > 0.999


def test_damaged_csv_is_one_line(tiny, tiny_folds):
    path = path_of(tiny)
    path.write_text("image,class,group,fold\ncat-1.png,cat,zero,1\n")
    with pytest.raises(UserError, match="make them anew") as error:
        folds.read_folds(path, tiny_folds["image"].tolist(), tiny.folds)
    assert "\n" not in str(error.value)


def test_too_few_images(tmp_path):
    with pytest.raises(UserError, match="2 images for 3 folds"):
        folds.assign_folds(write_shapes(tmp_path, {"cat": 2}), Folds(count=3))
    few = write_shapes(tmp_path / "twins", {"cat": 6})
    with pytest.raises(UserError, match="3 groups of near duplicates for 5 folds; lower"):
        folds.assign_folds(few, Folds(scheme="grouped", count=5))
