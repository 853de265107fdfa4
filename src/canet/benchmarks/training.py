"""How fast training is, change by change, against the same network trained plainly."""

import gc
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from canet.core.console import UserError
from canet.core.gpus import is_out_of_memory
from canet.core.recipe import Recipe, check
from canet.data import demo
from canet.data.input_maps import input_map
from canet.data.training_set import Samples
from canet.inference.device import describe, pick_device
from canet.training.checkpoint import TrainState
from canet.training.trainer import Trainer, build_state

PLAIN = {
    "train.batch": 8,
    "train.precision": "float32",
    "machine.channels_last": False,
    "machine.resident": False,
    "machine.graphs": False,
    "machine.compile": False,
}
# Each adds to those before it; the first is PLAIN.
CHANGES: dict[str, dict[str, object]] = {
    "plain": {},
    "bfloat16": {"train.precision": "bfloat16"},
    "channels_last": {"machine.channels_last": True},
    "resident": {"machine.resident": True},
    "graphs": {"machine.graphs": True},
    "compile": {"machine.compile": True},
    "batch16": {"train.batch": 16},
    "batch32": {"train.batch": 32},
    "batch64": {"train.batch": 64},
}
MATRIX_SIZE = {"cuda": 8192, "cpu": 1024}
IMAGES = 128  # generated; an epoch of the largest batch has two steps
WARM_UP, STEPS, LEAST_ROUNDS, ENOUGH_S = 5, 5, 3, 4.0


@dataclass(frozen=True)
class Speed:
    """Of one way to train: images a second, peak memory, seconds before the first timed step."""

    images_per_s: float
    peak_bytes: int
    warm_up_s: float


def synchronize(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device) -> float:
    """Measured floating point operations a second of a product of two bfloat16 matrices."""
    size = MATRIX_SIZE[device.type]
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    times: list[float] = []
    while len(times) < 3 or (len(times) < 12 and sum(times) < ENOUGH_S):  # many CPUs emulate it
        began = time.perf_counter()
        a @ b
        synchronize(device)
        times.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(times[1:])


def generated_samples(recipe: Recipe, count: int = IMAGES) -> Samples:
    """Generated shapes, so that the measurement needs no data set."""
    names, shapes, skeletons = zip(*(demo.example(0, i) for i in range(count)), strict=True)
    maps = np.stack([input_map(shape, recipe.input) for shape in shapes])
    return Samples(list(names), maps, np.stack(skeletons).astype(np.uint8), np.stack(shapes))


def settings_up_to(name: str) -> dict[str, object]:
    """The settings of a row of CHANGES: its own and those before it."""
    settings = dict(PLAIN)
    for row, change in CHANGES.items():
        settings |= change
        if row == name:
            return settings
    raise KeyError(name)


def prepare(
    recipe: Recipe, settings: dict[str, object], samples: Samples, *, device: torch.device
) -> tuple[Trainer, TrainState]:
    """A training's beginning under other settings."""
    values = recipe.model_dump()
    for key, value in settings.items():
        section, name = key.split(".")
        values[section][name] = value
    given = check(values, "the recipe with the benchmark's settings")
    return Trainer(given, samples, None, device=device), build_state(given, device)


def image_flop(recipe: Recipe, samples: Samples, device: torch.device) -> float:
    """Floating point operations of training on one image, forward and backward.

    The mean of an epoch, of which one step is counted for each size of batch.
    """
    trainer, state = prepare(recipe, PLAIN | {"train.batch": 2}, samples, device=device)
    step, flop_of, flop, images = trainer.stepper(state), {}, 0, 0
    state.model.train()
    for batch in trainer.loader:
        size = batch[0].shape
        if size not in flop_of:
            with FlopCounterMode(display=False) as counter:
                step(batch)
            flop_of[size] = counter.get_total_flops()
        flop, images = flop + flop_of[size], images + len(batch[0])
    return flop / images


def _batches(trainer: Trainer) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for epoch in itertools.count():
        trainer.sampler.epoch = epoch
        yield from trainer.loader


def measure(
    recipe: Recipe, settings: dict[str, object], samples: Samples, *, device: torch.device
) -> Speed:
    """Train for some seconds under these settings; loading and moving images count."""
    gc.collect()
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    trainer, state = prepare(recipe, settings, samples, device=device)
    step, batches, rounds = trainer.stepper(state), _batches(trainer), []
    state.model.train()

    def steps(count: int) -> float:
        first = time.perf_counter()
        for batch in itertools.islice(batches, count):
            step(batch)
        synchronize(device)
        return time.perf_counter() - first

    steps(WARM_UP)
    warm_up_s = time.perf_counter() - began
    while len(rounds) < LEAST_ROUNDS or sum(rounds) < ENOUGH_S:
        rounds.append(steps(STEPS))
    images_per_s = STEPS * trainer.recipe.train.batch / statistics.median(rounds)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Speed(images_per_s, peak, warm_up_s)


def benchmark_training(recipe: Recipe, *, rows: list[str] | None, device_name: str) -> None:
    """The same network from plain torch on; each row keeps the changes of those above.

    Args:
        recipe: of the network.
        rows: names in CHANGES; None: all.
        device_name: as `machine.device`.
    """
    rows = rows or list(CHANGES)
    if unknown := set(rows) - set(CHANGES):
        known = ", ".join(CHANGES)
        raise UserError(f"--rows {' '.join(sorted(unknown))}: expected some of {known}")
    device = pick_device(device_name)
    samples = generated_samples(recipe)
    flop = image_flop(recipe, samples, device)
    rate = matrix_rate(device)
    print(
        f"   {describe(device)}, {recipe.model.encoder}, torch {torch.__version__}, "
        f"{flop / 1e9:.0f} GFLOP an image, bfloat16 matrix product {rate / 1e12:.1f} TFLOP/s"
    )
    print("   plain is float32 (convolutions may use TF32), eager, NCHW, CPU loader, batch 8")
    plain = None
    for name in rows:
        settings = settings_up_to(name)
        try:
            speed = measure(recipe, settings, samples, device=device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            print(f"   {name:14} out of memory", flush=True)
            continue
        plain = speed.images_per_s if name == "plain" else plain
        memory = f"{speed.peak_bytes / 2**30:6.1f} GiB   " if device.type == "cuda" else ""
        ratio = f"{speed.images_per_s / plain:6.2f} × plain" if plain else ""
        print(
            f"   {name:14} {speed.images_per_s:8.1f} images/s   "
            f"{speed.images_per_s * flop / rate:6.1%} of the matrix rate   "
            f"{memory}{speed.warm_up_s:5.0f} s to start   {ratio}",
            flush=True,
        )
