"""What the threshold search writes beside its choice: the curve, and scores to compare it with."""

from dataclasses import asdict

import pandas as pd

from canet.core.console import progress
from canet.core.recipe import Postprocess, Recipe
from canet.evaluation import pictures
from canet.evaluation.out_of_fold import OutOfFold, scores_of
from canet.evaluation.score_tables import write_table
from canet.evaluation.sweep import Swept
from canet.geometry.classical import BESIDE_RUNS
from canet.geometry.metrics import score_image, summarize

OUTPUTS = ("threshold.png", "sweep.csv", "scores.csv", "out_of_fold.csv")


def write_curve(
    recipe: Recipe, swept: Swept, *, trials: list[tuple[float, float]], chosen: float
) -> None:
    """`sweep.csv` and `threshold.png`: F1 over thresholds with the chosen post-processing.

    Args:
        recipe: says where.
        swept: the sweep with it.
        trials: threshold and F1 of the study's trials with it.
        chosen: the threshold to mark.
    """
    f1 = swept.f1.mean(0)
    path = recipe.run_folder / "threshold.png"
    pictures.draw_threshold_curve(swept.thresholds, f1, trials=trials, chosen=chosen, path=path)
    table = pd.DataFrame({"threshold": swept.thresholds, "f1": f1})
    write_table(recipe.run_folder / "sweep.csv", table)


def write_scores(recipe: Recipe, images: OutOfFold, result: dict) -> dict:
    """`scores.csv`: network before and after post-processing, classical methods on the same images.

    Args:
        recipe: says where.
        images: held-out images.
        result: what the search chose, see `threshold.summarize_choice`.

    Returns:
        `before` and `after`: the figures of plain thresholding at its best threshold, and those of
        what was chosen.
    """
    chosen = Postprocess(**result["postprocess"])
    plain = Postprocess(inside_shape=chosen.inside_shape)
    scores = {
        "network": scores_of(images, result["threshold"], chosen),
        "network_plain": scores_of(images, result["threshold_without_postprocessing"], plain),
    }
    for name, method in BESIDE_RUNS.items():
        shapes = progress(images.shapes, desc=name, unit="image", leave=False, delay=2)
        scores[name] = [score_image(method(x), s) for x, s in zip(shapes, images.skeletons)]
    rows = {name: summarize(figures) for name, figures in scores.items()}
    each = [{"image": n} | asdict(s) for n, s in zip(images.names, scores["network"])]
    write_table(recipe.run_folder / "out_of_fold.csv", pd.DataFrame(each))
    table = pd.DataFrame([{"method": name} | row for name, row in rows.items()])
    write_table(recipe.run_folder / "scores.csv", table)
    return {"before": rows["network_plain"], "after": rows["network"]}
