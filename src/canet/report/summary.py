"""The last lines of `run.sh`: where a run's results are and how good they are."""

from pathlib import Path

import pandas as pd

from canet.core.console import UserError, shown
from canet.core.files import read_json
from canet.core.recipe import Recipe
from canet.data.data_set import DataSet
from canet.evaluation.score_tables import damaged, read_table, score_predictions
from canet.geometry.candidates import CANDIDATES
from canet.geometry.metrics import summarize
from canet.postprocess.threshold import tuned_threshold
from canet.report.searches import study_names
from canet.search.storage import shown_url
from canet.submission.read import read_submission


def print_summary(recipe: Recipe) -> None:
    """Print files, commands and scores of a run.

    Raises:
        UserError: there is no submission yet, or a table of scores is damaged.
    """
    run, zip_path = recipe.run_folder, recipe.zip_path
    if not zip_path.is_file():
        raise UserError(f"{shown(zip_path)}: not there yet; run bash run.sh first")
    of_folds = sorted(run.glob("fold-*/*.png"))
    of_folds = [p for p in of_folds if "." not in p.parent.name]  # fold-0.old1 was set aside
    pictures = [zip_path.with_suffix(".png"), *run.glob("*.png"), *of_folds]
    print(f"== results of {recipe.name}")
    print(f"   PNGs      {shown(zip_path.with_suffix(''))}/")
    print(f"   zip       {shown(zip_path)}")
    print(f"   pictures  {', '.join(map(shown, pictures))}")
    if recipe.method == "network":
        print(f"   curves    tensorboard --logdir {shown(run)}")
    if study_names(recipe):
        print(f"   study     optuna-dashboard {shown_url(recipe)}")
    if recipe.method == "geometry":
        _print_selection(run)
    else:
        _print_threshold(run)
    _print_test_scores(recipe)


def _print_selection(run: Path) -> None:
    chosen = read_json(run / "selection.json", f1_cross_fitted=float, images=int)
    if not chosen:
        return
    table = read_table(run / "scores.csv", "f1")
    single = table.loc[table.index.isin([c.name for c in CANDIDATES]), "f1"].max()
    print(
        f"   F1        {chosen['f1_cross_fitted']:.4f} out of fold on {chosen['images']} images"
        f" (best single candidate {single:.4f}, "
        f"oracle {table.loc['oracle: and mask', 'f1']:.4f})"
    )
    _print_thinning(table)


def _print_threshold(run: Path) -> None:
    result = tuned_threshold(run)
    if not result:
        print("   F1        unknown: no image was held out")
        return
    result = read_json(run / "threshold.json", f1_cross_fitted=float, images=int)
    if not result:
        raise damaged(run / "threshold.json")
    table = read_table(run / "scores.csv", "f1", "one_component", "breaks")
    print(
        f"   F1        {result['f1_cross_fitted']:.4f} on {result['images']} held-out images "
        f"(threshold chosen on others of them)"
    )
    before, after = table.loc["network_plain"], table.loc["network"]
    print(
        f"   pieces    {after['one_component']:.0%} in one, {after['breaks']:.1f} breaks each"
        f" (before post-processing {before['one_component']:.0%}, {before['breaks']:.1f})"
    )
    _print_thinning(table)


def _print_thinning(table: pd.DataFrame) -> None:
    print(f"   thinning  {table.loc['zhang_suen', 'f1']:.4f} (Zhang–Suen, the same images)")


def _print_test_scores(recipe: Recipe) -> None:
    """F1 on the test shapes, where their labels are known, of this run and of what is shipped.

    The zip of this recipe may be another run's, which `make_submission.py --out` has put there.
    """
    data = DataSet.of(recipe)
    if not data.test_skeletons:
        return
    names = data.test_skeletons.names
    labels = {name: data.test_skeletons.read(name) > 0 for name in names}
    told = []
    by_weights = sorted(recipe.zip_path.parent.glob("demo_by_*.zip")) if recipe.demo.train else []
    for zip_path in [recipe.zip_path, *by_weights]:
        manifest = read_json(zip_path.with_suffix(".json"), images=dict, run=str)
        if not manifest or manifest["images"].get("sha256") != data.test_shapes.digest:
            continue  # made of other shapes
        made = {name: image > 127 for name, image in read_submission(zip_path).items()}
        f1 = summarize(list(score_predictions(made, labels).values()))["f1"]
        by = "this run" if manifest["run"] == recipe.name else manifest["run"]
        told.append(f"{f1:.4f} by {f'weights/{by}' if zip_path in by_weights else by}")
    if told:
        print(f"   test F1   {', '.join(told)}, on {len(names)} test shapes")
    else:
        print("   test F1   unknown: no submission is of the test shapes")
