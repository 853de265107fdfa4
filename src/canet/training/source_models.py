"""The trained network that a training begins with (`train.start_from`).

It must not know an image that is held out: every model records which labels it knows, those of the
networks that it began with included, wherever the files lay. An image is known by its name and its
label: the challenge has one image under two names, which folds may put on either side.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from canet.core.console import REPOSITORY, UserError, shown
from canet.core.files import read_json
from canet.core.recipe import Recipe
from canet.core.runs import DONE
from canet.data.training_set import Samples
from canet.inference.saved_model import TrainedModel, load_model


@dataclass(frozen=True)
class Source:
    """Weights to begin with, None for fresh ones, and digests of the images that they know."""

    weights: dict[str, torch.Tensor] | None = None
    known_images: frozenset[str] = frozenset()


def source_folder(recipe: Recipe, fold: int | str) -> Path:
    """Where `train.start_from` is: this fold of that run, or all of its images."""
    run = REPOSITORY / recipe.machine.runs / recipe.train.start_from
    same = run / f"fold-{fold}"
    return same if (same / DONE).is_file() else run / "fold-all"


def source_outputs(recipe: Recipe, fold: int | str) -> dict | None:
    """Digests of the weights and probabilities of that training; None where the recipe names none.

    What is told of it, when it ended for example, makes no other training of those begun with it.
    """
    if not recipe.train.start_from:
        return None
    done = read_json(source_folder(recipe, fold) / DONE, outputs=dict)
    return done and {k: v for k, v in done["outputs"].items() if not k.endswith(".json")}


def image_digests(samples: Samples) -> dict[str, str]:
    """A digest of each image's own name and label, by the name that messages use."""
    return {
        name: hashlib.sha256(Path(name).name.encode() + b"\0" + label.tobytes()).hexdigest()[:16]
        for name, label in zip(samples.names, samples.skeletons)
    }


def load_source(
    recipe: Recipe, fold: int | str, held_out: Samples | None, *, device: torch.device
) -> Source:
    """The weights to begin with.

    Raises:
        UserError: that run is not trained, is another network, or knows a held-out image.
    """
    name = recipe.train.start_from
    if not name:
        return Source()
    folder = source_folder(recipe, fold)
    if not (folder / DONE).is_file():
        raise UserError(
            f"{shown(folder.parent)}: train.start_from={name} is not trained; run "
            f"src/train.py --recipe {name} --fold {fold} (or all) first"
        )
    source = load_model(folder / "model", device)
    if source.recipe.input.kind != recipe.input.kind or source.recipe.model != recipe.model:
        raise UserError(
            f"{shown(folder)}: train.start_from={name} is another network; "
            f"both need the same model section and input.kind"
        )
    return Source(source.network.state_dict(), _known_images(source, fold, held_out))


def _known_images(
    source: TrainedModel, fold: int | str, held_out: Samples | None
) -> frozenset[str]:
    known = source.facts.get("known_images")
    if not isinstance(known, list):
        raise UserError(
            f"{shown(source.folder)}: does not tell which images it knows; train it again"
        )
    known = frozenset(known)
    now = image_digests(held_out) if held_out else {}
    if seen := [name for name, digest in now.items() if digest in known]:
        raise UserError(
            f"{shown(source.folder)}: train.start_from knows {len(seen)} of the images held out "
            f"here, such as {min(seen)}; take one trained for fold {fold} with the same folds, on "
            f"no others"
        )
    return known
