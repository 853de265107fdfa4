"""Which threshold and post-processing: an Optuna study on out-of-fold probabilities.

Every image is judged by the model that has not seen it. The result of the study is checked
against sweeps, and its F1 is also given cross-fitted: the threshold for a fifth of
the images chosen on the other four fifths (the switches, once for all). It is never below plain
thresholding, unless the recipe names switches that are: those are kept, and the cost is said.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from canet import pictures
from canet.classical import BESIDE_RUNS
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
)
from canet.geometry.candidates import plain_skeleton
from canet.metrics import (
    Score,
    f1_score,
    grid_thresholds,
    score_image,
    summarize,
    sweep_f1,
)
from canet.postprocess import to_skeleton
from canet.recipe import Postprocess, Recipe
from canet.runs import finished_folds, require_same_experiment
from canet.scoring import write_table
from canet.stage import commit, progress
from canet.study import best_trial, ended_trials, has_enough, open_search
from canet.switches import SPACE, SPURS, named_switches, starts, suggest

TOLERANCE = 0.0005  # how far below the sweep the study may end
SWEEP_STEP = 4  # where post-processing forbids histograms, every 4th threshold is tried,
COARSE_STEP = 4  # of those every 4th first and then the ones around the best
VIEWS = ("levels", "levels_tta")  # of one view, averaged over eight flips and turns
PARTS = 5  # of the cross-fitting
OUTPUTS = ("threshold.png", "sweep.csv", "scores.csv", "out_of_fold.csv")
# what a finished search has left; without all of it, it is done again
KEPT = {"identity": str, "trials": int, "version": int, "images": int, "threshold": float}
KEPT |= {"threshold_without_postprocessing": float, "postprocess": dict, "before": dict}
KEPT |= {
    "after": dict,
    "f1_by_views": dict,
    "f1": float,
    "f1_cross_fitted": float,
    "f1_without_postprocessing": float,
}


@dataclass(frozen=True)
class OutOfFold:
    """Held-out images of all trained folds: levels and shapes uint8, skeletons bool, (N, H, W).

    `levels` are of one view or averaged over eight, as the recipe's `predict.tta` says, `others`
    the other way round (None where they were not predicted: in tables, in runs trained long ago).

    `guides` are candidate skeletons, for `postprocess.join` = `candidates`.
    """

    names: list[str]
    levels: np.ndarray
    skeletons: np.ndarray
    shapes: np.ndarray
    others: np.ndarray | None = None

    @cached_property
    def masks(self) -> np.ndarray:
        """(N, H, W) bool, True inside the shape."""
        return inside(self.shapes)

    @cached_property
    def guides(self) -> np.ndarray:
        """(N, H, W) bool: a skeleton by geometry for each shape, to join pieces along."""
        return np.stack([plain_skeleton(shape) for shape in self.shapes])


def held_out_files(recipe: Recipe) -> list[Path]:
    """Held-out probabilities of the folds that this run has finished."""
    folds = [k for k in finished_folds(recipe.run_folder) if k != "all"]
    return [recipe.run_folder / f"fold-{k}" / "held_out.npz" for k in folds]


def load_out_of_fold(recipe: Recipe) -> OutOfFold:
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
    return load_held_out(recipe, files)


def load_held_out(recipe: Recipe, files: list[Path]) -> OutOfFold:
    """The held-out probabilities in these files of a run, with labels and shapes.

    Raises:
        UserError: a file is damaged, or an image is held out twice.
    """
    parts = [read_held_out(path) for path in files]
    used, other = VIEWS[::-1] if recipe.predict.tta else VIEWS
    if recipe.predict.tta and any(used not in part for part in parts):
        raise UserError(
            f"{shown(recipe.run_folder)}: has no probabilities averaged over eight views; train it "
            f"again with --force, or set predict.tta=false"
        )
    has_others = all(other in part for part in parts)
    names = [str(name) for part in parts for name in part["names"]]
    if len(set(names)) < len(names):
        raise UserError(f"{shown(recipe.run_folder)}: folds overlap; train them on the same folds")
    folders = ImageFolders(recipe.data_root, recipe.data)
    return OutOfFold(
        names,
        np.concatenate([part[used] for part in parts]),
        np.stack([read_skeleton(folders.train_skeletons / n) for n in names]),
        np.stack([read_grey(folders.train_shapes / n) for n in names]),
        np.concatenate([part[other] for part in parts]) if has_others else None,
    )


def read_held_out(path: Path) -> dict[str, np.ndarray]:
    """Names (N,), levels and, but in tables, levels_tta (N, H, W) uint8 of a fold's images.

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


def skeleton_of(images: OutOfFold, i: int, threshold: float, settings: Postprocess) -> np.ndarray:
    """The predicted skeleton of one held-out image, (H, W) bool."""
    guide = images.guides[i] if settings.join == "candidates" else None
    return to_skeleton(images.levels[i], threshold, images.masks[i], settings, guide)


def f1_of(images: OutOfFold, threshold: float, settings: Postprocess) -> np.ndarray:
    """Each image's F1 at one threshold with post-processing, (N,)."""

    def one(i: int) -> float:
        return f1_score(skeleton_of(images, i, threshold, settings), images.skeletons[i])

    with ThreadPoolExecutor() as pool:
        return np.fromiter(pool.map(one, range(len(images.names))), float)


def sweep(images: OutOfFold, settings: Postprocess) -> tuple[np.ndarray, np.ndarray]:
    """The thresholds tried, (T,), and each image's F1 there, (N, T).

    All of `grid_thresholds` where histograms suffice; else a quarter of them, of which those far
    from the best are tried more sparsely.
    """
    thresholds = grid_thresholds()
    if not settings.is_plain:
        return _sweep_one_by_one(images, settings, thresholds[SWEEP_STEP - 1 :: SWEEP_STEP])
    levels = images.levels
    if settings.inside_shape:
        levels = np.stack([np.where(closed(m), x, 0) for x, m in zip(levels, images.masks)])
    return thresholds, sweep_f1(levels, images.skeletons)


def _sweep_one_by_one(
    images: OutOfFold, settings: Postprocess, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    f1: dict[int, np.ndarray] = {}

    def judge(wanted: range, label: str) -> None:
        for t in progress([t for t in wanted if t not in f1], desc=label, unit="threshold"):
            f1[t] = f1_of(images, thresholds[t], settings)

    judge(range(COARSE_STEP // 2, len(thresholds), COARSE_STEP), "sweep")
    best = max(f1, key=lambda t: f1[t].mean())
    judge(
        range(max(0, best - COARSE_STEP + 1), min(len(thresholds), best + COARSE_STEP)),
        "sweep around the best",
    )
    tried = sorted(f1)
    return thresholds[tried], np.stack([f1[t] for t in tried], axis=1)


def cross_fitted(f1: np.ndarray) -> np.ndarray:
    """For each image the threshold that is best for the other parts: indices, (N,).

    Args:
        f1: (N, T), each image's F1 at each threshold.
    """
    part = np.arange(len(f1)) % min(PARTS, len(f1))
    chosen = np.empty(len(f1), int)
    for k in np.unique(part):
        others = f1[part != k] if (part != k).any() else f1
        chosen[part == k] = others.mean(0).argmax()
    return chosen


def cross_fitted_f1(f1: np.ndarray) -> float:
    """Mean F1 where each part's threshold is the best one of the other parts; see above."""
    return float(f1[np.arange(len(f1)), cross_fitted(f1)].mean())


def identity_of_search(recipe: Recipe) -> str:
    """A digest of the probabilities, the labels and the settings that a search depends on."""
    folders = ImageFolders(recipe.data_root, recipe.data)
    settings = recipe.threshold_search.model_dump(mode="json")
    settings.pop("trials")
    files = held_out_files(recipe)
    labels = sorted(folders.train_skeletons.glob("*.png"))
    return digest_of(
        [
            settings,
            recipe.settings("postprocess"),
            recipe.predict.tta,
            named_switches(recipe),
            [SPACE, SPURS],
            digest_of_files(files),
            digest_of_files(labels),
        ]
    )


def search_threshold(recipe: Recipe, trials: int | None = None, force: bool = False) -> dict:
    """Run the study, or continue it, and write `threshold.json`, the curve and the scores.

    Args:
        recipe: resolved.
        trials: how many are to end in all; None: as many as `threshold_search.trials`.
        force: start a new study.

    Returns:
        the content of `threshold.json`.

    Raises:
        UserError: no fold is trained.
    """
    path = recipe.run_folder / "threshold.json"
    identity, kept = identity_of_search(recipe), read_json(path, **KEPT)
    current = kept is not None and kept["identity"] == identity
    version = (kept["version"] if current else 0) + force
    current = current and all((recipe.run_folder / name).is_file() for name in OUTPUTS)
    total = trials or recipe.threshold_search.trials
    if current and not force and has_enough(kept["trials"], total):
        return kept
    images = load_out_of_fold(recipe)

    def objective(trial: optuna.Trial) -> float:
        return float(f1_of(images, *suggest(trial, recipe)).mean())

    with open_search(
        recipe,
        f"threshold ({identity[:6]}.{version})",
        recipe.threshold_search.seed,
        optuna.samplers.GPSampler,  # F1 over the threshold is smooth, which TPE does not use
    ) as search:
        search.run(objective, total, starts(recipe), "threshold")
        result = conclude(recipe, images, search.study)
    result |= {"identity": identity, "version": version}
    result |= write_scores(recipe, images, result)
    write_json(path, result)
    return result


@dataclass(frozen=True)
class Swept:
    """Switches with every threshold tried: thresholds (T,), each image's F1 there (N, T)."""

    switches: Postprocess
    thresholds: np.ndarray
    f1: np.ndarray

    @property
    def best(self) -> float:
        return float(self.f1.mean(0).max())

    @property
    def threshold(self) -> float:
        return float(self.thresholds[self.f1.mean(0).argmax()])


def conclude(recipe: Recipe, images: OutOfFold, study: optuna.Study) -> dict:
    """The best of the study and of sweeps, with its F1.

    Swept are the study's best switches, the recipe's own, and none; the last only for comparison
    where the recipe names others. The study has to come within `TOLERANCE` of the best sweep, or
    the sweep's choice is used and that is said.
    """
    best = best_trial(study)
    threshold, switches = suggest(optuna.trial.FixedTrial(best.params), recipe)
    own = recipe.postprocess
    none = Postprocess(inside_shape=own.inside_shape)
    tried = {s.model_dump_json(): s for s in (none, own, switches)}
    sweeps = [Swept(s, *sweep(images, s)) for s in tried.values()]
    plain = sweeps[0]
    swept = max((s for s in sweeps if s.switches in (own, switches)), key=lambda s: s.best)
    agrees = best.value >= swept.best - TOLERANCE
    if not agrees:
        print(
            f"   the study ended at F1 {best.value:.4f}, a sweep at "
            f"{swept.best:.4f}: the sweep's choice is used"
        )
    if best.value < swept.best:
        threshold, switches = swept.threshold, swept.switches
    chosen = next(s for s in sweeps if s.switches == switches)
    alike = [
        (t.params["threshold"], t.value)
        for t in ended_trials(study)
        if suggest(optuna.trial.FixedTrial(t.params), recipe)[1] == switches
    ]
    pictures.draw_threshold_curve(
        chosen.thresholds, chosen.f1.mean(0), alike, threshold, recipe.run_folder / "threshold.png"
    )
    curve = pd.DataFrame({"threshold": chosen.thresholds, "f1": chosen.f1.mean(0)})
    write_table(recipe.run_folder / "sweep.csv", curve)
    there = finished_folds(recipe.run_folder)
    folds = [p.parent.name.removeprefix("fold-") for p in held_out_files(recipe)]
    return {
        "threshold": threshold,
        "postprocess": switches.model_dump(),
        "f1": max(best.value, swept.best),
        "f1_cross_fitted": cross_fitted_f1(chosen.f1),
        "f1_without_postprocessing": plain.best,
        "threshold_without_postprocessing": plain.threshold,
        "f1_sweep": swept.best,
        "f1_study": best.value,
        "tta": recipe.predict.tta,
        "f1_by_views": f1_by_views(recipe.predict.tta, images, plain),
        "within_tolerance": bool(agrees),
        "images": len(images.names),
        "trained": {k: there[k]["identity"] for k in folds},
        "trials": len(ended_trials(study)),
        "study": study.study_name,
        "commit": commit(),
    }


def f1_by_views(tta: bool, images: OutOfFold, plain: Swept) -> dict[str, float]:
    """Cross-fitted F1 of plain thresholding, for one view ("1") and eight ("8")."""
    used, other = ("8", "1") if tta else ("1", "8")
    found = {used: cross_fitted_f1(plain.f1)}
    if images.others is not None:
        _, f1 = sweep(replace(images, levels=images.others), plain.switches)
        found[other] = cross_fitted_f1(f1)
    return found


def scores_of(images: OutOfFold, threshold: float, settings: Postprocess) -> list[Score]:
    """Each image's figures at one threshold with post-processing."""
    count = progress(range(len(images.names)), desc="score", unit="image", leave=False, delay=2)
    return [
        score_image(skeleton_of(images, i, threshold, settings), images.skeletons[i]) for i in count
    ]


def cross_fitted_scores(images: OutOfFold, settings: Postprocess) -> dict[str, float]:
    """`metrics.summarize`, each image judged at the threshold that is best for others of them."""
    thresholds, f1 = sweep(images, settings)
    chosen = thresholds[cross_fitted(f1)]
    skeletons = [skeleton_of(images, i, t, settings) for i, t in enumerate(chosen)]
    return summarize([score_image(s, label) for s, label in zip(skeletons, images.skeletons)])


def write_scores(recipe: Recipe, images: OutOfFold, result: dict) -> dict:
    """`scores.csv`: network before and after post-processing, classical methods on the same images.

    Returns:
        `before` and `after`: the figures of plain thresholding at its best threshold, and those of
        what was chosen.
    """
    chosen = Postprocess(**result["postprocess"])
    plain = Postprocess(inside_shape=chosen.inside_shape)
    scores = {
        "network": scores_of(images, result["threshold"], chosen),
        "network_plain": scores_of(images, result["threshold_without_postprocessing"], plain),
    }
    for name, method in BESIDE_RUNS.items():
        shapes = progress(images.shapes, desc=name, unit="image", leave=False, delay=2)
        scores[name] = [score_image(method(x), s) for x, s in zip(shapes, images.skeletons)]
    rows = {name: summarize(figures) for name, figures in scores.items()}
    each = [{"image": n} | asdict(s) for n, s in zip(images.names, scores["network"])]
    write_table(recipe.run_folder / "out_of_fold.csv", pd.DataFrame(each))
    table = pd.DataFrame([{"method": name} | row for name, row in rows.items()])
    write_table(recipe.run_folder / "scores.csv", table)
    return {"before": rows["network_plain"], "after": rows["network"]}
