"""Train the recipe's network, fold by fold, and continue whatever was killed.

reads   the data set, its folds (make_folds.py), its maps (make_distance_maps.py)
writes  runs/NAME/fold-K/: model/, metrics.csv, curves.png, panel.png, held_out.npz, tensorboard/

examples:
  python src/train.py --recipe cpu --fold 0
  python src/train.py --recipe paper --fold all          every labelled image, none held out
  python src/train.py --recipe demo --set train.epochs=4 model.encoder=resblock8
  python src/train.py --recipe paper --fold 0 --fold 1 --set machine.device=cuda:0,cuda:1
                                       a fold on each device, side by side; each writes what
                                       it has to say to runs/NAME/fold-K.log
  torchrun --nproc-per-node 4 src/train.py --recipe paper --fold 0
                                       one fold on four GPUs; the batch is divided among them
  tensorboard --logdir runs
"""

from canet.core import cli, console
from canet.core.files import write_text
from canet.core.runs import fold_folder, fold_number
from canet.data.training_set import TrainingSet
from canet.inference.device import names_of
from canet.training.fold import train_fold
from canet.training.side_by_side import train_folds


def main() -> None:
    parser = cli.recipe_parser(__doc__)
    parser.add_argument(
        "--fold", action="append", metavar="K", help="fold to hold out, or all (repeatable)"
    )
    args = parser.parse_args()
    recipe = cli.load_network_recipe(args)
    folds = [fold_number(text) for text in args.fold or []] or recipe.train.folds
    images = TrainingSet(recipe)
    reads = [recipe.data_root, images.folds_path, recipe.cache_folder]
    console.announce(f"train ({recipe.name})", reads, [fold_folder(recipe, k) for k in folds])
    if console.IS_FIRST:
        write_text(recipe.run_folder / "recipe.yaml", recipe.to_yaml())
    devices = names_of(recipe.machine.device)
    if console.IS_ALONE and len(devices) > 1 and len(folds) > 1:
        train_folds(recipe, folds, devices, force=args.force)
        return
    for fold in folds:
        train_fold(recipe, fold, force=args.force, images=images)


if __name__ == "__main__":
    cli.run(main)
