"""A network's prediction per image against scikit-image's medial axis and thinning."""

from functools import partial
from pathlib import Path

import torch

from canet.benchmarks.timing import print_table, seconds_of_each, seconds_per_image
from canet.core.images import read_grey
from canet.core.recipe import Recipe
from canet.core.runs import find_run
from canet.data.input_maps import input_maps
from canet.geometry.classical import METHODS
from canet.inference.device import describe, pick_device, resolve_precision
from canet.inference.predict import predict_levels
from canet.inference.trained_run import load_run
from canet.network import build_model

BATCHES = (1, 8, 64)


def benchmark_prediction(
    recipe: Recipe, paths: list[Path], *, run: str | None, device_name: str
) -> None:
    """One network on a device, one image at a time and in batches.

    Args:
        recipe: of the network, where no run is named: fresh weights.
        paths: shapes of one size.
        run: the name of a trained run, or None.
        device_name: as `machine.device`.
    """
    device = pick_device(device_name)
    if run:
        model = load_run(find_run(run), [], device).models[0]
        network, recipe = model.network, model.recipe
    else:
        network = build_model(recipe).to(device, memory_format=torch.channels_last).eval()
    precision = resolve_precision(recipe.train.precision, device)
    print(f"   {describe(device)}, {precision}, {recipe.model.encoder}, {len(paths)} images")
    shapes = [read_grey(p) for p in paths]
    maps = input_maps(shapes, recipe.input)
    predict = partial(predict_levels, [network], maps, device=device, precision=precision)
    rows = {
        f"{recipe.model.architecture}, {n} at a time": seconds_per_image(
            partial(predict, batch=n), len(paths)
        )
        for n in BATCHES
    }
    rows |= {name: seconds_of_each(METHODS[name], shapes) for name in ("medial_axis", "zhang_suen")}
    print_table(rows, "medial_axis")
