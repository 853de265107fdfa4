"""Training one fold, from cached maps to a model folder; it continues wherever it was killed."""

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from canet import pictures
from canet.augment import EpochSampler, SkeletonDataset
from canet.dataset import ImageFolders, list_images, read_skeleton
from canet.device import autocast, describe, loader_workers, pick_device, resolve_precision
from canet.distance import channels_of
from canet.files import (
    UserError,
    digest_of,
    digest_of_files,
    read_json,
    shown,
    write_json,
    write_with,
)
from canet.folds import folds_path, read_folds, require_folds, split
from canet.losses import SkeletonLoss
from canet.map_cache import load_maps
from canet.metrics import best_threshold
from canet.model_folder import save_model
from canet.network import CANet
from canet.prediction import predict_levels
from canet.recipe import Loss, Recipe, Train
from canet.stage import commit, progress, versions

CHECKPOINT = "checkpoint.pt"
TRAINING_SECTIONS = ("input", "model", "loss", "augment", "train", "folds")


@dataclass(frozen=True)
class Samples:
    """Some images in memory: maps (N, C, H, W) float32, skeletons (N, H, W) uint8 of 0 and 1."""

    names: list[str]
    maps: np.ndarray
    skeletons: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def take(self, names: list[str]) -> "Samples":
        rows = {name: i for i, name in enumerate(self.names)}
        chosen = [rows[name] for name in names]
        return Samples(list(names), self.maps[chosen], self.skeletons[chosen])


def load_training_set(recipe: Recipe) -> Samples:
    """All labelled images of a recipe's data set; maps come from the cache."""
    folders = ImageFolders(recipe.data_root, recipe.data)
    paths = list_images(folders.train_shapes)
    maps = load_maps(folders.train_shapes, recipe.input, recipe.cache_folder)
    skeletons = np.stack([read_skeleton(folders.train_skeletons / p.name) for p in paths]).astype(
        np.uint8
    )
    return Samples([p.name for p in paths], maps, skeletons)


def load_split(recipe: Recipe, fold: int | str) -> tuple[Samples, Samples | None]:
    """The images to train on and those held out; None where the fold is `all`."""
    samples = load_training_set(recipe)
    table = read_folds(folds_path(recipe), samples.names, recipe.folds)
    train, held_out = split(table, fold)
    return samples.take(train), samples.take(held_out) if held_out else None


@dataclass
class State:
    """Everything that training changes."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: ModelEmaV3 | None
    epoch: int = 0  # epochs completed
    step: int = 0  # steps done in the epoch under way
    losses: list[torch.Tensor] = field(default_factory=list)  # of those steps
    elapsed_s: float = 0.0  # on those steps
    history: list[dict] = field(default_factory=list)

    @property
    def judged(self) -> nn.Module:
        """The weights that are evaluated and saved."""
        return self.ema.module if self.ema else self.model

    def save(self, path: Path, identity: str) -> None:
        content = {
            "identity": identity,
            "epoch": self.epoch,
            "step": self.step,
            "losses": self.losses,
            "elapsed_s": self.elapsed_s,
            "history": self.history,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
        }
        write_with(path, lambda temporary: torch.save(content, temporary))

    def restore(self, path: Path, identity: str, device: torch.device) -> bool:
        """Continue from a checkpoint; False where there is none of this experiment."""
        if not path.is_file():
            return False
        try:
            content = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # torch raises whatever the bytes provoke
            raise UserError(
                f"{shown(path)}: damaged checkpoint ({type(error).__name__}); "
                f"delete it, or start over with --force"
            ) from None
        if content["identity"] != identity:
            return False
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.ema:
            self.ema.module.load_state_dict(content["ema"])
        for name in ("epoch", "step", "losses", "elapsed_s", "history"):
            setattr(self, name, content[name])
        return True


def build_model(recipe: Recipe) -> CANet:
    """The recipe's network with fresh weights, a function of `train.seed`."""
    torch.manual_seed(recipe.train.seed)
    m = recipe.model
    return CANet(
        encoder_name=m.encoder,
        attention_stages=m.attention_stages,
        blocks=m.blocks,
        reduction=m.reduction,
        in_channels=channels_of(recipe.input.kind),
    )


def build_optimizer(model: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum as in the paper's source, or AdamW."""
    fused = next(model.parameters()).is_cuda
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(
            model.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        model.parameters(),
        settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
        fused=fused,
    )


def start(recipe: Recipe, device: torch.device) -> State:
    """Fresh weights on the device, channels last, with optimizer and moving average."""
    model = build_model(recipe).to(device, memory_format=torch.channels_last)
    decay = recipe.train.ema_decay
    ema = ModelEmaV3(model, decay=decay, use_warmup=True) if decay else None
    return State(model, build_optimizer(model, recipe.train), ema)


def learning_rate(settings: Train, epoch: float) -> float:
    """Linear warm-up, then a cosine to zero; `epoch` counts fractions too."""
    if epoch < settings.warmup_epochs:
        return settings.lr * (epoch + 1e-3) / settings.warmup_epochs
    rest = max(settings.epochs - settings.warmup_epochs, 1e-9)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (epoch - settings.warmup_epochs) / rest))


@dataclass
class Fitting:
    """What a training loop needs beside its state; built once, used for every epoch."""

    recipe: Recipe
    train: Samples
    held_out: Samples | None
    device: torch.device
    loss: SkeletonLoss = field(init=False)
    precision: str = field(init=False)
    sampler: EpochSampler = field(init=False)
    loader: DataLoader = field(init=False)

    def __post_init__(self):
        r = self.recipe
        self.loss = SkeletonLoss(r.loss)
        self.precision = resolve_precision(r.train.precision, self.device)
        self.sampler = EpochSampler(len(self.train), r.train.batch, r.train.seed)
        self.loader = DataLoader(
            SkeletonDataset(self.train.maps, self.train.skeletons, r.augment, r.train.seed),
            batch_size=r.train.batch,
            sampler=self.sampler,
            num_workers=loader_workers(r.machine, self.device),
            pin_memory=self.device.type == "cuda",
        )

    def learn(self, model: nn.Module, state: State, x: torch.Tensor, y: torch.Tensor):
        """One step of the optimizer; returns the loss before it, a scalar on the device."""
        x = x.to(self.device, memory_format=torch.channels_last, non_blocking=True)
        y = y.to(self.device, non_blocking=True)
        with autocast(self.precision, self.device):
            outputs = model(x, auxiliary=True)
        loss = self.loss(outputs, y)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.train.clip_norm:
            nn.utils.clip_grad_norm_(state.model.parameters(), self.recipe.train.clip_norm)
        state.optimizer.step()
        return loss.detach()

    def train_epoch(self, model: nn.Module, state: State, after_step: Callable[[], None]) -> dict:
        """What is left of an epoch; returns its figures.

        Raises:
            UserError: the loss is no longer finite.
        """
        model.train()
        settings, steps = self.recipe.train, len(self.loader)
        self.sampler.epoch, self.sampler.first = state.epoch, state.step * settings.batch
        began = time.perf_counter() - state.elapsed_s
        for x, y in self.loader:
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(settings, state.epoch + state.step / steps)
            state.losses.append(self.learn(model, state, x, y))
            if state.ema:
                state.ema.update(state.model, step=state.epoch * steps + state.step)
            state.step += 1
            state.elapsed_s = time.perf_counter() - began
            after_step()
        mean = torch.stack(state.losses).mean().item()
        if not math.isfinite(mean):
            raise UserError(
                f"the loss became {mean} in epoch {state.epoch + 1}; "
                f"lower train.lr or set train.clip_norm=1"
            )
        row = {"epoch": state.epoch + 1, "loss": mean, "elapsed_s": state.elapsed_s}
        return row | {"lr": state.optimizer.param_groups[0]["lr"]}

    def predict_held_out(self, model: nn.Module) -> np.ndarray:
        return predict_levels(
            [model], self.held_out.maps, self.device, self.precision, self.recipe.predict.batch
        )

    def evaluate(self, model: nn.Module) -> dict:
        """Per-image F1 on the held-out images at the best threshold for them."""
        levels = self.predict_held_out(model)
        threshold, f1 = best_threshold(levels, self.held_out.skeletons.astype(bool))
        return {"f1": f1, "threshold": threshold}

    def run(self, state: State, watch: "Watch", label: str, quiet: bool = False) -> None:
        """Train until the last epoch, from wherever the state is; `watch` is told of progress."""
        settings = self.recipe.train
        model = torch.compile(state.model) if self.recipe.machine.compile else state.model
        steps = len(self.loader)
        total, done = settings.epochs * steps, state.epoch * steps + state.step
        with progress(
            total=total, initial=done, desc=label, unit="step", leave=not quiet, position=int(quiet)
        ) as bar:

            def after_step() -> None:
                bar.update()
                watch.after_step(state)

            while state.epoch < settings.epochs:
                row = self.train_epoch(model, state, after_step)
                due = row["epoch"] % settings.evaluate_every == 0 or row["epoch"] == settings.epochs
                if self.held_out and due:
                    row |= self.evaluate(state.judged)
                state.history.append(row)
                state.epoch, state.step, state.losses, state.elapsed_s = row["epoch"], 0, [], 0.0
                bar.set_postfix(summary_of(state.history), refresh=False)
                watch.after_epoch(state)


class Watch:
    """What happens beside training; nothing by default."""

    def after_step(self, state: State) -> None: ...

    def after_epoch(self, state: State) -> None: ...


def summary_of(history: list[dict]) -> dict[str, str]:
    """The last loss and F1, for the progress bar."""
    shown_now = {"epoch": history[-1]["epoch"], "loss": f"{history[-1]['loss']:.3f}"}
    judged = [row for row in history if "f1" in row]
    return shown_now | ({"F1": f"{judged[-1]['f1']:.4f}"} if judged else {})


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
    found = read_json(path)
    if not found:
        raise UserError(
            f"{shown(path)}: loss.tuned is set and the loss search has not ended; run "
            f"python src/tune_loss.py --recipe {recipe.name} --fold {fold}"
        )
    return recipe.model_copy(update={"loss": Loss(**found["loss"])})


def identity_of(recipe: Recipe, fold: int | str) -> str:
    """A digest of all that a training depends on: recipe, fold, images, folds."""
    folders = ImageFolders(recipe.data_root, recipe.data)
    images = list_images(folders.train_shapes) + list_images(folders.train_skeletons)
    settings = recipe.settings(*TRAINING_SECTIONS)
    settings["train"].pop("folds")  # which other folds are trained does not matter to this one
    return digest_of(
        {
            "recipe": settings,
            "fold": fold,
            "images": digest_of_files(images),
            "folds": digest_of_files([require_folds(folds_path(recipe))]),
        }
    )


class Recorder(Watch):
    """TensorBoard, `metrics.csv` and checkpoints, at the latest when SIGTERM asks to stop."""

    def __init__(self, folder: Path, identity: str, every_s: float, first_epoch: int):
        self.folder, self.identity, self.every_s = folder, identity, every_s
        self.asked_to_stop, self.saved_at = False, time.monotonic()
        self.board = SummaryWriter(folder / "tensorboard", purge_step=first_epoch)

    def __enter__(self) -> "Recorder":
        self.catches = threading.current_thread() is threading.main_thread()
        if self.catches:
            self.previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, *_: object) -> None:
        self.asked_to_stop = True

    def __exit__(self, *_: object) -> None:
        self.board.close()
        if self.catches:
            signal.signal(signal.SIGTERM, self.previous)

    def save(self, state: State) -> None:
        state.save(self.folder / CHECKPOINT, self.identity)
        self.saved_at = time.monotonic()

    def after_step(self, state: State) -> None:
        if self.asked_to_stop:
            self.save(state)
            raise UserError(
                f"asked to stop: saved in epoch {state.epoch + 1}, "
                f"the same command continues from there"
            )
        if time.monotonic() - self.saved_at >= self.every_s:
            self.save(state)

    def after_epoch(self, state: State) -> None:
        row = state.history[-1]
        for name in {"loss", "lr", "f1", "threshold"} & row.keys():
            self.board.add_scalar(name, row[name], state.epoch)
        table = pd.DataFrame(state.history)
        write_with(self.folder / "metrics.csv", lambda t: table.to_csv(t, index=False))


def set_aside(folder: Path) -> Path:
    """Rename the folder of another experiment's training, so that nothing is lost."""
    number = 1
    while (kept := folder.with_name(f"{folder.name}.old{number}")).exists():
        number += 1
    folder.rename(kept)
    return kept


def train_fold(recipe: Recipe, fold: int | str, force: bool = False) -> Path:
    """Train one fold, or continue it, and write its folder.

    Args:
        recipe: resolved; stored with the model.
        fold: number of the held-out fold, or `all` to train on every image.
        force: start over; what was there is renamed, never deleted.

    Returns:
        the fold's folder: `model/`, `metrics.csv`, `curves.png`, `panel.png`,
        `held_out.npz` (names and probabilities as uint8 levels), `tensorboard/`.

    Raises:
        UserError: no folds or images, out of memory (with the batch that fits), SIGTERM.
    """
    folder, origin = fold_folder(recipe, fold), {"commit": commit(), "versions": versions()}
    recipe = with_tuned_loss(recipe, fold)
    identity = identity_of(recipe, fold)
    done = read_json(folder / "done.json")
    if done and done["identity"] == identity and not force:
        print(f"   fold {fold}: trained already, skipped (--force does it again)", flush=True)
        return folder
    device = pick_device(recipe.machine.device)
    state = start(recipe, device)
    resumed = not force and state.restore(folder / CHECKPOINT, identity, device)
    if not resumed and (folder / CHECKPOINT).exists():
        print(f"   fold {fold}: another training was here, kept as {shown(_aside(folder))}")
    train, held_out = load_split(recipe, fold)
    fitting = Fitting(recipe, train, held_out, device)
    parameters = sum(p.numel() for p in state.model.parameters()) / 1e6
    print(
        f"   fold {fold}: {len(train)} images, {len(held_out) if held_out else 0} held out, "
        f"{parameters:.2f} M parameters, {describe(device)}, {fitting.precision}"
        + (f", continues in epoch {state.epoch + 1}" if resumed else ""),
        flush=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        every_s = recipe.machine.checkpoint_every_s
        with Recorder(folder, identity, every_s, state.epoch) as recorder:
            fitting.run(state, recorder, f"fold {fold}")
            recorder.save(state)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(_explain_memory(recipe, train, device)) from error
    _finish(fitting, state, folder, {"fold": fold, "identity": identity} | origin)
    return folder


def _aside(folder: Path) -> Path:
    """Set a training aside but keep what was made for the next one: its tuned loss."""
    kept = set_aside(folder)
    tuned = kept / "tuned_loss.json"
    if tuned.exists():
        folder.mkdir()
        (folder / tuned.name).write_bytes(tuned.read_bytes())
    return kept


def _finish(fitting: Fitting, state: State, folder: Path, origin: dict) -> None:
    """Write model, held-out probabilities and pictures; last of all the mark that it is done."""
    recipe, held_out = fitting.recipe, fitting.held_out
    state.judged.eval()
    pictures.draw_curves(state.history, folder / "curves.png")
    if held_out:
        levels = fitting.predict_held_out(state.judged)
        threshold, _ = best_threshold(levels, held_out.skeletons.astype(bool))
        arrays = {"names": np.array(held_out.names), "levels": levels}
        write_with(folder / "held_out.npz", lambda t: _save_arrays(t, arrays))
        first_distance = held_out.maps[:, min(1, held_out.maps.shape[1] - 1)]
        skeletons, panel = held_out.skeletons > 0, folder / "panel.png"
        pictures.draw_panel(first_distance, skeletons, levels, threshold, held_out.names, panel)
    facts = origin | {
        "recipe": recipe.model_dump(mode="json"),
        "trained_on": digest_of(fitting.train.names),
        "training_images": fitting.train.names,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": describe(fitting.device),
        "precision": fitting.precision,
        "training_s": round(sum(row["elapsed_s"] for row in state.history), 1),
    }
    save_model(state.judged, folder / "model", facts)
    done = {key: facts[key] for key in ("identity", "finished_at")}
    write_json(folder / "done.json", done)


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


def _explain_memory(recipe: Recipe, samples: Samples, device: torch.device) -> str:
    batch = recipe.train.batch
    best = largest_batch(lambda b: fits(recipe, samples, device, b), batch)
    remedy = f"the largest that fits is train.batch={best}" if best else "not even 1 fits"
    return f"out of memory on {describe(device)} with train.batch={batch}; {remedy}"
