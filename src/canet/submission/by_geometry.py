"""Skeletons by geometry: compact skeletons, a stored forest chooses among them.

Neither torch nor Optuna nor matplotlib is imported.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from canet.core.console import UserError, shown
from canet.core.files import sha256_of
from canet.core.provenance import code_digest, commit, versions
from canet.core.recipe import check_stored
from canet.geometry import compact_skeleton, label_mask
from canet.geometry.candidates import PLAIN
from canet.inference.distributed import join_on_cpu
from canet.postprocess.rescale import count_pieces, split_pieces
from canet.selection import forest
from canet.submission.predictor import Images, Predictor

MOST_PIECES = 100


def choose_skeletons(selector: forest.Selector, shapes: Images) -> Images:
    """Skeletons of shapes, one in each piece of a shape.

    The forest looks at each piece by itself, in an image of the shape's size. Of more than
    `MOST_PIECES`, dust rather than shapes, it is not asked: they are drawn together, at 2 px.
    """
    dust = {name: s for name, s in shapes.items() if count_pieces(s) > MOST_PIECES}
    skeletons = {name: np.zeros(shape.shape, bool) for name, shape in shapes.items()}
    for name, shape in dust.items():
        drawn = compact_skeleton(label_mask(shape), PLAIN.tolerance_px)
        skeletons[name] = drawn.draw(shape.shape)
    pieces = {name: split_pieces(shape) for name, shape in shapes.items() if name not in dust}
    while some := _next_of(pieces):
        for name, skeleton in forest.predict(selector, some).items():
            skeletons[name] |= skeleton
    return skeletons


def _next_of(pieces: dict[str, Iterator[np.ndarray]]) -> Images:
    """The next piece of each shape that has one left."""
    found = {name: next(left, None) for name, left in pieces.items()}
    return {name: piece for name, piece in found.items() if piece is not None}


def geometry_predictor(folder: Path, home: Path, *, given: Sequence[str] = ()) -> Predictor:
    """The forest of a run, or of a folder in `weights/`.

    Args:
        folder: of the run, for messages.
        home: where the forest is, see `forest.stored_in`.
        given: options of the command line that only networks have.

    Raises:
        UserError: there are such options, or the forest is damaged.
    """
    if given:
        option = "--" + given[0].replace("_", "-")
        raise UserError(f"{option} is for networks; {shown(folder)} is geometry: leave it out")
    selector, stored = forest.load(home)
    told = {k: stored[k] for k in ("settings", "f1_cross_fitted", "commit", "finished_at")}
    facts = {
        "run": folder.name,
        "commit": commit(),
        "code": code_digest("canet.submission.by_geometry"),
        "selection": {"sha256": sha256_of(home / forest.FOREST), **told},
        "recipe": stored["recipe"],
        "versions": versions(),
    }
    said = (
        f"geometry: {len(selector.candidates)} candidates, chosen by a forest "
        f"(F1 {stored['f1_cross_fitted']:.4f} out of fold)"
    )
    recipe = check_stored(stored["recipe"], shown(home / forest.CONFIG))
    return Predictor(recipe, facts, said, partial(choose_skeletons, selector), join_on_cpu())
