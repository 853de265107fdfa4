"""Folds: which image is judged by which model; written once, then only read.

Two schemes: `stratified` by class at random, 80/20 as in the paper (and like the leaderboard,
where a quarter of the shapes have a near duplicate in the training set), and `grouped`, which
keeps near duplicates together and tells how a model does on really new shapes.
"""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from canet.core.console import REPOSITORY, UserError, brief, printable, shown
from canet.core.files import digest_of, write_with
from canet.core.recipe import Folds
from canet.data.data_set import DataSet, ImageFolder, class_of

COLUMNS = ["image", "class", "group", "fold"]
THUMBNAIL_PX = 64


def folds_path(data: DataSet, settings: Folds) -> Path:
    """Where the folds of a data set and scheme are kept: other images, another file.

    Args:
        data: the data set.
        settings: the recipe's `folds` section.
    """
    key = digest_of([data.train_shapes.digest, settings.twin_similarity])[:6]
    scheme = f"{settings.scheme}_{settings.count}folds_seed{settings.seed}"
    return REPOSITORY / data.data.folds / f"{data.root.name}_{key}_{scheme}.csv"


def thumbnail(shape: np.ndarray) -> np.ndarray:
    """The shape cropped to its bounding box, centred in a square and shrunk: (64, 64) in 0..1."""
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    if not rows.size:
        return np.zeros((THUMBNAIL_PX, THUMBNAIL_PX), np.float32)
    crop = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    crop = crop.repeat(2, 0).repeat(2, 1)  # so that the middle is exact, as in its mirror image
    h, w = crop.shape
    side = max(h, w)
    top, left = (side - h) // 2, (side - w) // 2
    square = cv2.copyMakeBorder(
        crop, top, side - h - top, left, side - w - left, cv2.BORDER_CONSTANT
    )
    small = cv2.resize(square, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def similarities(thumbnails: np.ndarray) -> np.ndarray:
    """Largest overlap of each pair over the eight flips and turns.

    Args:
        thumbnails: (N, S, S) float32 in 0..1.

    Returns:
        (N, N) float32: Σab / (Σa² + Σb² − Σab), an IoU for grey values; 1 on the diagonal.
    """
    n = len(thumbnails)
    flat = thumbnails.reshape(n, -1)
    squared = (flat**2).sum(1)
    best = np.zeros((n, n), np.float32)
    for turns in range(4):
        for flip in (1, -1):
            view = np.rot90(thumbnails, turns, axes=(1, 2))[:, :, ::flip].reshape(n, -1)
            product = flat @ view.T
            overlap = product / np.maximum(squared[:, None] + squared[None] - product, 1e-6)
            np.maximum(best, overlap, out=best)
    return best


def group_twins(shapes: list[np.ndarray], threshold: float) -> np.ndarray:
    """A group number per image: near duplicates under flips and quarter turns share it.

    Args:
        shapes: (H, W) uint8 grey each.
        threshold: overlap above which two images are twins.

    Returns:
        (N,) int, chains of twins joined.
    """
    alike = similarities(np.stack([thumbnail(s) for s in shapes])) > threshold
    return connected_components(csr_array(alike), directed=False)[1]


def assign_folds(shapes: ImageFolder, settings: Folds) -> pd.DataFrame:
    """A table with `image`, `class`, `group`, `fold`, one row an image.

    Raises:
        UserError: fewer images than folds, or fewer groups of near duplicates to keep together.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # takes a second

    names = shapes.names
    if len(names) < settings.count:
        raise UserError(
            f"{len(names)} images for {settings.count} folds; add images or lower folds.count"
        )
    classes = [class_of(name) for name in names]
    groups = group_twins([shapes.read(name) for name in names], settings.twin_similarity)
    grouped = settings.scheme == "grouped"
    if grouped and (count := len(set(groups))) < settings.count:
        raise UserError(
            f"{count} groups of near duplicates for {settings.count} folds; lower folds.count, or "
            f"raise folds.twin_similarity"
        )
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(
        settings.count, shuffle=True, random_state=settings.seed
    )
    fold = np.empty(len(names), int)
    # scikit-learn wants a whole class in every fold; rare classes of one image are one stratum.
    counts = pd.Series(classes).value_counts()
    strata = [c if counts[c] >= settings.count else "rare" for c in classes]
    parts = splitter.split(names, _foldable(strata, settings), groups if grouped else None)
    for k, (_, held_out) in enumerate(parts):
        fold[held_out] = k
    table = zip(names, classes, groups, fold)
    return pd.DataFrame(table, columns=COLUMNS)


def _foldable(strata: list[str], settings: Folds) -> list[str]:
    """One stratum for all where the rare ones together are still too few for every fold."""
    few = strata.count("rare")
    if 0 < few < settings.count:
        common = max(set(strata) - {"rare"}, key=strata.count, default="rare")
        strata = [common if s == "rare" else s for s in strata]
    return strata


def write_folds(path: Path, table: pd.DataFrame) -> None:
    write_with(path, lambda temporary: table.to_csv(temporary, index=False))


def read_folds(path: Path, images: list[str], settings: Folds) -> pd.DataFrame:
    """The folds of a data set, checked against it.

    Args:
        path: the CSV.
        images: the file names of the data set.
        settings: the recipe's `folds` section.

    Raises:
        UserError: the file is missing or damaged, an image is missing, unknown or in two folds,
            a fold is empty, or the grouped scheme splits a group.
    """
    remedy = "make them anew: src/make_folds.py --force, with the same --recipe and --set"
    if not path.is_file():
        raise UserError(
            f"{shown(path)}: no folds yet; run src/make_folds.py with the same --recipe and --set"
        )
    kinds = {"image": str, "class": str, "group": int, "fold": int}
    try:
        content = path.read_bytes()
        if b"\0" in content:  # where pandas would end a value
            raise ValueError("it holds a zero byte")
        table = pd.read_csv(BytesIO(content), dtype=kinds, keep_default_na=False)  # class NA
    except (ValueError, ArithmeticError, pd.errors.ParserError) as error:
        reason = printable(str(error).partition("\n")[0])
        raise UserError(f"{shown(path)}: damaged ({reason}); {remedy}") from None
    if list(table.columns) != COLUMNS:
        raise UserError(
            f"{shown(path)}: columns {brief(list(table.columns))}, expected {COLUMNS}; {remedy}"
        )
    problem = find_leak(table, images, settings)
    if problem:
        raise UserError(f"{shown(path)}: {problem}; {remedy}")
    return table


def find_leak(table: pd.DataFrame, images: list[str], settings: Folds) -> str | None:
    """What makes a table of folds unfit for judging, None where nothing does."""
    doubled = table["image"][table["image"].duplicated()].unique()
    if len(doubled):
        return f"{printable(doubled[0])} is listed more than once ({len(doubled)} such images)"
    missing, unknown = set(images) - set(table["image"]), set(table["image"]) - set(images)
    if missing or unknown:
        return (
            f"{len(missing)} images of the data set are missing and {len(unknown)} are not in it"
            f" ({printable(min(missing | unknown))})"
        )
    if set(table["fold"]) != set(range(settings.count)):
        found = brief(sorted(set(table["fold"].tolist())))
        return f"folds {found}, expected 0 to {settings.count - 1}"
    split = table.groupby("group")["fold"].nunique()
    if settings.scheme == "grouped" and (split > 1).any():
        return f"group {split.index[split > 1][0]} of near duplicates lies in several folds"
    return None


def split(table: pd.DataFrame, fold: int | str) -> tuple[list[str], list[str]]:
    """Names of the images to train on and of those held out; `all` holds out none."""
    if fold == "all":
        return table["image"].tolist(), []
    held_out = table["fold"] == fold
    if not held_out.any():
        raise UserError(f"there is no fold {fold}; there are 0 to {table['fold'].max()} and all")
    return table["image"][~held_out].tolist(), table["image"][held_out].tolist()
