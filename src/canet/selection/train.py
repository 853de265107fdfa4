"""Learning which candidate skeleton is the label: tuned by Optuna, judged out of fold.

Every image is judged by forests that have not seen it. The study's settings are also chosen
cross-fitted: for the images of a fold, those that are best on the other folds.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import optuna
import pandas as pd

from canet.core.console import UserError, progress, shown
from canet.core.files import digest_of, read_json, write_json, write_text
from canet.core.provenance import code_digest, commit, versions
from canet.core.recipe import Recipe, Selection
from canet.core.runs import DONE
from canet.data.training_set import TrainingSet
from canet.evaluation import pictures
from canet.evaluation.score_tables import write_table
from canet.geometry.candidates import CANDIDATES, PLAIN, ShapeGeometry
from canet.geometry.classical import BESIDE_RUNS
from canet.geometry.metrics import Score, f1_score, score_image, summarize
from canet.search.study import best_trial, ended_trials, has_enough, open_search
from canet.selection import forest
from canet.selection.features import features_of

CODE = ("canet.core.images", "canet.selection.train")
DONE_PATH = forest.RUN_FOLDER.with_name(DONE)
OUTPUTS = ("scores.csv", "out_of_fold.csv", "decisions.png")


@dataclass(frozen=True)
class Examples:
    """Labelled images: geometries, features, labels (H, W) bool, folds (N,), F1 (N, C)."""

    names: list[str]
    geometries: list[ShapeGeometry]
    features: list[forest.Features]
    labels: np.ndarray
    fold: np.ndarray
    f1: np.ndarray


def load_examples(images: TrainingSet) -> Examples:
    """All labelled images with candidates and features.

    Raises:
        UserError: an image is unreadable, or a shape is empty.
    """
    names, labels = images.names, images.data.skeletons()
    geometries = [ShapeGeometry(shape) for shape in images.data.train_shapes.read_all()]
    empty = [name for name, g in zip(names, geometries) if not g.shape.any()]
    if empty:
        path = images.data.train_shapes.path / empty[0]
        raise UserError(f"{shown(path)}: the shape is empty; remove it and its skeleton")
    features, f1 = [], []
    pairs = list(zip(geometries, labels))
    for geometry, label in progress(pairs, desc="candidates", unit="image", delay=2):
        features.append(features_of(geometry))
        f1.append([f1_score(drawing, label) for drawing in geometry.drawings])
    fold = images.folds.set_index("image").fold[names].to_numpy()
    return Examples(names, geometries, features, labels, fold, np.array(f1))


def out_of_fold(examples: Examples, settings: Selection) -> np.ndarray:
    """(N, C) probabilities, each image's from a forest that was fitted without its fold."""
    found = np.zeros_like(examples.f1)
    for k in np.unique(examples.fold):
        fitted, held_out = np.flatnonzero(examples.fold != k), np.flatnonzero(examples.fold == k)
        selector = forest.fit([examples.features[i] for i in fitted], examples.f1[fitted], settings)
        found[held_out] = selector.probabilities([examples.features[i] for i in held_out])
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


def search(recipe: Recipe, examples: Examples, name: str) -> tuple[Selection, dict]:
    """The best settings, and what the study found; the recipe's own where it tries none.

    Args:
        recipe: resolved.
        examples: to judge settings on.
        name: of the study.
    """
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

    with open_search(recipe, name, seed=settings.seed) as search:
        search.run(objective, total=settings.trials, starts=[own], label="selection")
        best, ended = best_trial(search.study), ended_trials(search.study)
        study = search.study.study_name
    return suggest(optuna.trial.FixedTrial(best.params), settings), {
        "f1": best.value,
        "f1_cross_fitted": cross_fitted_f1(examples, ended),
        "trials": len(ended),
        "study": study,
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


def selection_fingerprint(recipe: Recipe, images: TrainingSet) -> str:
    """A digest of the images, the folds, the settings and the code that everything comes from."""
    settings = recipe.selection.model_dump(mode="json")
    settings.pop("trials")
    folds = images.folds[["image", "fold"]].to_csv(index=False)
    code = [code_digest(*CODE), versions()["scikit-learn"]]
    return digest_of([settings, images.data.digest, folds, code])


def train_selection(recipe: Recipe, *, force: bool = False) -> dict:
    """Tune, judge out of fold, fit on all images and write everything.

    Args:
        recipe: resolved.
        force: do it again, in a new study; the old one stays in the storage.

    Returns:
        the content of `selection.json`.

    Raises:
        UserError: the run is a network's.
    """
    run, images = recipe.run_folder, TrainingSet(recipe)
    if any(run.glob("fold-*/model")):
        raise UserError(
            f"{shown(run)}: is the run of a network; take --recipe geometry, or another name: "
            f"--set name=NAME"
        )
    write_text(run / "recipe.yaml", recipe.to_yaml())
    fingerprint, path = selection_fingerprint(recipe, images), run / "selection.json"
    figures = {"trials": int, "images": int, "f1": float, "f1_cross_fitted": float}
    kept = read_json(path, identity=str, version=int, **figures)
    of_these = kept is not None and kept["identity"] == fingerprint
    version = (kept["version"] if of_these else 0) + force
    outputs = [run / name for name in (*OUTPUTS, DONE_PATH)]
    current = of_these and all(p.is_file() for p in outputs)
    current = current and _is_stored(run / forest.RUN_FOLDER, fingerprint)
    # the recipe's own settings are none that a study has chosen
    current = current and bool(kept["trials"]) == bool(recipe.selection.trials)
    if current and not force and has_enough(kept["trials"], recipe.selection.trials):
        return kept
    examples = load_examples(images)
    settings, result = search(recipe, examples, f"selection ({fingerprint[:6]}.{version})")
    likely = out_of_fold(examples, settings)
    write_scores(run, examples, likely)
    decisions = worth_showing(examples, likely)
    pictures.draw_decisions(decisions, [c.name for c in CANDIDATES], run / "decisions.png")
    began = time.perf_counter()
    selector = forest.fit(examples.features, examples.f1, settings)
    facts = {
        "identity": fingerprint,
        "version": version,
        "data": images.data.digest,
        "images": len(examples.names),
        "settings": settings.model_dump(mode="json", exclude={"trials"}),
        **result,
        "fitted_s": round(time.perf_counter() - began, 1),
        "commit": commit(),
        "versions": versions(),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    forest.save(selector, run / forest.RUN_FOLDER, facts | {"recipe": recipe.stored()})
    write_json(run / DONE_PATH, facts)
    write_json(path, facts)
    return facts


def _is_stored(folder: Path, fingerprint: str) -> bool:
    """Whether the forest of these images, settings and code is there, and whole."""
    try:
        return forest.load(folder)[1].get("identity") == fingerprint
    except UserError:
        return False


def healed(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """A prediction, (H, W) bool, whose shifts by one pixel are mended: what is left is missed."""
    near = [
        cv2.dilate(x.view(np.uint8), np.ones((3, 3), np.uint8)) > 0 for x in (prediction, label)
    ]
    return (label & near[0]) | (prediction & ~near[1])


def write_scores(run: Path, examples: Examples, likely: np.ndarray) -> None:
    """`scores.csv`: chosen, single candidates, oracles, classical; `out_of_fold.csv`: images."""
    rows = []
    for name, skeletons in _skeletons_by_method(examples, likely):
        scores = [score_image(s, label) for s, label in zip(skeletons, examples.labels)]
        rows.append({"method": name} | summarize(scores))
        if name == "geometry":
            write_table(run / "out_of_fold.csv", _each_image(examples, likely, scores))
    write_table(run / "scores.csv", pd.DataFrame(rows))


def _skeletons_by_method(
    examples: Examples, likely: np.ndarray
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The chosen candidates, each candidate alone, what an oracle would choose, other methods."""
    count = len(examples.names)

    def drawn(chosen: np.ndarray) -> list[np.ndarray]:
        return [examples.geometries[i].drawings[chosen[i]] for i in range(count)]

    yield "geometry", drawn(likely.argmax(1))
    for k, candidate in enumerate(CANDIDATES):
        yield candidate.name, drawn(np.full(count, k))
    closed = np.array([k for k, c in enumerate(CANDIDATES) if c.mask == PLAIN.mask])
    yield "oracle: tolerance", drawn(closed[examples.f1[:, closed].argmax(1)])
    best = drawn(examples.f1.argmax(1))
    yield "oracle: and mask", best
    yield "oracle: and ties", [healed(p, label) for p, label in zip(best, examples.labels)]
    for name, method in BESIDE_RUNS.items():
        shapes = progress(examples.geometries, desc=name, unit="image", leave=False, delay=2)
        yield name, [method(g.shape) for g in shapes]


def _each_image(examples: Examples, likely: np.ndarray, scores: list[Score]) -> pd.DataFrame:
    """One row an image: its scores, the candidate taken, the best one, the likelihoods."""
    names = np.array([c.name for c in CANDIDATES])
    columns = {
        "image": examples.names,
        "fold": examples.fold,
        "taken": names[likely.argmax(1)],
        "best": names[examples.f1.argmax(1)],
        "best_f1": examples.f1.max(1),
    }
    columns |= {key: [getattr(s, key) for s in scores] for key in asdict(scores[0])}
    columns |= {f"p_{name}": likely[:, k] for k, name in enumerate(names)}
    return pd.DataFrame(columns)


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
