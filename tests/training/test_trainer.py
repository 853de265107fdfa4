"""The training loop by itself, without files."""

import itertools
import math

import numpy as np
import pytest
import torch

from canet.core.console import UserError
from canet.core.recipe import Train
from canet.data.training_set import Samples, TrainingSet
from canet.data.windows import window_of
from canet.inference.distributed import World
from canet.network import build_model
from canet.training.optimizer import learning_rate
from canet.training.trainer import Callback, Diverged, Trainer, build_state

CPU = torch.device("cpu")


@pytest.fixture
def split(tiny, tiny_folds):
    return TrainingSet(tiny).split(0)


def test_an_unknown_encoder_is_one_line(tiny):
    wrong = tiny.model_copy(update={"model": tiny.model.model_copy(update={"encoder": "resnot"})})
    with pytest.raises(UserError, match=r"model\.encoder=resnot: cannot be built"):
        build_model(wrong)


def test_windows_larger_than_the_images_are_one_line(tiny, split):
    wide = tiny.model_copy(update={"augment": tiny.augment.model_copy(update={"crop_px": 96})})
    with pytest.raises(UserError, match=r"crop_px=96 is more than the images have, 64 pixels"):
        Trainer(wide, *split, device=CPU)


def test_learning_rate_warms_up_and_ends_at_zero():
    settings = Train(lr=0.1, epochs=10, warmup_epochs=2)
    assert learning_rate(settings, 0) < 0.001
    assert learning_rate(settings, 1) == pytest.approx(0.05, rel=0.01)
    assert learning_rate(settings, 2) == pytest.approx(0.1)
    assert learning_rate(settings, 6) == pytest.approx(0.05)
    assert learning_rate(settings, 10) == pytest.approx(0, abs=1e-9)
    assert learning_rate(Train(), 0) == 0.02


class Noted(Callback):
    def __init__(self):
        self.steps, self.epochs = [], []

    def on_step_end(self, state):
        self.steps.append((state.epoch, state.step))

    def on_epoch_end(self, state):
        self.epochs.append((state.epoch, state.step, len(state.history)))


def test_a_callback_is_told_of_every_step_and_epoch(tiny, split):
    told, state = Noted(), build_state(tiny, CPU)
    Trainer(tiny, *split, device=CPU).run(state, told, label="", quiet=True)
    assert told.steps == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert told.epochs == [(1, 0, 1), (2, 0, 2)]
    assert all(math.isfinite(row["loss"]) for row in state.history)
    assert 0 < state.history[-1]["f1"] <= 1


def test_the_moving_average_is_evaluated_and_saved(tiny):
    assert tiny.train.ema_decay
    state = build_state(tiny, CPU)
    assert state.eval_model is state.ema.module is not state.model
    plain = tiny.model_copy(update={"train": tiny.train.model_copy(update={"ema_decay": None})})
    state = build_state(plain, CPU)
    assert state.ema is None and state.eval_model is state.model


def test_diverging_is_one_line(tiny, split):
    wild = {"lr": 1e30, "clip_norm": None, "optimizer": "sgd", "warmup_epochs": 0}
    wild = tiny.model_copy(update={"train": tiny.train.model_copy(update=wild)})
    trainer = Trainer(wild, *split, device=CPU)
    with pytest.raises(Diverged, match=r"lower train\.lr"):
        trainer.run(build_state(wild, CPU), Callback(), label="", quiet=True)


def test_a_gradient_is_clipped(tiny, split):
    plain = {"optimizer": "sgd", "lr": 1.0, "momentum": 0, "weight_decay": 0}
    moved = []
    for clip_norm in (None, 0.001):
        train = tiny.train.model_copy(update=plain | {"clip_norm": clip_norm})
        recipe = tiny.model_copy(update={"train": train})
        trainer, state = Trainer(recipe, *split, device=CPU), build_state(recipe, CPU)
        before = [p.detach().clone() for p in state.model.parameters()]
        trainer.stepper(state)(next(iter(trainer.loader)))
        steps = [p.detach() - b for p, b in zip(state.model.parameters(), before)]
        moved.append(torch.cat([step.flatten() for step in steps]).norm().item())
    assert moved[0] > 0.01 and moved[1] == pytest.approx(0.001, rel=0.01)


def test_a_batch_is_divided_evenly_among_processes(tiny, split):
    odd = tiny.model_copy(update={"train": tiny.train.model_copy(update={"batch": 5})})
    with pytest.raises(
        UserError, match=r"^train\.batch=5 cannot be divided among 2 processes; set"
    ):
        Trainer(odd, *split, device=CPU, world=World(0, 2))


def test_what_is_compiled_trains_in_one_process(tiny, split):
    machine = tiny.machine.model_copy(update={"compile": True})
    with pytest.raises(UserError, match=r"^machine\.compile=True compiles for one process, not"):
        Trainer(tiny.model_copy(update={"machine": machine}), *split, device=CPU, world=World(0, 2))


def test_network_and_loss_are_compiled_together(tiny, split, monkeypatch):
    """By a backend that runs what was traced, and notes what it returned."""
    returned = []

    def as_it_is(traced, inputs):
        def run(*given):
            results = traced(*given)
            returned.append([r.shape for r in results])
            return results

        return run

    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda made, mode: compile_(made, backend=as_it_is, fullgraph=True)
    )
    losses = []
    for wanted in (False, True):
        machine = tiny.machine.model_copy(update={"compile": wanted, "resident": True})
        model = tiny.model.model_copy(update={"attention_stages": []})
        chosen = tiny.model_copy(update={"machine": machine, "model": model})
        state = build_state(chosen, CPU)
        trainer = Trainer(chosen, split[0], None, device=CPU)
        step = trainer.stepper(state)
        state.model.train()
        batches = itertools.islice(trainer.loader, 2)
        losses.append([step(batch) for batch in batches])
        assert any(() in shapes for shapes in returned) == wanted  # the loss, a scalar
    torch.testing.assert_close(*losses)


def test_windows_of_shapes_are_trained_on_and_predicted(tiny, split):
    around = ((0, 0), (0, 0), (32, 32), (32, 32))
    seen = tiny.model_copy(
        update={
            "input": tiny.input.model_copy(update={"window": "shape"}),
            "augment": tiny.augment.model_copy(update={"crop_px": None}),
        }
    )
    framed = [
        Samples(s.names, np.pad(s.maps, around), np.pad(s.skeletons, around[1:])) for s in split
    ]
    trainer, state = Trainer(seen, *framed, device=CPU), build_state(seen, CPU)
    sides = {max(x.shape[2:]) for x, _ in trainer.loader}
    assert sides <= {32, 64, 96}  # of 128
    trainer.run(state, Callback(), label="", quiet=True)
    assert 0 < state.history[-1]["f1"] <= 1
    levels = trainer.predict_held_out(state.eval_model)
    for level, map_ in zip(levels, framed[1].maps):
        rows, columns = window_of(map_)
        outside = np.ones(level.shape, bool)
        outside[rows, columns] = False
        assert not level[outside].any()


def test_windows_of_shapes_are_trained_on_in_one_process(tiny, split):
    seen = tiny.model_copy(update={"input": tiny.input.model_copy(update={"window": "shape"})})
    with pytest.raises(UserError, match=r"^input\.window=shape has batches of many sizes"):
        Trainer(seen, *split, device=CPU, world=World(0, 2))
