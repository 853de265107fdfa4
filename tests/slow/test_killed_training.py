"""A training that is a process of its own, killed and continued."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from canet.core.console import REPOSITORY
from canet.core.recipe_files import load
from canet.core.runs import fold_folder
from canet.training.fold import train_fold


def train_command(overrides: list[str]) -> list[str]:
    script = str(REPOSITORY / "src" / "train.py")
    return [sys.executable, script, "--recipe", "demo", "--fold", "0", "--set", *overrides]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_continues_bit_for_bit(tiny_folds, overrides, number):
    """4 epochs = about 2 + kill + about 2, with a real process and a real signal."""
    longer = [*overrides, "train.epochs=4", "machine.checkpoint_every_s=0", "name=killed"]
    command = train_command(longer)
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = fold_folder(load("demo", longer), 0)
    deadline = time.monotonic() + 120
    while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and not (folder / "done.json").exists()
    if number != signal.SIGKILL:
        assert "asked to stop: saved in epoch" in errors and "Traceback" not in errors
    continued = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "continues in epoch" in continued.stdout
    whole = train_fold(load("demo", [*overrides, "train.epochs=4", "name=whole"]), 0)
    weights = [(f / "model" / "model.safetensors").read_bytes() for f in (folder, whole)]
    assert weights[0] == weights[1]
