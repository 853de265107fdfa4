"""What a training writes while it runs, and how it stops when it is asked to."""

import os
import signal

import pandas as pd
import pytest
import torch

from canet.core.console import Stopped, UserError
from canet.inference.distributed import ALONE
from canet.training import recorder
from canet.training.recorder import CHECKPOINT, Recorder
from canet.training.trainer import build_state

CPU = torch.device("cpu")


@pytest.fixture
def state(tiny):
    return build_state(tiny, CPU)


def record(folder, every_s: float = 1e9, **options) -> Recorder:
    folder.mkdir(exist_ok=True)
    return Recorder(folder, "mine", every_s=every_s, first_epoch=0, world=ALONE, **options)


@pytest.mark.parametrize(("every_s", "saved"), [(0, True), (1e9, False)])
def test_a_checkpoint_is_written_when_it_is_time(state, tmp_path, every_s, saved):
    with record(tmp_path, every_s) as made:
        made.on_step_end(state)
    assert (tmp_path / CHECKPOINT).is_file() == saved


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_asked_to_stop_it_saves_after_the_step(state, tmp_path, number, request):
    at_first = signal.signal(number, signal.default_int_handler)  # nohup ignores SIGHUP
    request.addfinalizer(lambda: signal.signal(number, at_first))
    before, state.epoch = signal.getsignal(number), 3
    with record(tmp_path) as made:
        os.kill(os.getpid(), number)
        assert not (tmp_path / CHECKPOINT).exists()  # the step is not over
        with pytest.raises(Stopped, match="asked to stop: saved in epoch 4"):
            made.on_step_end(state)
    assert signal.getsignal(number) == before
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["epoch"] == 3


def test_a_hang_up_that_is_ignored_stays_so(state, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with record(tmp_path) as made:
            os.kill(os.getpid(), signal.SIGHUP)
            made.on_step_end(state)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not (tmp_path / CHECKPOINT).exists()


def test_it_says_which_command_continues(state, tmp_path):
    with record(tmp_path, again="the other command") as made:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match="epoch 1, the other command continues from there"):
            made.on_step_end(state)
        with pytest.raises(Stopped, match="last epoch, the other command finishes"):
            made.on_training_end(state)


def test_asked_to_stop_during_the_last_evaluation_it_saves_and_stops(state, tmp_path):
    with record(tmp_path) as made:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match="saved after the last epoch"):
            made.on_training_end(state)
    assert (tmp_path / CHECKPOINT).exists()


def test_asked_again_it_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "SAME_REQUEST_S", -1)
    with record(tmp_path), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_figures_of_all_epochs_are_in_the_metrics(state, tmp_path):
    with record(tmp_path) as made:
        for epoch in (1, 2):
            state.history.append({"epoch": epoch, "loss": 1 / epoch, "lr": 0.1})
            state.epoch = epoch
            made.on_epoch_end(state)
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert table["epoch"].tolist() == [1, 2] and table["loss"].tolist() == [1, 0.5]
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_checkpoint_gives_back_all_that_training_changes(tiny, state, tmp_path):
    state.epoch, state.step, state.losses = 2, 1, [torch.tensor(0.5)]
    state.history, state.elapsed_s = [{"epoch": 1, "loss": 0.5}], 3.5
    with torch.no_grad():
        for parameter in (*state.model.parameters(), *state.ema.module.parameters()):
            parameter.add_(0.25)
    state.save(tmp_path / CHECKPOINT, "mine")
    fresh = build_state(tiny, CPU)
    assert not fresh.restore(tmp_path / CHECKPOINT, "another's", CPU) and fresh.epoch == 0
    assert not fresh.restore(tmp_path / "none.pt", "mine", CPU)
    assert fresh.restore(tmp_path / CHECKPOINT, "mine", CPU)
    assert (fresh.epoch, fresh.step, fresh.losses) == (2, 1, [torch.tensor(0.5)])
    assert (fresh.history, fresh.elapsed_s) == (state.history, 3.5)
    for ours, theirs in ((fresh.model, state.model), (fresh.eval_model, state.eval_model)):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters()))
    content = bytearray((tmp_path / CHECKPOINT).read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(UserError, match="damaged checkpoint"):
        build_state(tiny, CPU).restore(tmp_path / CHECKPOINT, "mine", CPU)
