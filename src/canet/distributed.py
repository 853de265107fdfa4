"""Several processes at one training or one folder, started by torchrun; without it, one.

The batch of the recipe is the batch of all processes together, so that their number changes the
speed and not the result: batch normalisation and the loss (whose Dice term is no mean over images)
are computed over all of it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from canet.device import names_of, pick_device
from canet.files import UserError

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=1)  # torchrun notices dead processes; slow ones are waited for


@dataclass(frozen=True)
class World:
    """This process among those at work; alone by default."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, value: T) -> T:
        """What the first process has for `value`."""
        if self.size == 1:
            return value
        holder: list[Any] = [value]
        dist.broadcast_object_list(holder)
        return holder[0]

    def collect(self, value: T) -> list[T]:
        """What each process has for `value`, in the order of ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        if self.size == 1:
            return flag
        raised = torch.tensor([float(flag)])
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return bool(raised.item())

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process runs the block, then the others: they find what it has written."""
        if not self.is_first:
            dist.barrier()
        yield
        if self.is_first and self.size > 1:
            dist.barrier()

    def wait_for_all(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            dist.barrier()

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """All processes' parts of a batch, (b, …) → (size · b, …), in the order of ranks.

        Gradients go to this process's own part; over all processes they add up to the whole.
        """
        if self.size == 1:
            return x
        mine = x.detach().contiguous()
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        parts[self.rank] = x
        return torch.cat(parts)

    def gather_rows(self, rows: np.ndarray, count: int) -> np.ndarray:
        """The `count` rows of which this process has `[rank::size]`."""
        if self.size == 1:
            return rows
        whole = np.empty((count, *rows.shape[1:]), rows.dtype)
        for rank, part in enumerate(self.collect(rows)):
            whole[rank :: self.size] = part
        return whole

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over processes and batch normalisation over all.

        Raises:
            UserError: it has normalisation layers that cannot be synchronised on a CPU.
        """
        if self.size == 1:
            return model
        device = next(model.parameters()).device
        if device.type == "cuda":
            model = convert_sync_batchnorm(model)
        else:
            _synchronise_on_cpu(model)
        return DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=True,  # some encoders have layers that features skip
        )


ALONE = World()


def join(device_name: str) -> tuple[World, torch.device]:
    """Join the processes that torchrun started, and take a device.

    Args:
        device_name: the recipe's `machine.device`; `auto` and `cuda` are the GPU whose number is
            the process's on its machine, of several names each process takes one.

    Raises:
        UserError: there is no such device, or there are more processes than GPUs.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if size == 1:
        return ALONE, pick_device(device_name)
    local_rank, names = int(os.environ["LOCAL_RANK"]), names_of(device_name)
    name = names[local_rank % len(names)]
    use_cuda = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    if use_cuda and local_rank >= torch.cuda.device_count():
        raise UserError(
            f"torchrun started process {local_rank + 1} here, but there are "
            f"{torch.cuda.device_count()} GPUs; lower --nproc-per-node"
        )
    device = pick_device(f"cuda:{local_rank}" if use_cuda else name)
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=LONGEST_WAIT)
    return World(rank, size), device


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


def _synchronise_on_cpu(model: nn.Module) -> None:
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
