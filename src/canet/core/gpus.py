"""The GPU that NVIDIA's driver lists, and why torch cannot use it. Imports torch last, if at all.

torch says of a driver that is too old, or of a build without CUDA, only that there is no CUDA, and
of a GPU that is too old nothing before its first kernel. A training would take an hour on the CPU.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"
# What a CUDA version wants on Linux: the driver (NVIDIA, "CUDA compatibility", minor version
# compatibility) and the compute capability (its release notes: 13.0 ends support before Turing).
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
OLDEST_CAPABILITY = {11: (3, 5), 12: (5, 0), 13: (7, 5)}
OTHER_BUILDS = "https://pytorch.org/get-started/previous-versions"


@dataclass(frozen=True)
class Gpu:
    """The first that the driver lists; `capability` is None where an old driver does not tell."""

    name: str
    driver: str
    capability: tuple[int, int] | None


@cache
def listed_gpu() -> Gpu | None:
    """What nvidia-smi lists first; None without a driver or where CUDA_VISIBLE_DEVICES hides it."""
    tool = shutil.which("nvidia-smi")
    if not tool or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    for asked in ("name,driver_version,compute_cap", "name,driver_version"):
        command = [tool, f"--query-gpu={asked}", "--format=csv,noheader"]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stdout.strip():
            name, driver, *rest = (v.strip() for v in said.stdout.splitlines()[0].split(","))
            numbers = [int(n) for n in re.findall(r"\d+", rest[0])] if rest else []
            return Gpu(name, driver, tuple(numbers) if len(numbers) == 2 else None)
    return None


def problem_with_gpu() -> str | None:
    """In one line, why the GPU that the driver lists cannot be used and what to do.

    None where it can be used, and where there is none.
    """
    gpu = listed_gpu()
    reason = gpu and (_why_torch_cannot(gpu) if find_spec("torch") else _why_not(gpu, _pinned()))
    if not reason:
        return None
    return f"there is a GPU ({gpu.name}, driver {gpu.driver}), but {reason}"


def _pinned() -> int:
    """The major version of CUDA whose build of torch will be installed."""
    return int(re.search(r"^cuda-toolkit==(\d+)", CONSTRAINTS.read_text(), re.M).group(1))


def _why_not(gpu: Gpu, cuda: int) -> str | None:
    """Why a build of torch for this CUDA cannot use the GPU, as far as is known beforehand."""
    driver, capability = OLDEST_DRIVER.get(cuda, 0), OLDEST_CAPABILITY.get(cuda, (0, 0))
    own = re.match(r"\d+", gpu.driver)
    if own and int(own.group()) < driver:
        return (
            f"CUDA {cuda} wants driver {driver} or newer; update the driver, or install torch for "
            f"an older CUDA ({OTHER_BUILDS})"
        )
    if gpu.capability and gpu.capability < capability:
        has, wants = (".".join(map(str, c)) for c in (gpu.capability, capability))
        return (
            f"it has compute capability {has} and CUDA {cuda} wants {wants} or newer; install "
            f"torch for an older CUDA ({OTHER_BUILDS})"
        )
    return None


def _why_torch_cannot(gpu: Gpu) -> str | None:
    try:
        build = version("torch")
    except PackageNotFoundError:
        build = "?"
    import torch

    if torch.version.hip:
        return None
    if not torch.version.cuda:
        return (
            f"torch {build} of {sys.executable} is built without CUDA; leave that environment, so "
            f"that bash run.sh makes one with CUDA in .venv"
        )
    error = kernel_error("cuda")
    if error is None:
        return None
    known = _why_not(gpu, int(torch.version.cuda.partition(".")[0]))
    return known or f"torch {build} cannot use it ({error})"


@cache
def kernel_error(device: str) -> str | None:
    """The first line of what a kernel's start on this device raises; None where one runs."""
    import torch

    try:
        if not torch.cuda.is_available():
            return "no CUDA device is available"
        torch.ones(1, device=device).add_(1)  # zeros would need no kernel
        torch.cuda.synchronize(device)
    except (RuntimeError, AssertionError) as error:  # torch.AcceleratorError is a RuntimeError
        return str(error).partition("\n")[0]
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out, the host's or the device's, as torch or CUDA's libraries say."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "STATUS_ALLOC_FAILED" in str(error)


def refuse_unusable_gpu(device: str) -> None:
    """Stop a training that would take the CPU beside a GPU, for hours.

    Args:
        device: the recipe's `machine.device`, with which a user can decide so.

    Raises:
        UserError: `auto` is meant and torch cannot use the GPU that the driver lists.
    """
    from canet.core.console import UserError  # what it imports may not be installed yet

    problem = problem_with_gpu() if device == "auto" else None
    if problem:
        raise UserError(f"{problem}; or set machine.device=cpu to go on without it")


def problem_after_installing(overrides: list[str]) -> str | None:
    """`problem_with_gpu` with the torch that run.sh is about to install; None if not wanted."""
    asked = [text for text in overrides if text.startswith("machine.device=")]
    gpu = None if asked[-1:] == ["machine.device=cpu"] else listed_gpu()
    reason = gpu and _why_not(gpu, _pinned())
    return f"there is a GPU ({gpu.name}, driver {gpu.driver}), but {reason}" if reason else None


if __name__ == "__main__":
    if problem := problem_after_installing(sys.argv[1:]):
        sys.exit(f"error: {problem}; or add machine.device=cpu to go on without it")
