"""Train the recipe's network, fold by fold, and continue whatever was killed.

reads   the data set, its folds (make_folds.py), its maps (make_distance_maps.py)
writes  runs/NAME/fold-K/: model/, metrics.csv, curves.png, panel.png, held_out.npz, tensorboard/

examples:
  python src/train.py --recipe cpu --fold 0
  python src/train.py --recipe paper --fold all          every labelled image, none held out
  python src/train.py --recipe demo --set train.epochs=4 model.encoder=resblock8
  python src/train.py --recipe paper --fold 0 --fold 1 --set machine.device=cuda:0,cuda:1
                                       a fold on each device, side by side
  torchrun --nproc-per-node 4 src/train.py --recipe paper --fold 0
                                       one fold on four GPUs; the batch is divided among them
  tensorboard --logdir runs
"""

import sys

from canet import stage
from canet.device import names_of
from canet.files import write_text
from canet.folds import folds_path
from canet.parallel_folds import train_side_by_side
from canet.training import fold_folder, fold_number, train_fold


def command(args) -> list[str]:
    """This command for one fold, ready for more overrides."""
    words = [sys.executable, __file__] + (["--recipe", args.recipe] if args.recipe else [])
    return [*words, *(["--force"] if args.force else []), "--set", *args.overrides]


def main() -> None:
    parser = stage.recipe_parser(__doc__)
    parser.add_argument(
        "--fold", action="append", metavar="K", help="fold to hold out, or all (repeatable)"
    )
    args = parser.parse_args()
    recipe = stage.load_recipe(args)
    folds = [fold_number(text) for text in args.fold or []] or recipe.train.folds
    reads = [recipe.data_root, folds_path(recipe), recipe.cache_folder]
    stage.announce(f"train ({recipe.name})", reads, [fold_folder(recipe, k) for k in folds])
    if stage.IS_FIRST:
        write_text(recipe.run_folder / "recipe.yaml", recipe.to_yaml())
    devices = names_of(recipe.machine.device)
    if stage.IS_ALONE and len(devices) > 1 and len(folds) > 1:
        train_side_by_side(command(args), folds, devices)
        return
    for fold in folds:
        train_fold(recipe, fold, args.force)


if __name__ == "__main__":
    stage.run(main)
