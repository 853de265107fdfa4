"""Say where a run's results are and how good they are, beside plain thinning.

reads   runs/NAME/, submissions/NAME.zip
writes  nothing

examples:
  python src/summarize.py --recipe demo
"""

from canet import stage
from canet.database import shown_url
from canet.files import UserError, read_json, shown
from canet.scoring import read_table


def main() -> None:
    args = stage.recipe_parser(__doc__).parse_args()
    recipe = stage.load_recipe(args)
    run, zip_path = recipe.run_folder, recipe.zip_path
    if not zip_path.is_file():
        raise UserError(f"{shown(zip_path)}: not there yet; run bash run.sh first")
    pictures = sorted(run.glob("*.png")) + sorted(run.glob("fold-*/*.png"))
    print(f"== results of {recipe.name}")
    print(f"   PNGs      {shown(zip_path.with_suffix(''))}/")
    print(f"   zip       {shown(zip_path)}")
    print(f"   pictures  {', '.join(shown(p) for p in pictures if '.old' not in str(p))}")
    if recipe.method == "network":
        print(f"   curves    tensorboard --logdir {shown(run)}")
    print(f"   study     optuna-dashboard {shown_url(recipe)}")
    chosen = read_json(run / "selection.json", f1_cross_fitted=float, images=int)
    if recipe.method == "geometry" and chosen:
        table = read_table(run / "scores.csv", "f1")
        print(
            f"   F1        {chosen['f1_cross_fitted']:.4f} out of fold on {chosen['images']} images"
            f" (best single candidate {table.loc['closed_2', 'f1']:.4f}, "
            f"oracle {table.loc['oracle: and mask', 'f1']:.4f})"
        )
        print(f"   thinning  {table.loc['zhang_suen', 'f1']:.4f} (Zhang–Suen, the same images)")
        return
    result = read_json(run / "threshold.json", f1_cross_fitted=float, images=int)
    if not result:
        print("   F1        unknown: no image was held out")
        return
    table = read_table(run / "scores.csv", "f1")
    print(
        f"   F1        {result['f1_cross_fitted']:.4f} on {result['images']} held-out images "
        f"(threshold chosen on others of them)"
    )
    if "CANet_plain" in table.index:  # not in runs whose threshold was tuned long ago
        before, after = table.loc["CANet_plain"], table.loc["CANet"]
        print(
            f"   pieces    {after['one_component']:.0%} in one, {after['breaks']:.1f} breaks each"
            f" (before post-processing {before['one_component']:.0%}, {before['breaks']:.1f})"
        )
    print(f"   thinning  {table.loc['zhang_suen', 'f1']:.4f} (Zhang–Suen, the same images)")


if __name__ == "__main__":
    stage.run(main)
