"""Batch normalisation over the images of all processes, on CPUs and GPUs.

torch's own is for accelerators alone, and to find processes without images it waits for the device
in every layer. Here each process has as many images, and nothing is waited for.
"""

import torch
from torch import distributed as dist
from torch import nn

from canet.core.console import UserError

OVER, EVERY = (0, 2, 3), (None, slice(None), None, None)


def synchronise(model: nn.Module) -> nn.Module:
    """The model with every batch normalisation synchronised, in place.

    Raises:
        UserError: it has normalisation layers that cannot be.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d  # keeps parameters, statistics and hooks
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(
            module, SynchronisedBatchNorm2d
        ):
            raise UserError(
                f"{type(module).__name__} cannot be synchronised over processes; "
                f"train in one process"
            )
    return model


class _Normalise(torch.autograd.Function):
    """(x − mean) / √(variance + ε), then scaled and shifted; statistics are of all processes.

    Each process has the same number of images. What is kept for the gradient is x itself.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        values = x.float()
        own = torch.stack(torch.var_mean(values, OVER, correction=0))  # (2, C)
        parts = torch.empty(dist.get_world_size(), *own.shape, device=x.device)
        dist.all_gather(list(parts), own)
        variances, means = parts.unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        rate = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, rate)
        ctx.mark_non_differentiable(mean, variance)
        scale, shift = weight * rate, bias - mean * weight * rate
        return (values * scale[EVERY] + shift[EVERY]).to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx, gradient, *_):
        x, weight, mean, rate = ctx.saved_tensors
        gradient = gradient.float()
        normalised = (x.float() - mean[EVERY]) * rate[EVERY]
        own = torch.stack([gradient.sum(OVER), (gradient * normalised).sum(OVER)])  # (2, C)
        sums = own.clone()
        dist.all_reduce(sums)
        of_bias, of_weight = sums / (dist.get_world_size() * x[:, 0].numel())
        of_x = gradient - of_bias[EVERY] - normalised * of_weight[EVERY]
        of_x = of_x * (weight * rate)[EVERY]
        return of_x.to(x.dtype), own[1], own[0], None


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes, (B, C, H, W) → the same.

    Statistics are float32. Gradients of weight and bias are those of this process's images.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        y, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps)
        count = dist.get_world_size() * x[:, 0].numel()
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        return y
