"""Methods that learn nothing, scored and timed on a fold's held-out images."""

import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from canet import classical, distance, geometry, metrics
from canet.classical import METHODS
from canet.dataset import ImageFolders, list_images, read_skeleton
from canet.files import UserError, digest_of_files, read_grey
from canet.folds import folds_path, read_folds, split
from canet.metrics import score_image, summarize
from canet.recipe import Recipe
from canet.scoring import read_columns, write_table
from canet.stage import Stamp, progress

FIGURES = ["f1", "pooled_f1", "f1_within_1px", "one_component", "ms_per_image"]
CODE = [Path(m.__file__) for m in (classical, distance, metrics)] + geometry.CODE


def held_out_table(recipe: Recipe, fold: int) -> pd.DataFrame:
    """Every method on the images that a fold holds out.

    Returns:
        columns `method`, `f1` (mean per image), `pooled_f1`, `f1_within_1px`, `one_component`
        (share) and `ms_per_image` (on one core, one pass); kept in the run's folder.

    Raises:
        UserError: there are no folds, or this one holds out nothing.
    """
    folders = ImageFolders(recipe.data_root, recipe.data)
    names = [p.name for p in list_images(folders.train_shapes)]
    _, held_out = split(read_folds(folds_path(recipe), names, recipe.folds), fold)
    if not held_out:
        raise UserError(f"fold {fold} holds out no image; there are {recipe.folds.count} folds")
    shapes = [folders.train_shapes / name for name in held_out]
    skeletons = [folders.train_skeletons / name for name in held_out]
    path = recipe.run_folder / f"classical_fold-{fold}.csv"
    depends = [digest_of_files(files) for files in (CODE, shapes, skeletons)]
    stamp = Stamp(path.with_suffix(".json"), depends, [path])
    if not stamp.is_current():
        labels = np.stack([read_skeleton(p) for p in skeletons])
        write_table(path, classical_table([read_grey(p) for p in shapes], labels))
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
