"""Say where a run's results are and how good they are, beside plain thinning.

reads   runs/NAME/, submissions/NAME.zip
writes  nothing

Where the test shapes' labels are known, as in the demo, what comes with the repository is scored on
them too, as far as run.sh has predicted them.

examples:
  python src/summarize.py --recipe demo
"""

from canet import stage
from canet.database import shown_url
from canet.dataset import ImageFolders, list_images
from canet.files import UserError, digest_of_files, read_json, shown
from canet.metrics import summarize
from canet.recipe import Recipe
from canet.scoring import load_labels, read_table, score_predictions
from canet.submission import read_submission


def tell_test_scores(recipe: Recipe) -> None:
    """F1 on the test shapes, where their labels are known, of this run and of what is shipped."""
    folders = ImageFolders(recipe.data_root, recipe.data)
    if not folders.test_skeletons:
        return
    labels, shapes = load_labels(folders.test_skeletons), list_images(folders.test_shapes)
    now, told = digest_of_files(shapes), []
    by_weights = sorted(recipe.zip_path.parent.glob("demo_by_*.zip")) if recipe.demo.train else []
    for zip_path in [recipe.zip_path, *by_weights]:
        manifest = read_json(zip_path.with_suffix(".json"), images=dict, run=str)
        if not manifest or manifest["images"].get("sha256") != now:
            continue  # made of other shapes
        made = {name: image > 127 for name, image in read_submission(zip_path).items()}
        f1 = summarize(list(score_predictions(made, labels).values()))["f1"]
        by = "this run" if zip_path == recipe.zip_path else f"weights/{manifest['run']}"
        told.append(f"{f1:.4f} by {by}")
    print(f"   test F1   {', '.join(told)}, on {len(shapes)} test shapes")


def main() -> None:
    args = stage.recipe_parser(__doc__).parse_args()
    recipe = stage.load_recipe(args)
    run, zip_path = recipe.run_folder, recipe.zip_path
    if not zip_path.is_file():
        raise UserError(f"{shown(zip_path)}: not there yet; run bash run.sh first")
    pictures = [zip_path.with_suffix(".png"), *run.glob("*.png"), *sorted(run.glob("fold-*/*.png"))]
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
    if "network_plain" in table.index:  # not in runs whose threshold was tuned long ago
        before, after = table.loc["network_plain"], table.loc["network"]
        print(
            f"   pieces    {after['one_component']:.0%} in one, {after['breaks']:.1f} breaks each"
            f" (before post-processing {before['one_component']:.0%}, {before['breaks']:.1f})"
        )
    print(f"   thinning  {table.loc['zhang_suen', 'f1']:.4f} (Zhang–Suen, the same images)")
    tell_test_scores(recipe)


if __name__ == "__main__":
    stage.run(main)
