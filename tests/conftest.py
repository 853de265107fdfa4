"""A tiny generated data set and recipe; nothing is written into the repository."""

from pathlib import Path

import pytest

from canet import demo, recipe
from canet.dataset import ImageFolders, list_images
from canet.files import write_png
from canet.folds import assign_folds, folds_path, write_folds
from canet.submission import encode

TRAIN, TEST = 15, 3


@pytest.fixture(scope="session")
def data_root(tmp_path_factory) -> Path:
    """The starting kit's layout with 15 labelled and 3 test shapes."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    for i in range(TRAIN + TEST):
        name, shape, skeleton = demo.example(3, i)
        shapes, labels = (
            ("img_train_shape", "img_train2") if i < TRAIN else ("img_test_shape", "img_test2")
        )
        write_png(root / shapes / name, shape)
        (root / labels).mkdir(exist_ok=True, parents=True)
        (root / labels / name).write_bytes(encode(skeleton))
    return root


@pytest.fixture
def overrides(data_root, tmp_path) -> list[str]:
    """key=value overrides that make any recipe tiny and keep its files in `tmp_path`."""
    return tiny_overrides(data_root, tmp_path)


def tiny_overrides(data_root: Path, folder: Path) -> list[str]:
    """The same for any folder."""
    return [
        "name=tiny",
        f"data.root={data_root}",
        f"data.folds={folder / 'folds'}",
        f"machine.cache={folder / 'cache'}",
        f"machine.runs={folder / 'runs'}",
        f"machine.submissions={folder / 'submissions'}",
        "machine.device=cpu",
        "demo.train=0",
        "folds.count=3",
        "model.encoder=resblock4",
        "model.blocks=1",
        "augment.crop_px=64",
        "augment.shift_px=0",
        "loss.tuned=false",
        "train.epochs=2",
        "train.batch=4",
        "train.precision=float32",
        "loss_search.trials=2",
        "loss_search.epochs=1",
        "loss_search.images=6",
        "threshold_search.trials=8",
    ]


@pytest.fixture
def tiny(overrides) -> recipe.Recipe:
    return recipe.load("demo", overrides)


@pytest.fixture
def tiny_folds(tiny):
    """The tiny recipe's folds, written."""
    paths = list_images(ImageFolders(tiny.data_root, tiny.data).train_shapes)
    table = assign_folds(paths, tiny.folds)
    write_folds(folds_path(tiny), table)
    return table
