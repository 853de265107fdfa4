"""Predict a folder of shapes with a trained run and write leaderboard PNGs and a flat zip.

reads   runs/NAME/fold-K/model/ (the newest run without --run), its threshold.json, the shapes;
        weights/geometry/ where nothing is trained: no network, no GPU
writes  submissions/NAME.zip, submissions/NAME/*.png, submissions/NAME.json (the manifest) and
        submissions/NAME.png: up to 24 of the shapes with their skeletons, to look at

Shapes are checked first, the zip before it appears: names, count, sizes, values, no nested folder.
Larger shapes than those trained on are skeletonized small and drawn at their own size.
Memory does not grow with their number; a call that was killed continues.

examples:
  python src/make_submission.py                                   newest run, its test shapes
  python src/make_submission.py --run cpu --tta
  python src/make_submission.py --run cpu --set postprocess.components=one
  python src/make_submission.py --recipe cpu --set train.epochs=10     the run of that recipe
  python src/make_submission.py --recipe demo --run weights/geometry   another's, on its shapes
  python src/make_submission.py --run paper --folds 0 1 2 3 4     average of five models
  python src/make_submission.py --components one --spur-px 4      one piece, short spurs trimmed
  python src/make_submission.py --images photos/ --out photos     any folder of shape PNGs
  python src/make_submission.py --run weights/geometry --images photos/ --out photos
                                                      what comes with the repository
  python src/make_submission.py --images photos/ --out photos --longest-px 512
                                                      finer where shapes are large
  torchrun --nproc-per-node 4 -- src/make_submission.py --images many/ --out many
                                                      four processes, each a quarter of the shapes
"""

from canet.core import cli
from canet.submission.make import add_options, make_submission


def main() -> None:
    parser = cli.recipe_parser(__doc__)
    add_options(parser)
    args = parser.parse_args()
    make_submission(args, cli.load_recipe(args) if args.recipe else None)


if __name__ == "__main__":
    cli.run(main)
