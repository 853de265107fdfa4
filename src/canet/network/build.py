"""From a recipe to a network, and back from a model folder."""

from pathlib import Path

import torch
from torch import nn

from canet.core.console import UserError, shown
from canet.core.files import read_json
from canet.core.input_planes import channels_of
from canet.core.recipe import Model, Recipe
from canet.network.base import SkeletonModel
from canet.network.canet import CANet
from canet.network.earlier.nguyen import NguyenUNet
from canet.network.earlier.panichev import PanichevUNet
from canet.network.earlier.pix2pix import Pix2Pix
from canet.network.earlier.side_outputs import SideOutputs

CLASSES = {c.__name__: c for c in (CANet, PanichevUNet, NguyenUNet, SideOutputs, Pix2Pix)}


def build_network(settings: Model, in_channels: int) -> SkeletonModel:
    """The network that a recipe names, with fresh weights.

    `unet` is CANet with one double convolution a stage and no attention, so that the rows of the
    paper's table 3 differ in nothing but what they name. (smp's Unet enlarges by interpolation,
    has no coarser outputs and leaves the full-size features out; `panichev_unet` is built on it.)

    Args:
        settings: the recipe's `model` section; `block`, `blocks`, `attention_stages` and
            `reduction` are read where the architecture has a choice.
        in_channels: of the input.

    Raises:
        UserError: there is no such encoder, or it does not fit the architecture.
    """
    s = settings
    common = {"encoder_name": s.encoder, "in_channels": in_channels}
    try:
        match s.architecture:
            case "canet":
                own = {"attention_stages": s.attention_stages, "reduction": s.reduction}
                return CANet(block=s.block, blocks=s.blocks, **own, **common)
            case "unet":
                plain = {"block": "double", "blocks": 1, "attention_stages": []}
                return CANet(**plain, **common)
            case "panichev_unet":
                return PanichevUNet(**common)
            case "nguyen_unet":
                return NguyenUNet(**common)
            case "side_outputs":
                return SideOutputs(block=s.block, blocks=s.blocks, **common)
            case "pix2pix":
                return Pix2Pix(**common)
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).strip("'\"").splitlines()[0][:120]
        raise UserError(
            f"model.encoder={s.encoder}: cannot be built ({reason} …); "
            f"use resblock64, resblock16 …, an encoder of smp, or tu-NAME for one of timm"
        ) from None
    raise ValueError(f"no architecture {s.architecture}")


def from_pretrained(folder: str | Path) -> nn.Module:
    """The network in a model folder, whichever architecture its `config.json` names.

    Raises:
        UserError: it names none that is known, or is no model folder.
    """
    config = read_json(Path(folder) / "config.json")
    if config is None:
        raise UserError(f"{shown(folder)}: no model here; expected config.json and its weights")
    name = config.get("_model_class", CANet.__name__)
    if name not in CLASSES:
        raise UserError(f"{folder}: no architecture {name}; there are {', '.join(CLASSES)}")
    return CLASSES[name].from_pretrained(folder)


def build_model(recipe: Recipe) -> SkeletonModel:
    """The recipe's network with fresh weights, a function of `train.seed`.

    Raises:
        UserError: there is no such encoder, or it does not fit.
    """
    torch.manual_seed(recipe.train.seed)
    return build_network(recipe.model, channels_of(recipe.input.kind))
