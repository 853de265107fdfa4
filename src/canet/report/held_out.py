"""The images that a run was judged on: their figures, and how to look at one of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from canet.dataset import ImageFolders, read_skeleton
from canet.files import UserError, read_grey, read_json, shown
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.input_kinds import shown_channel
from canet.inputs import input_map
from canet.metrics import Score
from canet.recipe import Postprocess, Recipe
from canet.runs import finished_folds, tuned_threshold
from canet.scoring import damaged, read_columns
from canet.threshold_search import (
    held_out_files,
    load_out_of_fold,
    read_held_out,
    scores_of,
    skeleton_of,
    sweep,
)

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
    if not read_json(run / "threshold.json", f1=float, f1_cross_fitted=float):
        raise damaged(run / "threshold.json")
    images, switches = load_out_of_fold(recipe), tuned["postprocess"]
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
    # not known of runs whose threshold was tuned long ago
    known = read_json(run / "threshold.json", threshold_without_postprocessing=float)
    fold_of = {
        str(name): path.parent.name.removeprefix("fold-")
        for path in held_out_files(recipe)
        for name in read_held_out(path)["names"]
    }

    def look(i: int) -> Look:
        prediction = skeleton_of(images, i, tuned["threshold"], switches)
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
        scores_of(images, known["threshold_without_postprocessing"], plain) if known else None,
        tuned,
        curves,
    )


def _mean(thresholds: np.ndarray, f1: np.ndarray) -> Curve:
    return thresholds, f1.mean(0)


def _recorded_sweep(path: Path) -> dict[str, Curve]:
    """The sweep with post-processing, {} where the search did not record it yet."""
    if not path.is_file():
        return {}
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
    names, folders = table["image"].tolist(), ImageFolders(recipe.data_root, recipe.data)
    scores = [Score(**row) for row in table[list(figures)].to_dict("records")]

    def look(i: int) -> Look:
        shape = read_grey(folders.train_shapes / names[i])
        label = read_skeleton(folders.train_skeletons / names[i])
        return Look(shape, label, ShapeGeometry(shape).drawing(candidates[table["taken"][i]]))

    return HeldOut(
        names,
        table["fold"].astype(str).tolist(),
        scores,
        chosen["f1_cross_fitted"],
        look,
        choices=table[["taken", "best", "best_f1"]],
    )
