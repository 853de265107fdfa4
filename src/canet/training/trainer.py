"""The training loop: model and optimizer, steps, epochs, evaluation."""

import math
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from canet.core.console import UserError, progress
from canet.core.input_planes import channels_of
from canet.core.recipe import Machine, Recipe, Train
from canet.data.training_set import Samples
from canet.geometry.metrics import best_threshold
from canet.inference.device import autocast, loader_workers, resolve_precision
from canet.inference.distributed import ALONE, World
from canet.inference.predict import predict_levels
from canet.network import build_model, width_of
from canet.network.earlier.adversary import Adversary
from canet.training.augment import EpochSampler, SkeletonDataset, random_seed
from canet.training.checkpoint import TrainState
from canet.training.device_loader import DeviceLoader
from canet.training.losses import SkeletonLoss
from canet.training.moving_average import MovingAverage
from canet.training.relabel import Relabeller


class Diverged(UserError):
    """The loss is no longer finite."""


def build_adversary(recipe: Recipe, device: torch.device) -> Adversary | None:
    """The discriminator, as wide as the network; None where `loss.adversarial` is 0."""
    if not recipe.loss.adversarial:
        return None
    width = width_of(recipe.model.encoder) or 64
    return Adversary(channels_of(recipe.input.kind), width, device)


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


def build_state(
    recipe: Recipe, device: torch.device, weights: dict[str, torch.Tensor] | None = None
) -> TrainState:
    """Fresh weights, or the given ones, on the device, with optimizer and moving average."""
    model = build_model(recipe)
    if weights:
        model.load_state_dict(weights)
    model = model.to(device, memory_format=memory_format(recipe.machine))
    weighted = len(recipe.loss.scale_weights)
    for head in model.auxiliary_heads[max(weighted - 1, 0) :]:
        head.requires_grad_(False)  # loss weight 0: frozen so that DDP does not wait for it
    decay = recipe.train.ema_decay
    ema = MovingAverage(model, decay) if decay else None
    adversary = build_adversary(recipe, device)
    return TrainState(model, build_optimizer(model, recipe.train), ema, adversary)


def memory_format(machine: Machine) -> torch.memory_format:
    """How images lie in memory: channels last, as matrix units want them, or torch's plain way."""
    return torch.channels_last if machine.channels_last else torch.contiguous_format


def learning_rate(settings: Train, epoch: float) -> float:
    """Linear warm-up, then a cosine to zero; `epoch` counts fractions too."""
    if epoch < settings.warmup_epochs:
        return settings.lr * (epoch + 1e-3) / settings.warmup_epochs
    rest = max(settings.epochs - settings.warmup_epochs, 1e-9)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (epoch - settings.warmup_epochs) / rest))


class Callback:
    """What happens beside training; nothing by default."""

    def on_step_end(self, state: TrainState) -> None:
        """Called after each step of the optimizer."""

    def on_epoch_end(self, state: TrainState) -> None:
        """Called after each epoch, its figures in `state.history`."""


class Trainer:
    """Trains a `TrainState`; built once, used for every epoch.

    Args:
        recipe: resolved.
        train: the images to train on.
        held_out: those to evaluate on, or None.
        device: to train on.
        world: the processes at this training.

    Raises:
        UserError: the processes cannot divide the batch, the loss, or what is to be compiled.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Samples,
        held_out: Samples | None,
        *,
        device: torch.device,
        world: World = ALONE,
    ):
        self.recipe, self.train, self.held_out = recipe, train, held_out
        self.device, self.world = device, world
        _check_processes(recipe, world.size)
        self.loss = SkeletonLoss(recipe.loss)
        self.precision = resolve_precision(recipe.train.precision, device)
        batch, seed = recipe.train.batch, recipe.train.seed
        self.sampler = EpochSampler(len(train), batch, seed, rank=world.rank, size=world.size)
        self.loader = self._build_loader(batch // world.size)
        self._loss_of = self.batch_loss
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # all batches have one size

    def _build_loader(self, batch: int) -> DataLoader | DeviceLoader:
        r, samples, on_gpu = self.recipe, self.train, self.device.type == "cuda"
        relabel = Relabeller(samples, r.augment, r.input) if r.augment.relabel else None
        stays_on_device = on_gpu if r.machine.resident is None else r.machine.resident
        if stays_on_device and not relabel:
            return DeviceLoader(
                samples,
                r.augment,
                self.sampler,
                batch=batch,
                seed=r.train.seed,
                device=self.device,
            )
        workers = loader_workers(r.machine, self.device, most=64 if relabel else 4)
        if workers:
            # Each loader has a core. They are forked, and a thread pool of OpenCV's that was begun
            # here is not there any more: using or even ending it they would wait for ever.
            cv2.setNumThreads(1)
        return DataLoader(
            SkeletonDataset(
                samples.maps, samples.skeletons, r.augment, seed=r.train.seed, relabel=relabel
            ),
            batch_size=batch,
            sampler=self.sampler,
            num_workers=workers,
            pin_memory=on_gpu,
            persistent_workers=workers > 0,
        )

    def batch_loss(
        self, model: nn.Module, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and logits of a batch on the device; over several processes of all their images."""
        with autocast(self.precision, self.device):
            outputs = model(x, auxiliary=True)
        logits = [self.world.gather(o.float()) for o in outputs]
        return self.loss(logits, self.world.gather(y)), logits[0]

    def train_step(
        self, model: nn.Module, state: TrainState, batch: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """One step of the optimizer; returns the loss before it, a scalar on the device.

        The batch is input (B, C, H, W) and label (B, 1, H, W), float32 on any device. Over several
        processes gradients are averaged: hence the factor.
        """
        layout = memory_format(self.recipe.machine)
        x, y = batch
        x = x.to(self.device, memory_format=layout, non_blocking=True)
        y = y.to(self.device, non_blocking=True)
        loss, logits = self._loss_of(model, x, y)
        if state.adversary:
            loss = loss + self.recipe.loss.adversarial * state.adversary.against(x, logits, y)
        state.optimizer.zero_grad(set_to_none=True)
        (loss * self.world.size).backward()
        if self.recipe.train.clip_norm:
            nn.utils.clip_grad_norm_(state.model.parameters(), self.recipe.train.clip_norm)
        state.optimizer.step()
        return loss.detach().clone()  # a CUDA graph writes its next loss to the same place

    def train_epoch(
        self, model: nn.Module, state: TrainState, on_step_end: Callable[[], None]
    ) -> dict:
        """What is left of an epoch; returns its figures.

        Raises:
            Diverged: the loss is no longer finite.
        """
        model.train()
        settings, steps = self.recipe.train, len(self.loader)
        self.sampler.epoch, self.sampler.step = state.epoch, state.step
        began = time.perf_counter() - state.elapsed_s
        for batch in self.loader:
            # for encoders that draw at random (drop path), so that they continue alike too
            torch.manual_seed(random_seed(settings.seed, state.epoch, state.step) + self.world.rank)
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(settings, state.epoch + state.step / steps)
            state.losses.append(self.train_step(model, state, batch))
            if state.ema:
                state.ema.update(state.model, step=state.epoch * steps + state.step)
            state.step += 1
            state.elapsed_s = time.perf_counter() - began
            on_step_end()
        mean = torch.stack(state.losses).mean().item()
        if not math.isfinite(mean):
            raise Diverged(
                f"the loss became {mean} in epoch {state.epoch + 1}; "
                f"lower train.lr or set train.clip_norm=1"
            )
        row = {"epoch": state.epoch + 1, "loss": mean, "elapsed_s": state.elapsed_s}
        return row | {"lr": state.optimizer.param_groups[0]["lr"]}

    def predict_held_out(self, model: nn.Module, *, tta: bool = False) -> np.ndarray:
        """(N, H, W) uint8 in every process; each predicts its part. `tta` averages eight views."""
        maps, world = self.held_out.maps, self.world
        part = predict_levels(
            [model],
            maps[world.rank :: world.size],
            device=self.device,
            precision=self.precision,
            batch=self.recipe.predict.batch,
            tta=tta,
            label="held out, 8 views" if tta else None,
        )
        return world.gather_rows(part, len(maps))

    def evaluate(self, model: nn.Module) -> dict:
        """Per-image F1 on the held-out images at the best threshold for them."""
        levels = self.predict_held_out(model)
        threshold, f1 = best_threshold(levels, self.held_out.skeletons.astype(bool))
        return {"f1": f1, "threshold": threshold}

    def compiled(self, model: nn.Module) -> nn.Module:
        """The model for `train_step`, compiled as the recipe says, its loss with it."""
        wanted = self.recipe.machine.compile
        if not wanted:
            return model
        mode = None if wanted is True else wanted
        self._loss_of = torch.compile(self.batch_loss, mode=mode)
        return model

    def run(
        self, state: TrainState, callback: Callback, *, label: str, quiet: bool = False
    ) -> None:
        """Train until the last epoch, from wherever the state is.

        Args:
            state: is changed.
            callback: told of steps and epochs.
            label: of the progress bar.
            quiet: the bar lies below another one and goes at the end.
        """
        settings = self.recipe.train
        # encoders from elsewhere may have layers that no feature comes from
        foreign = width_of(self.recipe.model.encoder) is None
        model = self.compiled(self.world.wrap(state.model, leaves_unused=foreign))
        steps = len(self.loader)
        with progress(
            total=settings.epochs * steps,
            initial=state.epoch * steps + state.step,
            desc=label,
            unit="step",
            leave=not quiet,
            position=int(quiet),
        ) as bar:

            def on_step_end() -> None:
                bar.update()
                callback.on_step_end(state)

            while state.epoch < settings.epochs:
                row = self.train_epoch(model, state, on_step_end)
                due = row["epoch"] % settings.evaluate_every == 0 or row["epoch"] == settings.epochs
                if self.held_out and due:
                    row |= self.evaluate(state.eval_model)
                state.history.append(row)
                state.epoch, state.step = row["epoch"], 0
                state.losses, state.elapsed_s = [], 0.0
                bar.set_postfix(summary_of(state.history), refresh=False)
                callback.on_epoch_end(state)


def _check_processes(recipe: Recipe, processes: int) -> None:
    if processes == 1:
        return
    if recipe.train.batch % processes:
        raise UserError(
            f"train.batch={recipe.train.batch} cannot be divided among {processes} processes; "
            f"set a multiple of {processes}, or start another number"
        )
    if recipe.machine.compile:
        raise UserError(
            f"machine.compile={recipe.machine.compile} compiles for one process, not for "
            f"{processes}, which talk to each other in every layer; leave it out"
        )
    if recipe.loss.adversarial:
        raise UserError(
            f"loss.adversarial={recipe.loss.adversarial:g} trains in one process, not in "
            f"{processes}; start without torchrun, or set loss.adversarial=0"
        )


def summary_of(history: list[dict]) -> dict[str, str]:
    """The last loss and F1, for the progress bar."""
    last = {"epoch": history[-1]["epoch"], "loss": f"{history[-1]['loss']:.3f}"}
    evaluated = [row for row in history if "f1" in row]
    return last | ({"F1": f"{evaluated[-1]['f1']:.4f}"} if evaluated else {})
