"""Learn which candidate skeleton is the label; no network, a few minutes on two cores.

reads   the data set, its folds (make_folds.py)
writes  runs/NAME/: selection.json, scores.csv, out_of_fold.csv, decisions.png, optuna.db and
        fold-all/selection/, the forest that make_submission.py takes

The candidates are compact skeletons (src/canet/geometry/) of two masks at three tolerances. A
forest decides from the image: size, grey levels, outline, how the candidates differ. Every image
is judged by forests that have not seen it.

examples:
  python src/train_geometry.py --recipe geometry
  python src/train_geometry.py --recipe geometry --set folds.scheme=grouped
  python src/train_geometry.py --recipe geometry --set selection.series=true
"""

from canet import stage
from canet.database import shown_url
from canet.files import write_text
from canet.folds import folds_path
from canet.scoring import read_table
from canet.selection_training import FOLDER, OUTPUTS, train_selection


def main() -> None:
    args = stage.recipe_parser(__doc__).parse_args()
    recipe = stage.load_recipe(args)
    run = recipe.run_folder
    writes = [*(run / name for name in OUTPUTS), run / FOLDER / "selection"]
    stage.announce(f"geometry ({recipe.name})", [recipe.data_root, folds_path(recipe)], writes)
    if recipe.selection.trials:
        print(f"   study  {shown_url(recipe)}", flush=True)
    write_text(run / "recipe.yaml", recipe.to_yaml())
    result = train_selection(recipe, args.force)
    table = read_table(run / "scores.csv", "f1", "pooled_f1", "recall_1px", "precision_1px")
    print(table[["f1", "pooled_f1", "recall_1px", "precision_1px"]].to_string(float_format="%.4f"))
    print(
        f"   F1 {result['f1_cross_fitted']:.4f} out of fold on {result['images']} images "
        f"(the study's best {result['f1']:.4f})"
    )


if __name__ == "__main__":
    stage.run(main)
