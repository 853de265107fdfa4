"""Images, labels, maps and folds together, and the digest of all that a training reads."""

import numpy as np
import pytest

from canet.core.console import UserError
from canet.core.images import read_grey, write_png
from canet.core.recipe_files import load
from canet.data.data_set import DataSet
from canet.data.folds import write_folds
from canet.data.input_maps import input_map
from canet.data.training_set import Samples, TrainingSet, joined


def some_samples(*names: str) -> Samples:
    n = len(names)
    numbers = np.arange(n, dtype=np.float32)[:, None, None, None]
    return Samples(list(names), numbers * np.ones((n, 1, 4, 4), np.float32), np.zeros((n, 4, 4)))


def test_samples_are_taken_by_name_and_joined():
    abc = some_samples("a", "b", "c")
    chosen = abc.take(["c", "a"])
    assert chosen.names == ["c", "a"] and chosen.maps[:, 0, 0, 0].tolist() == [2, 0]
    both = joined([chosen, some_samples("d")])
    assert both.names == ["c", "a", "d"] and len(both) == 3
    assert both.maps[:, 0, 0, 0].tolist() == [2, 0, 0] and both.shapes is None


def test_a_split_holds_each_images_own_map_and_label(tiny, tiny_folds):
    data = DataSet.of(tiny)
    train, held_out = TrainingSet(tiny).split(1)
    assert held_out.names == tiny_folds["image"][tiny_folds["fold"] == 1].tolist()
    assert sorted(train.names + held_out.names) == data.train_shapes.names
    for k, name in enumerate(held_out.names):
        expected = input_map(data.train_shapes.read(name), tiny.input)
        np.testing.assert_array_equal(held_out.maps[k], expected)
        assert (held_out.skeletons[k] == data.skeletons([name])[0]).all()
    assert train.shapes is None


def test_shapes_come_with_recipes_that_draw_them_anew(tiny, tiny_folds, overrides):
    train, _ = TrainingSet(load("demo", [*overrides, "augment.relabel=0.5"])).split(0)
    data = DataSet.of(tiny)
    assert np.array_equal(train.shapes, data.train_shapes.read_all(train.names))


def test_all_holds_out_nothing(tiny, tiny_folds):
    train, held_out = TrainingSet(tiny).split("all")
    assert len(train) == 15 and held_out is None
    with pytest.raises(UserError, match="there is no fold 3"):
        TrainingSet(tiny).split(3)


@pytest.mark.parametrize("change", ["folds", "label", "shape", "input", "name"])
def test_the_fingerprint_tells_all_that_is_read(tiny, tiny_folds, tmp_path, change):
    """Of a copy of the data, so that the other tests keep theirs."""
    source = DataSet.of(tiny)
    root = tmp_path / "copy" / tiny.data.root.name
    for folder in (source.train_shapes, source.train_skeletons):
        for name in folder.names:
            write_png(root / folder.path.name / name, folder.read(name))
    copy = tiny.model_copy(update={"data": tiny.data.model_copy(update={"root": root})})
    before = TrainingSet(copy).fingerprint
    assert before == TrainingSet(copy).fingerprint
    images = TrainingSet(copy)
    if change == "folds":
        write_folds(images.folds_path, tiny_folds.assign(fold=(tiny_folds["fold"] + 1) % 3))
    elif change in ("label", "shape"):
        folder = images.data.train_skeletons if change == "label" else images.data.train_shapes
        path = folder.path / folder.names[0]
        write_png(path, np.roll(read_grey(path), 1, 0))
        write_folds(TrainingSet(copy).folds_path, tiny_folds)
    elif change == "input":
        copy = copy.model_copy(update={"input": copy.input.model_copy(update={"kind": "shape"})})
    elif change == "name":
        for folder in (images.data.train_shapes, images.data.train_skeletons):
            (folder.path / folder.names[0]).rename(folder.path / "aa-1.png")
        renamed = [*tiny_folds["image"]]
        renamed[renamed.index(images.names[0])] = "aa-1.png"
        write_folds(TrainingSet(copy).folds_path, tiny_folds.assign(image=renamed))
    assert TrainingSet(copy).fingerprint != before
