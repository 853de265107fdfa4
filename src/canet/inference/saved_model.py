"""A trained model on disk: weights, architecture and all that prediction needs to know.

`model.safetensors` and `config.json`, which names the architecture, are smp's `save_pretrained`
(`network.from_pretrained` reads these two alone); `training.json` beside them holds the recipe, a
digest of the weights and where the model comes from. Loading never runs code from the files and
never asks the internet: the architecture is built from the recipe, which is checked, and weights
are read from safetensors alone.
"""

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model as load_weights

from canet.core.console import UserError, printable, shown
from canet.core.files import read_json, replacing, sha256_of, write_json
from canet.core.recipe import Recipe, check_stored
from canet.core.runs import FACTS
from canet.network import SkeletonModel
from canet.network.build import build_model

WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class TrainedModel:
    """A model in evaluation mode with the facts of its training."""

    network: SkeletonModel
    recipe: Recipe
    facts: dict
    folder: Path


def save_model(network: SkeletonModel, folder: Path, facts: dict) -> None:
    """Write a model folder in one piece; `facts` needs at least `recipe`."""
    with replacing(folder) as temporary:
        write_network(network, temporary)
        write_json(temporary / FACTS, facts | {"sha256": sha256_of(temporary / WEIGHTS)})


def write_network(network: SkeletonModel, folder: Path) -> None:
    """Write weights and architecture into a folder, for whom may read other files there."""
    network.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # smp's generic model card
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)  # safetensors lets the owner alone read


def load_model(folder: Path, device: torch.device) -> TrainedModel:
    """Load what `save_model` wrote.

    Raises:
        UserError: the folder is no model, is damaged, or does not fit together.
    """
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(
            f"{shown(folder)}: no model here; expected {WEIGHTS}, {CONFIG} and {FACTS}, "
            f"train one with python src/train.py"
        )
    wanted = {"recipe": dict, "sha256": str, "fold": object, "finished_at": str, "commit": str}
    facts = read_json(folder / FACTS, **wanted)
    if not facts:
        raise UserError(f"{shown(folder / FACTS)}: missing or damaged; train the model again")
    recipe = check_stored(facts["recipe"], shown(folder / FACTS))
    if facts["sha256"] != sha256_of(weights):
        raise UserError(f"{shown(weights)}: damaged model (checksum differs); train it again")
    network = build_model(recipe)
    try:
        with warnings.catch_warnings(action="ignore"):  # smp lists every layer that differs
            load_weights(network, weights)
    except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
        reason = printable(str(error).partition("\n")[0])
        raise UserError(f"{shown(weights)}: damaged model ({reason}); train it again") from None
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise UserError(f"{shown(weights)}: damaged model (not all numbers); train it again")
    network = network.to(device, memory_format=torch.channels_last).eval()
    return TrainedModel(network, recipe, facts, folder)
