"""GPUs that a driver lists and torch cannot use; the driver is a script that prints."""

import os
import subprocess
import sys

import pytest
import torch
from commands import ENVIRONMENT

from canet.core import gpus
from canet.core.console import REPOSITORY, UserError
from canet.core.gpus import Gpu, is_out_of_memory, refuse_unusable_gpu
from canet.inference import device

H100, V100, OLD = "H100, 580.65.06, 9.0", "Tesla V100, 580.65.06, 7.0", "Tesla T4, 535.183.01, 7.5"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Lets nvidia-smi list a GPU; what is remembered of another one is forgotten."""

    def lists(line: str, knows_capability: bool = True) -> None:
        refuse = "" if knows_capability else 'case "$1" in *compute_cap*) exit 2 ;; esac\n'
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{refuse}echo '{line}'\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{ENVIRONMENT['PATH']}")
        forget()

    forget()
    yield lists
    forget()


def forget() -> None:
    for function in (gpus.listed_gpus, gpus.kernel_error, device._warn_of_gpu):
        function.cache_clear()


def test_the_driver_is_asked(driver, monkeypatch):
    driver(H100)
    assert gpus.listed_gpus() == (Gpu("H100", "580.65.06", (9, 0)),)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    forget()
    assert gpus.listed_gpus() == () and gpus.problem_with_gpu() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    driver("Tesla K80, 470.82", knows_capability=False)
    assert gpus.listed_gpus() == (Gpu("Tesla K80", "470.82", None),)


@pytest.mark.parametrize(
    "script",
    ["exit 18", "echo No devices were found", "sleep 9"],
    ids=["fails", "lists-none", "hangs"],
)
def test_a_driver_that_fails_lists_nothing_and_is_quoted(driver, monkeypatch, tmp_path, script):
    driver(H100)
    monkeypatch.setattr(gpus, "LONGEST_ANSWER_S", 0.2)
    said = "NVIDIA-SMI has failed because it could not communicate with the driver"
    asked = f'if [ -n "$1" ]; then {script}; exit; fi'
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{asked}\necho {said}\n")
    assert gpus.listed_gpus() == () and gpus.problem_with_gpu() is None
    assert gpus.why_none() == f"nvidia-smi lists no GPU ({said})"


def test_no_driver_is_no_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    forget()
    assert gpus.listed_gpus() == () and gpus.problem_with_gpu() is None
    refuse_unusable_gpu("auto")
    assert gpus.why_none() == "there is no CUDA GPU"
    forget()


@pytest.mark.parametrize(
    ("line", "cuda", "reason"),
    [
        (OLD, "13.2", r"CUDA 13 wants driver 580 or newer; update the driver, or activate"),
        (V100, "13.2", r"compute capability 7\.0 and CUDA 13 wants 7\.5 or newer; activate"),
        (V100, "12.6", r"torch \S+ cannot use it \(no CUDA device is available\)"),
        (H100, None, r"torch \S+ of \S+ is built without CUDA; leave that environment"),
    ],
)
def test_why_torch_cannot_use_it(driver, monkeypatch, line, cuda, reason):
    driver(line)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=rf"^there is a GPU .*{reason}.*machine\.device=cpu"):
        refuse_unusable_gpu("auto")
    refuse_unusable_gpu("cpu")


def test_a_gpu_on_which_no_kernel_runs_is_found_by_one(driver, monkeypatch):
    driver(V100)
    error = torch.AcceleratorError("CUDA error: no kernel image is available\nmore")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: (_ for _ in ()).throw(error))
    assert gpus.kernel_error("cuda") == "CUDA error: no kernel image is available"


def test_predictions_go_on_on_the_cpu_with_one_warning(driver, monkeypatch, capsys):
    driver(OLD)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [device.pick_device("auto").type for _ in range(2)] == ["cpu", "cpu"]
    said = capsys.readouterr().err
    assert said.startswith("warning: there is a GPU (Tesla T4, driver 535.183.01), but CUDA 13")
    assert said.count("\n") == 1
    with pytest.raises(UserError, match=r"^machine\.device=cuda: there is a GPU .*; or use cpu$"):
        device.pick_device("cuda")


@pytest.mark.parametrize(
    ("line", "words", "refused"),
    [
        (OLD, [], True),
        (V100, ["train.epochs=3"], True),
        (f"{V100}\n{OLD}", ["machine.device=auto"], True),
        (f"{V100}\n{H100}", [], False),  # torch takes the faster one first
        (OLD, ["machine.device=cuda"], False),  # asked for: to be tried
        (OLD, ["machine.device=cuda", "machine.device=cpu"], False),
        (H100, [], False),
    ],
)
def test_it_is_told_before_torch_is_installed(driver, line, words, refused, monkeypatch):
    driver(line)
    command = [sys.executable, "-S", "-m", "canet.core.gpus", *words]  # -S: nothing is installed
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == ((1, 1) if refused else (0, 0))
    assert done.stderr.startswith("error: there is a GPU") == refused


def test_memory_that_ran_out_by_any_name():
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError())
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    host = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    assert is_out_of_memory(RuntimeError(f"[enforce fail at alloc_cpu.cpp:121] err == 0. {host}"))
    assert is_out_of_memory(torch.AcceleratorError("CUDA error: out of memory\nmore"))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))


def test_the_first_stage_refuses_networks_alone(driver, overrides):
    driver(OLD)
    own = [text for text in overrides if not text.startswith("machine.device")]

    def check(recipe: str, *more: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "src/check_input.py", "--recipe", recipe, "--set", *own, *more]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    refused = check("demo")
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("error: there is a GPU (Tesla T4, driver 535.183.01), but ")
    assert check("demo", "machine.device=cpu").returncode == 0
    assert check("geometry").returncode == 0
