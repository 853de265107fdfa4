"""Trainings that begin with the weights of another."""

import shutil

import numpy as np
import pytest
import torch

from canet.core.console import UserError
from canet.core.images import read_grey, write_png
from canet.core.recipe_files import load
from canet.core.runs import FACTS, fold_folder
from canet.data.folds import write_folds
from canet.data.training_set import TrainingSet
from canet.inference.saved_model import load_model
from canet.training.fold import train_fold, training_fingerprint
from canet.training.source_models import load_source

CPU = torch.device("cpu")
LATER = ["name=later", "train.start_from=tiny", "train.lr=1e-12", "train.epochs=1"]


def source_of(recipe):
    return load_source(recipe, 0, TrainingSet(recipe).split(0)[1], device=CPU)


def test_a_training_begins_with_the_weights_of_another(trained, overrides):
    folder = train_fold(load("demo", [*overrides, *LATER, "train.ema_decay=null"]), 0)
    before, after = (
        load_model(f / "model", CPU).network for f in (fold_folder(trained, 0), folder)
    )
    for a, b in zip(before.parameters(), after.parameters()):
        torch.testing.assert_close(a, b)


def test_a_source_that_is_not_there_or_does_not_fit_is_one_line(trained, overrides):
    for more, message in (
        ("model.blocks=3", "another network"),
        ("input.kind=shape", "another network"),
        ("train.start_from=nobody", "start_from=nobody is not trained"),
    ):
        with pytest.raises(UserError, match=message):
            train_fold(load("demo", [*overrides, *LATER, more]), 0)


def test_none_is_begun_with_unless_a_recipe_names_one(tiny, tiny_folds):
    source = source_of(tiny)
    assert source.weights is None and not source.known_images


def test_what_a_training_begins_with_is_part_of_it(trained, overrides):
    later = load("demo", [*overrides, *LATER])
    before = training_fingerprint(later, 0, TrainingSet(later))
    assert before == training_fingerprint(later, 0, TrainingSet(later))
    (fold_folder(trained, 0) / "model" / FACTS).unlink()
    train_fold(trained, 0)  # the facts again, of another time
    assert before == training_fingerprint(later, 0, TrainingSet(later))
    train_fold(
        trained.model_copy(
            update={"train": later.train.model_copy(update={"start_from": None, "lr": 0.1})}
        ),
        0,
    )
    assert training_fingerprint(later, 0, TrainingSet(later)) != before


def test_a_training_does_not_begin_with_weights_that_know_its_held_out_images(
    tiny, tiny_folds, overrides
):
    train_fold(load("demo", [*overrides, "train.epochs=1"]), "all")
    with pytest.raises(UserError, match="of the images held out here, such as"):
        source_of(load("demo", [*overrides, *LATER]))


def test_what_a_network_knows_is_handed_on(tiny, tiny_folds, overrides, tmp_path):
    """From a copy of the data elsewhere, and by way of a network of other images in between."""
    roots = {"first": tmp_path / "copied", "second": tmp_path / "others"}
    for root in roots.values():
        shutil.copytree(tiny.data_root, root)
    for path in (roots["second"] / tiny.data.train_skeletons).iterdir():
        write_png(path, np.roll(read_grey(path), 1, 0))  # labels that nobody holds out
    for name, root in roots.items():
        own = [*overrides, f"name={name}", f"data.root={root}", f"data.folds={tmp_path / name}"]
        own += ["train.epochs=1", *["train.start_from=first"] * (name == "second")]
        recipe = load("demo", own)
        write_folds(TrainingSet(recipe).folds_path, tiny_folds)
        train_fold(recipe, "all")
        with pytest.raises(UserError, match="of the images held out here, such as"):
            source_of(load("demo", [*overrides, "name=later", f"train.start_from={name}"]))
