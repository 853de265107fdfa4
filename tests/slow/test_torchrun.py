"""Training under torchrun: two processes on the CPU, against one."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_overrides, tiny_recipe, write_tiny_folds

from canet.core.console import REPOSITORY
from canet.core.recipe_files import load
from canet.core.runs import fold_folder
from canet.training.fold import train_fold

TRAIN = REPOSITORY / "src" / "train.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
# raises in the second process at its third step
FAILING = f"""
import runpy, sys
sys.path.insert(0, {str(TRAIN.parent)!r})
from canet.core.console import UserError
from canet.training.trainer import Trainer
train_step, steps = Trainer.train_step, []
def fail(self, *arguments):
    steps.append(0)
    if self.world.rank == 1 and len(steps) == 3:
        raise UserError("planted in one process")
    return train_step(self, *arguments)
Trainer.train_step = fail
runpy.run_path({str(TRAIN)!r}, run_name="__main__")
"""


MORE = [
    "train.epochs=3",
    "train.optimizer=sgd",  # AdamW divides by tiny gradients, which makes rounding large
    "train.lr=0.001",
    "train.clip_norm=null",  # it would hide gradients that are too large
    "loss.scale_weights=[0.5,0.3]",
    "machine.checkpoint_every_s=0",
]


@pytest.fixture
def settings(overrides, tiny_folds) -> list[str]:
    """A training whose batches, clipping, moving average and unused heads must be alike."""
    return [*overrides, *MORE]


def torchrun(script: Path, settings: list[str], *options: str) -> subprocess.Popen:
    words = [sys.executable, "-m", "torch.distributed.run", *options, str(script)]
    return start([*words, "--recipe", "demo", "--fold", "0", "--set", *settings])


def start(words: list[str]) -> subprocess.Popen:
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def on_two_machines(data_root, tmp_path_factory) -> Path:
    """The folder of what two torchruns of one process each have trained, as on two machines."""
    folder = tmp_path_factory.mktemp("machines")
    write_tiny_folds(tiny_recipe(data_root, folder))
    given = [*tiny_overrides(data_root, folder), *MORE]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=7"]
    options += [f"--rdzv-endpoint=localhost:{port}"]
    machines = [torchrun(TRAIN, given, *options) for _ in range(2)]
    outcomes = [ended(machine) for machine in machines]
    assert [code for code, _, _ in outcomes] == [0, 0], outcomes
    said = sorted(stdout for _, stdout, _ in outcomes)
    assert said[0] == "" and "2 processes" in said[1]  # the first process speaks for all
    return fold_folder(load("demo", given), 0)


def test_two_machines_train_like_one_process(settings, on_two_machines):
    train_fold(load("demo", settings), 0)
    one, two = fold_folder(load("demo", settings), 0), on_two_machines
    assert len(list((two / "tensorboard").iterdir())) == 1  # the first process writes for all
    expected, found = (pd.read_csv(f / "metrics.csv") for f in (one, two))
    assert found["epoch"].tolist() == [1, 2, 3]
    assert np.allclose(found["loss"], expected["loss"], rtol=1e-5, atol=0)
    levels = [np.load(f / "held_out.npz")["levels"].astype(int) for f in (one, two)]
    assert np.abs(levels[0] - levels[1]).max() <= 1
    for name, tensor in weights(one).items():
        found = weights(two)[name].float()
        assert torch.allclose(found, tensor.float(), rtol=1e-2, atol=1e-3), name


def test_a_failing_process_ends_the_run_with_its_error_and_it_continues(
    settings, on_two_machines, tmp_path
):
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    code, _, errors = ended(torchrun(script, settings, "--standalone", "--nproc-per-node=2"))
    assert code != 0 and "error in process 1: planted in one process" in errors
    assert "Connection" not in errors and "[rank0]: Traceback" not in errors
    folder = fold_folder(load("demo", settings), 0)
    assert (folder / "checkpoint.pt").exists() and not (folder / "done.json").exists()
    named = [*settings, "machine.device=cpu,cpu"]  # a name for each process
    process = torchrun(TRAIN, named, "--standalone", "--nproc-per-node=2")
    code, said, errors = ended(process)
    assert code == 0 and "continues in epoch 1" in said, errors
    expected, found = weights(on_two_machines), weights(folder)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_sigterm_saves_once_and_stops_all(settings):
    longer = [*settings, "train.epochs=2000"]
    process = torchrun(TRAIN, longer, "--standalone", "--nproc-per-node=2")
    folder = fold_folder(load("demo", longer), 0)
    deadline = time.monotonic() + 60
    while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, _, errors = ended(process)
    assert code != 0 and errors.count("asked to stop: saved in epoch") >= 1
    assert "error in process" not in errors
    assert (folder / "checkpoint.pt").exists() and not list(folder.glob(".*.tmp"))


def test_processes_share_a_folder_of_shapes(data_root, tmp_path):
    script = TRAIN.with_name("make_submission.py")
    words = [str(script), "--run", "weights/geometry"]
    words += ["--images", str(data_root / "img_train_shape"), "--out"]
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert ended(start([sys.executable, *words, str(alone)]))[0] == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    code, said, errors = ended(start([*launcher, "--nproc-per-node=2", "--", *words, str(shared)]))
    assert code == 0, errors
    assert said.count("15 PNGs") == 1  # the first process speaks for all
    assert shared.with_suffix(".zip").read_bytes() == alone.with_suffix(".zip").read_bytes()
    assert len(list(shared.iterdir())) == 15
