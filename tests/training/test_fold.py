"""A fold from images to its folder: what is left, what is skipped, what continues."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import copy_folder, tiny_recipe, write_tiny_folds

from canet.core.console import Stopped, UserError
from canet.core.files import read_json, write_json
from canet.core.recipe import Recipe, check
from canet.core.recipe_files import load
from canet.core.runs import fold_folder
from canet.data.folds import write_folds
from canet.data.training_set import TrainingSet
from canet.inference.predict import predict_levels
from canet.inference.saved_model import load_model
from canet.training import fold, origin
from canet.training.fold import search_fingerprint, set_aside, train_fold
from canet.training.recorder import Recorder
from canet.training.trainer import Trainer, build_state

CPU = torch.device("cpu")


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def with_keys(recipe: Recipe, section: str, **keys) -> Recipe:
    changed = getattr(recipe, section).model_copy(update=keys)
    return recipe.model_copy(update={section: changed})


def test_a_fold_leaves_everything_behind(trained):
    folder = fold_folder(trained, 0)
    names = {"model", "metrics.csv", "curves.png", "panel.png", "held_out.npz", "tensorboard"}
    assert {p.name for p in folder.iterdir()} >= names
    table = pd.read_csv(folder / "metrics.csv")
    assert table["epoch"].tolist() == [1, 2]
    assert 0 <= table["f1"].iloc[-1] <= 1
    held_out = np.load(folder / "held_out.npz")
    folds = TrainingSet(trained).folds
    expected = folds["image"][folds["fold"] == 0].tolist()
    assert held_out["names"].tolist() == expected
    assert held_out["levels"].shape == (len(expected), 64, 64)
    facts = json.loads((folder / "model" / "training.json").read_text())
    assert set(facts["training_images"]).isdisjoint(expected)
    stored, expected = check(facts["recipe"], "stored").stored(), trained.stored()
    for recipe in (stored, expected):
        del recipe["data"]["folds"]  # where it was trained, and here
    assert stored == expected


def test_a_finished_fold_is_not_trained_again(trained, capsys):
    folder = fold_folder(trained, 0)
    before = weights(folder)
    train_fold(trained, 0)
    assert "skipped" in capsys.readouterr().out and weights(folder) == before


def test_a_damaged_or_deleted_result_is_made_again(trained, monkeypatch):
    folder = fold_folder(trained, 0)
    before = weights(folder)
    (folder / "model" / "model.safetensors").write_bytes(b"broken")
    (folder / "held_out.npz").unlink()
    monkeypatch.delattr(Trainer, "train_step")  # from the last checkpoint: nothing is trained
    train_fold(trained, 0)
    assert weights(folder) == before and (folder / "held_out.npz").exists()
    assert not list(folder.parent.glob("*.old*"))


def test_other_code_that_trained_is_named(trained, monkeypatch, capsys):
    folder = fold_folder(trained, 0)
    before = weights(folder)
    monkeypatch.setattr(fold, "training_code", lambda: "changed")
    train_fold(trained, 0)
    commit = read_json(folder / "model" / "training.json")["commit"]
    said = f"trained by other code (commit {commit}), --force trains it again\n"
    assert capsys.readouterr().out == f"   fold 0: skipped; {said}"
    (folder / "done.json").unlink()
    train_fold(trained, 0)  # from its checkpoint
    assert capsys.readouterr().out.endswith(f"continues in epoch 3; {said}")
    done = read_json(folder / "done.json")
    write_json(folder / "done.json", {k: v for k, v in done.items() if k != "code"})
    train_fold(trained, 0)  # as earlier versions left it
    assert "other code" not in capsys.readouterr().out and weights(folder) == before


def test_a_model_tells_of_all_that_trained_it(trained, monkeypatch):
    folder = fold_folder(trained, 0)
    whole = read_json(folder / "model" / "training.json")
    monkeypatch.setattr(origin, "commit", lambda: "later")
    train_fold(with_keys(trained, "predict", tta=True), 0)  # predicts alone
    predicted = read_json(folder / "model" / "training.json")
    told = (*origin.ORIGIN.keys() - {"code"}, "training_s")
    assert {k: predicted[k] for k in told} == {k: whole[k] for k in told}
    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_fold(trained, 0, force=True)
    monkeypatch.undo()
    monkeypatch.setattr(origin, "commit", lambda: "last")
    monkeypatch.setattr(origin, "versions", lambda: whole["versions"] | {"torch": "9", "new": "1"})
    train_fold(trained, 0)
    facts = read_json(folder / "model" / "training.json")
    assert facts["commit"] == "later; last" and facts["device"] == whole["device"]
    assert facts["versions"]["torch"] == f"{whole['versions']['torch']}; 9"
    assert facts["versions"]["new"] == "1"


def test_a_model_of_an_old_checkpoint_keeps_what_it_tells(trained, monkeypatch):
    folder = fold_folder(trained, 0)
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    del content["origins"]
    torch.save(content, folder / "checkpoint.pt")
    before = read_json(folder / "model" / "training.json")
    monkeypatch.setattr(origin, "commit", lambda: "later")
    train_fold(with_keys(trained, "predict", tta=True), 0)
    assert read_json(folder / "model" / "training.json")["commit"] == before["commit"] != "later"


def test_who_began_an_old_checkpoint_is_not_known(trained, monkeypatch):
    folder = fold_folder(trained, 0)
    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_fold(trained, 0, force=True)
    monkeypatch.undo()
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    del content["origins"]
    torch.save(content, folder / "checkpoint.pt")
    train_fold(trained, 0)
    assert read_json(folder / "done.json")["code"] == ""


@pytest.mark.parametrize("name", ["training.json", "config.json"])
def test_damaged_facts_are_written_again(trained, monkeypatch, name):
    path = fold_folder(trained, 0) / "model" / name
    path.write_text("{")
    monkeypatch.delattr(Trainer, "train_step")
    train_fold(trained, 0)
    assert json.loads(path.read_text()) and not list(trained.run_folder.glob("*.old*"))
    done = read_json(path.parents[1] / "done.json")
    del done["outputs"][f"model/{name}"]  # as earlier versions wrote it
    write_json(path.parents[1] / "done.json", done)
    assert fold.is_done(path.parents[1], done["identity"])


def test_eight_views_are_predicted_where_the_recipe_asks(trained, monkeypatch):
    folder = fold_folder(trained, 0)
    assert "levels_tta" not in np.load(folder / "held_out.npz")
    before, one_view = weights(folder), np.load(folder / "held_out.npz")["levels"]
    monkeypatch.delattr(Trainer, "train_step")
    asked = with_keys(trained, "predict", tta=True)
    train_fold(asked, 0)
    held_out = np.load(folder / "held_out.npz")
    assert weights(folder) == before and (held_out["levels"] == one_view).all()
    maps, network = TrainingSet(asked).split(0)[1].maps, load_model(folder / "model", CPU).network
    on = {"device": CPU, "precision": "float32", "batch": asked.predict.batch}
    expected = predict_levels([network], maps, **on, tta=True)
    assert np.abs(held_out["levels_tta"].astype(int) - expected).max() <= 1
    written = (folder / "done.json").stat().st_mtime_ns
    train_fold(trained, 0)  # who asks for less finds it there
    assert (folder / "done.json").stat().st_mtime_ns == written


def test_set_aside_also_without_a_checkpoint(trained):
    folder = fold_folder(trained, 0)
    (folder / "checkpoint.pt").unlink()
    train_fold(trained, 0, force=True)
    assert (folder.with_name("fold-0.old1") / "model").is_dir()


def test_another_training_is_set_aside_not_lost(trained):
    folder = fold_folder(trained, 0)
    before = weights(folder)
    train_fold(with_keys(trained, "train", lr=0.1), 0)
    assert weights(folder.with_name("fold-0.old1")) == before
    assert weights(folder) != before


def test_fold_all_holds_out_nothing(tiny, tiny_folds):
    folder = train_fold(with_keys(tiny, "train", epochs=1), "all")
    facts = json.loads((folder / "model" / "training.json").read_text())
    assert len(facts["training_images"]) == 15
    assert not (folder / "held_out.npz").exists()


def stop_after(steps: int, monkeypatch) -> None:
    """Save after every step, and break off abruptly after so many."""
    done, true_step = [], Recorder.on_step_end

    def on_step_end(self, state):
        self.save(state)
        done.append(state.epoch)
        if len(done) == steps:
            raise KeyboardInterrupt
        true_step(self, state)

    monkeypatch.setattr(Recorder, "on_step_end", on_step_end)


@pytest.mark.parametrize("force", [True, False])
def test_a_forced_training_that_is_stopped_is_continued_without(trained, monkeypatch, force):
    if not force:
        (fold_folder(trained, 0) / "done.json").unlink()
    monkeypatch.setattr(Recorder, "_is_asked_to_stop", lambda self: True)
    again = "the same command without --force" if force else "the same command"
    with pytest.raises(Stopped, match=f", {again} (continues|finishes)"):
        train_fold(trained, 0, force=force)
    monkeypatch.undo()
    train_fold(trained, 0)
    assert len(list(fold_folder(trained, 0).parent.glob("fold-0.old*"))) == force


# windows: of shapes drawn anew, in batches of many sizes, by the optimizer of canet_axis
WAYS = {
    "loader": ["machine.resident=false"],
    "resident": ["machine.resident=true"],
    "windows": [
        "input.window=shape",
        "augment.crop_px=null",
        "augment.relabel=0.5",
        "train.optimizer=muon",
    ],
}


@pytest.fixture(scope="module")
def whole(request, data_root, tmp_path_factory) -> tuple[Recipe, Path]:
    """Four epochs without a break, in each of these ways, and the folder of all files."""
    home = tmp_path_factory.mktemp("whole")
    recipe = tiny_recipe(data_root, home, "train.epochs=4", *WAYS[request.param])
    write_tiny_folds(recipe)
    train_fold(recipe, 0)
    return recipe, home


def compare_with_interrupted(recipe: Recipe, home: Path, tmp_path, monkeypatch, after: int):
    """4 epochs = some steps, an abrupt end, the rest; 3 steps an epoch here."""
    copy_folder(home, tmp_path)
    here = with_keys(recipe, "machine", runs=tmp_path / "runs", cache=tmp_path / "cache")
    folder = fold_folder(here, 0)
    stop_after(after, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_fold(here, 0, force=True)
    monkeypatch.undo()
    assert not (folder / "done.json").exists()
    train_fold(here, 0)
    assert weights(folder) == weights(fold_folder(recipe, 0))
    losses = [pd.read_csv(fold_folder(r, 0) / "metrics.csv")["loss"] for r in (here, recipe)]
    assert losses[0].tolist() == losses[1].tolist()


@pytest.mark.parametrize("after", [1, 5, 9])
@pytest.mark.parametrize("whole", ["loader", "resident"], indirect=True)
def test_an_interrupted_training_ends_bit_for_bit_the_same(whole, tmp_path, monkeypatch, after):
    compare_with_interrupted(*whole, tmp_path, monkeypatch, after)


@pytest.mark.parametrize("whole", ["windows"], indirect=True)
def test_so_does_one_of_windows_with_labels_drawn_anew(whole, tmp_path, monkeypatch):
    compare_with_interrupted(*whole, tmp_path, monkeypatch, after=5)


def test_moments_lie_in_memory_as_their_parameters_do(trained):
    """Fused optimizers walk both side by side, whatever format the checkpoint was written in."""
    folder = fold_folder(trained, 0)
    identity = read_json(folder / "done.json")["identity"]
    for channels_last in (True, False):
        state = build_state(with_keys(trained, "machine", channels_last=channels_last), CPU)
        assert state.restore(folder / "checkpoint.pt", identity, CPU)
        optimizer = torch.load(folder / "checkpoint.pt", weights_only=True)["optimizer"]
        saved, groups = optimizer["state"], optimizer["param_groups"]
        for number, (parameter, kept) in enumerate(state.optimizer.state.items()):
            assert kept["exp_avg"].stride() == parameter.stride()
            assert torch.equal(kept["exp_avg"], saved[number]["exp_avg"])
        assert state.optimizer.param_groups[0]["lr"] == groups[0]["lr"] < trained.train.lr


def test_a_damaged_checkpoint_is_one_line(tiny, tiny_folds):
    folder = fold_folder(tiny, 0)
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"damaged checkpoint.*--force"):
        train_fold(tiny, 0)


def test_missing_folds_say_what_to_run(tiny):
    with pytest.raises(UserError, match="make_folds"):
        train_fold(tiny, 0)


@pytest.fixture
def tuned(tiny, tiny_folds) -> Recipe:
    """A recipe whose loss search has ended with λ_focal 7."""
    recipe = with_keys(with_keys(tiny, "loss", tuned=True), "train", epochs=1)
    found = {"loss": recipe.loss.model_copy(update={"focal": 7.0}).model_dump()}
    found["identity"] = search_fingerprint(recipe, 0, TrainingSet(recipe))
    write_json(fold_folder(recipe, 0) / "tuned_loss.json", found)
    return recipe


def test_tuned_loss_is_used_and_must_exist(tuned):
    folder = fold_folder(tuned, 0)
    with pytest.raises(UserError, match=r"search has not ended; run src/tune_loss.py --fold 1"):
        train_fold(tuned, 1)
    train_fold(tuned, 0)
    assert load_model(folder / "model", CPU).recipe.loss.focal == 7.0


def test_a_loss_tuned_on_other_folds_is_refused(tuned, tiny_folds):
    """Else images that are held out now may have chosen it."""
    images = TrainingSet(tuned)
    write_folds(images.folds_path, tiny_folds.assign(fold=(tiny_folds["fold"] + 1) % 3))
    with pytest.raises(UserError, match=r"was on other images, folds.*run src/tune_loss.py"):
        train_fold(tuned, 0)
    assert not (fold_folder(tuned, 0) / "model").exists()


def test_a_tuned_loss_stays_when_a_training_is_set_aside(tuned, monkeypatch):
    folder, written = fold_folder(tuned, 0), []
    train_fold(tuned, 0)
    before = (folder / "tuned_loss.json").read_bytes()
    monkeypatch.setattr(fold, "write_with", lambda path, write: written.append(path))
    set_aside(folder)  # it writes the copy in one piece
    assert written == [folder / "tuned_loss.json"]
    assert (folder.with_name("fold-0.old1") / "tuned_loss.json").read_bytes() == before


def test_a_network_learns_from_and_predicts_with_several_channels(overrides, tiny_folds):
    several = ["input.kind=repaired_distance+candidates+salience", "train.epochs=1"]
    folder = train_fold(load("demo", [*overrides, *several]), 0)
    network = load_model(folder / "model", CPU).network
    assert network(torch.zeros(1, 5, 64, 64)).shape == (1, 1, 64, 64)
    assert len(np.load(folder / "held_out.npz")["levels"]) == 5


def test_images_that_were_read_already_are_not_read_again(trained, monkeypatch):
    images = TrainingSet(trained)
    images.split(0)
    before = weights(fold_folder(trained, 0))
    monkeypatch.setattr("canet.training.fold.TrainingSet", None)
    train_fold(with_keys(trained, "train", epochs=1), 0, images=images)
    assert weights(fold_folder(trained, 0)) != before
