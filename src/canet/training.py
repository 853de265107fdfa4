"""Training one fold, from cached maps to a model folder; it continues wherever it was killed."""

import gc
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.tensorboard import SummaryWriter

from canet import pictures
from canet.dataset import ImageFolders
from canet.device import describe
from canet.distributed import World, join
from canet.files import (
    Stopped,
    UserError,
    digest_of,
    digest_of_files,
    locked,
    read_json,
    sha256_of,
    shown,
    write_json,
    write_with,
)
from canet.fitting import Fitting, State, Watch, start
from canet.folds import folds_path, require_folds
from canet.input_kinds import shown_channel
from canet.metrics import best_threshold
from canet.model_folder import save_model
from canet.prior_runs import DONE, digests_of, load_prior, prior_outputs
from canet.recipe import Loss, Recipe, check
from canet.samples import Samples, load_split
from canet.stage import commit, versions

CHECKPOINT, WEIGHTS = "checkpoint.pt", "model/model.safetensors"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAME_REQUEST_S = 1.0  # a terminal and torchrun both pass on one Ctrl-C
TRAINING_SECTIONS = ("input", "model", "loss", "distill", "augment", "train", "folds")


def fold_number(text: str) -> int | str:
    """A fold from the command line: a number, or `all`."""
    if text != "all" and not text.isdecimal():
        raise UserError(f"--fold {text}: expected a number such as 0, or all")
    return text if text == "all" else int(text)


def fold_folder(recipe: Recipe, fold: int | str) -> Path:
    return recipe.run_folder / f"fold-{fold}"


def with_tuned_loss(recipe: Recipe, fold: int | str) -> Recipe:
    """The recipe with the loss that the search found for this fold, where it asks for that.

    Raises:
        UserError: the recipe wants a tuned loss and there is none yet.
    """
    if not recipe.loss.tuned:
        return recipe
    path = fold_folder(recipe, fold) / "tuned_loss.json"
    found = read_json(path, loss=dict)
    if not found:
        raise UserError(
            f"{shown(path)}: loss.tuned is set and the loss search has not ended; run "
            f"src/tune_loss.py --fold {fold} --trials 20 with the same --recipe and --set"
        )
    return recipe.model_copy(update={"loss": check(found["loss"], shown(path), Loss)})


def identity_of(recipe: Recipe, fold: int | str) -> str:
    """A digest of all that a training depends on: recipe, fold, images, folds, earlier runs."""
    folders = ImageFolders(recipe.data_root, recipe.data)
    extra = [digest_of_files(data.training_files()) for data in folders.extra]
    settings = recipe.settings(*TRAINING_SECTIONS)
    settings["train"].pop("folds")  # which other folds are trained does not matter to this one
    parts = {
        "recipe": settings,
        "fold": fold,
        "images": digest_of_files(folders.training_files()),
        "folds": digest_of_files([require_folds(folds_path(recipe))]),
    }
    if extra:
        parts["extra"] = extra
    return digest_of(parts | prior_outputs(recipe, fold))


class Recorder(Watch):
    """TensorBoard, `metrics.csv` and checkpoints, also when SIGTERM or Ctrl-C asks to stop.

    Of several processes the first writes; all stop after the same step.
    """

    def __init__(self, folder: Path, identity: str, every_s: float, first_epoch: int, world: World):
        self.folder, self.identity, self.every_s, self.world = folder, identity, every_s, world
        self.asked_at, self.saved_at, self.save_s = None, time.monotonic(), 0.0
        if world.is_first:
            self.board = SummaryWriter(folder / "tensorboard", purge_step=first_epoch + 1)

    def __enter__(self) -> "Recorder":
        self.catches = threading.current_thread() is threading.main_thread()
        if self.catches:
            self.previous = {s: signal.signal(s, self._note) for s in STOP_SIGNALS}
        return self

    def _note(self, *_: object) -> None:
        now = time.monotonic()
        if self.asked_at and now - self.asked_at > SAME_REQUEST_S:
            raise KeyboardInterrupt  # asked twice: at once, from the last checkpoint on
        self.asked_at = self.asked_at or now

    def __exit__(self, *_: object) -> None:
        if self.world.is_first:
            self.board.close()
        if self.catches:
            for number, handler in self.previous.items():
                signal.signal(number, handler)

    def save(self, state: State) -> None:
        if not self.world.is_first:
            return
        began = time.monotonic()
        state.save(self.folder / CHECKPOINT, self.identity)
        self.saved_at = time.monotonic()
        self.save_s = self.saved_at - began

    def after_step(self, state: State) -> None:
        if self.world.any(self.asked_at is not None):
            self.save(state)
            raise Stopped(
                f"asked to stop: saved in epoch {state.epoch + 1}, "
                f"the same command continues from there"
            )
        # a large model on a slow disk spends at most a twentieth of its time on saving
        if time.monotonic() - self.saved_at >= max(self.every_s, 20 * self.save_s):
            self.save(state)

    def after_epoch(self, state: State) -> None:
        if not self.world.is_first:
            return
        row = state.history[-1]
        for name in {"loss", "lr", "f1", "threshold"} & row.keys():
            self.board.add_scalar(name, row[name], state.epoch)
        table = pd.DataFrame(state.history)
        write_with(self.folder / "metrics.csv", lambda t: table.to_csv(t, index=False))


def is_done(folder: Path, identity: str) -> bool:
    """Whether this training has ended and what it left is intact."""
    done = read_json(folder / DONE, identity=str, outputs=dict)
    return (
        done is not None
        and done["identity"] == identity
        and WEIGHTS in done["outputs"]
        and all(
            (folder / name).is_file() and sha256_of(folder / name) == digest
            for name, digest in done["outputs"].items()
        )
    )


def set_aside(folder: Path) -> Path:
    """Rename the folder of another experiment's training, so that nothing is lost."""
    number = 1
    while (kept := folder.with_name(f"{folder.name}.old{number}")).exists():
        number += 1
    folder.rename(kept)
    return kept


def train_fold(recipe: Recipe, fold: int | str, force: bool = False, averaged: bool = True) -> Path:
    """Train one fold, or continue it, and write its folder; under torchrun, with all processes.

    Args:
        recipe: resolved; stored with the model.
        fold: number of the held-out fold, or `all` to train on every image.
        force: start over; what was there is renamed, never deleted.
        averaged: also predict the held-out images from eight views, which takes eight times longer.

    Returns:
        the fold's folder: `model/`, `metrics.csv`, `curves.png`, `panel.png`,
        `held_out.npz` (names and probabilities as uint8 levels, from one view and, if wanted,
        averaged over eight), `tensorboard/`.

    Raises:
        UserError: no folds or images, out of memory (with the batch that fits), SIGTERM, or
            another process trains this fold.
    """
    recipe, folder = with_tuned_loss(recipe, fold), fold_folder(recipe, fold)
    world, device = join(recipe.machine.device)
    with ExitStack() as held:
        if world.is_first:
            problem = f"fold {fold} is being trained by {{holder}}; wait for it, or stop it"
            held.enter_context(locked(folder.with_name(f".{folder.name}.lock"), problem))
        _train(recipe, fold, folder, force, averaged, world, device)
    return folder


def _train(
    recipe: Recipe,
    fold: int | str,
    folder: Path,
    force: bool,
    averaged: bool,
    world: World,
    device: torch.device,
) -> None:
    identity = identity_of(recipe, fold)
    if world.share(is_done(folder, identity)) and not force:
        print(f"   fold {fold}: trained already, skipped (--force does it again)", flush=True)
        return
    origin = {"commit": commit(), "versions": versions()}
    with world.first_alone():  # it may build the cache
        train, held_out = load_split(recipe, fold)
    prior = load_prior(recipe, fold, train, held_out, device)
    origin["known_images"] = sorted(prior.known | set(digests_of(train).values()))
    state = start(recipe, device, prior.start)
    fitting = Fitting(recipe, train, held_out, device, world, prior.teacher)
    resumed = _continue(state, folder, identity, fold, force, world, device)
    parameters = sum(p.numel() for p in state.model.parameters()) / 1e6
    print(
        f"   fold {fold}: {len(train)} images, {len(held_out) if held_out else 0} held out, "
        f"{parameters:.2f} M parameters, {describe(device)}, {fitting.precision}"
        + (f", {world.size} processes" if world.size > 1 else "")
        + (f", continues in epoch {state.epoch + 1}" if resumed else ""),
        flush=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    every_s = recipe.machine.checkpoint_every_s
    try:
        with Recorder(folder, identity, every_s, state.epoch, world) as recorder:
            fitting.run(state, recorder, f"fold {fold}")
            recorder.save(state)
    except (torch.OutOfMemoryError, MemoryError):
        del state, fitting  # what they hold must not count when batches are tried
    else:
        _finish(fitting, state, folder, {"fold": fold, "identity": identity} | origin, averaged)
        return
    gc.collect()
    raise UserError(_explain_memory(recipe, train, device, world))


def _continue(
    state: State,
    folder: Path,
    identity: str,
    fold: int | str,
    force: bool,
    world: World,
    device: torch.device,
) -> bool:
    """Whether the state continues from this training's checkpoint, the same in every process."""
    path, resumed = folder / CHECKPOINT, False
    if world.is_first:
        resumed = not force and state.restore(path, identity, device)
        if not resumed and any((folder / name).exists() for name in (CHECKPOINT, DONE, "model")):
            print(f"   fold {fold}: another training was here, kept as {shown(_aside(folder))}")
    resumed = world.share(resumed)
    if resumed and not world.is_first and not state.restore(path, identity, device):
        raise UserError(
            f"{shown(path)}: the first process continues from it, process {world.rank} does not "
            f"see it; all machines need the same runs folder (machine.runs)"
        )
    return resumed


def _aside(folder: Path) -> Path:
    """Set a training aside but keep what was made for the next one: its tuned loss."""
    kept = set_aside(folder)
    tuned = kept / "tuned_loss.json"
    if tuned.exists():
        folder.mkdir()
        (folder / tuned.name).write_bytes(tuned.read_bytes())
    return kept


def _finish(fitting: Fitting, state: State, folder: Path, origin: dict, averaged: bool) -> None:
    """Write model, held-out probabilities and pictures; last of all the mark that it is done."""
    recipe, held_out = fitting.recipe, fitting.held_out
    state.judged.eval()
    views = {"levels": False} | ({"levels_tta": True} if averaged else {})
    levels = {k: fitting.predict_held_out(state.judged, v) for k, v in views.items() if held_out}
    if not fitting.world.is_first:
        return
    pictures.draw_curves(state.history, folder / "curves.png")
    if held_out:
        threshold, _ = best_threshold(levels["levels"], held_out.skeletons.astype(bool))
        arrays = {"names": np.array(held_out.names)} | levels
        write_with(folder / "held_out.npz", lambda t: _save_arrays(t, arrays))
        shown_maps = held_out.maps[:, shown_channel(recipe.input.kind)]
        skeletons, panel = held_out.skeletons > 0, folder / "panel.png"
        shown_levels = levels["levels"]
        pictures.draw_panel(shown_maps, skeletons, shown_levels, threshold, held_out.names, panel)
    facts = origin | {
        "recipe": recipe.stored(),
        "training_images": fitting.train.names,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": describe(fitting.device),
        "precision": fitting.precision,
        "processes": fitting.world.size,
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "training_s": round(sum(row["elapsed_s"] for row in state.history), 1),
    }
    save_model(state.judged, folder / "model", facts)
    written = [folder / WEIGHTS]
    written += [folder / "held_out.npz"] if held_out else []
    done = {key: facts[key] for key in ("identity", "finished_at")}
    done["outputs"] = {str(p.relative_to(folder)): sha256_of(p) for p in written}
    write_json(folder / DONE, done)


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def fits(recipe: Recipe, samples: Samples, device: torch.device, batch: int) -> bool:
    """Whether one step of training with this batch fits into the device's memory."""
    try:
        trial = recipe.model_copy(
            update={"train": recipe.train.model_copy(update={"batch": batch})}
        )
        fitting, state = Fitting(trial, samples, None, device), start(trial, device)
        x, y = next(iter(fitting.loader))
        for _ in range(2):  # the optimizer's own memory is there from the second step on
            fitting.learn(state.model.train(), state, x, y)
    except (torch.OutOfMemoryError, MemoryError):
        return False
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def largest_batch(fit: Callable[[int], bool], below: int) -> int:
    """The largest batch under `below` that fits, by bisection; 0 where none does."""
    low, high = 0, below  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    return low


def _explain_memory(recipe: Recipe, samples: Samples, device: torch.device, world: World) -> str:
    batch = recipe.train.batch
    if world.size > 1:  # the other processes wait for this one, so no trials here
        return (
            f"out of memory on {describe(device)} with train.batch={batch} over {world.size} "
            f"processes; lower train.batch or start more"
        )
    best = largest_batch(lambda b: fits(recipe, samples, device, b), batch)
    remedy = f"the largest that fits is train.batch={best}" if best else "not even 1 fits"
    return f"out of memory on {describe(device)} with train.batch={batch}; {remedy}"
