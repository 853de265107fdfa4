"""Folds trained side by side by `src/train.py`."""

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from scripts import Script, run_script

from canet.core.console import UserError
from canet.core.cores import cores
from canet.core.files import HOST
from canet.core.recipe_files import load
from canet.core.runs import fold_folder
from canet.training.fold import train_fold
from canet.training.side_by_side import last_line, train_folds

FOLDS = ["--recipe", "demo", "--fold", "0", "--fold", "1", "--set"]


@pytest.fixture
def settings(overrides, tiny_folds) -> list[str]:
    return [*overrides, "train.epochs=3", "machine.device=cpu,cpu"]


def folders(settings: list[str]) -> list[Path]:
    return [fold_folder(load("demo", settings), fold) for fold in (0, 1)]


def wait_for_epochs(*paths: Path) -> None:
    """Until each has completed an epoch."""
    deadline = time.monotonic() + 60
    while not all((p / "metrics.csv").exists() for p in paths) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_folds_side_by_side_are_those_one_after_the_other(settings):
    done = run_script("train", *FOLDS, *settings)
    assert done.code == 0, done.stdout + done.stderr
    found = folders(settings)
    logs = [path.with_suffix(".log") for path in found]
    assert "side by side on cpu, cpu" in done.stdout and str(logs[1]) in done.stdout
    assert "fold 0: 10 images" in logs[0].read_text() and "fold 1: 10" in logs[1].read_text()
    assert "6/6" in done.stderr  # one bar for the epochs of both
    alone = load("demo", [*settings, "name=alone", "machine.device=cpu"])
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // 2))  # what each of two folds gets
    for fold, path in enumerate(found):
        expected = load_file(train_fold(alone, fold) / "model" / "model.safetensors")
        weights = load_file(path / "model" / "model.safetensors")
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
    torch.set_num_threads(threads)


def test_a_fold_that_fails_fails_the_command_but_not_the_others(settings):
    first, second = folders(settings)
    damaged = first / "checkpoint.pt"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    recipe = load("demo", settings)
    message = rf"^1 of 2 folds failed: fold 0: error: .*checkpoint.pt.*\({first}.log\)"
    with pytest.raises(UserError, match=message):
        train_folds(recipe, [0, 1], ["cpu", "cpu"])
    assert (second / "done.json").exists() and not (first / "done.json").exists()
    damaged.unlink()
    train_folds(recipe, [0, 1], ["cpu", "cpu"])
    assert (first / "done.json").exists()
    assert "trained already, skipped" in last_line(second.with_suffix(".log"))
    train_folds(recipe, [1], ["cpu"], force=True)
    assert second.with_name("fold-1.old1").exists() and (second / "done.json").exists()


def test_folds_save_and_end_when_the_command_is_killed(settings):
    longer = [*settings, "train.epochs=2000"]
    command = Script("train", *FOLDS, *longer)
    wait_for_epochs(*folders(longer))
    command.kill()
    logs = [path.with_suffix(".log") for path in folders(longer)]
    deadline = time.monotonic() + 60
    while not all("saved in epoch" in last_line(log) for log in logs):
        assert time.monotonic() < deadline, [log.read_text() for log in logs]
        time.sleep(0.05)


def test_a_fold_is_trained_by_one_process(settings):
    longer = [*settings, "train.epochs=2000", "machine.device=cpu"]
    first = Script("train", *FOLDS, *longer)
    wait_for_epochs(folders(longer)[0])
    second = run_script("train", *FOLDS, *longer)
    assert second.code == 1
    assert f"being trained by {HOST}:{first.process.pid};" in second.stderr
    first.process.terminate()
    assert "asked to stop: saved in epoch" in first.wait(60).stderr
