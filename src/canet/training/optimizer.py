"""The optimizer: how it is made, its learning rate, how it continues from a checkpoint."""

import math

import torch
from timm.optim import Muon
from torch import nn

from canet.core.recipe import Train

# settings of an optimizer that belong to the machine, its learning rate's place among them
HOW = ("fused", "foreach", "capturable", "lr")


def build_optimizer(model: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum as in Nguyen's code (2021), AdamW, or Muon.

    Muon makes the step of every weight matrix orthogonal, kernels as matrices too; vectors and
    the last layers, which have one row, get AdamW's (Jordan, "Muon", 2024; scaled as in Liu et al.,
    "Muon is scalable for LLM training", 2025, so that AdamW's learning rates suit it).

    On a GPU the learning rate is a tensor there, so that a CUDA graph of a step can read it.
    """
    device = next(model.parameters()).device
    fused = device.type == "cuda"
    common = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    weights = model.parameters()
    if settings.optimizer == "adamw":
        optimizer = torch.optim.AdamW(weights, capturable=fused, fused=fused, **common)
    elif settings.optimizer == "muon":
        optimizer = Muon(weights, momentum=settings.momentum, capturable=fused, **common)
    else:
        momentum = {"momentum": settings.momentum, "nesterov": settings.momentum > 0}
        optimizer = torch.optim.SGD(weights, fused=fused, **momentum, **common)
    if fused:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(settings.lr, device=device)
    return optimizer


def learning_rate(settings: Train, epoch: float) -> float:
    """Linear warm-up, then a cosine to zero; `epoch` counts fractions too."""
    if epoch < settings.warmup_epochs:
        return settings.lr * (epoch + 1e-3) / settings.warmup_epochs
    rest = max(settings.epochs - settings.warmup_epochs, 1e-9)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (epoch - settings.warmup_epochs) / rest))


def set_learning_rate(group: dict, rate: float) -> None:
    """Of one of an optimizer's groups of parameters, in the place where it is read."""
    if torch.is_tensor(group["lr"]):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict) -> None:
    """Let an optimizer continue from what it, or one on another kind of device, has saved.

    How it computes stays its own. What it keeps is laid out in memory as its parameters are now:
    fused optimizers walk both side by side, whatever format the checkpoint was written in.
    """
    settings = [{k: v for k, v in group.items() if k in HOW} for group in optimizer.param_groups]
    groups = [dict(s) | own for s, own in zip(saved["param_groups"], settings, strict=True)]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
    for group, own, before in zip(optimizer.param_groups, settings, saved["param_groups"]):
        group["lr"] = own["lr"]  # the place stays, the value is the saved one
        set_learning_rate(group, float(before["lr"]))
    for parameter, state in optimizer.state.items():
        for name, kept in state.items():
            if torch.is_tensor(kept) and kept.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, requires_grad=False).copy_(kept)
