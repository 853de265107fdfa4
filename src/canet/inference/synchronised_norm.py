"""Batch normalisation over the images of all processes."""

import torch
from timm.layers import convert_sync_batchnorm
from torch import distributed as dist
from torch import nn

from canet.core.console import UserError


def synchronise(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with every batch normalisation synchronised; by torch's own on GPUs.

    Raises:
        UserError: it has normalisation layers that cannot be synchronised on a CPU.
    """
    if device.type == "cuda":
        return convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d  # keeps parameters, statistics and hooks
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(
            module, SynchronisedBatchNorm2d
        ):
            raise UserError(
                f"{type(module).__name__} cannot be synchronised over CPU processes; "
                f"train in one process or on GPUs"
            )
    return model


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(_, x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(_, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes, for any device.

    torch's own is for accelerators only. (B, C, H, W) → the same; statistics in float32.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        values, over, every = x.float(), (0, 2, 3), (None, slice(None), None, None)
        count = dist.get_world_size() * values[:, 0].numel()
        mean = _SumOverProcesses.apply(values.sum(over)) / count
        centred = values - mean[every]
        variance = _SumOverProcesses.apply(centred.square().sum(over)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[every] + self.bias[every]).to(x.dtype)
