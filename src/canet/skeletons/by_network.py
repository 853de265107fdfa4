"""The line that the trained network draws in a mask."""

from functools import cache
from pathlib import Path

import numpy as np

from canet.core.console import REPOSITORY, UserError, shown
from canet.geometry.distance import distance_map
from canet.geometry.metrics import LEVELS
from canet.geometry.thinning import thin_to
from canet.inference.device import pick_device, resolve_precision
from canet.inference.trained_run import load_run
from canet.postprocess.rescale import enlarge, shrink
from canet.submission.by_network import Networks

PACKED = Path(__file__).resolve().parents[1] / "weights" / "canet_axis"  # where it is installed
TRAINED = PACKED if PACKED.is_dir() else REPOSITORY / "weights" / "canet_axis"
LONGEST_PX = 256  # what it was trained on; larger masks are seen at this size where nothing is lost


def network_line(mask: np.ndarray) -> np.ndarray:
    """The trained CANet's skeleton of a mask, joined where it is most probable.

    Args:
        mask: (H, W) bool, of any size.

    Returns:
        (H, W) bool, in as many pieces as the mask that the network saw.
    """
    networks, shape = _networks(TRAINED), mask * np.uint8(255)
    small = shrink(shape, LONGEST_PX)
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
def _networks(folder: Path) -> Networks:
    if not folder.is_dir():
        raise UserError(f"{shown(folder)}: is missing; method canet needs these weights")
    device = pick_device("auto")
    run = load_run(folder, [], device)
    recipe = run.models[0].recipe
    precision = resolve_precision(recipe.train.precision, device)
    return Networks(run, device, precision, recipe.predict.batch, tta=False)
