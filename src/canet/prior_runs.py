"""Trained networks that a training learns from (`distill.teacher`) or begins with."""

from pathlib import Path

import torch
from torch import nn

from canet.files import REPOSITORY, UserError, digest_of, read_json, shown
from canet.model_folder import load_model
from canet.recipe import Recipe
from canet.samples import Samples
from canet.tasks import tasks_of

DONE = "done.json"  # the mark of a training that has ended


def teacher_folder(recipe: Recipe, fold: int | str) -> Path:
    """Where the recipe's teacher was trained on the same images."""
    return REPOSITORY / recipe.machine.runs / recipe.distill.teacher / f"fold-{fold}"


def start_folder(recipe: Recipe, fold: int | str) -> Path:
    """Where `train.start_from` is: this fold of that run, or all of its images."""
    run = REPOSITORY / recipe.machine.runs / recipe.train.start_from
    same = run / f"fold-{fold}"
    return same if (same / DONE).is_file() else run / "fold-all"


def prior_outputs(recipe: Recipe, fold: int | str) -> dict:
    """What a training depends on beside its own images: digests of earlier trainings' outputs."""
    parts = {}
    if recipe.distill.teacher:
        parts["teacher"] = read_json(teacher_folder(recipe, fold) / DONE, outputs=dict)
    if recipe.train.start_from:
        parts["start"] = read_json(start_folder(recipe, fold) / DONE, outputs=dict)
    return {name: done and done["outputs"] for name, done in parts.items()}


def load_teacher(
    recipe: Recipe, fold: int | str, train: Samples, device: torch.device
) -> nn.Module | None:
    """The network to learn from; None where the recipe names none.

    Raises:
        UserError: it is not trained, sees another input, or saw other images: it must not know
            the held-out ones.
    """
    if not recipe.distill.teacher:
        return None
    folder = teacher_folder(recipe, fold)
    if not (folder / DONE).is_file():
        raise UserError(
            f"{shown(folder)}: distill.teacher={recipe.distill.teacher} is not trained; run "
            f"src/train.py --recipe {recipe.distill.teacher} --fold {fold} first"
        )
    teacher = load_model(folder / "model", device)
    if teacher.facts.get("trained_on") != digest_of(train.names):
        raise UserError(
            f"{shown(folder)}: the teacher was trained on other images; train both with the same "
            f"folds and data, or set distill.teacher=null"
        )
    if teacher.recipe.input != recipe.input:
        raise UserError(
            f"{shown(folder)}: the teacher's input is {teacher.recipe.input.kind}, this recipe's "
            f"{recipe.input.kind}; both need the same input section"
        )
    return teacher.network.requires_grad_(False)


def load_start(
    recipe: Recipe, fold: int | str, held_out: Samples | None, device: torch.device
) -> dict[str, torch.Tensor] | None:
    """The weights to begin with; None where the recipe names no run.

    Raises:
        UserError: that run is not trained, is another network, or saw held-out images.
    """
    name = recipe.train.start_from
    if not name:
        return None
    folder = start_folder(recipe, fold)
    if not (folder / DONE).is_file():
        raise UserError(
            f"{shown(folder.parent)}: train.start_from={name} is not trained; run "
            f"src/train.py --recipe {name} --fold {fold} (or all) first"
        )
    earlier = load_model(folder / "model", device)
    before, now = earlier.recipe, recipe
    if before.input.kind != now.input.kind or before.model != now.model:
        raise UserError(
            f"{shown(folder)}: train.start_from={name} is another network; "
            f"both need the same model section and input.kind"
        )
    if tasks_of(before.loss).keys() != tasks_of(now.loss).keys():
        raise UserError(
            f"{shown(folder)}: train.start_from={name} was asked other things beside the "
            f"skeleton; both need the same of loss.points, loss.contour, loss.offset"
        )
    held = set(held_out.names) if held_out and before.data_root == now.data_root else set()
    if seen := held & set(earlier.facts.get("training_images", [])):
        raise UserError(
            f"{shown(folder)}: train.start_from={name} was trained on {len(seen)} of the images "
            f"held out here, such as {min(seen)}; train its fold {fold} with the same folds"
        )
    return earlier.network.state_dict()
