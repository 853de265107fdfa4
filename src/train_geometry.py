"""Learn which candidate skeleton is the label; no network, a few minutes on two cores.

reads   the data set, its folds (make_folds.py)
writes  runs/NAME/: selection.json, scores.csv, out_of_fold.csv, decisions.png, optuna.db and
        fold-all/selection/, the forest that make_submission.py takes

The candidates are five compact skeletons (src/canet/geometry/), of two masks at up to three
tolerances. A forest decides from the image: size, grey levels, outline, how the candidates differ.
Every image is judged by forests that have not seen it.

examples:
  python src/train_geometry.py
  python src/train_geometry.py --recipe geometry --set folds.scheme=grouped
  python src/train_geometry.py --recipe geometry --set selection.trials=40
"""

from canet.core import cli
from canet.core.console import announce
from canet.evaluation.score_tables import read_table
from canet.search.storage import shown_url
from canet.selection import forest
from canet.selection.train import OUTPUTS, train_selection


def main() -> None:
    args = cli.recipe_parser(__doc__, default="geometry").parse_args()
    recipe = cli.load_recipe(args)
    run = recipe.run_folder
    writes = [*(run / name for name in OUTPUTS), run / forest.RUN_FOLDER]
    announce(f"geometry ({recipe.name})", [recipe.data_root], writes)
    if recipe.selection.trials:
        print(f"   study  {shown_url(recipe)}", flush=True)
    result = train_selection(recipe, force=args.force)
    table = read_table(run / "scores.csv", "f1", "pooled_f1", "recall_1px", "precision_1px")
    print(table[["f1", "pooled_f1", "recall_1px", "precision_1px"]].to_string(float_format="%.4f"))
    print(
        f"   F1 {result['f1_cross_fitted']:.4f} out of fold on {result['images']} images "
        f"(the study's best {result['f1']:.4f})"
    )


if __name__ == "__main__":
    cli.run(main)
