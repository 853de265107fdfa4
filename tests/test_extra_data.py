import json
import shutil

import numpy as np
import pytest
from scripts import run_script

from canet import recipe
from canet.dataset import ImageFolders, list_images
from canet.files import UserError, write_png
from canet.map_cache import cache_path
from canet.samples import load_split
from canet.training import identity_of, train_fold


@pytest.fixture
def extra_root(data_root, tmp_path):
    """Three of the data set's own images, so that every name collides, one of them turned."""
    root = tmp_path / "more"
    for folder in ("img_train_shape", "img_train2"):
        (root / folder).mkdir(parents=True)
        for path in list_images(data_root / folder)[:3]:
            shutil.copy(path, root / folder / path.name)
    return root


@pytest.fixture
def with_extra(overrides, extra_root):
    return recipe.load("demo", [*overrides, f"data.extra=[{extra_root}]", "train.epochs=1"])


def test_it_joins_every_fold_and_is_never_held_out(with_extra, tiny, tiny_folds, extra_root):
    for fold in (0, 1, 2):
        train, held_out = load_split(with_extra, fold)
        plain, judged = load_split(tiny, fold)
        names = [p.name for p in list_images(extra_root / "img_train_shape")]
        assert train.names == plain.names + [f"more/{n}" for n in names]
        assert held_out.names == judged.names
        np.testing.assert_array_equal(train.maps[: len(plain)], plain.maps)
        original = load_split(tiny, "all")[0].take(names)
        np.testing.assert_array_equal(train.maps[len(plain) :], original.maps)
        np.testing.assert_array_equal(train.skeletons[len(plain) :], original.skeletons)
    shapes = ImageFolders(extra_root, with_extra.data, True).train_shapes
    assert cache_path(shapes, with_extra.input, with_extra.cache_folder).is_file()


def test_it_is_part_of_the_training(with_extra, tiny, tiny_folds, extra_root):
    folder = train_fold(with_extra, 0)
    facts = json.loads((folder / "model" / "training.json").read_text())
    assert sum(name.startswith("more/") for name in facts["training_images"]) == 3
    assert facts["recipe"]["data"]["extra"] == [str(extra_root)]
    before = identity_of(with_extra, 0)
    assert before != identity_of(tiny, 0)
    changed = list_images(extra_root / "img_train_shape")[0]
    write_png(changed, np.full((256, 256), 255, np.uint8))
    assert identity_of(with_extra, 0) != before


def test_it_names_another_run_and_folders_of_one_name_are_refused():
    assert recipe.load("cpu", ["data.extra=[input/more]"]).name != "cpu"
    for extra in ("[a/pixel-skelneton]", "[a/more, b/more]"):
        with pytest.raises(UserError, match=r"data\.extra.*same name"):
            recipe.load("cpu", [f"data.extra={extra}"])


def test_it_is_checked_like_the_data_set(overrides, extra_root):
    words = ["--recipe", "demo", "--set", *overrides, f"data.extra=[{extra_root}]"]
    done = run_script("check_input", *words)
    assert done.code == 0 and done.stdout.count("all is well") == 2
    assert run_script("check_input", *words).stdout.count("skipped") == 2
    next((extra_root / "img_train2").iterdir()).unlink()
    failed = run_script("check_input", *words)
    assert failed.code == 1 and "has no skeleton" in failed.stderr
    assert "img_test" not in failed.stderr.partition("expected:")[2]
    shutil.rmtree(extra_root / "img_train2")
    assert "set data.extra=PATH" in run_script("check_input", *words).stderr
