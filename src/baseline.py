"""Skeletons by a method that learns nothing: thinning, a medial axis, or compact skeletons.

reads   a folder of shapes; `all`: a recipe's labelled images
writes  OUT/*.png, OUT.zip and the manifest OUT.json, like make_submission.py; `all`: the score and
        the time of every method on a fold's held-out images: runs/NAME/classical_fold-K.csv, and
        OUT

zhang_suen, guo_hall, lee    thinning, by scikit-image
lu_wang                thinning, Zhang and Suen's with one condition changed
medial_axis            thinning in the order of the distance map, by scikit-image
distance_ridge         ridge of the distance map
morphological          what openings lose; often in many pieces
salient_medial_axis    Voronoi diagram of the outline, pruned where little outline would be lost
compact                the geometry that the labels of Pixel SkelNetOn are made of

examples:
  python src/baseline.py compact --images photos/ --out photos_skeletons
  python src/baseline.py compact --images photos/ --out coarse --tolerance 4
  python src/baseline.py zhang_suen --images input/demo/img_test_shape --out submissions/thinning
  python src/score.py submissions/thinning.zip input/demo/img_test2
  python src/baseline.py all --recipe cpu --out results/classical_fold-0.csv
  python src/baseline.py all --recipe demo --fold 1 --out demo.csv
"""

import argparse
from pathlib import Path

from canet.core import cli
from canet.core.console import UserError, announce
from canet.geometry.candidates import PLAIN
from canet.geometry.classical import METHODS
from canet.submission.by_method import draw_folder


def score_all(args: argparse.Namespace) -> None:
    """Every method on the images that a fold of the recipe holds out."""
    from canet.evaluation.classical_scores import held_out_path, held_out_table
    from canet.evaluation.score_tables import write_table

    recipe, fold = cli.load_recipe(args), args.fold or 0
    announce("classical methods", [recipe.data_root], [held_out_path(recipe, fold)])
    table = held_out_table(recipe, fold, force=args.force)
    if args.out:
        write_table(args.out, table)
    print(table.to_string(index=False, float_format="{:.4f}".format))


def check(args: argparse.Namespace) -> None:
    """Refuse what does not go together."""
    if args.method == "all" and args.images:
        raise UserError("all looks at the images that a fold holds out; leave --images out")
    if args.method != "all" and not (args.images and args.out):
        raise UserError(f"{args.method} wants --images DIR and --out DIR; all wants --recipe NAME")
    if args.method != "all" and (args.recipe or args.overrides or args.fold is not None):
        raise UserError(f"--recipe, --set and --fold are for all; {args.method} has none")
    if args.tolerance is not None and args.method != "compact":
        raise UserError(f"--tolerance is for compact; {args.method} has none")
    if args.tolerance is not None and not args.tolerance >= 0:
        raise UserError(f"--tolerance {args.tolerance}: expected 0 or more pixels")


def main() -> None:
    parser = cli.recipe_parser(__doc__)
    parser.add_argument("method", choices=[*sorted(METHODS), "all"])
    parser.add_argument("--images", type=Path, metavar="DIR", help="shapes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (all: CSV, too)")
    parser.add_argument("--fold", type=int, metavar="K", help="of all (default: 0)")
    told = f"of compact (default: {PLAIN.tolerance_px:g})"
    parser.add_argument("--tolerance", type=float, metavar="PX", help=told)
    args = parser.parse_args()
    check(args)
    if args.method == "all":
        score_all(args)
        return
    own = {} if args.tolerance is None else {"tolerance_px": args.tolerance}
    draw_folder(args.method, args.images, args.out, force=args.force, **own)


if __name__ == "__main__":
    cli.run(main)
