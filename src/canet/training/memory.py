"""What to do when a batch does not fit into the device's memory."""

from collections.abc import Callable

import torch

from canet.core.gpus import is_out_of_memory
from canet.core.recipe import Recipe
from canet.data.training_set import Samples
from canet.inference.device import describe
from canet.inference.distributed import World
from canet.training.trainer import Trainer, build_state

SMALLER = "augment.crop_px (null: whole images)"


def fits(recipe: Recipe, samples: Samples, device: torch.device, *, batch: int) -> bool:
    """Whether training with this batch fits into the device's memory."""
    try:
        trial = recipe.model_copy(
            update={
                "train": recipe.train.model_copy(update={"batch": batch}),
                "input": recipe.input.model_copy(update={"window": "image"}),  # the largest
            }
        )
        trainer, state = Trainer(trial, samples, None, device=device), build_state(trial, device)
        images, step = next(iter(trainer.loader)), trainer.stepper(state)
        state.model.train()
        for _ in range(2):  # the optimizer's own memory is there from the second step on
            step(images)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def largest_batch(fit: Callable[[int], bool], below: int) -> int:
    """The largest batch under `below` that fits, by bisection; 0 where none does.

    It is found to a thirty-second of `below`: how memory is cut into pieces differs from one
    training to the next, so that the very largest fits sometimes.
    """
    step = max(1, below // 32)
    low, high = 0, -(-below // step)  # in steps; low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle * step) else (low, middle)
    return low * step


def explain_out_of_memory(
    recipe: Recipe, samples: Samples, device: torch.device, *, world: World
) -> str:
    """In one line, the largest batch that fits; found by trying, where that endangers nothing."""
    batch = recipe.train.batch
    began = f"out of memory on {describe(device)}"
    if world.size > 1:  # the other processes wait for this one, so no trials here
        return (
            f"{began} with train.batch={batch} over {world.size} processes; lower train.batch or "
            f"start more"
        )
    if device.type == "cpu":  # whoever tries for more of the host's memory may be killed
        return f"{began} with train.batch={batch}; lower train.batch, predict.batch or {SMALLER}"
    if fits(recipe, samples, device, batch=batch):
        return (
            f"{began}, not by train.batch={batch}, which fits alone; "
            f"lower predict.batch={recipe.predict.batch}, or set machine.graphs=false"
        )
    best = largest_batch(lambda b: fits(recipe, samples, device, batch=b), batch)
    if not best:
        return (
            f"{began} with train.batch={batch}; not even train.batch=1 fits: lower {SMALLER}, or "
            f"take a narrower model.encoder"
        )
    return (
        f"{began} with train.batch={batch}; try train.batch={best}, with a lower train.lr than "
        f"{recipe.train.lr:g}, which is for the larger one"
    )
