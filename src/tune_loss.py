"""Search the loss weights with Optuna: λ_dice, λ_focal, W_pos, W_neg, γ, auxiliary weights.

reads   the data set, its folds, its maps; the images a fold holds out are not touched
writes  the study (runs/NAME/optuna.db or --storage) and runs/NAME/fold-K/tuned_loss.json,
        which training uses where the recipe sets loss.tuned

Runs until loss_search.trials or --trials have ended in all; the same command continues a search
that was killed, and does nothing after its end. A SQLite file takes one worker. With --storage
postgresql://… the command may be given as often as there are workers, on machines that share the
folder of runs; any of them may be killed. Several on one machine are faster with
OMP_NUM_THREADS set to their share of its cores. --force starts a new study; workers that are to
join it need --force as well, before the first of them has ended.

examples:
  python src/tune_loss.py --recipe demo
  python src/tune_loss.py --recipe cpu --set loss.tuned=true --fold 0 --trials 20
  python src/tune_loss.py --recipe canet --set loss.tuned=true --trials 60 --storage postgresql://…
  optuna-dashboard sqlite:///runs/demo/optuna.db
"""

from canet.core import cli, console
from canet.core.runs import fold_folder, fold_number
from canet.data.training_set import TrainingSet
from canet.search.loss import search_loss
from canet.search.storage import shown_url
from canet.search.study import add_trials


def main() -> None:
    parser = cli.recipe_parser(__doc__)
    parser.add_argument("--fold", action="append", metavar="K", help="fold the loss is for, or all")
    cli.add_storage(parser)
    add_trials(parser)
    args = parser.parse_args()
    recipe = cli.load_network_recipe(args)
    folds = [fold_number(text) for text in args.fold or []] or recipe.train.folds
    if not recipe.loss_search.trials and not args.trials:
        print(f"== loss search\n   recipe {recipe.name} searches none (loss_search.trials is 0)")
        return
    images = TrainingSet(recipe)
    reads = [recipe.data_root, images.folds_path, recipe.cache_folder]
    writes = [fold_folder(recipe, k) / "tuned_loss.json" for k in folds]
    console.announce("loss search", reads, writes)
    print(f"   study  {shown_url(recipe)}", flush=True)
    for fold in folds:
        best = search_loss(recipe, fold, trials=args.trials, force=args.force, images=images)
        print(
            f"   fold {fold}: dice {best.dice:.3g}, focal {best.focal:.3g}, "
            f"W_pos {best.positive_weight:.3g}, W_neg {best.negative_weight:.3g}, "
            f"gamma {best.gamma:.2f}, scales {', '.join(f'{w:.2f}' for w in best.scale_weights)}"
        )


if __name__ == "__main__":
    cli.run(main)
