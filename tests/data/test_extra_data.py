import shutil
import sys

import numpy as np
import pytest
from tiny import SIZE_PX

import check_input
from canet.core.console import UserError
from canet.core.images import write_png
from canet.core.recipe_files import load
from canet.data.data_set import list_images
from canet.data.training_set import TrainingSet
from canet.training.fold import training_fingerprint


@pytest.fixture
def extra_root(data_root, tmp_path):
    """Three of the data set's own images, so that every name collides."""
    root = tmp_path / "more"
    for folder in ("img_train_shape", "img_train2"):
        (root / folder).mkdir(parents=True)
        for path in list_images(data_root / folder)[:3]:
            shutil.copy(path, root / folder / path.name)
    return root


@pytest.fixture
def with_extra(overrides, extra_root):
    return load("demo", [*overrides, f"data.extra=[{extra_root}]"])


def test_it_joins_every_fold_but_for_what_that_holds_out(with_extra, tiny, tiny_folds, extra_root):
    images, plain_images = TrainingSet(with_extra), TrainingSet(tiny)
    names = [p.name for p in list_images(extra_root / "img_train_shape")]
    original = plain_images.split("all")[0].take(names)
    for fold in (0, 1, 2):
        train, held_out = images.split(fold)
        plain, judged = plain_images.split(fold)
        own = [n for n in names if n not in judged.names]  # the rest would be seen before
        assert train.names == plain.names + [f"more/{n}" for n in own]
        assert held_out.names == judged.names
        np.testing.assert_array_equal(train.maps[: len(plain)], plain.maps)
        np.testing.assert_array_equal(train.maps[len(plain) :], original.take(own).maps)
        np.testing.assert_array_equal(train.skeletons[len(plain) :], original.take(own).skeletons)
    assert images.split("all")[0].names[-3:] == [f"more/{n}" for n in names]
    (data,) = images.data.extra
    kept = images.maps_of(data).path
    assert kept.is_file() and kept != plain_images.maps_of(plain_images.data).path


def test_it_is_part_of_the_training(with_extra, tiny, tiny_folds, extra_root):
    def fingerprint(recipe):
        return training_fingerprint(recipe, 0, TrainingSet(recipe))

    before = fingerprint(with_extra)
    assert before == fingerprint(with_extra) != fingerprint(tiny)
    changed = list_images(extra_root / "img_train_shape")[0]
    write_png(changed, np.full((SIZE_PX, SIZE_PX), 255, np.uint8))
    assert fingerprint(with_extra) != before


def test_it_names_another_run_and_folders_of_one_name_are_refused():
    assert load("cpu", ["data.extra=[input/more]"]).name != "cpu"
    for extra in ("[a/pixel-skelneton]", "[a/more, b/more]"):
        with pytest.raises(UserError, match=r"data\.extra.*same name"):
            load("cpu", [f"data.extra={extra}"])


def test_it_is_checked_like_the_data_set(overrides, extra_root, monkeypatch, capsys):
    words = ["--recipe", "demo", "--set", *overrides, f"data.extra=[{extra_root}]"]
    monkeypatch.setattr(sys, "argv", ["check_input", *words])
    check_input.main()
    assert capsys.readouterr().out.count("all is well") == 2
    check_input.main()
    assert capsys.readouterr().out.count("skipped") == 2
    next((extra_root / "img_train2").iterdir()).unlink()
    with pytest.raises(UserError, match="has no skeleton") as failed:
        check_input.main()
    assert "img_test" not in str(failed.value).partition("expected:")[2]
    shutil.rmtree(extra_root / "img_train2")
    with pytest.raises(UserError, match=r"set data\.extra=PATH"):
        check_input.main()
