"""A training that is a process of its own, killed and continued."""

import os
import signal
import time

import pytest
from scripts import Script, run_script

from canet.core.recipe_files import load
from canet.core.runs import fold_folder
from canet.training.fold import train_fold


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_continues_bit_for_bit(tiny_folds, overrides, number):
    """4 epochs = about 2 + kill + about 2, with a real process and a real signal."""
    longer = [*overrides, "train.epochs=4", "machine.checkpoint_every_s=0", "name=killed"]
    words = ["--recipe", "demo", "--fold", "0", "--set", *longer]
    training = Script("train", *words)
    folder = fold_folder(load("demo", longer), 0)
    deadline = time.monotonic() + 120
    while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(training.process.pid, number)
    killed = training.wait(60)
    assert killed.code != 0 and not (folder / "done.json").exists()
    if number != signal.SIGKILL:
        assert "asked to stop: saved in epoch" in killed.stderr
        assert "Traceback" not in killed.stderr
    continued = run_script("train", *words)
    assert continued.code == 0 and "continues in epoch" in continued.stdout
    whole = train_fold(load("demo", [*overrides, "train.epochs=4", "name=whole"]), 0)
    weights = [(f / "model" / "model.safetensors").read_bytes() for f in (folder, whole)]
    assert weights[0] == weights[1]
