"""Scoring a set of predictions against labels."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from canet.core.console import UserError, printable, shown
from canet.core.files import write_with
from canet.data.data_set import list_images, read_skeleton
from canet.geometry.metrics import Score, score_image, summarize


def load_labels(folder: Path) -> dict[str, np.ndarray]:
    """(H, W) bool by file name."""
    return {p.name: read_skeleton(p) for p in list_images(folder)}


def check_alike(folder: Path, shapes: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
    """Refuse shapes, (H, W) by file name, that are not those of the labels.

    Raises:
        UserError: naming `folder` and one of them.
    """
    for name in sorted({*shapes, *labels}):
        sizes = [of[name].shape[::-1] if name in of else "missing" for of in (shapes, labels)]
        if sizes[0] != sizes[1]:
            raise UserError(
                f"{shown(folder)}: {printable(name)} is {sizes[0]} here, {sizes[1]} among the "
                f"labels; expected the labels' own shapes"
            )


def score_predictions(
    predictions: dict[str, np.ndarray], labels: dict[str, np.ndarray]
) -> dict[str, Score]:
    """Each image's figures.

    Args:
        predictions: (H, W) bool by file name.
        labels: (H, W) bool by file name.

    Raises:
        UserError: a prediction is missing or of the wrong size (the challenge scores such a
            submission 0), or belongs to no label.
    """
    missing, unknown = sorted(labels.keys() - predictions), sorted(predictions.keys() - labels)
    if missing or unknown:
        raise UserError(
            f"predictions missing: {len(missing)} ({printable(*missing[:1] or ['none'])}), without "
            f"label: {len(unknown)} ({printable(*unknown[:1] or ['none'])}); "
            f"names must be those of the labels"
        )
    for name, label in labels.items():
        if predictions[name].shape != label.shape:
            raise UserError(
                f"{printable(name)}: prediction is {predictions[name].shape[::-1]}, "
                f"label {label.shape[::-1]}; the challenge would score 0"
            )
    return {name: score_image(predictions[name], label) for name, label in labels.items()}


def summary_table(rows: Iterable[tuple[str, dict[str, Score]]]) -> pd.DataFrame:
    """One row a method with the figures of `metrics.summarize`."""
    return pd.DataFrame(
        [{"method": name} | summarize(list(scores.values())) for name, scores in rows]
    )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A table of scores as CSV, six digits."""
    write_with(path, lambda temporary: table.to_csv(temporary, index=False, float_format="%.6g"))


def read_columns(path: Path, kinds: dict[str, type]) -> pd.DataFrame:
    """A CSV file whose columns of these names have values of these kinds; it may have others.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return pd.read_csv(path).astype(kinds)
    except (ValueError, KeyError, ArithmeticError, pd.errors.ParserError):
        raise damaged(path) from None


def damaged(path: Path) -> UserError:
    return UserError(f"{shown(path)}: damaged; repeat the stage with --force")


def read_table(path: Path, *wanted: str) -> pd.DataFrame:
    """A table that `write_table` wrote, by method.

    Args:
        path: of the CSV.
        wanted: columns of numbers that it must have, beside `method`.

    Raises:
        UserError: the file is damaged.
    """
    return read_columns(path, {"method": str} | dict.fromkeys(wanted, float)).set_index("method")
