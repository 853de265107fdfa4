"""Methods that learn nothing, scored and timed on a fold's held-out images."""

import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from canet.core.console import UserError, progress
from canet.core.provenance import Stamp, code_digest, versions
from canet.core.recipe import Recipe
from canet.data.folds import split
from canet.data.training_set import TrainingSet
from canet.evaluation.score_tables import read_columns, write_table
from canet.geometry.classical import METHODS
from canet.geometry.metrics import score_image, summarize

FIGURES = ["f1", "pooled_f1", "f1_within_1px", "one_component", "ms_per_image"]


def held_out_path(recipe: Recipe, fold: int) -> Path:
    """Where `held_out_table` is kept."""
    return recipe.run_folder / f"classical_fold-{fold}.csv"


def held_out_table(recipe: Recipe, fold: int, *, force: bool = False) -> pd.DataFrame:
    """Every method on the images that a fold holds out.

    Args:
        recipe: with its folds written.
        fold: its number.
        force: measure again what is current.

    Returns:
        columns `method`, `f1` (mean per image), `pooled_f1`, `f1_within_1px`, `one_component`
        (share) and `ms_per_image` (on one core, one pass); kept in the run's folder.

    Raises:
        UserError: there are no folds, or this one holds out nothing.
    """
    images = TrainingSet(recipe)
    _, held_out = split(images.folds, fold)
    if not held_out:
        raise UserError(f"fold {fold} holds out no image; there are {recipe.folds.count} folds")
    path = held_out_path(recipe, fold)
    code = code_digest("canet.geometry.classical", "canet.geometry.metrics")
    made_by = [code, versions(), images.data.digest, held_out]
    stamp = Stamp(path.with_suffix(".json"), made_by, [path])
    if force or not stamp.is_current():
        shapes = images.data.train_shapes.read_all(held_out)
        write_table(path, classical_table(list(shapes), images.data.skeletons(held_out)))
        stamp.write()
    return read_columns(path, {"method": str} | dict.fromkeys(FIGURES, float))


def classical_table(shapes: list[np.ndarray], skeletons: np.ndarray) -> pd.DataFrame:
    """Every method's figures, see `held_out_table`.

    Args:
        shapes: (H, W) uint8 grey each.
        skeletons: (N, H, W) bool.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    rows = []
    with progress(total=len(METHODS) * len(shapes), desc="classical", unit="image", delay=2) as bar:
        for name, method in METHODS.items():
            method(shapes[0])  # compiled, for once
            scores, spent_s = [], 0.0
            for shape, skeleton in zip(shapes, skeletons):
                began = time.perf_counter()
                drawn = method(shape)
                spent_s += time.perf_counter() - began
                scores.append(score_image(drawn, skeleton))
                bar.update()
            figures = summarize(scores) | {"ms_per_image": 1000 * spent_s / len(shapes)}
            rows.append({"method": name} | {key: figures[key] for key in FIGURES})
    cv2.setNumThreads(threads)
    return pd.DataFrame(rows)
