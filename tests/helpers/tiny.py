"""A tiny data set and overrides that make any recipe tiny: seconds a training."""

import shutil
from pathlib import Path

import cv2

from canet.core.images import encode_skeleton, write_png
from canet.core.recipe import Recipe
from canet.core.recipe_files import load
from canet.data import demo
from canet.data.folds import assign_folds, write_folds
from canet.data.training_set import TrainingSet
from canet.geometry.candidates import plain_skeleton

TRAIN, TEST, SIZE_PX = 15, 3, 64


def write_data_set(root: Path) -> Path:
    """The starting kit's layout with 15 labelled and 3 test shapes of 64×64 pixels."""
    for i in range(TRAIN + TEST):
        name, shape, _ = demo.example(3, i)
        shape = cv2.resize(shape, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
        kinds = ("img_train_shape", "img_train2") if i < TRAIN else ("img_test_shape", "img_test2")
        write_png(root / kinds[0] / name, shape)
        (root / kinds[1]).mkdir(exist_ok=True)
        (root / kinds[1] / name).write_bytes(encode_skeleton(plain_skeleton(shape)))
    return root


def tiny_overrides(data_root: Path, folder: Path) -> list[str]:
    """key=value overrides that make any recipe tiny and keep its files in `folder`."""
    return [
        "name=tiny",
        f"data.root={data_root}",
        f"data.folds={folder / 'folds'}",
        f"data.size_px={SIZE_PX}",
        f"machine.cache={folder / 'cache'}",
        f"machine.runs={folder / 'runs'}",
        f"machine.submissions={folder / 'submissions'}",
        "machine.device=cpu",
        "demo.train=0",
        "folds.count=3",
        "model.encoder=resblock4",
        "model.blocks=1",
        "model.attention_stages=[5]",
        "augment.crop_px=32",
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


def tiny_recipe(data_root: Path, folder: Path, *more: str) -> Recipe:
    """The tiny recipe with further overrides."""
    return load("demo", [*tiny_overrides(data_root, folder), *more])


def write_tiny_folds(recipe: Recipe):
    """Assign and write the folds of a recipe; returns the table."""
    images = TrainingSet(recipe)
    table = assign_folds(images.data.train_shapes, recipe.folds)
    write_folds(images.folds_path, table)
    return table


def copy_folder(source: Path, target: Path) -> None:
    """Make `target` what `source` is."""
    shutil.copytree(source, target, dirs_exist_ok=True)
