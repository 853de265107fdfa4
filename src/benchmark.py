"""Measure what bounds a step, as ratios against a named alternative in the same run.

reads   a folder of shapes (the recipe's training shapes by default), or a run's held-out
        probabilities
writes  nothing; prints a table

maps         repairing and distance transform against merely reading and decoding the PNGs
predict      a network's prediction per image against skimage's medial_axis and skeletonize
postprocess  joining and trimming held-out skeletons against plain thresholding
compact      the steps of a compact skeleton against skimage's, and its cost over the image's size
train        images/s of training, change by change from plain torch, and the share of the device's
             matrix rate
submission   memory and seconds of make_submission over 10, 100, … --count shapes (copies, renamed)

examples:
  python src/benchmark.py maps --recipe cpu
  python src/benchmark.py predict --run cpu
  python src/benchmark.py predict --recipe cpu           fresh weights: speed without training
  python src/benchmark.py postprocess --recipe cpu
  python src/benchmark.py compact --images photos/
  python src/benchmark.py train --recipe paper           minutes, most of them compiling
  python src/benchmark.py train --recipe paper --rows plain compile batch32
  python src/benchmark.py submission --run cpu --images photos/ --count 10000
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from canet import stage
from canet.classical import METHODS
from canet.dataset import ImageFolders, list_images
from canet.files import UserError, read_grey, read_json
from canet.input_kinds import PLANES
from canet.inputs import input_map
from canet.recipe import Input, Postprocess
from canet.runs import DEFAULT_THRESHOLD
from canet.timing import seconds_per_image

KINDS = ["maps", "predict", "train", "postprocess", "compact", "submission"]
ENLARGED = (1, 2, 4, 8, 16)
JOINED = ("shape+distance+edge", "repaired_distance+candidates", "candidates+radius+offset")


def print_table(rows: dict[str, float], reference: str) -> None:
    """Images a second and the cost relative to the reference row."""
    for name, seconds in rows.items():
        ratio = seconds / rows[reference]
        print(f"   {name:32} {1 / seconds:9.1f} images/s   {ratio:8.2f} × {reference}")


def benchmark_maps(paths: list[Path]) -> None:
    """Every plane and some kinds on one core, against reading and decoding the same files."""
    cv2.setNumThreads(1)
    shapes = [read_grey(p) for p in paths]
    rows = {"read and decode": seconds_per_image(lambda: [read_grey(p) for p in paths], len(paths))}
    for kind in [*PLANES, *JOINED]:
        settings = Input(kind=kind)

        def work(settings: Input = settings) -> None:
            for shape in shapes:
                input_map(shape, settings)

        rows[kind] = seconds_per_image(work, len(shapes))
    print_table(rows, "read and decode")


def benchmark_predict(args, recipe, paths: list[Path]) -> None:
    """One network on the device, one image at a time and in batches, against skimage."""
    import torch

    from canet.device import describe, pick_device, resolve_precision
    from canet.fitting import build_model
    from canet.map_cache import compute_maps
    from canet.prediction import predict_levels
    from canet.runs import find_run, load_run

    device = pick_device(args.device)
    if args.run:
        model = load_run(find_run(args.run), [], device).models[0]
        network, recipe = model.network, model.recipe
    else:
        network = build_model(recipe).to(device, memory_format=torch.channels_last).eval()
    precision = resolve_precision(recipe.train.precision, device)
    print(f"   {describe(device)}, {precision}, {recipe.model.encoder}, {len(paths)} images")
    maps, shapes = compute_maps(paths, recipe.input), [read_grey(p) for p in paths]

    def skeletons(method: Callable[[np.ndarray], np.ndarray]) -> None:
        for shape in shapes:
            method(shape)

    rows = {
        f"{recipe.model.architecture}, {batch} at a time": seconds_per_image(
            lambda batch=batch: predict_levels([network], maps, device, precision, batch),
            len(paths),
        )
        for batch in (1, 8, 64)
    }
    for name in ("medial_axis", "zhang_suen"):
        method = METHODS[name]
        rows[name] = seconds_per_image(lambda method=method: skeletons(method), len(paths))
    print_table(rows, "medial_axis")


def benchmark_train(args, recipe) -> None:
    """The same network from plain torch on; each row keeps the changes of those above."""
    import torch

    from canet import training_speed
    from canet.device import describe, pick_device

    rows = args.rows or list(training_speed.CHANGES)
    if unknown := set(rows) - set(training_speed.CHANGES):
        known = ", ".join(training_speed.CHANGES)
        raise UserError(f"--rows {' '.join(sorted(unknown))}: expected some of {known}")
    device = pick_device(args.device)
    samples = training_speed.generated_samples(recipe)
    flop = training_speed.image_flop(recipe, samples, device)
    rate = training_speed.matrix_rate(device)
    print(
        f"   {describe(device)}, {recipe.model.encoder}, torch {torch.__version__}, "
        f"{flop / 1e9:.0f} GFLOP an image, bfloat16 matrix product {rate / 1e12:.1f} TFLOP/s"
    )
    print("   plain is float32 (convolutions may use TF32), eager, NCHW, CPU loader, batch 8")
    plain = None
    for name in rows:
        settings = training_speed.settings_up_to(name)
        try:
            speed = training_speed.measure(recipe, settings, samples, device)
        except torch.OutOfMemoryError:
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


def benchmark_postprocess(recipe) -> None:
    """Each way to one piece, on one core, at the run's threshold."""
    from canet.threshold_search import load_out_of_fold, skeleton_of

    cv2.setNumThreads(1)
    images = load_out_of_fold(recipe)
    tuned = read_json(recipe.run_folder / "threshold.json", threshold=float)
    threshold = tuned["threshold"] if tuned else DEFAULT_THRESHOLD
    count = len(images.names)
    print(f"   {count} held-out images, threshold {threshold:.3f}")
    ways = {
        "plain thresholding": {},
        "thinned": {"thin": True},
        "one piece, best kept": {"components": "one", "join": "drop"},
        "one piece, joined by paths": {"components": "one"},
        "the same, spurs trimmed": {"components": "one", "spur_px": 4},
    }

    def skeletons(switches: dict) -> None:
        settings = Postprocess(**switches)
        for i in range(count):
            skeleton_of(images, i, threshold, settings)

    rows = {
        name: seconds_per_image(lambda given=given: skeletons(given), count)
        for name, given in ways.items()
    }
    print_table(rows, "plain thresholding")


def benchmark_compact(paths: list[Path]) -> None:
    """Outline, walk and drawing on one core; then one shape enlarged."""
    from canet.geometry import compact_skeleton, label_mask, trace_outline

    cv2.setNumThreads(1)
    shapes = [read_grey(p) for p in paths]
    masks = [label_mask(s) for s in shapes]
    outlines = [trace_outline(m) for m in masks]
    graphs = [compact_skeleton(o, 2.0) for o in outlines]
    steps = {
        "outline": lambda i: trace_outline(masks[i]),
        "compact, one more tolerance": lambda i: compact_skeleton(outlines[i], 2.0),
        "drawing": lambda i: graphs[i].draw(masks[i].shape),
        "compact, all": lambda i: METHODS["compact"](shapes[i]),
        "salient_medial_axis": lambda i: METHODS["salient_medial_axis"](shapes[i]),
        "medial_axis": lambda i: METHODS["medial_axis"](shapes[i]),
        "zhang_suen": lambda i: METHODS["zhang_suen"](shapes[i]),
    }

    def all_of(step: Callable[[int], object]) -> None:
        for i in range(len(shapes)):
            step(i)

    rows = {n: seconds_per_image(lambda s=s: all_of(s), len(shapes)) for n, s in steps.items()}
    print_table(rows, "medial_axis")
    print("   one shape enlarged: points of its outline, nodes and ms at 2 px and at 2 px enlarged")
    for factor in ENLARGED:
        shape = cv2.resize(shapes[0], None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        mask = label_mask(shape)
        said = f"   {shape.shape[1]:5d} × {shape.shape[0]:<5d}"
        said += f" {len(trace_outline(mask)):7d} points"
        for tolerance in (2.0, 2.0 * factor):
            began = time.perf_counter()
            graph = compact_skeleton(mask, tolerance)
            graph.draw(mask.shape)
            ms = (time.perf_counter() - began) * 1000
            said += f"   {tolerance:4g} px: {len(graph):6d} nodes {ms:8.1f} ms"
        print(said)


def benchmark_submission(run: str, paths: list[Path], most: int) -> None:
    """Whole commands: seconds, and the peak memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        count, shapes = 10, Path(folder, "shapes")
        shapes.mkdir()
        while count <= most:
            for i in range(count):
                shutil.copyfile(paths[i % len(paths)], shapes / f"{i:06}.png")
            words = ["--run", run, "--images", shapes, "--out", Path(folder, f"out-{count}")]
            command = [sys.executable, str(Path(__file__).with_name("make_submission.py"))]
            began = time.perf_counter()
            process = subprocess.Popen(
                [*command, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            status, used = os.wait4(process.pid, 0)[1:]
            if status:
                raise UserError(f"{run}: make_submission failed, run it alone to see why")
            took, peak_mb = time.perf_counter() - began, used.ru_maxrss / 1024
            print(f"   {count:6} shapes {took:8.1f} s {peak_mb:8.0f} MB", flush=True)
            count *= 10


def main() -> None:
    parser = stage.recipe_parser(__doc__)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--images", type=Path, metavar="DIR", help="shapes (default: training)")
    parser.add_argument("--run", metavar="NAME", help="predict with this run's network")
    parser.add_argument("--count", type=int, default=64, metavar="N", help="images to use")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda …")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="of train (default: all)")
    args = parser.parse_args()
    recipe = stage.load_recipe(args)
    if args.what == "train":
        stage.announce("benchmark train", [], [])
        benchmark_train(args, recipe)
        return
    if args.what == "postprocess":
        stage.announce("benchmark postprocess", [recipe.run_folder], [])
        benchmark_postprocess(recipe)
        return
    shapes = args.images or ImageFolders(recipe.data_root, recipe.data).train_shapes
    paths = list_images(shapes)
    paths = paths[:: max(1, len(paths) // args.count)][: args.count]
    stage.announce(f"benchmark {args.what}", [shapes], [])
    if args.what == "submission":
        benchmark_submission(args.run or "weights/geometry", list_images(shapes), args.count)
    elif args.what == "maps":
        benchmark_maps(paths)
    elif args.what == "compact":
        benchmark_compact(paths)
    else:
        benchmark_predict(args, recipe, paths)


if __name__ == "__main__":
    stage.run(main)
