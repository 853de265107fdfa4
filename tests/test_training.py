import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from canet import fitting, recipe, training, training_speed
from canet.files import REPOSITORY, UserError, read_grey, write_png
from canet.fitting import Fitting, learning_rate
from canet.folds import folds_path, write_folds
from canet.model_folder import load_model
from canet.samples import load_split
from canet.training import Recorder, fold_folder, train_fold

CPU = torch.device("cpu")


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def test_a_fold_leaves_everything_behind(tiny, tiny_folds):
    folder = train_fold(tiny, 0)
    names = {p.name for p in folder.iterdir()}
    assert names >= {
        "model",
        "metrics.csv",
        "curves.png",
        "panel.png",
        "held_out.npz",
        "tensorboard",
    }
    table = pd.read_csv(folder / "metrics.csv")
    assert table["epoch"].tolist() == [1, 2]
    assert 0 <= table["f1"].iloc[-1] <= 1
    held_out = np.load(folder / "held_out.npz")
    expected = tiny_folds["image"][tiny_folds["fold"] == 0].tolist()
    assert held_out["names"].tolist() == expected
    assert held_out["levels"].shape == (len(expected), 256, 256)
    facts = json.loads((folder / "model" / "training.json").read_text())
    assert set(facts["training_images"]).isdisjoint(expected)
    assert recipe.check(facts["recipe"], "stored").stored() == tiny.stored()


def test_a_finished_fold_is_not_trained_again(tiny, tiny_folds, capsys):
    folder = train_fold(tiny, 0)
    before = weights(folder)
    train_fold(tiny, 0)
    assert "skipped" in capsys.readouterr().out and weights(folder) == before


def test_a_damaged_or_deleted_result_is_made_again(tiny, tiny_folds):
    folder = train_fold(tiny, 0)
    before = weights(folder)
    (folder / "model" / "model.safetensors").write_bytes(b"broken")
    (folder / "held_out.npz").unlink()
    train_fold(tiny, 0)  # from the last checkpoint: no epoch is trained again
    assert weights(folder) == before and (folder / "held_out.npz").exists()
    assert not list(folder.parent.glob("*.old*"))


def test_set_aside_also_without_a_checkpoint(tiny, tiny_folds):
    folder = train_fold(tiny, 0)
    (folder / "checkpoint.pt").unlink()
    train_fold(tiny, 0, force=True)
    assert (folder.with_name("fold-0.old1") / "model").is_dir()


def test_an_unknown_encoder_is_one_line(tiny):
    wrong = tiny.model_copy(update={"model": tiny.model.model_copy(update={"encoder": "resnot"})})
    with pytest.raises(UserError, match=r"model\.encoder=resnot: cannot be built"):
        fitting.build_model(wrong)


def test_another_training_is_set_aside_not_lost(tiny, tiny_folds, overrides):
    folder = train_fold(tiny, 0)
    before = weights(folder)
    train_fold(recipe.load("demo", [*overrides, "train.lr=0.1"]), 0)
    assert weights(folder.with_name("fold-0.old1")) == before
    assert weights(folder) != before


def test_fold_all_holds_out_nothing(tiny, tiny_folds):
    folder = train_fold(tiny, "all")
    facts = json.loads((folder / "model" / "training.json").read_text())
    assert len(facts["training_images"]) == 15
    assert not (folder / "held_out.npz").exists()


@pytest.mark.parametrize("after", [1, 5, 9])
def test_an_interrupted_training_ends_bit_for_bit_the_same(tiny, tiny_folds, monkeypatch, after):
    """4 epochs = some steps, an abrupt end, the rest; 3 steps an epoch here."""
    four = tiny.model_copy(update={"train": tiny.train.model_copy(update={"epochs": 4})})
    whole = weights(train_fold(four, 0))
    history = pd.read_csv(fold_folder(four, 0) / "metrics.csv")["loss"].tolist()
    steps, true_step = [], Recorder.after_step

    def stop_after(self, state):
        self.save(state)
        steps.append(state.epoch)
        if len(steps) == after:
            raise KeyboardInterrupt
        true_step(self, state)

    monkeypatch.setattr(Recorder, "after_step", stop_after)
    with pytest.raises(KeyboardInterrupt):
        train_fold(four, 0, force=True)
    monkeypatch.undo()
    folder = train_fold(four, 0)
    assert weights(folder) == whole
    assert pd.read_csv(folder / "metrics.csv")["loss"].tolist() == history


def train_command(overrides: list[str]) -> list[str]:
    script = str(REPOSITORY / "src" / "train.py")
    return [sys.executable, script, "--recipe", "demo", "--fold", "0", "--set", *overrides]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_continues_bit_for_bit(tiny, tiny_folds, overrides, number):
    """4 epochs = about 2 + kill + about 2, with a real process and a real signal."""
    longer = [*overrides, "train.epochs=4", "machine.checkpoint_every_s=0", "name=killed"]
    command = train_command(longer)
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = fold_folder(recipe.load("demo", longer), 0)
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
    whole = recipe.load("demo", [*overrides, "train.epochs=4", "name=whole"])
    assert weights(folder) == weights(train_fold(whole, 0))


def test_a_damaged_checkpoint_is_one_line(tiny, tiny_folds):
    folder = fold_folder(tiny, 0)
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"damaged checkpoint.*--force"):
        train_fold(tiny, 0)


def test_out_of_memory_names_the_largest_batch(tiny, tiny_folds, monkeypatch):
    learn = fitting.Fitting.learn

    def small_memory(self, model, state, x, y):
        if len(x) > 3:
            raise torch.OutOfMemoryError
        return learn(self, model, state, x, y)

    monkeypatch.setattr(fitting.Fitting, "learn", small_memory)
    hungry = tiny.model_copy(update={"train": tiny.train.model_copy(update={"batch": 10})})
    with pytest.raises(UserError, match=r"train\.batch=10.*train\.batch=3$"):
        train_fold(hungry, 0)


@pytest.mark.parametrize("limit", [0, 1, 5, 9])
def test_largest_batch_by_bisection(limit):
    assert training.largest_batch(lambda b: b <= limit, 10) == limit


def test_learning_rate_warms_up_and_ends_at_zero():
    settings = recipe.Train(lr=0.1, epochs=10, warmup_epochs=2)
    assert learning_rate(settings, 0) < 0.001
    assert learning_rate(settings, 1) == pytest.approx(0.05, rel=0.01)
    assert learning_rate(settings, 2) == pytest.approx(0.1)
    assert learning_rate(settings, 6) == pytest.approx(0.05)
    assert learning_rate(settings, 10) == pytest.approx(0, abs=1e-9)
    assert learning_rate(recipe.Train(), 0) == 0.02


def test_diverging_is_one_line(tiny, tiny_folds):
    wild = {"lr": 1e30, "clip_norm": None, "optimizer": "sgd", "warmup_epochs": 0}
    wild = tiny.model_copy(update={"train": tiny.train.model_copy(update=wild)})
    with pytest.raises(UserError, match=r"lower train\.lr"):
        train_fold(wild, 0)


def test_missing_folds_say_what_to_run(tiny):
    with pytest.raises(UserError, match="make_folds"):
        train_fold(tiny, 0)


def test_tuned_loss_is_used_and_must_exist(tiny, tiny_folds):
    tuned = tiny.model_copy(update={"loss": tiny.loss.model_copy(update={"tuned": True})})
    with pytest.raises(UserError, match="tune_loss"):
        train_fold(tuned, 0)
    folder = fold_folder(tiny, 0)
    folder.mkdir(parents=True)
    loss = tuned.loss.model_copy(update={"focal": 7.0})
    (folder / "tuned_loss.json").write_text(json.dumps({"loss": loss.model_dump()}))
    train_fold(tuned, 0)
    assert load_model(folder / "model", CPU).recipe.loss.focal == 7.0


def test_a_student_learns_from_a_teacher_of_the_same_images(tiny, tiny_folds, overrides, tmp_path):
    taught = [*overrides, "name=student", "distill.teacher=tiny", "distill.share=1"]
    with pytest.raises(UserError, match="teacher=tiny is not trained"):
        train_fold(recipe.load("demo", taught), 0)
    teacher = train_fold(tiny, 0)
    folder = train_fold(recipe.load("demo", taught), 0)
    assert weights(folder) != weights(teacher)
    facts = json.loads((folder / "model" / "training.json").read_text())
    assert facts["recipe"]["distill"]["teacher"] == "tiny"
    with pytest.raises(UserError, match="input is repaired_distance, this recipe's shape"):
        train_fold(recipe.load("demo", [*taught, "input.kind=shape"]), 0)
    other = [*taught, "folds.seed=1", f"data.folds={tmp_path / 'others'}"]
    turned = tiny_folds.assign(fold=(tiny_folds["fold"] + 1) % 3)
    write_folds(folds_path(recipe.load("demo", other)), turned)
    with pytest.raises(UserError, match="trained on other images"):
        train_fold(recipe.load("demo", other), 0)


def test_a_training_begins_with_the_weights_of_another(tiny, tiny_folds, overrides, tmp_path):
    tuned = [*overrides, "name=later", "train.start_from=tiny", "train.lr=1e-12"]
    with pytest.raises(UserError, match="start_from=tiny is not trained"):
        train_fold(recipe.load("demo", tuned), 0)
    first = train_fold(tiny, 0)
    folder = train_fold(recipe.load("demo", [*tuned, "train.ema_decay=null"]), 0)
    before, after = (load_model(f / "model", CPU).network for f in (first, folder))
    for a, b in zip(before.parameters(), after.parameters()):
        torch.testing.assert_close(a, b)
    with pytest.raises(UserError, match="another network"):
        train_fold(recipe.load("demo", [*tuned, "model.blocks=3"]), 0)
    with pytest.raises(UserError, match="asked other things"):
        train_fold(recipe.load("demo", [*tuned, "loss.points=0.5"]), 0)


def test_a_training_does_not_begin_with_weights_that_know_its_held_out_images(
    tiny, tiny_folds, overrides
):
    train_fold(tiny, "all")
    with pytest.raises(UserError, match="of the images held out here, such as"):
        train_fold(recipe.load("demo", [*overrides, "name=later", "train.start_from=tiny"]), 0)


def test_what_a_network_knows_is_handed_on(tiny, tiny_folds, overrides, tmp_path):
    """From a copy of the data elsewhere, and by way of a network of other images in between."""
    roots = {"first": tmp_path / "copied", "second": tmp_path / "others"}
    for root in roots.values():
        shutil.copytree(tiny.data_root, root)
    for path in (roots["second"] / tiny.data.train_skeletons).iterdir():
        write_png(path, np.roll(read_grey(path), 1, 0))  # labels that nobody holds out
    for name, root in roots.items():
        own = [*overrides, f"name={name}", f"data.root={root}", f"data.folds={tmp_path / name}"]
        own += ["train.start_from=first"] * (name == "second")
        write_folds(folds_path(recipe.load("demo", own)), tiny_folds)
        train_fold(recipe.load("demo", own), "all")
        later = [*overrides, "name=later", f"train.start_from={name}"]
        with pytest.raises(UserError, match="of the images held out here, such as"):
            train_fold(recipe.load("demo", later), 0)


def test_the_target_is_a_mixture_of_label_and_teacher(tiny, tiny_folds):
    train, _ = load_split(tiny, 0)
    teacher = torch.nn.Conv2d(1, 1, 1)
    share = tiny.model_copy(update={"distill": tiny.distill.model_copy(update={"share": 0.25})})
    x, y = torch.rand(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    mixed = Fitting(share, train, None, CPU, teacher=teacher).target(x, y)
    torch.testing.assert_close(mixed, 0.75 + 0.25 * teacher(x).sigmoid())
    assert not mixed.requires_grad
    assert Fitting(share, train, None, CPU).target(x, y) is y


@pytest.mark.parametrize("resident", [False, True])
def test_a_share_of_the_epochs_is_native(tiny, tiny_folds, resident):
    train, _ = load_split(tiny, 0)
    chosen = tiny.model_copy(
        update={
            "augment": tiny.augment.model_copy(update={"native_share": 0.25}),
            "train": tiny.train.model_copy(update={"epochs": 8}),
            "machine": tiny.machine.model_copy(update={"resident": resident}),
        }
    )
    loader = Fitting(chosen, train, None, CPU).loader
    assert (loader if resident else loader.dataset).native_from == 6  # the last two


def test_images_on_the_device_and_a_break_end_bit_for_bit_alike(tiny, tiny_folds, monkeypatch):
    resident = tiny.machine.model_copy(update={"resident": True})
    kept = tiny.model_copy(update={"machine": resident})
    whole = weights(train_fold(kept, 0))
    steps = iter(range(5))
    learn = Fitting.learn

    def broken(*arguments):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return learn(*arguments)

    always = resident.model_copy(update={"checkpoint_every_s": 0})
    kept = kept.model_copy(update={"machine": always})
    monkeypatch.setattr(Fitting, "learn", broken)
    with pytest.raises(KeyboardInterrupt):
        train_fold(kept, 0, force=True)
    monkeypatch.undo()
    assert weights(train_fold(kept, 0)) == whole


def test_a_model_folder_loads_without_code_or_network(tiny, tiny_folds):
    folder = train_fold(tiny, 0)
    model = load_model(folder / "model", CPU)
    levels = np.load(folder / "held_out.npz")["levels"]
    _, held_out = load_split(tiny, 0)
    with torch.inference_mode():
        probability = model.network(torch.from_numpy(held_out.maps)).sigmoid().numpy()[:, 0]
    assert np.abs(probability - levels / 256).max() < 1 / 256 + 1e-4
    (folder / "model" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="damaged model"):
        load_model(folder / "model", CPU)


def test_network_and_loss_are_compiled_together(tiny, tiny_folds):
    """With the eager backend, which traces everything and generates nothing."""
    train, _ = load_split(tiny, 0)
    losses = []
    for wanted in (False, True):
        machine = tiny.machine.model_copy(update={"compile": wanted, "resident": True})
        chosen = tiny.model_copy(update={"machine": machine})
        state, fit = fitting.start(chosen, CPU), Fitting(chosen, train, None, CPU)
        with pytest.MonkeyPatch.context() as patch:
            eager = functools.partial(torch.compile, backend="eager", fullgraph=True)
            patch.setattr(torch, "compile", lambda made, mode, eager=eager: eager(made))
            model = fit.compiled(state.model).train()
        assert ("loss_of" in vars(fit)) == wanted
        losses.append([fit.learn(model, state, x, y) for x, y in itertools.islice(fit.loader, 2)])
    torch.testing.assert_close(*losses)


def test_each_row_of_the_speed_ladder_adds_to_those_before(tiny):
    rows = [training_speed.settings_up_to(name) for name in training_speed.CHANGES]
    assert rows[0] == training_speed.PLAIN and rows[-1]["train.batch"] == 64
    assert rows[4]["machine.compile"] is True and rows[4]["machine.channels_last"] is True
    samples = training_speed.generated_samples(tiny, 2)
    narrow = training_speed.image_flop(tiny, samples, CPU)
    model = tiny.model.model_copy(update={"encoder": "resblock8"})
    wide = training_speed.image_flop(tiny.model_copy(update={"model": model}), samples, CPU)
    assert 3 < wide / narrow < 4.1


@pytest.mark.parametrize("name", recipe.available())
def test_every_recipes_training_can_be_timed(name):
    given = recipe.load(name)
    samples = training_speed.generated_samples(given, 2)
    settings = training_speed.PLAIN | {"train.batch": 2}
    loop, _ = training_speed.prepare(given, settings, samples, CPU)
    x, y = next(iter(loop.loader))
    assert len(x) == len(y) == 2 and x.shape[2:] == y.shape[2:]
