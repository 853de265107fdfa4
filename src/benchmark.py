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

from pathlib import Path

from canet.core import cli
from canet.core.console import announce
from canet.data.data_set import DataSet, list_images

KINDS = ["maps", "predict", "train", "postprocess", "compact", "submission"]


def main() -> None:
    parser = cli.recipe_parser(__doc__)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--images", type=Path, metavar="DIR", help="shapes (default: training)")
    parser.add_argument("--run", metavar="NAME", help="predict with this run's network")
    parser.add_argument("--count", type=int, default=64, metavar="N", help="images to use")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda …")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="of train (default: all)")
    args = parser.parse_args()
    recipe = cli.load_recipe(args)
    folder = args.images or DataSet.of(recipe).train_shapes.path
    reads = {"train": [], "postprocess": [recipe.run_folder]}.get(args.what, [folder])
    announce(f"benchmark {args.what}", reads, [])
    paths = [] if args.what in ("train", "postprocess") else list_images(folder)
    some = paths[:: max(1, len(paths) // args.count)][: args.count]
    match args.what:
        case "train":
            from canet.benchmarks.training import benchmark_training

            benchmark_training(recipe, rows=args.rows, device_name=args.device)
        case "postprocess":
            from canet.benchmarks.postprocessing import benchmark_postprocessing

            benchmark_postprocessing(recipe)
        case "submission":
            from canet.benchmarks.submission import benchmark_submission

            benchmark_submission(args.run or "weights/geometry", paths, args.count)
        case "maps":
            from canet.benchmarks.maps import benchmark_maps

            benchmark_maps(some)
        case "compact":
            from canet.benchmarks.compact import benchmark_compact

            benchmark_compact(some)
        case "predict":
            from canet.benchmarks.prediction import benchmark_prediction

            benchmark_prediction(recipe, some, run=args.run, device_name=args.device)


if __name__ == "__main__":
    cli.run(main)
