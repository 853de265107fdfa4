"""A trained model on disk: weights, architecture and all that prediction needs to know.

`model.safetensors` and `config.json` are smp's `save_pretrained`; `training.json` beside them
holds the recipe and where the model comes from. Loading never runs code from the files.
"""

from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError

from canet.files import UserError, read_json, replacing, shown, write_json
from canet.network import CANet
from canet.recipe import Recipe, check


@dataclass(frozen=True)
class TrainedModel:
    """A model in evaluation mode with the facts of its training."""

    network: CANet
    recipe: Recipe
    facts: dict
    folder: Path


def save_model(network: CANet, folder: Path, facts: dict) -> None:
    """Write a model folder in one piece; `facts` needs at least `recipe`."""
    with replacing(folder) as temporary:
        network.save_pretrained(temporary)
        (temporary / "README.md").unlink(missing_ok=True)  # smp's generic model card
        write_json(temporary / "training.json", facts)


def load_model(folder: Path, device: torch.device) -> TrainedModel:
    """Load what `save_model` wrote, without network access.

    Raises:
        UserError: the folder is no model or is damaged.
    """
    facts = read_json(folder / "training.json")
    if not facts or not (folder / "model.safetensors").is_file():
        raise UserError(
            f"{shown(folder)}: no model here; expected model.safetensors, config.json and "
            f"training.json, train one with python src/train.py"
        )
    recipe = check(facts["recipe"], shown(folder / "training.json"))
    try:
        with redirect_stdout(None):  # the hub's mixin announces where it loads from
            network = CANet.from_pretrained(folder)
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        first_line = str(error).splitlines()[0]
        raise UserError(f"{shown(folder)}: damaged model ({first_line}); train it again") from None
    network = network.to(device, memory_format=torch.channels_last).eval()
    return TrainedModel(network, recipe, facts, folder)
