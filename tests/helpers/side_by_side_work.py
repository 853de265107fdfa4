"""What processes do in place of training, for tests of those that look after them."""

import os
import signal
import time

from canet.core.console import UserError
from canet.core.files import write_text
from canet.core.recipe import Recipe
from canet.core.runs import fold_folder


def write_metrics(recipe: Recipe, fold: int, epochs: int) -> None:
    """As if so many epochs were trained."""
    lines = ["epoch,loss", *(f"{epoch},0.5" for epoch in range(epochs))]
    write_text(fold_folder(recipe, fold) / "metrics.csv", "\n".join(lines) + "\n")


def end_in_many_ways(recipe: Recipe, fold: int) -> None:
    """Fold 1 fails, fold 2 is killed, others end well."""
    print(f"fold {fold} on {recipe.machine.device}", flush=True)
    if fold == 1:
        raise UserError("planted")
    if fold == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def go_on_for_ever(recipe: Recipe, fold: int) -> None:
    """Complete an epoch, then go on until asked to stop, and save."""
    try:
        write_metrics(recipe, fold, 1)
        time.sleep(600)
    except KeyboardInterrupt:
        print("saved", flush=True)
        raise
