"""The line that a trained network draws in a mask."""

from functools import cache
from pathlib import Path

import numpy as np

from canet.core.console import REPOSITORY, UserError, shown
from canet.core.runs import find_run
from canet.geometry.distance import distance_map
from canet.geometry.metrics import LEVELS
from canet.geometry.thinning import thin_to
from canet.inference.device import pick_device, resolve_precision
from canet.inference.trained_run import load_run
from canet.postprocess.rescale import enlarge, shrink
from canet.submission.by_network import Networks

PACKED = Path(__file__).resolve().parents[1] / "weights" / "canet_axis"  # where it is installed
TRAINED = PACKED if PACKED.is_dir() else REPOSITORY / "weights" / "canet_axis"


def network_line(mask: np.ndarray, weights: str | Path | None = None) -> np.ndarray:
    """A trained network's skeleton of a mask, joined where it is most probable.

    Args:
        mask: (H, W) bool, of any size; a larger one than those trained on is seen at their size
            where nothing is lost.
        weights: a run's name, or the folder of one or of exported weights; None: the CANet that
            comes along.

    Returns:
        (H, W) bool, in as many pieces as the mask that the network saw.

    Raises:
        UserError: there are no such weights.
    """
    networks, shape = networks_of(weights), mask * np.uint8(255)
    small = shrink(shape, networks.run.models[0].recipe.data.size_px)
    levels = networks.levels([small])[0]
    inside = small > 0
    depth = distance_map(inside)
    line = thin_to(
        inside,
        levels >= networks.run.threshold * LEVELS,
        distance=levels + depth / (1 + depth.max()),
    )
    return enlarge(line, shape)


@cache
def networks_of(weights: str | Path | None) -> Networks:
    """A run's networks, see `network_line`; loaded once."""
    folder = find_run(str(weights)) if weights else TRAINED
    if not folder.is_dir():
        raise UserError(f"{shown(folder)}: is missing; method canet needs these weights")
    device = pick_device("auto")
    run = load_run(folder, [], device)
    recipe = run.models[0].recipe
    precision = resolve_precision(recipe.train.precision, device)
    return Networks(run, device, precision, recipe.predict.batch, tta=run.tta)
