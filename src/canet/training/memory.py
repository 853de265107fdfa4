"""What to do when a batch does not fit into the device's memory."""

from collections.abc import Callable

import torch

from canet.core.gpus import is_out_of_memory
from canet.core.recipe import Recipe
from canet.data.training_set import Samples
from canet.inference.device import describe
from canet.inference.distributed import World
from canet.training.trainer import Trainer, build_state


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
    """In one line, the largest batch that fits; found by trying where there is one process."""
    batch = recipe.train.batch
    if world.size > 1:  # the other processes wait for this one, so no trials here
        return (
            f"out of memory on {describe(device)} with train.batch={batch} over {world.size} "
            f"processes; lower train.batch or start more"
        )
    if fits(recipe, samples, device, batch=batch):
        return (
            f"out of memory on {describe(device)}, not by train.batch={batch}, which fits alone; "
            f"lower predict.batch={recipe.predict.batch}, or set machine.graphs=false"
        )
    best = largest_batch(lambda b: fits(recipe, samples, device, batch=b), batch)
    remedy = f"try train.batch={best}" if best else "not even train.batch=1 fits"
    return f"out of memory on {describe(device)} with train.batch={batch}; {remedy}"
