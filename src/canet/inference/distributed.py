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
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from canet.core.console import UserError

if TYPE_CHECKING:  # torch takes seconds to import, which methods without a network need not
    import torch
    from torch import nn

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
        from torch import distributed as dist

        holder: list[Any] = [value]
        dist.broadcast_object_list(holder)
        return holder[0]

    def collect(self, value: T) -> list[T]:
        """What each process has for `value`, in the order of ranks."""
        if self.size == 1:
            return [value]
        from torch import distributed as dist

        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        if self.size == 1:
            return flag
        import torch
        from torch import distributed as dist

        raised = torch.tensor([float(flag)])
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return bool(raised.item())

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process runs the block, then the others: they find what it has written."""
        if not self.is_first:
            self.wait_for_all()
        yield
        if self.is_first:
            self.wait_for_all()

    def wait_for_all(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            from torch import distributed as dist

            dist.barrier()

    def gather(self, x: "torch.Tensor") -> "torch.Tensor":
        """All processes' parts of a batch, (b, …) → (size · b, …), in the order of ranks.

        Gradients go to this process's own part; over all processes they add up to the whole.
        """
        if self.size == 1:
            return x
        import torch
        from torch import distributed as dist

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

    def wrap(self, model: "nn.Module", *, leaves_unused: bool) -> "nn.Module":
        """The model with gradients averaged over processes and batch normalisation over all.

        Args:
            model: on its device.
            leaves_unused: it may have trained parameters without part in the loss, for which the
                average must not wait.

        Raises:
            UserError: it has normalisation layers that cannot be synchronised.
        """
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        from canet.inference.synchronised_norm import synchronise

        device = next(model.parameters()).device
        return DistributedDataParallel(
            synchronise(model),
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=leaves_unused,
        )


ALONE = World()


def join(device_name: str) -> tuple[World, "torch.device"]:
    """Join the processes that torchrun started, and take a device.

    Args:
        device_name: the recipe's `machine.device`; `auto` and `cuda` are the GPU whose number is
            the process's on its machine, of several names each process takes one.

    Raises:
        UserError: there is no such device, or there are more processes than GPUs.
    """
    import torch
    from torch import distributed as dist

    from canet.inference.device import names_of, pick_device

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
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=LONGEST_WAIT)
    return World(rank, size), device


def join_on_cpu() -> World:
    """`join` for work without a network: torch is not imported where there is one process."""
    return ALONE if int(os.environ.get("WORLD_SIZE", 1)) == 1 else join("cpu")[0]
