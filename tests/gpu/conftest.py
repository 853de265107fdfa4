"""Recipes on a GPU, and an error where a training step waits for it."""

import pytest
import torch

from canet.core.recipe import Recipe
from canet.core.recipe_files import load
from canet.training.checkpoint import TrainState
from canet.training.trainer import Trainer

UNCHECKED_STEPS = 2  # of an epoch: its order and moves are copied, cuDNN's plans are made
ON_GPU = [
    "machine.device=cuda",
    "train.precision=auto",
    "train.batch=2",  # five steps an epoch
    "machine.checkpoint_every_s=600",
    "predict.tta=true",
]


@pytest.fixture
def settings(overrides) -> list[str]:
    """Overrides that make any recipe tiny, on a GPU."""
    kept = [o for o in overrides if not o.startswith(("machine.device", "train.precision"))]
    return [*kept, *ON_GPU]


@pytest.fixture
def on_gpu(settings, tiny_folds) -> Recipe:
    """The demo's recipe, tiny, on a GPU; its folds are written."""
    return load("demo", settings)


@pytest.fixture
def no_waits(monkeypatch) -> None:
    """From an epoch's third step on, whatever waits for the device raises an error."""
    train_epoch = Trainer.train_epoch

    def strict(self, model, state: TrainState, on_step_end) -> dict:
        def checked() -> None:
            torch.cuda.set_sync_debug_mode("default")
            on_step_end()
            within = UNCHECKED_STEPS <= state.step < len(self.loader)
            torch.cuda.set_sync_debug_mode("error" if within else "default")

        try:
            return train_epoch(self, model, state, checked)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Trainer, "train_epoch", strict)


@pytest.fixture(autouse=True)
def from_the_beginning():
    """No memory of other tests counts."""
    torch.compiler.reset()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
