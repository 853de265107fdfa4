"""Where and in which precision to compute."""

import os
import sys
from contextlib import AbstractContextManager
from functools import cache

import torch

from canet.core.console import IS_FIRST, UserError
from canet.core.cores import cores
from canet.core.gpus import kernel_error, problem_with_gpu
from canet.core.recipe import Machine

# oneDNN makes a program for each layer and size of its input and keeps the last 1,024 of them,
# fewer than the windows of a data set need; it asks when it makes the first.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")


def names_of(devices: str) -> list[str]:
    """The devices that a recipe's `machine.device` lists, `cuda:0,cuda:1` for two."""
    return [name.strip() for name in devices.split(",") if name.strip()] or ["auto"]


def pick_device(devices: str) -> torch.device:
    """The device a recipe's `machine.device` means, the first of several; `auto` prefers CUDA.

    Where the driver lists a GPU that torch cannot use, `auto` is the CPU, with a warning. A GPU
    becomes the current one, on which streams are made.

    Raises:
        UserError: the device does not exist here, or no kernel runs on it.
    """
    name = names_of(devices)[0]
    if name == "auto":
        if kernel_error("cuda") is None:
            return torch.device("cuda")
        _warn_of_gpu()
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        problem = name.startswith("cuda") and problem_with_gpu()
        why = f"{problem}; or use cpu" if problem else "no such device here; use auto or cpu"
        raise UserError(f"machine.device={name}: {why}") from None
    error = kernel_error(name) if device.type == "cuda" else None
    if error:
        raise UserError(f"machine.device={name}: {problem_with_gpu() or error}; or use cpu")
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    return device


@cache
def _warn_of_gpu() -> None:
    problem = problem_with_gpu()
    if problem and IS_FIRST:
        print(f"warning: {problem}; the CPU is used", file=sys.stderr)


def describe(device: torch.device) -> str:
    """The device in words, for logs and result tables."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    count = torch.get_num_threads()
    return f"CPU, {count} thread{'s' * (count > 1)}"


def resolve_precision(wanted: str, device: torch.device) -> str:
    """`auto` is bfloat16 on GPUs and CPUs with instructions for it, else float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if native else "float32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bfloat16" if native else "float32"


def choose_kernels(*, deterministic: bool, one_size: bool = True) -> None:
    """Let CUDA's libraries take the fastest kernels, or only such that repeat their results.

    Args:
        deterministic: repeat results.
        one_size: all batches have one, so that trying the kernels once is worth it.

    Source: torch's notes on reproducibility; it promises that for one release on one kind of GPU.
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS begins
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = one_size and not deterministic


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The context in which the network runs; losses stay outside of it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def loader_workers(machine: Machine, device: torch.device, most: int = 4) -> int:
    """Loader processes, `most` on a GPU: none where training itself needs the CPU's cores."""
    if machine.workers is not None:
        return machine.workers
    return min(most, max(1, cores() - 1)) if device.type == "cuda" else 0
