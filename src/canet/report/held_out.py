"""The images that a run was judged on: their figures, and how to look at one of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from canet.core.console import UserError, shown
from canet.core.files import read_json
from canet.core.input_planes import shown_channel
from canet.core.recipe import Postprocess, Recipe
from canet.core.runs import finished_folds
from canet.data.data_set import DataSet
from canet.data.input_maps import input_map
from canet.evaluation.out_of_fold import (
    held_out_files,
    load_out_of_fold,
    read_held_out,
    scores_of,
    skeleton_of,
)
from canet.evaluation.score_tables import damaged, read_columns
from canet.evaluation.sweep import sweep
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.geometry.metrics import Score
from canet.postprocess.threshold import tuned_threshold

SAME_F1 = 1e-6  # between what a search wrote and what its predictions score
Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Look:
    """One image: shape (H, W) uint8, label and prediction (H, W) bool; the network's input."""

    shape: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    input_map: np.ndarray | None = None


@dataclass(frozen=True)
class HeldOut:
    """Held-out images and how they were judged.

    Attributes:
        names: of the images.
        folds: which fold each was held out by.
        scores: with the run's threshold and post-processing, or by the chosen candidate.
        cross_fitted: per-image F1, what judges an image chosen on others.
        look: from an image's index.
        shapes: (N, H, W) uint8; networks only.
        plain: scores at the best threshold without post-processing; networks only.
        tuned: of the threshold search; networks only.
        curves: per-image F1 over thresholds, by label; networks only.
        choices: per image, the candidate `taken`, the `best` one and its `best_f1`; geometry only.
    """

    names: list[str]
    folds: list[str]
    scores: list[Score]
    cross_fitted: float
    look: Callable[[int], Look]
    shapes: np.ndarray | None = None
    plain: list[Score] | None = None
    tuned: dict | None = None
    curves: dict[str, Curve] = field(default_factory=dict)
    choices: pd.DataFrame | None = None


def held_out_of(recipe: Recipe) -> HeldOut | None:
    """The held-out images of a run, None where there are none or no threshold was tuned yet.

    Raises:
        UserError: files are damaged or of different trainings, or the data set is not there.
    """
    return (_by_geometry if recipe.method == "geometry" else _by_network)(recipe)


def _by_network(recipe: Recipe) -> HeldOut | None:
    run = recipe.run_folder
    tuned = tuned_threshold(run)
    if not tuned:
        return None
    if tuned["trained"].keys() != finished_folds(run).keys() - {"all"}:
        raise UserError(
            f"{shown(run)}: threshold.json is of other folds than are trained; run "
            f"src/tune_threshold.py again"
        )
    figures = dict.fromkeys(("f1", "f1_cross_fitted", "threshold_without_postprocessing"), float)
    if not read_json(run / "threshold.json", **figures):
        raise damaged(run / "threshold.json")
    views = recipe.predict.model_copy(update={"tta": tuned.get("tta") is True})
    tuned_for = recipe.model_copy(update={"predict": views})
    images, switches = load_out_of_fold(tuned_for, DataSet.of(recipe)), tuned["postprocess"]
    plain = Postprocess(inside_shape=switches.inside_shape)
    scores = scores_of(images, tuned["threshold"], switches)
    found = float(np.mean([s.f1 for s in scores]))
    if abs(found - tuned["f1"]) > SAME_F1:
        raise UserError(
            f"{shown(run / 'threshold.json')}: says F1 {tuned['f1']:.6f}, the predictions have "
            f"{found:.6f} now; has the data changed? run src/tune_threshold.py again"
        )
    curves = {"without post-processing": _mean(*sweep(images, plain))}
    if not switches.is_plain:
        curves |= _recorded_sweep(run / "sweep.csv")
    fold_of = {
        str(name): path.parent.name.removeprefix("fold-")
        for path in held_out_files(recipe)
        for name in read_held_out(path)["names"]
    }

    def look(i: int) -> Look:
        prediction = skeleton_of(images, i, threshold=tuned["threshold"], settings=switches)
        channels = input_map(images.shapes[i], recipe.input)
        seen = channels[shown_channel(recipe.input.kind)]
        return Look(images.shapes[i], images.skeletons[i], prediction, seen)

    return HeldOut(
        images.names,
        [fold_of[name] for name in images.names],
        scores,
        tuned["f1_cross_fitted"],
        look,
        images.shapes,
        scores_of(images, tuned["threshold_without_postprocessing"], plain),
        tuned,
        curves,
    )


def _mean(thresholds: np.ndarray, f1: np.ndarray) -> Curve:
    return thresholds, f1.mean(0)


def _recorded_sweep(path: Path) -> dict[str, Curve]:
    """The sweep with post-processing, as the search recorded it."""
    if not path.is_file():
        raise damaged(path)
    table = read_columns(path, {"threshold": float, "f1": float})
    return {"with post-processing": (table["threshold"].to_numpy(), table["f1"].to_numpy())}


def _by_geometry(recipe: Recipe) -> HeldOut | None:
    run = recipe.run_folder
    chosen = read_json(run / "selection.json", f1_cross_fitted=float, images=int)
    path = run / "out_of_fold.csv"
    if not chosen or not path.is_file():
        return None
    figures = {f.name: f.type for f in fields(Score)}
    own = {"image": str, "fold": int, "taken": str, "best": str, "best_f1": float}
    table, candidates = read_columns(path, figures | own), {c.name: c for c in CANDIDATES}
    if not len(table) or not set(table["taken"]) | set(table["best"]) <= candidates.keys():
        raise damaged(path)
    names, data = table["image"].tolist(), DataSet.of(recipe)
    if chosen.get("data", data.digest) != data.digest:  # runs of before do not tell
        raise UserError(
            f"{shown(run / 'selection.json')}: of other images or labels than are in "
            f"{shown(data.root)} now; has the data changed? run src/train_geometry.py again"
        )
    scores = [Score(**row) for row in table[list(figures)].to_dict("records")]

    def look(i: int) -> Look:
        shape = data.train_shapes.read(names[i])
        label = data.train_skeletons.read(names[i]) > 0
        return Look(shape, label, ShapeGeometry(shape).drawing(candidates[table["taken"][i]]))

    return HeldOut(
        names,
        table["fold"].astype(str).tolist(),
        scores,
        chosen["f1_cross_fitted"],
        look,
        choices=table[["taken", "best", "best_f1"]],
    )
