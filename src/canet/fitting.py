"""The training loop: what it changes, its steps and epochs, and who watches."""

import math
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader

from canet.adversarial import Adversary
from canet.augment import EpochSampler, SkeletonDataset, random_seed
from canet.cascade import drawn_before
from canet.device import autocast, loader_workers, resolve_precision
from canet.distributed import ALONE, World
from canet.files import UserError, shown, write_with
from canet.input_kinds import channels_of, is_solid, shown_channel, vectors_of
from canet.losses import SkeletonLoss
from canet.metrics import best_threshold
from canet.network import SkeletonModel, build_network, width_of
from canet.prediction import predict_levels
from canet.recipe import Machine, Recipe, Train
from canet.relabel import Relabeller
from canet.resident import ResidentLoader
from canet.samples import Samples
from canet.stage import progress
from canet.tasks import lengths_among, task_channels, tasks_of

# what a checkpoint tells of the progress, in the types that it was saved with
PROGRESS = {"epoch": int, "step": int, "losses": list, "elapsed_s": float, "history": list}


class Diverged(UserError):
    """The loss is no longer finite."""


@dataclass
class State:
    """Everything that training changes."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: ModelEmaV3 | None
    adversary: Adversary | None = None
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
            "adversary": self.adversary.state_dict() if self.adversary else None,
        }

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:  # whose errors tell of a full disk, torch's do not
                torch.save(content, file)

        write_with(path, write)

    def restore(self, path: Path, identity: str, device: torch.device) -> bool:
        """Continue from a checkpoint; False where there is none of this experiment.

        Raises:
            UserError: the file is damaged, or holds something else; nothing in it is ever run.
        """
        if not path.is_file():
            return False
        try:
            with zipfile.ZipFile(path) as archive:  # torch's reader looks at no checksum
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(damaged)
            with warnings.catch_warnings(action="ignore"):  # the error says it in one line
                content = dict(torch.load(path, map_location=device, weights_only=True))
            if content["identity"] != identity:
                return False
            self._load_weights(content)
            for name, kind in PROGRESS.items():
                if not isinstance(content[name], kind):
                    raise TypeError(name)
                setattr(self, name, content[name])
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # torch raises whatever the bytes provoke
            raise UserError(
                f"{shown(path)}: damaged checkpoint ({type(error).__name__}); "
                f"delete it, or start over with --force"
            ) from None
        return True

    def _load_weights(self, content: dict) -> None:
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.ema:
            self.ema.module.load_state_dict(content["ema"])
        if self.adversary:
            self.adversary.load_state_dict(content["adversary"])


def build_model(recipe: Recipe) -> SkeletonModel:
    """The recipe's network with fresh weights, a function of `train.seed`.

    Raises:
        UserError: there is no such encoder, or it does not fit.
    """
    torch.manual_seed(recipe.train.seed)
    classes = 1 + task_channels(recipe.loss)
    model = build_network(recipe.model, channels_of(recipe.input.kind), classes)
    with torch.no_grad():
        for head in model.heads:  # which begin at the share of skeleton pixels, no good as a length
            head.bias[lengths_among(recipe.loss)] = 0
    return model


def build_adversary(recipe: Recipe, device: torch.device) -> Adversary | None:
    """What the network learns against, as wide as it; None where `loss.adversarial` is 0."""
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


def start(
    recipe: Recipe, device: torch.device, weights: dict[str, torch.Tensor] | None = None
) -> State:
    """Fresh weights, or the given ones, on the device, with optimizer and moving average."""
    model = build_model(recipe)
    if weights:
        model.load_state_dict(weights)
    model = model.to(device, memory_format=memory_format(recipe.machine))
    weighted = len(recipe.loss.scale_weights)
    for head in model.auxiliary_heads[max(weighted - 1, 0) :]:
        head.requires_grad_(False)  # counts nothing; processes must not wait for its gradient
    decay = recipe.train.ema_decay
    ema = ModelEmaV3(model, decay=decay, use_warmup=True) if decay else None
    adversary = build_adversary(recipe, device)
    return State(model, build_optimizer(model, recipe.train), ema, adversary)


def memory_format(machine: Machine) -> torch.memory_format:
    """How images lie in memory: with their channels together, as matrix units want them."""
    return torch.channels_last if machine.channels_last else torch.contiguous_format


def learning_rate(settings: Train, epoch: float) -> float:
    """Linear warm-up, then a cosine to zero; `epoch` counts fractions too."""
    if epoch < settings.warmup_epochs:
        return settings.lr * (epoch + 1e-3) / settings.warmup_epochs
    rest = max(settings.epochs - settings.warmup_epochs, 1e-9)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (epoch - settings.warmup_epochs) / rest))


class Watch:
    """What happens beside training; nothing by default."""

    def after_step(self, state: State) -> None: ...

    def after_epoch(self, state: State) -> None: ...


@dataclass
class Fitting:
    """What a training loop needs beside its state; built once, used for every epoch.

    Raises:
        UserError: the batch cannot be divided among the processes, or the recipe's loss.
    """

    recipe: Recipe
    train: Samples
    held_out: Samples | None
    device: torch.device
    world: World = ALONE
    teacher: nn.Module | None = None
    loss: SkeletonLoss = field(init=False)
    precision: str = field(init=False)
    shape_channel: int = field(init=False)  # of the input: above 0 inside the shape
    sampler: EpochSampler = field(init=False)
    loader: DataLoader | ResidentLoader = field(init=False)

    def __post_init__(self):
        r = self.recipe
        self.loss = SkeletonLoss(r.loss)
        self.precision = resolve_precision(r.train.precision, self.device)
        rank, size = self.world.rank, self.world.size
        if r.train.batch % size:
            raise UserError(
                f"train.batch={r.train.batch} cannot be divided among {size} processes; "
                f"set a multiple of {size}, or start another number"
            )
        if r.model.rounds > 1 and r.train.batch // size % 2:
            raise UserError(
                f"model.rounds={r.model.rounds} trains halves of a batch, found train.batch="
                f"{r.train.batch} in {size} process(es); set an even number for each"
            )
        if r.loss.adversarial and size > 1:
            raise UserError(
                f"loss.adversarial={r.loss.adversarial:g} trains in one process, not in {size}; "
                f"start without torchrun, or set loss.adversarial=0"
            )
        if "contour" in tasks_of(r.loss) and not is_solid(r.input.kind):
            raise UserError(
                f"loss.contour={r.loss.contour:g} needs an input that shows the shape, found "
                f"input.kind={r.input.kind}; add +shape to it, or set loss.contour=0"
            )
        self.shape_channel = shown_channel(r.input.kind)
        self.sampler = EpochSampler(len(self.train), r.train.batch, r.train.seed, rank, size)
        self.loader = self._loader(r.train.batch // size)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # all batches have one size

    def _loader(self, batch: int) -> DataLoader | ResidentLoader:
        r, samples, on_gpu = self.recipe, self.train, self.device.type == "cuda"
        vectors, epochs = vectors_of(r.input.kind), r.train.epochs
        native_from = epochs - round(r.augment.native_share * epochs)
        relabel = Relabeller(samples, r.augment, r.input) if r.augment.relabel else None
        if not relabel and (r.machine.resident or (r.machine.resident is None and on_gpu)):
            return ResidentLoader(
                samples,
                r.augment,
                self.sampler,
                batch,
                r.train.seed,
                self.device,
                vectors,
                native_from,
            )
        workers = loader_workers(r.machine, self.device, most=64 if relabel else 4)
        return DataLoader(
            SkeletonDataset(
                samples.maps,
                samples.skeletons,
                r.augment,
                r.train.seed,
                vectors,
                relabel,
                native_from,
            ),
            batch_size=batch,
            sampler=self.sampler,
            num_workers=workers,
            pin_memory=on_gpu,
            persistent_workers=workers > 0,
        )

    def loss_of(
        self, model: nn.Module, x: torch.Tensor, y: torch.Tensor, drawn: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and logits of a batch on the device; over several processes of all their images."""
        with autocast(self.precision, self.device):
            outputs = model(x, auxiliary=True, drawn=drawn)
        gather, tasks, k = self.world.gather, tasks_of(self.recipe.loss), self.shape_channel
        logits = [gather(o.float()) for o in outputs]
        label = gather(y) if tasks else None
        inside = gather((x[:, k : k + 1] > 0).float()) if "contour" in tasks else None
        return self.loss(logits, gather(self.target(x, y)), label, inside), logits[0][:, :1]

    @torch.no_grad()
    def target(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The label, or its mixture with what the teacher sees in the same moved image."""
        if self.teacher is None:
            return y
        with autocast(self.precision, self.device):
            seen = self.teacher(x)[:, :1]
        return torch.lerp(y, seen.float().sigmoid(), self.recipe.distill.share)

    def learn(self, model: nn.Module, state: State, x: torch.Tensor, y: torch.Tensor):
        """One step of the optimizer; returns the loss before it, a scalar on the device.

        Over several processes gradients are averaged: hence the factor.
        """
        layout = memory_format(self.recipe.machine)
        x = x.to(self.device, memory_format=layout, non_blocking=True)
        y = y.to(self.device, non_blocking=True)
        drawn = None
        if state.model.rounds > 1:
            with autocast(self.precision, self.device):
                drawn = drawn_before(state.model, x)
        loss, logits = self.loss_of(model, x, y, drawn)
        if state.adversary:
            loss = loss + self.recipe.loss.adversarial * state.adversary.against(x, logits, y)
        state.optimizer.zero_grad(set_to_none=True)
        (loss * self.world.size).backward()
        if self.recipe.train.clip_norm:
            nn.utils.clip_grad_norm_(state.model.parameters(), self.recipe.train.clip_norm)
        state.optimizer.step()
        return loss.detach().clone()  # a CUDA graph writes its next loss to the same place

    def train_epoch(self, model: nn.Module, state: State, after_step: Callable[[], None]) -> dict:
        """What is left of an epoch; returns its figures.

        Raises:
            Diverged: the loss is no longer finite.
        """
        model.train()
        settings, steps = self.recipe.train, len(self.loader)
        self.sampler.epoch, self.sampler.step = state.epoch, state.step
        began = time.perf_counter() - state.elapsed_s
        for x, y in self.loader:
            # for encoders that draw at random (drop path), so that they continue alike too
            torch.manual_seed(random_seed(settings.seed, state.epoch, state.step) + self.world.rank)
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
            raise Diverged(
                f"the loss became {mean} in epoch {state.epoch + 1}; "
                f"lower train.lr or set train.clip_norm=1"
            )
        row = {"epoch": state.epoch + 1, "loss": mean, "elapsed_s": state.elapsed_s}
        return row | {"lr": state.optimizer.param_groups[0]["lr"]}

    def predict_held_out(self, model: nn.Module, tta: bool = False) -> np.ndarray:
        """(N, H, W) uint8 in every process; each predicts its part. `tta` averages eight views."""
        maps, world = self.held_out.maps, self.world
        part = predict_levels(
            [model],
            maps[world.rank :: world.size],
            self.device,
            self.precision,
            self.recipe.predict.batch,
            tta,
            "held out, 8 views" if tta else None,
            vectors=vectors_of(self.recipe.input.kind),
        )
        return world.gather_rows(part, len(maps))

    def evaluate(self, model: nn.Module) -> dict:
        """Per-image F1 on the held-out images at the best threshold for them."""
        levels = self.predict_held_out(model)
        threshold, f1 = best_threshold(levels, self.held_out.skeletons.astype(bool))
        return {"f1": f1, "threshold": threshold}

    def compiled(self, model: nn.Module) -> nn.Module:
        """The model for `learn`, compiled as the recipe says, its loss with it."""
        wanted = self.recipe.machine.compile
        if not wanted:
            return model
        mode = None if wanted is True else wanted
        if self.world.size > 1:  # processes talk to each other between model and loss
            return torch.compile(model, mode=mode)
        self.loss_of = torch.compile(self.loss_of, mode=mode)
        return model

    def run(self, state: State, watch: Watch, label: str, quiet: bool = False) -> None:
        """Train until the last epoch, from wherever the state is; `watch` is told of progress."""
        settings = self.recipe.train
        model = self.compiled(self.world.wrap(state.model))
        steps = len(self.loader)
        total, done = settings.epochs * steps, state.epoch * steps + state.step
        with progress(
            total=total,
            initial=done,
            desc=label,
            unit="step",
            leave=not quiet,
            position=int(quiet),
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


def summary_of(history: list[dict]) -> dict[str, str]:
    """The last loss and F1, for the progress bar."""
    shown_now = {"epoch": history[-1]["epoch"], "loss": f"{history[-1]['loss']:.3f}"}
    judged = [row for row in history if "f1" in row]
    return shown_now | ({"F1": f"{judged[-1]['f1']:.4f}"} if judged else {})
