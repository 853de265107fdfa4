"""Which loss weights train best: an Optuna study over short runs.

The images that a fold holds out are not touched: the search trains on a part of that fold's
training images and validates on another fold within them.
"""

import gc
from collections.abc import Callable

import numpy as np
import optuna

from canet.core.console import UserError, shown
from canet.core.files import read_json, write_json
from canet.core.gpus import refuse_unusable_gpu
from canet.core.provenance import commit
from canet.core.recipe import Loss, Recipe, check
from canet.core.runs import fold_folder
from canet.data.folds import split
from canet.data.training_set import Samples, TrainingSet
from canet.inference.device import pick_device
from canet.search.study import best_trial, ended_trials, has_enough, open_search
from canet.training.checkpoint import TrainState
from canet.training.fold import search_fingerprint
from canet.training.trainer import Callback, Diverged, Trainer, build_state

# ranges, searched by their logarithm
WEIGHTS = {
    "dice": (0.1, 10.0),
    "focal": (1.0, 1000.0),
    "positive_weight": (0.01, 1.0),
    "negative_weight": (0.01, 1.0),
}


def weighted(loss: Loss) -> list[str]:
    """Those of `WEIGHTS` that a loss has."""
    return [name for name in WEIGHTS if getattr(loss, name) > 0]


def suggest_loss(trial: optuna.Trial, recipe: Recipe) -> Loss:
    """Loss weights of a trial; the finest scale keeps its weight, the ratio to it is searched.

    A term that the recipe gives no weight is not added.
    """
    scales = recipe.loss.scale_weights
    tried = {
        name: trial.suggest_float(name, *WEIGHTS[name], log=True) for name in weighted(recipe.loss)
    }
    tried |= {
        "gamma": trial.suggest_float("gamma", 0, 4),
        "scale_weights": scales[:1]
        + [trial.suggest_float(f"scale_weight_{i}", 0, 1) for i in range(1, len(scales))],
        "tuned": True,
    }
    return recipe.loss.model_copy(update=tried)


def recipe_as_trial(loss: Loss) -> dict[str, float]:
    """The recipe's own weights as a trial's parameters, tried first."""
    own = {name: getattr(loss, name) for name in (*weighted(loss), "gamma")}
    return own | {f"scale_weight_{i}": w for i, w in enumerate(loss.scale_weights) if i}


def inner_split(
    recipe: Recipe, fold: int | str, images: TrainingSet
) -> tuple[list[str], list[str]]:
    """Names of the images that trials train and validate on; neither is held out by `fold`.

    Validated on are images of the next fold; at most `loss_search.images` are trained on and a
    quarter as many validated.

    Raises:
        UserError: the folds are too few for that.
    """
    training, _ = split(images.folds, fold)
    next_fold = 0 if fold == "all" else (fold + 1) % recipe.folds.count
    in_next = set(images.folds["image"][images.folds["fold"] == next_fold])
    rng = np.random.default_rng(recipe.loss_search.seed)
    train = rng.permutation([n for n in training if n not in in_next])
    validation = rng.permutation([n for n in training if n in in_next])
    if not (len(train) and len(validation)):
        raise UserError(
            f"the loss search for fold {fold} trains on one fold and validates on another, "
            f"neither of them fold {fold}; with folds.count={recipe.folds.count} there are too "
            f"few: set folds.count to 3 or more, or leave the loss search out"
        )
    most = recipe.loss_search.images
    return train[:most].tolist(), validation[: max(1, most // 4)].tolist()


def search_loss(
    recipe: Recipe,
    fold: int | str,
    *,
    trials: int | None = None,
    force: bool = False,
    images: TrainingSet | None = None,
) -> Loss | None:
    """Run the study for one fold, or continue it, and write `tuned_loss.json`.

    Args:
        recipe: resolved.
        fold: the fold that the result will be used for.
        trials: how many are to end in all; None: as many as `loss_search.trials`.
        force: start a new study; the old one stays in the storage.
        images: the recipe's training set, where it is there already.

    Returns:
        the best loss, None where the recipe searches nothing.

    Raises:
        UserError: no folds, or too few; no trial was completed; see `open_storage`.
    """
    images, path = images or TrainingSet(recipe), fold_folder(recipe, fold) / "tuned_loss.json"
    fingerprint = search_fingerprint(recipe, fold, images)
    kept = read_json(path, identity=str, loss=dict, trials=int, version=int)
    is_current = kept is not None and kept["identity"] == fingerprint
    version = (kept["version"] if is_current else 0) + force
    total = trials or recipe.loss_search.trials
    if is_current and not force and has_enough(kept["trials"], total):
        return check(kept["loss"], shown(path), Loss)
    if not total:
        return None
    train, validation = (images.samples.take(n) for n in inner_split(recipe, fold, images))
    name = f"loss, fold {fold} ({fingerprint[:6]}.{version})"
    own = recipe_as_trial(recipe.loss)
    with open_search(recipe, name, seed=recipe.loss_search.seed) as search:
        objective = training_objective(recipe, train, validation)
        search.run(objective, total=total, starts=[own], label="loss search")
        result = conclude(recipe, search.study, own)
    write_json(path, result | {"identity": fingerprint, "version": version, "commit": commit()})
    return Loss(**result["loss"])


def conclude(recipe: Recipe, study: optuna.Study, own: dict[str, float]) -> dict:
    """The best loss, with its F1 and that of the recipe's own weights."""
    best, ended = best_trial(study), ended_trials(study)
    loss = suggest_loss(optuna.trial.FixedTrial(best.params), recipe)
    return {
        "loss": loss.model_dump(mode="json"),
        "inner_f1": best.value,
        "recipe_inner_f1": next((t.value for t in ended if t.params == own), None),
        "trials": len(ended),
        "study": study.study_name,
    }


class Pruner(Callback):
    """Reports each epoch's F1 to the study and ends trials that it finds hopeless."""

    def __init__(self, trial: optuna.Trial):
        self.trial = trial

    def on_epoch_end(self, state: TrainState) -> None:
        """Report, and decide.

        Raises:
            TrialPruned: it is hopeless.
        """
        self.trial.report(state.history[-1]["f1"], state.epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def training_objective(
    recipe: Recipe, train: Samples, validation: Samples
) -> Callable[[optuna.Trial], float]:
    """The objective: per-image F1 on `validation` after a short training, pruned on the way."""
    device = pick_device(recipe.machine.device)
    if device.type == "cpu":
        refuse_unusable_gpu(recipe.machine.device)
    short = recipe.train.model_copy(
        update={"epochs": recipe.loss_search.epochs, "evaluate_every": 1}
    )

    def objective(trial: optuna.Trial) -> float:
        gc.collect()  # Optuna keeps the frames of a pruned trial: its network, its CUDA graph
        tried = recipe.model_copy(update={"train": short, "loss": suggest_loss(trial, recipe)})
        trainer = Trainer(tried, train, validation, device=device)
        state = build_state(tried, device)
        try:
            trainer.run(state, Pruner(trial), label=f"trial {trial.number}", quiet=True)
        except Diverged:
            raise optuna.TrialPruned from None
        return state.history[-1]["f1"]

    return objective
