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
OTHER_BUILDS = (
    "activate an environment with requirements.txt and torch for an older CUDA "
    "(https://pytorch.org/get-started/previous-versions)"
)
LONGEST_ANSWER_S = 20  # of nvidia-smi
# what plain RuntimeErrors say of memory that has run out: CUDA's libraries, CUDA, the host's
NO_MEMORY = ("STATUS_ALLOC_FAILED", "CUDA error: out of memory")
NO_MEMORY += (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)


@dataclass(frozen=True)
class Gpu:
    """One that the driver lists; `capability` is None where an old driver does not tell."""

    name: str
    driver: str
    capability: tuple[int, int] | None


@cache
def listed_gpus() -> tuple[Gpu, ...]:
    """What nvidia-smi lists; nothing without a driver or where CUDA_VISIBLE_DEVICES hides all."""
    tool = shutil.which("nvidia-smi")
    if not tool or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ()
    for asked in ("name,driver_version,compute_cap", "name,driver_version"):
        is_well, said = _ask(tool, f"--query-gpu={asked}", "--format=csv,noheader")
        found = tuple(gpu for line in said.splitlines() for gpu in _gpus_in(line))
        if is_well and found:
            return found
    return ()


def _ask(*command: str) -> tuple[bool, str]:
    """Whether a command succeeds, and what it says."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=LONGEST_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:  # a driver may hang
        return False, type(error).__name__
    return done.returncode == 0, done.stdout + done.stderr


def _gpus_in(line: str) -> list[Gpu]:
    name, *rest = (value.strip() for value in line.split(","))
    if not rest:
        return []
    numbers = [int(n) for n in re.findall(r"\d+", rest[1])] if len(rest) > 1 else []
    return [Gpu(name, rest[0], tuple(numbers) if len(numbers) == 2 else None)]


def why_none() -> str:
    """Why there is no GPU, in the words of NVIDIA's tool where it is there and fails."""
    tool = shutil.which("nvidia-smi")
    if not tool or listed_gpus():
        return "there is no CUDA GPU"
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return "CUDA_VISIBLE_DEVICES shows no GPU"
    first_line = _ask(tool)[1].strip().partition("\n")[0]
    return f"nvidia-smi lists no GPU ({first_line[:200]})"


def problem_with_gpu() -> str | None:
    """In one line, why no GPU that the driver lists can be used and what to do.

    None where one can be used, and where there is none.
    """
    gpus = listed_gpus()
    if not gpus:
        return None
    return _told(gpus, _why_torch_cannot(gpus) if find_spec("torch") else _why_none_can(gpus))


def _told(gpus: tuple[Gpu, ...], reason: str | None) -> str | None:
    found = f"{gpus[0].name}, driver {gpus[0].driver}"
    return f"there is a GPU ({found}), but {reason}" if reason else None


def _why_none_can(gpus: tuple[Gpu, ...], cuda: int | None = None) -> str | None:
    """Why a build for this CUDA, by default that to be installed, can use none of them."""
    reasons = [_why_not(gpu, cuda or _pinned()) for gpu in gpus]
    return reasons[0] if all(reasons) else None


def _pinned() -> int:
    """The major version of CUDA whose build of torch will be installed."""
    return int(re.search(r"^cuda-toolkit==(\d+)", CONSTRAINTS.read_text(), re.M).group(1))


def _why_not(gpu: Gpu, cuda: int) -> str | None:
    """Why a build of torch for this CUDA cannot use the GPU, as far as is known beforehand."""
    driver, capability = OLDEST_DRIVER.get(cuda, 0), OLDEST_CAPABILITY.get(cuda, (0, 0))
    own = re.match(r"\d+", gpu.driver)
    if own and int(own.group()) < driver:
        return f"CUDA {cuda} wants driver {driver} or newer; update the driver, or {OTHER_BUILDS}"
    if gpu.capability and gpu.capability < capability:
        has, wants = (".".join(map(str, c)) for c in (gpu.capability, capability))
        wanted = f"it has compute capability {has} and CUDA {cuda} wants {wants} or newer"
        return f"{wanted}; {OTHER_BUILDS}"
    return None


def _why_torch_cannot(gpus: tuple[Gpu, ...]) -> str | None:
    try:
        build = version("torch")
    except PackageNotFoundError:
        build = "?"
    import torch

    if torch.version.hip:
        return None
    if not torch.version.cuda:
        remedy = "leave that environment, so that bash run.sh makes one with CUDA in .venv"
        if sys.platform == "win32":  # where the usual build has none
            remedy = "install a build with it (https://pytorch.org/get-started)"
        return f"torch {build} of {sys.executable} is built without CUDA; {remedy}"
    error = kernel_error("cuda")
    if error is None:
        return None
    known = _why_none_can(gpus, int(torch.version.cuda.partition(".")[0]))
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
    return isinstance(error, RuntimeError) and any(said in str(error) for said in NO_MEMORY)


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
    """`problem_with_gpu` with the torch that run.sh is about to install, as far as is known.

    None where `machine.device` says what is wanted.
    """
    given = [text for text in overrides if text.startswith("machine.device=")]
    gpus = listed_gpus() if given[-1:] in ([], ["machine.device=auto"]) else ()
    return _told(gpus, _why_none_can(gpus)) if gpus else None


if __name__ == "__main__":
    if problem := problem_after_installing(sys.argv[1:]):
        sys.exit(
            f"error: {problem}; or add machine.device=cpu to go on without it, machine.device=cuda "
            f"to try"
        )
