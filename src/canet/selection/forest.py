"""Which of a shape's candidates is its label: a forest of extremely randomised trees."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canet.core.console import UserError, printable, shown
from canet.core.cores import in_threads
from canet.core.files import read_json, replacing, sha256_of, write_json
from canet.core.recipe import Selection, check_stored
from canet.geometry.candidates import CANDIDATES, ShapeGeometry
from canet.selection.features import features_of
from canet.selection.trees import Trees

FOREST, CONFIG = "forest.npz", "config.json"
# Where a run keeps it; the folder is named as for networks: trained on every labelled image.
RUN_FOLDER = Path("fold-all", "selection")
# keys of the configuration that are used, here or in what is said of a prediction
STORED = {"columns": list, "candidates": list, "sha256": str, "recipe": dict, "settings": dict}
STORED |= {"f1_cross_fitted": float, "commit": str, "finished_at": str}
Features = dict[str, float]  # of one shape, by name


def describe(geometries: Sequence[ShapeGeometry]) -> list[Features]:
    """The features of shapes; each has at least one pixel."""
    return list(in_threads(features_of, geometries))


@dataclass(frozen=True)
class Selector:
    """A fitted forest, the features that it looks at, the names of the candidates it knows."""

    trees: Trees
    columns: list[str]
    candidates: list[str]

    def probabilities(self, features: Sequence[Features]) -> np.ndarray:
        """(N, len(candidates)): how likely each candidate is the label.

        Raises:
            UserError: the forest looks at a feature that is not there.
        """
        if unknown := [c for c in self.columns if features and c not in features[0]]:
            raise UserError(
                f"the stored forest wants the feature {printable(unknown[0])}, which is not "
                f"computed; train it again: bash run.sh geometry"
            )
        found = np.zeros((len(features), len(self.candidates)))
        likely = self.trees.probabilities(table_of(features, self.columns))
        found[:, self.trees.classes] = likely
        return found


def table_of(features: Sequence[Features], columns: Sequence[str]) -> np.ndarray:
    """(N, len(columns)) float64."""
    return np.array([[row[c] for c in columns] for row in features], np.float64)


def fit(features: Sequence[Features], f1: np.ndarray, settings: Selection) -> Selector:
    """Learn to choose.

    Args:
        features: of each image.
        f1: (N, C) of each candidate against the label.
        settings: the recipe's `selection` section.
    """
    from sklearn.ensemble import ExtraTreesClassifier  # takes seconds to import

    forest = ExtraTreesClassifier(
        settings.trees,
        criterion=settings.criterion,
        max_features=settings.max_features,
        min_samples_leaf=settings.min_leaf,
        random_state=settings.seed,
        n_jobs=-1,
    )
    columns = list(features[0])
    forest.fit(table_of(features, columns), f1.argmax(1))
    return Selector(Trees.of(forest), columns, [c.name for c in CANDIDATES])


def save(selector: Selector, folder: Path, facts: dict) -> None:
    """Write `forest.npz` and `config.json`, in a folder that replaces an earlier one."""
    with replacing(folder) as temporary:
        temporary.mkdir(parents=True)
        selector.trees.save(temporary / FOREST)
        config = {
            "columns": selector.columns,
            "candidates": selector.candidates,
            "sha256": sha256_of(temporary / FOREST),
        }
        write_json(temporary / CONFIG, config | facts)


def stored_in(folder: Path) -> Path | None:
    """Where a run's or a published folder keeps its forest; None where it has none."""
    homes = (folder / RUN_FOLDER, folder)
    return next((home for home in homes if (home / FOREST).is_file()), None)


def load(folder: Path) -> tuple[Selector, dict]:
    """A stored selector and the facts stored with it.

    Raises:
        UserError: nothing there, damaged, or made for other candidates or features; nothing in the
            files is ever run.
    """
    forest_path, config_path = folder / FOREST, folder / CONFIG
    if not config_path.exists() or not forest_path.is_file():
        raise UserError(f"{shown(folder)}: no stored selection; train one: bash run.sh geometry")
    config = read_json(config_path, **STORED)
    if not config or not all(isinstance(c, str) for c in config["columns"]):
        raise UserError(f"{shown(config_path)}: damaged; train it again: bash run.sh geometry")
    if config["sha256"] != sha256_of(forest_path):
        raise UserError(f"{shown(forest_path)}: damaged or replaced; train it again")
    if config["candidates"] != [c.name for c in CANDIDATES]:
        raise UserError(f"{shown(folder)}: was made for other candidates; train it again")
    config["recipe"] = check_stored(config["recipe"], shown(config_path)).stored()
    columns = config["columns"]
    trees = Trees.load(forest_path, classes=len(CANDIDATES), features=len(columns))
    return Selector(trees, columns, config["candidates"]), config


def predict(selector: Selector, shapes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Skeletons of shapes.

    Args:
        selector: chooses among the candidates.
        shapes: (H, W) uint8 grey by file name.

    Returns:
        (H, W) bool, each in one 8-connected piece, never empty: a shape without pixels gets its
        middle one.
    """
    skeletons = {name: np.zeros(shape.shape, bool) for name, shape in shapes.items()}
    geometries = {name: ShapeGeometry(shape) for name, shape in shapes.items() if shape.any()}
    likely = selector.probabilities(describe(list(geometries.values())))
    for (name, geometry), best in zip(geometries.items(), likely.argmax(1)):
        skeletons[name] = geometry.drawing(CANDIDATES[best])
    for skeleton in skeletons.values():
        if not skeleton.any():
            skeleton[tuple(n // 2 for n in skeleton.shape)] = True
    return skeletons
