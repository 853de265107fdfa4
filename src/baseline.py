"""Skeletons by a method that learns nothing: thinning, a medial axis, or compact skeletons.

reads   a folder of shapes; `all`: a recipe's labelled images
writes  a folder of skeleton PNGs, a flat zip and a manifest, like make_submission.py; `all`: the
        score and the time of every method on a fold's held-out images, as CSV

zhang_suen, guo_hall, lee    thinning, by scikit-image
lu_wang                thinning, Zhang and Suen's with one condition changed
medial_axis            thinning in the order of the distance map, by scikit-image
distance_ridge         ridge of the distance map
morphological          what openings lose; often in many pieces
salient_medial_axis    Voronoi diagram of the outline, pruned where little outline would be lost
compact                the geometry that the labels of Pixel SkelNetOn are made of

examples:
  python src/baseline.py compact --images photos/ --out photos_skeletons
  python src/baseline.py compact --images photos/ --out coarse --tolerance 4 --every-piece
  python src/baseline.py zhang_suen --images input/demo/img_test_shape --out submissions/thinning
  python src/score.py submissions/thinning.zip input/demo/img_test2
  python src/baseline.py all --recipe cpu                    results/classical_fold-0.csv
  python src/baseline.py all --recipe demo --fold 1 --out demo.csv
"""

import argparse
from pathlib import Path

import numpy as np

from canet import stage
from canet.classical import METHODS
from canet.dataset import list_images
from canet.files import REPOSITORY, UserError, read_grey, shown
from canet.folds import folds_path
from canet.geometry import compact_skeleton
from canet.geometry.candidates import PLAIN, label_mask
from canet.scoring import write_table
from canet.submission import submit


def score_all(args: argparse.Namespace) -> None:
    """Every method on the images that a fold of the recipe holds out."""
    from canet.classical_scores import held_out_table

    recipe = stage.load_recipe(args)
    path = args.out or REPOSITORY / "results" / f"classical_fold-{args.fold}.csv"
    stage.announce("classical methods", [recipe.data_root, folds_path(recipe)], [path])
    table = held_out_table(recipe, args.fold)
    write_table(path, table)
    print(table.to_string(index=False, float_format="{:.4f}".format))


def parse() -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: what is given does not go together.
    """
    parser = stage.recipe_parser(__doc__)
    parser.add_argument("method", choices=[*sorted(METHODS), "all"])
    parser.add_argument("--images", type=Path, metavar="DIR", help="shapes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (all: CSV)")
    parser.add_argument("--fold", type=int, default=0, metavar="K", help="of all (default: 0)")
    compact = parser.add_argument_group("compact")
    compact.add_argument(
        "--tolerance", type=float, metavar="PX", help=f"(default: {PLAIN.tolerance_px:g})"
    )
    compact.add_argument(
        "--every-piece", action="store_true", help="a skeleton in each piece, not in one alone"
    )
    args = parser.parse_args()
    if args.method == "all" and args.images:
        raise UserError("all looks at the images that a fold holds out; leave --images out")
    if args.method != "all" and not (args.images and args.out):
        raise UserError(f"{args.method} wants --images DIR and --out DIR; all wants --recipe NAME")
    if (args.tolerance is not None or args.every_piece) and args.method != "compact":
        raise UserError(f"--tolerance and --every-piece are for compact; {args.method} has none")
    if args.tolerance is not None and not args.tolerance >= 0:
        raise UserError(f"--tolerance {args.tolerance}: expected 0 or more pixels")
    return args


def draw_folder(args: argparse.Namespace) -> None:
    """One method on a folder of shapes."""
    tolerance = PLAIN.tolerance_px if args.tolerance is None else args.tolerance

    def skeleton_of(shape: np.ndarray) -> np.ndarray:
        if args.tolerance is None and not args.every_piece:
            return METHODS[args.method](shape)
        mask = label_mask(shape)
        return compact_skeleton(mask, tolerance, args.every_piece).draw(shape.shape)

    def skeletons(paths: list[Path]) -> dict[str, np.ndarray]:
        return {p.name: skeleton_of(read_grey(p)) for p in paths}

    zip_path = args.out.with_name(args.out.name.removesuffix(".zip") + ".zip")
    stage.announce(args.method, [args.images], [zip_path])
    facts = {"method": args.method, "commit": stage.commit(), "versions": stage.versions()}
    if args.method == "compact":
        facts |= {"tolerance_px": tolerance, "every_piece": args.every_piece}
    paths = list_images(args.images)
    if submit(paths, skeletons, zip_path, facts):
        folder = shown(zip_path.with_suffix(""))
        print(f"   {len(paths)} PNGs in {folder}/, zipped: {shown(zip_path)}")


def main() -> None:
    args = parse()
    if args.method == "all":
        score_all(args)
    else:
        draw_folder(args)


if __name__ == "__main__":
    stage.run(main)
