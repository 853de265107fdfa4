"""Measure what bounds a step, as ratios against a named alternative in the same run.

reads   a folder of shapes (the recipe's training shapes by default), or a run's held-out
        probabilities
writes  nothing; prints a table

maps         repairing and distance transform against merely reading and decoding the PNGs
predict      from shape to skeleton by a network, and its steps, against skimage's medial_axis and
             skeletonize; OMP_NUM_THREADS=1 and one core (taskset) compare like with like
postprocess  joining and trimming held-out skeletons against plain thresholding
compact      the steps of a compact skeleton against skimage's, and its cost over the image's size
skeletonize  skeletons of anybody's masks against scikit-image's four, 256² to 4096²; memory
train        images/s of training, change by change from plain torch; share of the matrix rate
submission   memory and seconds of make_submission over 10, 100, … --count shapes (copies, renamed)

examples:
  python src/benchmark.py maps --recipe cpu
  python src/benchmark.py predict --run cpu
  python src/benchmark.py predict --recipe cpu           fresh weights: speed without training
  python src/benchmark.py compact --images photos/
  python src/benchmark.py skeletonize                    minutes
  python src/benchmark.py train --recipe paper --rows plain compile     minutes, to compile
  python src/benchmark.py submission --run cpu --images photos/ --count 10000
"""

from importlib import import_module
from pathlib import Path

from canet.core import cli
from canet.core.console import UserError, announce
from canet.data.data_set import DataSet, list_images

KINDS = ["maps", "predict", "train", "postprocess", "compact", "skeletonize", "submission"]
MODULES = {"predict": "prediction", "train": "training", "postprocess": "postprocessing"}
OF_SHAPES = ["maps", "predict", "compact", "submission"]
USED_BY = {"images": OF_SHAPES, "count": OF_SHAPES, "run": ["predict", "submission"]}
USED_BY |= {"device": ["predict", "train"], "rows": ["train"]}


def main() -> None:
    parser = cli.recipe_parser(__doc__, writes=False)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--images", type=Path, metavar="DIR", help="shapes (default: training)")
    parser.add_argument("--run", metavar="NAME", help="predict with this run's network")
    parser.add_argument("--count", type=int, default=64, metavar="N", help="images to use")
    parser.add_argument("--device", help="auto, cpu, cuda … (default: the recipe's)")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="of train (default: all)")
    args = parser.parse_args()
    for option, kinds in USED_BY.items():
        if args.what not in kinds and getattr(args, option) != parser.get_default(option):
            raise UserError(f"--{option} is for {', '.join(kinds)}; {args.what} has none")
    if args.count < 1:
        raise UserError(f"--count {args.count}: expected 1 or more")
    recipe = cli.load_recipe(args)
    device_name = args.device or recipe.machine.device
    folder = args.images or DataSet.of(recipe).train_shapes.path
    without = args.what not in OF_SHAPES
    reads = [recipe.run_folder] if args.what == "postprocess" else [] if without else [folder]
    announce(f"benchmark {args.what}", reads, [])
    paths = [] if without else list_images(folder)
    some = paths[:: max(1, len(paths) // args.count)][: args.count]
    name = MODULES.get(args.what, args.what)
    measure = getattr(import_module(f"canet.benchmarks.{name}"), f"benchmark_{name}")
    match args.what:
        case "train":
            measure(recipe, rows=args.rows, device_name=device_name)
        case "postprocess":
            measure(recipe)
        case "submission":
            measure(args.run or "weights/geometry", paths, args.count)
        case "predict":
            measure(recipe, some, run=args.run, device_name=device_name)
        case "skeletonize":
            measure()
        case _:  # maps, compact
            measure(some)


if __name__ == "__main__":
    cli.run(main)
