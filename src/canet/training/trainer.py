"""The training loop: model and optimizer, steps, epochs, evaluation."""

import math
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from canet.core.console import UserError, progress
from canet.core.input_planes import channels_of
from canet.core.recipe import Machine, Recipe
from canet.data.training_set import Samples
from canet.geometry.metrics import best_threshold
from canet.inference.device import (
    autocast,
    choose_kernels,
    loader_workers,
    resolve_precision,
)
from canet.inference.distributed import ALONE, World
from canet.inference.predict import predict_levels
from canet.network import build_model, width_of
from canet.network.earlier.adversary import Adversary
from canet.training.augment import (
    EpochSampler,
    SkeletonDataset,
    collate_windows,
    random_seed,
)
from canet.training.captured_step import CapturedStep
from canet.training.checkpoint import TrainState
from canet.training.device_loader import DeviceLoader
from canet.training.losses import SkeletonLoss
from canet.training.moving_average import MovingAverage
from canet.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from canet.training.relabel import Relabeller

Batch = tuple[torch.Tensor, torch.Tensor]


class Diverged(UserError):
    """The loss is no longer finite."""


def build_adversary(recipe: Recipe, device: torch.device) -> Adversary | None:
    """The discriminator, as wide as the network; None where `loss.adversarial` is 0."""
    if not recipe.loss.adversarial:
        return None
    width = width_of(recipe.model.encoder) or 64
    return Adversary(channels_of(recipe.input.kind), width, device)


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
        UserError: the processes cannot divide the batch, the loss, or what is to be compiled;
            windows are larger than images.
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
        crop_px, size_px = recipe.augment.crop_px or 0, min(train.maps.shape[-2:])
        if crop_px > size_px:
            raise UserError(
                f"augment.crop_px={crop_px} is more than the images have, {size_px} pixels; set it "
                f"to {size_px} or less, or to null for whole images"
            )
        self.loss = SkeletonLoss(recipe.loss)
        self.precision = resolve_precision(recipe.train.precision, device)
        self.images = self._images()
        self.sampler = EpochSampler(
            len(train),
            recipe.train.batch,
            recipe.train.seed,
            rank=world.rank,
            size=world.size,
            sizes=self.images.sizes if self._sees_windows else None,
        )
        self.loader = self._build_loader(recipe.train.batch // world.size)
        if device.type == "cuda":
            repeats, one_size = recipe.machine.deterministic, not self._sees_windows
            choose_kernels(deterministic=repeats, one_size=one_size)

    @property
    def _sees_windows(self) -> bool:
        """Whether batches have sizes of their own: those of the shapes in them."""
        return self.recipe.input.window == "shape"

    def _images(self) -> SkeletonDataset:
        r, samples = self.recipe, self.train
        return SkeletonDataset(
            samples.maps,
            samples.skeletons,
            r.augment,
            seed=r.train.seed,
            relabel=Relabeller(samples, r.augment, r.input) if r.augment.relabel else None,
            window=r.input.window,
        )

    def _build_loader(self, batch: int) -> DataLoader | DeviceLoader:
        r, on_gpu = self.recipe, self.device.type == "cuda"
        stays_on_device = on_gpu if r.machine.resident is None else r.machine.resident
        if stays_on_device and not (r.augment.relabel or self._sees_windows):
            return DeviceLoader(
                self.train,
                r.augment,
                self.sampler,
                batch=batch,
                seed=r.train.seed,
                device=self.device,
            )
        workers = loader_workers(r.machine, self.device, most=64 if r.augment.relabel else 4)
        if workers:
            # Each loader has a core. They are forked, and a thread pool of OpenCV's that was begun
            # here is not there any more: using or even ending it they would wait for ever.
            cv2.setNumThreads(1)
        return DataLoader(
            self.images,
            batch_size=batch,
            collate_fn=collate_windows if self._sees_windows else None,
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

    def stepper(self, state: TrainState) -> Callable[[Batch], torch.Tensor]:
        """The step to repeat: over all processes, compiled, as a CUDA graph, as the recipe says.

        Returns:
            a function that makes one step of the optimizer with a batch, input (B, C, H, W) and
            label (B, 1, H, W), float32 on any device, and returns the loss before it, a scalar on
            the device.
        """
        # encoders from elsewhere may have layers that no feature comes from
        foreign = width_of(self.recipe.model.encoder) is None
        model = self.world.wrap(state.model, leaves_unused=foreign)
        loss_of = partial(self._compiled(), model)

        def learn(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.train_step(loss_of, state, (x, y))

        step = CapturedStep(learn) if self._captures else learn
        layout = memory_format(self.recipe.machine)

        def on_device(batch: Batch) -> torch.Tensor:
            x, y = batch
            x = x.to(self.device, memory_format=layout, non_blocking=True)
            return step(x, y.to(self.device, non_blocking=True))

        return on_device

    @property
    def _captures(self) -> bool:
        """Whether a step is recorded as a CUDA graph."""
        on_gpu, alone = self.device.type == "cuda", self.world.size == 1
        wanted = self.recipe.machine.graphs and not self._sees_windows  # a graph has one size
        return on_gpu and alone and wanted and not self.recipe.loss.adversarial

    def train_step(self, loss_of: Callable, state: TrainState, batch: Batch) -> torch.Tensor:
        """Forward, backward and optimizer: what `stepper` repeats.

        `loss_of` makes loss and logits of the batch, which is on the device.
        """
        x, y = batch
        loss, logits = loss_of(x, y)
        if state.adversary:
            loss = loss + self.recipe.loss.adversarial * state.adversary.against(x, logits, y)
        state.optimizer.zero_grad(set_to_none=True)
        (loss * self.world.size).backward()  # gradients are averaged over the processes
        if self.recipe.train.clip_norm:
            nn.utils.clip_grad_norm_(state.model.parameters(), self.recipe.train.clip_norm)
        state.optimizer.step()
        return loss.detach()

    def train_epoch(
        self,
        step: Callable[[Batch], torch.Tensor],
        state: TrainState,
        on_step_end: Callable[[], None],
    ) -> dict:
        """What is left of an epoch; returns its figures.

        Args:
            step: of `stepper`, for this state.
            state: is changed.
            on_step_end: called after each step.

        Raises:
            Diverged: the loss is no longer finite.
        """
        state.model.train()
        settings, steps = self.recipe.train, len(self.loader)
        self.sampler.epoch, self.sampler.step = state.epoch, state.step
        began = time.perf_counter() - state.elapsed_s
        for batch in self.loader:
            # for encoders that draw at random (drop path), so that they continue alike too
            torch.manual_seed(random_seed(settings.seed, state.epoch, state.step) + self.world.rank)
            rate = learning_rate(settings, state.epoch + state.step / steps)
            for group in state.optimizer.param_groups:
                set_learning_rate(group, rate)
            state.losses.append(step(batch))
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
        return row | {"lr": learning_rate(settings, state.epoch + (state.step - 1) / steps)}

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
            window=self.recipe.input.window,
            label="held out, 8 views" if tta else None,
        )
        return world.gather_rows(part, len(maps))

    def evaluate(self, model: nn.Module) -> dict:
        """Per-image F1 on the held-out images at the best threshold for them."""
        levels = self.predict_held_out(model)
        threshold, f1 = best_threshold(levels, self.held_out.skeletons.astype(bool))
        return {"f1": f1, "threshold": threshold}

    def _compiled(self) -> Callable:
        """`batch_loss`, network and loss together, compiled as the recipe says."""
        wanted = self.recipe.machine.compile
        if not wanted:
            return self.batch_loss
        return torch.compile(self.batch_loss, mode=None if wanted is True else wanted)

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
        step, steps = self.stepper(state), len(self.loader)
        with progress(
            total=settings.epochs * steps,
            initial=state.epoch * steps + state.step,
            desc=label,
            unit="step",
            leave=not quiet,
            position=int(quiet),
        ) as bar:

            def on_step_end() -> None:
                callback.on_step_end(state)  # first: a terminal that is closed takes no bar
                bar.update()

            while state.epoch < settings.epochs:
                row = self.train_epoch(step, state, on_step_end)
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
    if recipe.input.window == "shape":
        raise UserError(
            f"input.window=shape has batches of many sizes and trains in one process, not in "
            f"{processes}; start without torchrun, or set input.window=image"
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
