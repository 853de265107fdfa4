"""Which threshold and post-processing: an Optuna study on out-of-fold probabilities.

Every image is judged by the model that has not seen it. The result of the study is checked
against an exhaustive sweep, and its F1 is also given cross-fitted: the threshold for a fifth of
the images chosen on the other four fifths.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from canet import pictures
from canet.classical import METHODS
from canet.dataset import ImageFolders, read_skeleton
from canet.distance import closed, inside
from canet.files import (
    UserError,
    digest_of,
    digest_of_files,
    read_grey,
    read_json,
    shown,
    write_json,
    write_with,
)
from canet.metrics import f1_score, grid_thresholds, score_image, summarize, sweep_f1
from canet.postprocess import to_skeleton
from canet.recipe import Postprocess, Recipe
from canet.stage import commit, progress
from canet.study import ended_trials, open_study, optimize

TOLERANCE = 0.0005  # how far below the exhaustive sweep the study may end
SWEEP_STEP = 4  # where post-processing forbids histograms, every 4th threshold is tried
PARTS = 5  # of the cross-fitting


@dataclass(frozen=True)
class OutOfFold:
    """Held-out images of all trained folds: levels uint8, skeletons and masks bool, (N, H, W)."""

    names: list[str]
    levels: np.ndarray
    skeletons: np.ndarray
    masks: np.ndarray


def held_out_files(recipe: Recipe) -> list[Path]:
    """Held-out probabilities of the folds that this run has trained."""
    return sorted(recipe.run_folder.glob("fold-[0-9]*/held_out.npz"))


def load_out_of_fold(recipe: Recipe) -> OutOfFold:
    """All held-out probabilities of a run with labels and masks.

    Raises:
        UserError: no fold is trained, or an image is held out twice.
    """
    files = [p for p in held_out_files(recipe) if ".old" not in p.parent.name]
    if not files:
        raise UserError(
            f"{shown(recipe.run_folder)}: no trained fold with held-out images; run "
            f"python src/train.py --recipe {recipe.name} --fold 0"
        )
    parts = [np.load(path, allow_pickle=False) for path in files]
    names = [str(name) for part in parts for name in part["names"]]
    if len(set(names)) < len(names):
        raise UserError(f"{shown(recipe.run_folder)}: folds overlap; train them on the same folds")
    folders = ImageFolders(recipe.data_root, recipe.data)
    return OutOfFold(
        names,
        np.concatenate([part["levels"] for part in parts]),
        np.stack([read_skeleton(folders.train_skeletons / n) for n in names]),
        np.stack([inside(read_grey(folders.train_shapes / n)) for n in names]),
    )


def f1_of(images: OutOfFold, threshold: float, settings: Postprocess) -> np.ndarray:
    """Each image's F1 at one threshold with post-processing, (N,)."""

    def one(i: int) -> float:
        made = to_skeleton(images.levels[i], threshold, images.masks[i], settings)
        return f1_score(made, images.skeletons[i])

    with ThreadPoolExecutor() as pool:
        return np.fromiter(pool.map(one, range(len(images.names))), float)


def sweep(images: OutOfFold, settings: Postprocess) -> tuple[np.ndarray, np.ndarray]:
    """Every threshold tried: thresholds (T,) and each image's F1 there, (N, T)."""
    thresholds = grid_thresholds()
    if settings.thin or settings.min_component_px:
        thresholds = thresholds[SWEEP_STEP - 1 :: SWEEP_STEP]
        columns = [
            f1_of(images, t, settings) for t in progress(thresholds, desc="sweep", unit="threshold")
        ]
        return thresholds, np.stack(columns, axis=1)
    levels = images.levels
    if settings.inside_shape:
        levels = np.stack([np.where(closed(m), x, 0) for x, m in zip(levels, images.masks)])
    return thresholds, sweep_f1(levels, images.skeletons)


def cross_fitted_f1(f1: np.ndarray) -> float:
    """Mean F1 where each part's threshold is the best one of the other parts.

    Args:
        f1: (N, T), each image's F1 at each threshold.
    """
    part = np.arange(len(f1)) % min(PARTS, len(f1))
    total = 0.0
    for k in np.unique(part):
        others = f1[part != k] if (part != k).any() else f1
        total += f1[part == k, others.mean(0).argmax()].sum()
    return total / len(f1)


def suggest(trial: optuna.Trial) -> tuple[float, Postprocess]:
    """Threshold and switches of a trial."""
    return trial.suggest_float("threshold", 0.02, 0.98), Postprocess(
        inside_shape=True,
        min_component_px=trial.suggest_int("min_component_px", 0, 20),
        thin=trial.suggest_categorical("thin", [False, True]),
    )


def identity_of_search(recipe: Recipe) -> str:
    """A digest of the probabilities, the labels and the settings that a search depends on."""
    folders = ImageFolders(recipe.data_root, recipe.data)
    settings = recipe.threshold_search.model_dump(mode="json")
    settings.pop("trials")
    files = held_out_files(recipe)
    labels = sorted(folders.train_skeletons.glob("*.png"))
    return digest_of(
        [settings, recipe.settings("postprocess"), digest_of_files(files), digest_of_files(labels)]
    )


def search_threshold(recipe: Recipe, more: int = 0, force: bool = False) -> dict:
    """Run the study, or continue it, and write `threshold.json`, the curve and the scores.

    Args:
        recipe: resolved.
        more: trials beyond those that have ended; 0 runs until `threshold_search.trials` have.
        force: start a new study.

    Returns:
        the content of `threshold.json`.

    Raises:
        UserError: no fold is trained.
    """
    path = recipe.run_folder / "threshold.json"
    identity, kept = identity_of_search(recipe), read_json(path)
    current = kept is not None and kept["identity"] == identity
    version = kept.get("version", 0) if current else 0
    if current and not force and not more and kept["trials"] >= recipe.threshold_search.trials:
        print("   current for this recipe and these inputs: skipped (--force does it again)")
        return kept
    images = load_out_of_fold(recipe)
    version += force
    study = open_study(
        recipe, f"threshold ({identity[:6]}.{version})", recipe.threshold_search.seed
    )
    total = len(ended_trials(study)) + more if more else recipe.threshold_search.trials
    start = {"threshold": 0.5} | recipe.postprocess.model_dump(exclude={"inside_shape"})
    study.enqueue_trial(start, skip_if_exists=True)
    optimize(study, lambda t: float(f1_of(images, *suggest(t)).mean()), total, recipe, "threshold")
    result = conclude(recipe, images, study) | {"identity": identity, "version": version}
    write_scores(recipe, images, result)
    write_json(path, result)
    return result


def conclude(recipe: Recipe, images: OutOfFold, study: optuna.Study) -> dict:
    """Check the study's best against the sweep with its switches; the better of the two is used."""
    threshold, switches = suggest(optuna.trial.FixedTrial(study.best_params))
    thresholds, f1 = sweep(images, switches)
    means = f1.mean(0)
    swept = float(means.max())
    agrees = study.best_value >= swept - TOLERANCE
    if not agrees:
        print(
            f"   the study ended at F1 {study.best_value:.4f}, the sweep at {swept:.4f}: "
            f"the sweep's threshold is used"
        )
        threshold = float(thresholds[means.argmax()])
    alike = [
        (t.params["threshold"], t.value)
        for t in study.get_trials(deepcopy=False)
        if t.value is not None and suggest(optuna.trial.FixedTrial(t.params))[1] == switches
    ]
    pictures.draw_threshold_curve(
        thresholds, means, alike, threshold, recipe.run_folder / "threshold.png"
    )
    plain = sweep(images, Postprocess(inside_shape=False))[1]
    return {
        "threshold": threshold,
        "postprocess": switches.model_dump(),
        "f1": max(study.best_value, swept),
        "f1_cross_fitted": cross_fitted_f1(f1),
        "f1_without_postprocessing": float(plain.mean(0).max()),
        "f1_sweep": swept,
        "f1_study": study.best_value,
        "within_tolerance": bool(agrees),
        "images": len(images.names),
        "folds": [p.parent.name for p in held_out_files(recipe)],
        "trials": len(ended_trials(study)),
        "study": study.study_name,
        "commit": commit(),
    }


def write_scores(recipe: Recipe, images: OutOfFold, result: dict) -> None:
    """`scores.csv`: the network's figures and those of the classical methods, same images."""
    settings = Postprocess(**result["postprocess"])
    made = {
        "CANet": [
            to_skeleton(levels, result["threshold"], mask, settings)
            for levels, mask in zip(images.levels, images.masks)
        ]
    }
    for name, method in METHODS.items():
        masks = progress(images.masks, desc=name, unit="image", leave=False, delay=2)
        made[name] = [method(mask) for mask in masks]
    rows = []
    for name, predictions in made.items():
        scores = [score_image(p, s) for p, s in zip(predictions, images.skeletons)]
        rows.append({"method": name} | summarize(scores))
        if name == "CANet":
            each = pd.DataFrame([{"image": n} | asdict(s) for n, s in zip(images.names, scores)])
            _write_csv(recipe.run_folder / "out_of_fold.csv", each)
    _write_csv(recipe.run_folder / "scores.csv", pd.DataFrame(rows))


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_with(path, lambda temporary: table.to_csv(temporary, index=False, float_format="%.6g"))
