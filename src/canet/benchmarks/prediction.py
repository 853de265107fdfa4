"""From a shape to its skeleton by a network, step by step, against scikit-image's medial axis."""

from functools import partial
from pathlib import Path

import torch

from canet.benchmarks.timing import print_table, seconds_of_each, seconds_per_image
from canet.core.recipe import Recipe
from canet.core.runs import find_run
from canet.data.data_set import ImageFolder
from canet.data.input_maps import input_maps
from canet.geometry.classical import METHODS
from canet.inference.device import describe, pick_device, resolve_precision
from canet.inference.saved_model import TrainedModel
from canet.inference.trained_run import TrainedRun, load_run
from canet.network import build_model
from canet.postprocess.threshold import DEFAULT_THRESHOLD
from canet.submission.by_network import Networks


def fresh_run(recipe: Recipe, device: torch.device) -> TrainedRun:
    """A run with fresh weights: as fast as a trained one, but for what is joined afterwards."""
    network = build_model(recipe).to(device, memory_format=torch.channels_last).eval()
    model = TrainedModel(network, recipe, {}, recipe.run_folder)
    return TrainedRun(recipe.run_folder, [model], DEFAULT_THRESHOLD, recipe.postprocess, "fresh")


def benchmark_prediction(
    recipe: Recipe, paths: list[Path], *, run: str | None, device_name: str
) -> None:
    """A run's networks on a device: the whole way, and its steps.

    Args:
        recipe: of the network, where no run is named: fresh weights.
        paths: shapes of one size, in one folder.
        run: the name of a trained run, or None.
        device_name: as `machine.device`.

    Raises:
        UserError: the shapes have several sizes.
    """
    device = pick_device(device_name)
    trained = load_run(find_run(run), [], device) if run else fresh_run(recipe, device)
    recipe = trained.models[0].recipe
    precision = resolve_precision(recipe.train.precision, device)
    batch = recipe.predict.batch
    networks = Networks(trained, device, precision, batch=batch, tta=False)
    print(f"   {describe(device)}, {precision}, {recipe.model.encoder}, {len(paths)} images")
    images = list(ImageFolder(paths[0].parent).read_all([path.name for path in paths]))
    shapes = {path.name: image for path, image in zip(paths, images)}
    maps = input_maps(images, recipe.input)
    rows = {
        "shape to skeleton": partial(networks.predict, shapes),
        "of it input planes": partial(input_maps, images, recipe.input),
        f"of it the network, {batch} at a time": partial(networks.levels_of, maps),
    }
    rows = {name: seconds_per_image(work, len(paths)) for name, work in rows.items()}
    rows |= {name: seconds_of_each(METHODS[name], images) for name in ("medial_axis", "zhang_suen")}
    print_table(rows, "medial_axis")
