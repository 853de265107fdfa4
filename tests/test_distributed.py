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

from canet import recipe
from canet.augment import EpochSampler
from canet.files import HOST, REPOSITORY
from canet.training import fold_folder, train_fold

TRAIN = REPOSITORY / "src" / "train.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
# raises in the second process at its third step
FAILING = f"""
import runpy, sys
sys.path.insert(0, {str(TRAIN.parent)!r})
from canet import files, fitting
learn, steps = fitting.Fitting.learn, []
def fail(self, *arguments):
    steps.append(0)
    if self.world.rank == 1 and len(steps) == 3:
        raise files.UserError("planted in one process")
    return learn(self, *arguments)
fitting.Fitting.learn = fail
runpy.run_path({str(TRAIN)!r}, run_name="__main__")
"""


@pytest.fixture
def settings(overrides, tiny_folds) -> list[str]:
    """A training whose batches, clipping, moving average and unused heads must be alike."""
    return [
        *overrides,
        "train.epochs=3",
        "train.optimizer=sgd",  # AdamW divides by tiny gradients, which makes rounding large
        "train.lr=0.001",
        "train.clip_norm=null",  # it would hide gradients that are too large
        "loss.scale_weights=[0.5,0.3]",
        "machine.checkpoint_every_s=0",
    ]


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


def test_processes_divide_each_batch_and_an_epoch_covers_every_image():
    whole = list(EpochSampler(10, 4, seed=0))
    parts = [list(EpochSampler(10, 4, seed=0, rank=r, size=2)) for r in (0, 1)]
    assert [len(p) for p in parts] == [6, 6]
    rejoined = [part[b * 2 + i] for b in range(3) for part in parts for i in range(2)]
    assert rejoined == whole and {i for _, i in whole} == set(range(10))


def test_two_machines_train_like_one_process(settings):
    """Two torchruns of one process each, as on two machines."""
    alone = recipe.load("demo", [*settings, "name=alone"])
    train_fold(alone, 0)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=7"]
    options += [f"--rdzv-endpoint=localhost:{port}"]
    machines = [torchrun(TRAIN, settings, *options) for _ in range(2)]
    outcomes = [ended(machine) for machine in machines]
    assert [code for code, _, _ in outcomes] == [0, 0], outcomes
    said = sorted(stdout for _, stdout, _ in outcomes)
    assert said[0] == "" and "2 processes" in said[1]  # the first process speaks for all
    one, two = fold_folder(alone, 0), fold_folder(recipe.load("demo", settings), 0)
    assert len(list((two / "tensorboard").iterdir())) == 1  # and writes for all
    expected, found = (pd.read_csv(f / "metrics.csv") for f in (one, two))
    assert found["epoch"].tolist() == [1, 2, 3]
    assert np.allclose(found["loss"], expected["loss"], rtol=1e-5, atol=0)
    levels = [np.load(f / "held_out.npz")["levels"].astype(int) for f in (one, two)]
    assert np.abs(levels[0] - levels[1]).max() <= 1
    for name, tensor in weights(one).items():
        found = weights(two)[name].float()
        assert torch.allclose(found, tensor.float(), rtol=1e-2, atol=1e-3), name


def test_a_failing_process_ends_the_run_with_its_error_and_it_continues(settings, tmp_path):
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    code, _, errors = ended(torchrun(script, settings, "--standalone", "--nproc-per-node=2"))
    assert code != 0 and "error in process 1: planted in one process" in errors
    assert "Connection" not in errors and "[rank0]: Traceback" not in errors
    folder = fold_folder(recipe.load("demo", settings), 0)
    assert (folder / "checkpoint.pt").exists() and not (folder / "done.json").exists()
    named = [*settings, "machine.device=cpu,cpu"]  # a name for each process
    process = torchrun(TRAIN, named, "--standalone", "--nproc-per-node=2")
    code, said, errors = ended(process)
    assert code == 0 and "continues in epoch 1" in said, errors
    whole = [*settings, "name=whole"]
    assert ended(torchrun(TRAIN, whole, "--standalone", "--nproc-per-node=2"))[0] == 0
    expected = weights(fold_folder(recipe.load("demo", whole), 0))
    found = weights(folder)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_sigterm_saves_once_and_stops_all(settings):
    longer = [*settings, "train.epochs=2000"]
    process = torchrun(TRAIN, longer, "--standalone", "--nproc-per-node=2")
    folder = fold_folder(recipe.load("demo", longer), 0)
    deadline = time.monotonic() + 60
    while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, _, errors = ended(process)
    assert code != 0 and errors.count("asked to stop: saved in epoch") >= 1
    assert "error in process" not in errors
    assert (folder / "checkpoint.pt").exists() and not list(folder.glob(".*.tmp"))


def test_a_batch_that_cannot_be_divided_is_one_line(settings):
    odd = [*settings, "train.batch=5"]
    code, _, errors = ended(torchrun(TRAIN, odd, "--standalone", "--nproc-per-node=2"))
    assert code != 0 and "train.batch=5 cannot be divided among 2 processes" in errors


def train_folds(settings: list[str], *words: str) -> subprocess.Popen:
    command = [sys.executable, str(TRAIN), "--recipe", "demo", "--fold", "0", "--fold", "1"]
    return start([*command, *words, "--set", *settings])


def test_folds_side_by_side_are_those_one_after_the_other(settings):
    code, said, errors = ended(train_folds([*settings, "machine.device=cpu,cpu"]))
    assert code == 0, said + errors
    assert "fold 0 on cpu | fold 0: 10 images" in said and "fold 1 on cpu |" in said
    alone = recipe.load("demo", [*settings, "name=alone"])
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, os.cpu_count() // 2))  # what each of two folds gets
    for fold in (0, 1):
        train_fold(alone, fold)
        found = weights(fold_folder(recipe.load("demo", settings), fold))
        expected = weights(fold_folder(alone, fold))
        assert all(torch.equal(found[k], expected[k]) for k in expected)
    torch.set_num_threads(threads)


def test_a_fold_that_fails_fails_the_command_but_not_the_others(settings):
    damaged = fold_folder(recipe.load("demo", settings), 0) / "checkpoint.pt"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    code, said, errors = ended(train_folds([*settings, "machine.device=cpu,cpu"]))
    assert code == 1 and "error: fold 0 failed, see above" in errors
    assert "fold 0 on cpu | error:" in said and "checkpoint.pt" in said
    assert (damaged.parent.with_name("fold-1") / "done.json").exists()


def test_a_fold_is_trained_by_one_process(settings):
    long = [*settings, "train.epochs=2000"]
    first = train_folds(long)
    folder = fold_folder(recipe.load("demo", long), 0)
    deadline = time.monotonic() + 60
    while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    code, _, errors = ended(train_folds(long))
    assert code == 1 and f"being trained by {HOST}:{first.pid};" in errors
    first.terminate()
    assert "asked to stop: saved in epoch" in ended(first)[2]


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
