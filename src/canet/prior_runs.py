"""Trained networks that a training learns from (`distill.teacher`) or begins with.

Neither may know an image that is held out: every model tells which labels it knows, those of the
networks it comes from included, wherever the files lay.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from canet.files import REPOSITORY, UserError, read_json, shown
from canet.model_folder import TrainedModel, load_model
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


def digests_of(samples: Samples) -> dict[str, str]:
    """A digest of each image's own name and label, by the name that messages use."""
    return {
        name: hashlib.sha256(Path(name).name.encode() + b"\0" + label.tobytes()).hexdigest()[:16]
        for name, label in zip(samples.names, samples.skeletons)
    }


@dataclass(frozen=True)
class Prior:
    """Networks of earlier trainings, and the digests of all images that they know."""

    teacher: nn.Module | None = None
    start: dict[str, torch.Tensor] | None = None
    known: frozenset[str] = frozenset()


def load_prior(
    recipe: Recipe,
    fold: int | str,
    train: Samples,
    held_out: Samples | None,
    device: torch.device,
) -> Prior:
    """The teacher to learn from and the weights to begin with, as far as the recipe names them.

    Raises:
        UserError: one is not trained, does not fit, or knows a held-out image; a teacher also
            where it was trained on others than this training.
    """
    teacher = load_teacher(recipe, fold, train, device)
    earlier = load_start(recipe, fold, device)
    known: set[str] = set()
    for key, model in (("distill.teacher", teacher), ("train.start_from", earlier)):
        known |= _known_images(key, model, fold, held_out) if model else set()
    return Prior(
        teacher and teacher.network.requires_grad_(False),
        earlier and earlier.network.state_dict(),
        frozenset(known),
    )


def _known_images(
    key: str, model: TrainedModel, fold: int | str, held_out: Samples | None
) -> set[str]:
    known = model.facts.get("known_images")
    if not isinstance(known, list):
        raise UserError(
            f"{shown(model.folder)}: does not tell which images it knows, as models do now; "
            f"train it again"
        )
    now = digests_of(held_out) if held_out else {}
    if seen := [name for name, digest in now.items() if digest in set(known)]:
        raise UserError(
            f"{shown(model.folder)}: {key} knows {len(seen)} of the images held out here, such as "
            f"{min(seen)}; take one trained for fold {fold} with the same folds, on no others"
        )
    return set(known)


def load_teacher(
    recipe: Recipe, fold: int | str, train: Samples, device: torch.device
) -> TrainedModel | None:
    """The network to learn from; None where the recipe names none.

    Raises:
        UserError: it is not trained, sees another input, or was trained on other images.
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
    if teacher.facts.get("training_images") != train.names:
        raise UserError(
            f"{shown(folder)}: the teacher was trained on other images; train both with the same "
            f"folds and data, or set distill.teacher=null"
        )
    if teacher.recipe.input != recipe.input:
        raise UserError(
            f"{shown(folder)}: the teacher's input is {teacher.recipe.input.kind}, this recipe's "
            f"{recipe.input.kind}; both need the same input section"
        )
    return teacher


def load_start(recipe: Recipe, fold: int | str, device: torch.device) -> TrainedModel | None:
    """The network to begin with; None where the recipe names no run.

    Raises:
        UserError: that run is not trained, or is another network.
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
    return earlier
