"""Which of a shape's candidates is its label: a forest on what the image tells of its series."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier

from canet.files import (
    UserError,
    printable,
    read_json,
    replacing,
    sha256_of,
    shown,
    write_json,
)
from canet.geometry.candidates import CANDIDATES, PLAIN, ShapeGeometry
from canet.geometry.features import features_of
from canet.geometry.series import SERIES, Series
from canet.recipe import LONGEST_TEXT, Selection, check_stored

FOREST, CONFIG = "forest.skops", "config.json"
# keys of the configuration that are used, here or in what is said of a prediction
STORED = {"columns": list, "candidates": list, "sha256": str, "recipe": dict, "settings": dict}
STORED |= {"f1_cross_fitted": float, "commit": str, "finished_at": str}
LEAF = -1  # a leaf's child in scikit-learn's trees
TRUSTED = ["sklearn.tree._tree.Tree"]  # arrays of nodes; all else must be skops' own choice


def describe(geometries: Sequence[ShapeGeometry]) -> pd.DataFrame:
    """One row of features a shape; shapes have at least one pixel."""
    with ThreadPoolExecutor() as pool:
        return pd.DataFrame(list(pool.map(features_of, geometries)))


def with_votes(features: pd.DataFrame, names: Sequence[str], series: Series | None):
    """Features and, where a series is known, what its labelled images have."""
    if series is None:
        return features
    return pd.concat([features, series.votes(names).set_index(features.index)], axis=1)


@dataclass(frozen=True)
class Selector:
    """A fitted forest, the columns it wants, the names of the candidates it knows, the series."""

    forest: ExtraTreesClassifier
    columns: list[str]
    candidates: list[str]
    series: Series | None = None

    def probabilities(self, features: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
        """(N, len(candidates)): how likely each candidate is the label."""
        table = with_votes(features, names, self.series)
        found = np.zeros((len(table), len(self.candidates)))
        found[:, self.forest.classes_] = self.forest.predict_proba(table[self.columns].to_numpy())
        return found


def fit(
    features: pd.DataFrame, names: Sequence[str], f1: np.ndarray, settings: Selection
) -> Selector:
    """Learn to choose.

    Args:
        features: one row an image.
        names: the images' file names; used with `series` alone.
        f1: (N, C) of each candidate against the label.
        settings: the recipe's `selection` section.
    """
    best = f1.argmax(1)
    series = Series([str(n) for n in names], best.tolist()) if settings.series else None
    table = with_votes(features, names, series)
    forest = ExtraTreesClassifier(
        settings.trees,
        criterion=settings.criterion,
        max_features=settings.max_features,
        min_samples_leaf=settings.min_leaf,
        random_state=settings.seed,
        n_jobs=-1,
    )
    forest.fit(table.to_numpy(), best)
    return Selector(forest, list(table.columns), [c.name for c in CANDIDATES], series)


def save(selector: Selector, folder: Path, facts: dict) -> None:
    """Write `forest.skops`, which cannot run code, and `config.json`, in a folder that replaces."""
    import skops.io  # here, since networks are predicted where it is not installed

    with replacing(folder) as temporary:
        temporary.mkdir(parents=True)
        skops.io.dump(selector.forest, temporary / FOREST, compression=8, compresslevel=9)
        config = {
            "columns": selector.columns,
            "candidates": selector.candidates,
            "series": selector.series and asdict(selector.series),
            "sha256": sha256_of(temporary / FOREST),
        }
        write_json(temporary / CONFIG, config | facts)


def load(folder: Path) -> tuple[Selector, dict]:
    """A stored selector and the facts stored with it.

    Raises:
        UserError: nothing there, damaged, not only a forest, or made for other candidates or
            features; nothing in the files is ever run.
    """
    forest_path, config_path = folder / FOREST, folder / CONFIG
    if not config_path.exists() or not forest_path.is_file():
        raise UserError(f"{shown(folder)}: no stored selection; train one: bash run.sh geometry")
    config = read_json(config_path, **STORED)
    if not config:
        raise UserError(f"{shown(config_path)}: damaged; train it again: bash run.sh geometry")
    if config["sha256"] != sha256_of(forest_path):
        raise UserError(f"{shown(forest_path)}: damaged or replaced; train it again")
    if config["candidates"] != [c.name for c in CANDIDATES]:
        raise UserError(f"{shown(folder)}: was made for other candidates; train it again")
    config["recipe"] = check_stored(config["recipe"], shown(config_path)).stored()
    series = _read_series(config, config_path)
    forest = _load_forest(forest_path, config["columns"])
    return Selector(forest, config["columns"], config["candidates"], series), config


def _read_series(config: dict, origin: Path) -> Series | None:
    told = config.get("series")
    wanted = any(str(column).startswith(SERIES) for column in config["columns"])
    if told is None and not wanted:
        return None
    names, candidates = (
        (told.get("names"), told.get("candidates")) if isinstance(told, dict) else (None, None)
    )
    sound = isinstance(names, list) and isinstance(candidates, list)
    sound = sound and len(names) == len(candidates) > 0 and all(isinstance(n, str) for n in names)
    sound = sound and all(len(n) <= LONGEST_TEXT for n in names)
    if not (sound and wanted and all(c in range(len(CANDIDATES)) for c in candidates)):
        raise UserError(f"{shown(origin)}: its series is damaged; train it again")
    series = Series(names, candidates)
    if [c for c in config["columns"] if str(c).startswith(SERIES)] != list(series.votes([])):
        raise UserError(f"{shown(origin)}: was made for other votes; train it again")
    return series


def _load_forest(forest_path: Path, columns: list[str]) -> ExtraTreesClassifier:
    import skops.io  # here, since it takes seconds

    try:
        foreign = set(skops.io.get_untrusted_types(file=forest_path)) - set(TRUSTED)
        forest = None if foreign else skops.io.load(forest_path, trusted=TRUSTED)
    except Exception as error:  # skops raises whatever the bytes provoke
        raise UserError(
            f"{shown(forest_path)}: damaged ({type(error).__name__}); train it again"
        ) from None
    if foreign:
        raise UserError(
            f"{shown(forest_path)}: holds {printable(min(foreign))}, not a plain forest; "
            f"do not use it, train one: bash run.sh geometry"
        )
    if not _is_sound(forest, len(columns)):
        raise UserError(f"{shown(forest_path)}: no forest for these features; train it again")
    return forest


def _is_sound(forest: object, columns: int) -> bool:
    """Whether this is a forest that can predict: scikit-learn follows its nodes unchecked."""
    if not isinstance(forest, ExtraTreesClassifier):
        return False
    try:
        classes = np.asarray(forest.classes_)
        known = np.isin(classes, range(len(CANDIDATES))).all()
        alike = forest.n_features_in_ == columns and forest.n_outputs_ == 1
        trees = [estimator.tree_ for estimator in forest.estimators_]
        return bool(known and alike and trees) and all(
            tree.value.shape == (tree.node_count, 1, len(classes))
            and tree.n_features == columns
            and _nodes_are_sound(tree)
            for tree in trees
        )
    except (AttributeError, TypeError, ValueError):
        return False


def _nodes_are_sound(tree) -> bool:
    """Whether every way from the root ends in a leaf: children come after their parent."""
    index, left, right = np.arange(tree.node_count), tree.children_left, tree.children_right
    inner = left != LEAF
    children = np.stack([left[inner], right[inner]])
    feature = tree.feature[inner]
    return bool(
        tree.node_count
        and (children > index[inner]).all()
        and (children < tree.node_count).all()
        and (feature >= 0).all()
        and (feature < tree.n_features).all()
    )


def predict(
    selector: Selector | None, shapes: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Skeletons of shapes.

    Args:
        selector: None takes the best single candidate everywhere.
        shapes: (H, W) uint8 grey by file name.

    Returns:
        skeletons, (H, W) bool, each in one 8-connected piece, never empty: a shape without pixels
        gets its middle one; and the name of the candidate taken for each.
    """
    skeletons, taken = {}, {}
    full = {name: shape for name, shape in shapes.items() if shape.any()}
    geometries = {name: ShapeGeometry(shape) for name, shape in full.items()}
    chosen = dict.fromkeys(full, CANDIDATES.index(PLAIN))
    if selector and full:
        likely = selector.probabilities(describe(list(geometries.values())), list(full))
        chosen = dict(zip(full, likely.argmax(1)))
    for name, shape in shapes.items():
        skeleton = np.zeros(shape.shape, bool)
        if name in full:
            candidate = CANDIDATES[chosen[name]]
            skeleton, taken[name] = geometries[name].drawing(candidate), candidate.name
        if not skeleton.any():
            skeleton[tuple(n // 2 for n in shape.shape)] = True
        skeletons[name] = skeleton
    return skeletons, taken
