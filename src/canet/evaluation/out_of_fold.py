"""Held-out images with the probabilities of the model that has not seen them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from canet.core.console import UserError, progress, shown
from canet.core.cores import in_threads
from canet.core.recipe import Postprocess, Recipe
from canet.core.runs import finished_folds, require_same_experiment
from canet.data.data_set import DataSet
from canet.geometry.candidates import ShapeGeometry, closed_drawings
from canet.geometry.masks import any_mask
from canet.geometry.metrics import (
    Score,
    f1_score,
    score_image,
)
from canet.postprocess.skeleton import to_skeleton

VIEWS = ("levels", "levels_tta")  # of one view, averaged over eight flips and turns


@dataclass(frozen=True)
class OutOfFold:
    """Held-out images of all trained folds: levels and shapes uint8, skeletons bool, (N, H, W).

    `levels` are of one view or averaged over eight, as the recipe's `predict.tta` says, `others`
    the other way round, None where they were not predicted.
    """

    names: list[str]
    levels: np.ndarray
    skeletons: np.ndarray
    shapes: np.ndarray
    others: np.ndarray | None = None

    @cached_property
    def masks(self) -> np.ndarray:
        """(N, H, W) bool, `any_mask` of the shapes."""
        return any_mask(self.shapes)

    @cached_property
    def candidates(self) -> np.ndarray:
        """(N, 3, H, W) bool, `closed_drawings`, for `postprocess.join` = `candidates`."""
        drawn = in_threads(lambda shape: closed_drawings(ShapeGeometry(shape)), self.shapes)
        return np.stack(list(drawn))


def held_out_files(recipe: Recipe) -> list[Path]:
    """Held-out probabilities of the folds that this run has finished."""
    folds = [k for k in finished_folds(recipe.run_folder) if k != "all"]
    return [recipe.run_folder / f"fold-{k}" / "held_out.npz" for k in folds]


def load_out_of_fold(recipe: Recipe, data: DataSet) -> OutOfFold:
    """All held-out probabilities of a run with labels and shapes.

    Raises:
        UserError: no fold is trained, or an image is held out twice.
    """
    files = held_out_files(recipe)
    if not files:
        raise UserError(
            f"{shown(recipe.run_folder)}: no trained fold with held-out images; run "
            f"src/train.py --fold 0 with the same --recipe and --set"
        )
    require_same_experiment(recipe.run_folder, [p.parent.name[5:] for p in files])
    return load_held_out(recipe, data, files)


def load_held_out(recipe: Recipe, data: DataSet, files: list[Path]) -> OutOfFold:
    """The held-out probabilities in these files of a run, with labels and shapes.

    Raises:
        UserError: a file is damaged, or an image is held out twice.
    """
    parts = [read_held_out(path) for path in files]
    used, other = VIEWS[::-1] if recipe.predict.tta else VIEWS
    if recipe.predict.tta and any(used not in part for part in parts):
        raise UserError(
            f"{shown(recipe.run_folder)}: has no probabilities averaged over eight views; run "
            f"src/train.py with predict.tta=true (no epoch is trained again), or set it to false"
        )
    has_others = all(other in part for part in parts)
    names = [str(name) for part in parts for name in part["names"]]
    if len(set(names)) < len(names):
        raise UserError(f"{shown(recipe.run_folder)}: folds overlap; train them on the same folds")
    return OutOfFold(
        names,
        np.concatenate([part[used] for part in parts]),
        data.skeletons(names),
        data.train_shapes.read_all(names),
        np.concatenate([part[other] for part in parts]) if has_others else None,
    )


def read_held_out(path: Path) -> dict[str, np.ndarray]:
    """Names (N,), levels and, where predicted, levels_tta (N, H, W) uint8 of a fold's images.

    Raises:
        UserError: the file is damaged or holds something else; nothing in it is ever run.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, levels = arrays["names"], {k: arrays[k] for k in VIEWS if k in arrays}
    except MemoryError:
        raise
    except Exception as error:  # whatever the bytes provoke: zip, zlib, NumPy's own header
        raise UserError(
            f"{shown(path)}: damaged ({type(error).__name__}); train the fold again: src/train.py"
        ) from None
    whole = all(a.dtype == np.uint8 and a.ndim == 3 for a in levels.values())
    if names.dtype.kind != "U" or "levels" not in levels or not whole or len(names) == 0:
        raise UserError(f"{shown(path)}: no held-out probabilities; train the fold again")
    if any(names.shape != a.shape[:1] for a in levels.values()):
        raise UserError(f"{shown(path)}: names and images differ in number; train the fold again")
    return {"names": names} | levels


def skeleton_of(
    images: OutOfFold, i: int, *, threshold: float, settings: Postprocess
) -> np.ndarray:
    """The predicted skeleton of one held-out image, (H, W) bool."""
    candidates = images.candidates[i] if settings.join == "candidates" else None
    levels, mask = images.levels[i], images.masks[i]
    return to_skeleton(levels, threshold, mask, settings=settings, candidates=candidates)


def f1_of(images: OutOfFold, threshold: float, settings: Postprocess) -> np.ndarray:
    """Each image's F1 at one threshold with post-processing, (N,)."""

    if settings.join == "candidates":
        _ = images.candidates  # by one thread, not by each

    def one(i: int) -> float:
        return f1_score(
            skeleton_of(images, i, threshold=threshold, settings=settings), images.skeletons[i]
        )

    return np.fromiter(in_threads(one, range(len(images.names))), float)


def scores_of(images: OutOfFold, threshold: float, settings: Postprocess) -> list[Score]:
    """Each image's figures at one threshold with post-processing."""
    count = progress(range(len(images.names)), desc="score", unit="image", leave=False, delay=2)
    return [
        score_image(
            skeleton_of(images, i, threshold=threshold, settings=settings), images.skeletons[i]
        )
        for i in count
    ]
