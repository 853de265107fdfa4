"""The moving average of the weights that is evaluated and saved."""

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn


class MovingAverage(ModelEmaV3):
    """timm's average of parameters and buffers, its decay warmed up; `module` is the network.

    timm asks both networks for their state in every step, which costs the host more than the
    average costs a GPU. Here the tensors are found once: they are changed in place, never replaced.

    Args:
        model: on its device, where it stays.
        decay: towards which the decay rises.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model, decay=decay, use_warmup=True)
        pairs = list(zip(self.module.state_dict().values(), model.state_dict().values()))
        self.averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self.copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    def apply_update_(self, model: nn.Module, decay: float) -> None:
        own, others = map(list, zip(*self.averaged))
        torch._foreach_lerp_(own, others, weight=1 - decay)
        if self.copied:
            torch._foreach_copy_(*map(list, zip(*self.copied)))
