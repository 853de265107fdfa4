"""Trainings of every recipe on a GPU, and what goes wrong there alone."""

import json
import re

import numpy as np
import pytest
import torch
from scripts import run_script

from canet.core.console import UserError
from canet.core.recipe_files import available, load
from canet.core.runs import fold_folder
from canet.data.training_set import TrainingSet
from canet.inference.device import choose_kernels
from canet.training import trainer
from canet.training.captured_step import WARM_UP
from canet.training.fold import train_fold
from canet.training.losses import SkeletonLoss
from canet.training.memory import fits
from canet.training.trainer import Trainer, build_state

GPU = torch.device("cuda")
SAME = ("base", "canet")  # as `paper`, evaluated at other times, on maps of another mask
NETWORKS = [name for name in available() if name not in ("geometry", *SAME)]
GIB = 2**30


@pytest.fixture
def settings(settings) -> list[str]:
    """Attention where the recipe has it."""
    return [o for o in settings if not o.startswith("model.attention_stages=")]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_recipe_trains_without_waiting(name, settings, tiny_folds, no_waits, capsys):
    recipe = load(name, settings)
    with np.load(train_fold(recipe, 0) / "held_out.npz") as held_out:
        assert held_out["levels_tta"].shape == (5, 64, 64)
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("name", NETWORKS)
def test_no_recipe_needs_what_cannot_be_repeated(name, settings, tiny_folds):
    """torch refuses operations of which it has no deterministic kernel."""
    try:
        train_fold(load(name, [*settings, "machine.deterministic=true"]), 0)
    finally:
        choose_kernels(deterministic=False)


# Each optimizer with each move and each memory format, and each move with each format.
CONTINUED = [
    ("sgd", ("cuda", "cuda"), "true"),
    ("sgd", ("cuda", "cpu"), "false"),
    ("sgd", ("cpu", "cuda"), "true"),
    ("adamw", ("cuda", "cuda"), "false"),
    ("adamw", ("cuda", "cpu"), "true"),
    ("adamw", ("cpu", "cuda"), "false"),
    ("muon", ("cuda", "cuda"), "true"),
    ("muon", ("cuda", "cpu"), "false"),
    ("muon", ("cpu", "cuda"), "true"),
]


@pytest.mark.parametrize("optimizer, devices, channels_last", CONTINUED)
def test_a_training_continues_on_another_device_and_in_another_memory_format(
    optimizer, devices, channels_last, settings, tiny_folds, monkeypatch, no_waits, capsys
):
    given = [*settings, f"train.optimizer={optimizer}", "machine.checkpoint_every_s=0"]
    first, then = (f"machine.device={device}" for device in devices)
    train_epoch = Trainer.train_epoch

    def fail_in_the_second(self, step, state, on_step_end):
        if state.epoch == 1:
            raise UserError("planted")
        return train_epoch(self, step, state, on_step_end)

    monkeypatch.setattr(Trainer, "train_epoch", fail_in_the_second)
    with pytest.raises(UserError, match="planted"):
        train_fold(load("demo", [*given, first]), 0)
    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
    train_fold(load("demo", [*given, then, f"machine.channels_last={channels_last}"]), 0)
    assert "continues in epoch 1" in capsys.readouterr().out


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_step_is_recorded_once_and_reads_its_learning_rate(
    optimizer, settings, tiny_folds, monkeypatch
):
    replayed, placed, replay = [], set(), torch.cuda.CUDAGraph.replay

    def note(graph):
        replayed.append(graph)
        replay(graph)

    set_rate = trainer.set_learning_rate

    def note_rate(group, rate):
        set_rate(group, rate)
        placed.add(group["lr"].data_ptr())

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", note)
    monkeypatch.setattr(trainer, "set_learning_rate", note_rate)
    train_fold(load("demo", [*settings, f"train.optimizer={optimizer}"]), 0)
    assert len(replayed) == 2 * 5 - WARM_UP and len(set(replayed)) == len(placed) == 1


def test_what_waits_within_a_step_is_told_and_trains_all_the_same(on_gpu, monkeypatch, capsys):
    forward = SkeletonLoss.forward
    monkeypatch.setattr(
        SkeletonLoss, "forward", lambda *given: forward(*given) + forward(*given).item()
    )
    train_fold(on_gpu, 0)
    said = capsys.readouterr().err
    assert "warning: steps are launched one by one (" in said and "previous error" not in said


@pytest.fixture
def little_memory():
    """Four GiB in all."""
    torch.cuda.set_per_process_memory_fraction(4 * GIB / torch.cuda.mem_get_info()[1])
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_out_of_memory_names_the_batch_that_fits(settings, tiny_folds, little_memory):
    wide = [*settings, "model.encoder=resblock64", "augment.crop_px=null", "train.batch=512"]
    recipe = load("paper", wide)
    with pytest.raises(
        UserError, match=r"out of memory on .*batch=512; try train.batch="
    ) as caught:
        train_fold(recipe, 0)
    best = int(re.search(r"try train\.batch=(\d+)", str(caught.value)).group(1))
    assert 8 < best < 512
    samples, _ = TrainingSet(recipe).split(0)
    assert fits(recipe, samples, GPU, batch=best)


@pytest.mark.parametrize("channels_last", ["true", "false"])
def test_attention_at_full_size_takes_little_memory(channels_last):
    """All scores of 65,536 pixels with each other would take 8 GiB an image."""
    given = ["model.encoder=resblock8", f"machine.channels_last={channels_last}"]
    recipe = load("canet_all_stages", given)
    state = build_state(recipe, GPU)
    layout = torch.channels_last if recipe.machine.channels_last else torch.contiguous_format
    x = torch.zeros(2, 1, 256, 256, device="cuda").to(memory_format=layout)
    with torch.autocast("cuda", torch.bfloat16):
        state.model(x).float().mean().backward()
    assert torch.cuda.max_memory_allocated() < 2 * GIB


def test_folds_on_two_gpus(settings, tiny_folds):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    both = [o for o in settings if not o.startswith("machine.device")]
    both += ["machine.device=cuda:0,cuda:1"]
    done = run_script("train", "--recipe", "demo", "--fold", "0", "--fold", "1", "--set", *both)
    assert done.code == 0, done.stdout + done.stderr
    folders = [fold_folder(load("demo", both), fold) for fold in (0, 1)]
    facts = [json.loads((folder / "model" / "training.json").read_text()) for folder in folders]
    used = {torch.cuda.get_device_name(number) for number in (0, 1)}
    assert {f["device"] for f in facts} == used
    assert "warning" not in "".join(folder.with_suffix(".log").read_text() for folder in folders)
