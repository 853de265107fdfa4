"""Learning which candidate skeleton is the label: tuned by Optuna, judged out of fold.

Every image is judged by forests that have not seen it. The study's settings are also chosen
cross-fitted: for the images of a fold, those that are best on the other folds.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import optuna
import pandas as pd

from canet import pictures
from canet.classical import BESIDE_RUNS
from canet.dataset import ImageFolders, list_images, read_skeleton
from canet.files import (
    UserError,
    digest_of,
    digest_of_files,
    read_grey,
    read_json,
    shown,
    write_json,
)
from canet.folds import folds_path, read_folds
from canet.geometry import selection
from canet.geometry.candidates import CANDIDATES, PLAIN, ShapeGeometry
from canet.metrics import f1_score, score_image, summarize
from canet.recipe import Recipe, Selection
from canet.scoring import write_table
from canet.stage import commit, progress, versions
from canet.study import best_trial, ended_trials, has_enough, open_search

FOLDER = "fold-all"  # as for networks: trained on every labelled image
CODE = (
    "outline.py",
    "compact.py",
    "graph.py",
    "candidates.py",
    "features.py",
    "series.py",
    "selection.py",
)
OUTPUTS = ("scores.csv", "out_of_fold.csv", "decisions.png")


@dataclass(frozen=True)
class Examples:
    """Labelled images: geometries, features, labels (H, W) bool, folds (N,), F1 (N, C)."""

    names: list[str]
    geometries: list[ShapeGeometry]
    features: pd.DataFrame
    labels: list[np.ndarray]
    fold: np.ndarray
    f1: np.ndarray


def load_examples(recipe: Recipe) -> Examples:
    """All labelled images with candidates and features.

    Raises:
        UserError: an image is unreadable, or a shape is empty.
    """
    folders = ImageFolders(recipe.data_root, recipe.data)
    paths = list_images(folders.train_shapes)
    table = read_folds(folds_path(recipe), [p.name for p in paths], recipe.folds)
    geometries = [ShapeGeometry(read_grey(p)) for p in paths]
    empty = [p for p, g in zip(paths, geometries) if not g.shape.any()]
    if empty:
        raise UserError(f"{shown(empty[0])}: the shape is empty; remove it and its skeleton")
    labels = [read_skeleton(folders.train_skeletons / p.name) for p in paths]
    rows, f1 = [], []
    for geometry, label in progress(
        list(zip(geometries, labels)), desc="candidates", unit="image", delay=2
    ):
        rows.append(selection.features_of(geometry))
        f1.append([f1_score(drawing, label) for drawing in geometry.drawings])
    fold = table.set_index("image").fold[[p.name for p in paths]].to_numpy()
    return Examples(
        [p.name for p in paths], geometries, pd.DataFrame(rows), labels, fold, np.array(f1)
    )


def out_of_fold(examples: Examples, settings: Selection) -> np.ndarray:
    """(N, C) probabilities, each image's from a forest that was fitted without its fold."""
    found = np.zeros_like(examples.f1)
    names = np.array(examples.names)
    for k in np.unique(examples.fold):
        held_out = examples.fold == k
        selector = selection.fit(
            examples.features[~held_out], names[~held_out], examples.f1[~held_out], settings
        )
        found[held_out] = selector.probabilities(examples.features[held_out], names[held_out])
    return found


def f1_of(examples: Examples, probabilities: np.ndarray) -> np.ndarray:
    """(N,) F1 of the likeliest candidate."""
    return examples.f1[np.arange(len(examples.f1)), probabilities.argmax(1)]


def suggest(trial: optuna.Trial, settings: Selection) -> Selection:
    """A forest to try."""
    tried = {
        "criterion": trial.suggest_categorical("criterion", ["gini", "entropy"]),
        "max_features": trial.suggest_float("max_features", 0.05, 0.6, log=True),
        "min_leaf": trial.suggest_int("min_leaf", 1, 4),
    }
    return settings.model_copy(update=tried)


def search(recipe: Recipe, examples: Examples, identity: str) -> tuple[Selection, dict]:
    """The best settings, and what the study found; the recipe's own where it tries none."""
    settings = recipe.selection
    if not settings.trials:
        f1 = f1_of(examples, out_of_fold(examples, settings))
        return settings, {"f1": f1.mean(), "f1_cross_fitted": f1.mean(), "trials": 0}
    own = {key: getattr(settings, key) for key in ("criterion", "max_features", "min_leaf")}

    def objective(trial: optuna.Trial) -> float:
        f1 = f1_of(examples, out_of_fold(examples, suggest(trial, settings)))
        for k in np.unique(examples.fold):
            trial.set_user_attr(f"f1 of fold {k}", float(f1[examples.fold == k].mean()))
        return float(f1.mean())

    with open_search(recipe, f"selection ({identity[:6]})", settings.seed) as search:
        search.run(objective, settings.trials, [own], "selection")
        best, ended = best_trial(search.study), ended_trials(search.study)
        name = search.study.study_name
    return suggest(optuna.trial.FixedTrial(best.params), settings), {
        "f1": best.value,
        "f1_cross_fitted": cross_fitted_f1(examples, ended),
        "trials": len(ended),
        "study": name,
    }


def cross_fitted_f1(examples: Examples, trials: list[optuna.trial.FrozenTrial]) -> float:
    """Mean F1 where the settings for a fold are those that are best on the others."""
    size = {k: int((examples.fold == k).sum()) for k in np.unique(examples.fold)}
    total = 0.0
    for k in size:
        others = [j for j in size if j != k] or [k]
        best = max(
            trials, key=lambda t: sum(t.user_attrs[f"f1 of fold {j}"] * size[j] for j in others)
        )
        total += best.user_attrs[f"f1 of fold {k}"] * size[k]
    return total / sum(size.values())


def identity_of(recipe: Recipe) -> str:
    """A digest of the images, the folds, the settings and the code that candidates come from."""
    folders = ImageFolders(recipe.data_root, recipe.data)
    code = [Path(selection.__file__).with_name(name) for name in CODE]
    settings = recipe.selection.model_dump(mode="json")
    settings.pop("trials")
    images = list_images(folders.train_shapes)
    labels = [folders.train_skeletons / p.name for p in images]
    files = [*images, *labels, folds_path(recipe), *code]
    return digest_of([settings, digest_of_files(files)])


def train_selection(recipe: Recipe, force: bool = False) -> dict:
    """Tune, judge out of fold, fit on all images and write everything.

    Returns:
        the content of `selection.json`.
    """
    run, identity = recipe.run_folder, identity_of(recipe)
    path = run / "selection.json"
    kept = read_json(path, identity=str, trials=int, images=int, f1=float, f1_cross_fitted=float)
    outputs = [run / name for name in (*OUTPUTS, f"{FOLDER}/done.json")]
    current = kept and kept["identity"] == identity and all(p.is_file() for p in outputs)
    if current and not force and has_enough(kept["trials"], recipe.selection.trials):
        return kept
    examples = load_examples(recipe)
    settings, result = search(recipe, examples, identity)
    likely = out_of_fold(examples, settings)
    write_scores(run, examples, likely)
    shown_ones = worth_showing(examples, likely)
    pictures.draw_decisions(shown_ones, [c.name for c in CANDIDATES], run / "decisions.png")
    began = time.perf_counter()
    selector = selection.fit(examples.features, examples.names, examples.f1, settings)
    facts = {
        "identity": identity,
        "images": len(examples.names),
        "settings": settings.model_dump(mode="json", exclude={"trials"}),
        **result,
        "fitted_s": round(time.perf_counter() - began, 1),
        "commit": commit(),
        "versions": versions(),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    selection.save(selector, run / FOLDER / "selection", facts | {"recipe": recipe.stored()})
    write_json(run / FOLDER / "done.json", facts)
    write_json(path, facts)
    return facts


def healed(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """A prediction, (H, W) bool, whose shifts by one pixel are mended: what is left is missed."""
    near = [
        cv2.dilate(x.view(np.uint8), np.ones((3, 3), np.uint8)) > 0 for x in (prediction, label)
    ]
    return (label & near[0]) | (prediction & ~near[1])


def write_scores(run: Path, examples: Examples, likely: np.ndarray) -> None:
    """`scores.csv`: chosen, single candidates, oracles, classical; `out_of_fold.csv`: images."""
    count = range(len(examples.names))

    def drawn(chosen: np.ndarray) -> list[np.ndarray]:
        return [examples.geometries[i].drawings[chosen[i]] for i in count]

    closed = [k for k, c in enumerate(CANDIDATES) if c.mask == PLAIN.mask]
    best = drawn(examples.f1.argmax(1))
    made = {"geometry": drawn(likely.argmax(1))}
    made |= {c.name: drawn(np.full(len(count), k)) for k, c in enumerate(CANDIDATES)}
    made["oracle: tolerance"] = drawn(np.array(closed)[examples.f1[:, closed].argmax(1)])
    made["oracle: and mask"] = best
    made["oracle: and ties"] = [healed(p, label) for p, label in zip(best, examples.labels)]
    for name, method in BESIDE_RUNS.items():
        shapes = progress(examples.geometries, desc=name, unit="image", leave=False, delay=2)
        made[name] = [method(g.shape) for g in shapes]
    rows = []
    for name, predictions in made.items():
        scores = [score_image(p, label) for p, label in zip(predictions, examples.labels)]
        rows.append({"method": name} | summarize(scores))
        if name == "geometry":
            each = pd.DataFrame([{"image": n} | asdict(s) for n, s in zip(examples.names, scores)])
            each.insert(1, "fold", examples.fold)
            each.insert(2, "taken", [CANDIDATES[k].name for k in likely.argmax(1)])
            each.insert(3, "best", [CANDIDATES[k].name for k in examples.f1.argmax(1)])
            each.insert(4, "best_f1", examples.f1.max(1))
            for k, c in enumerate(CANDIDATES):
                each[f"p_{c.name}"] = likely[:, k]
            write_table(run / "out_of_fold.csv", each)
    write_table(run / "scores.csv", pd.DataFrame(rows))


def worth_showing(examples: Examples, likely: np.ndarray) -> list[pictures.Decision]:
    """A clear and right choice, a close and right one, and the most expensive wrong one."""
    f1, p = f1_of(examples, likely), np.sort(likely, axis=1)
    right = f1 == examples.f1.max(1)
    stake = examples.f1.max(1) - examples.f1.min(1)
    rows = [
        np.where(right, p[:, -1] * stake, -1).argmax(),
        np.where(right, p[:, -2] * stake, -1).argmax(),
        (examples.f1.max(1) - f1).argmax(),
    ]
    return [
        pictures.Decision(
            examples.names[i],
            examples.geometries[i].shape,
            examples.geometries[i].drawings,
            likely[i],
            examples.labels[i],
        )
        for i in rows
    ]
