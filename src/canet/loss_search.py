"""Which loss weights train best: an Optuna study over short runs.

The images that a fold holds out are not touched: the search trains on a part of that fold's
training images and judges on another fold within them.
"""

import numpy as np
import optuna

from canet.device import pick_device
from canet.files import digest_of, read_json, shown, write_json
from canet.fitting import Diverged, Fitting, State, Watch, start
from canet.folds import folds_path, read_folds, split
from canet.recipe import Loss, Recipe, check
from canet.samples import Samples, load_training_set
from canet.stage import commit
from canet.study import best_trial, ended_trials, has_enough, open_search
from canet.training import fold_folder, identity_of


def suggest_loss(trial: optuna.Trial, recipe: Recipe) -> Loss:
    """Loss weights of a trial; the finest scale keeps its weight, the ratio to it is searched."""
    scales = recipe.loss.scale_weights
    tried = {
        "dice": trial.suggest_float("dice", 0.1, 10, log=True),
        "focal": trial.suggest_float("focal", 1, 1000, log=True),
        "positive_weight": trial.suggest_float("positive_weight", 0.01, 1, log=True),
        "negative_weight": trial.suggest_float("negative_weight", 0.01, 1, log=True),
        "gamma": trial.suggest_float("gamma", 0, 4),
        "scale_weights": scales[:1]
        + [trial.suggest_float(f"scale_weight_{i}", 0, 1) for i in range(1, len(scales))],
        "tuned": True,
    }
    return recipe.loss.model_copy(update=tried)


def recipe_as_trial(loss: Loss) -> dict[str, float]:
    """The recipe's own weights as a trial's parameters, tried first."""
    names = ("dice", "focal", "positive_weight", "negative_weight", "gamma")
    own = {name: getattr(loss, name) for name in names}
    return own | {f"scale_weight_{i}": w for i, w in enumerate(loss.scale_weights) if i}


def inner_split(recipe: Recipe, fold: int | str) -> tuple[Samples, Samples]:
    """Images to train and to judge trials on; neither is held out by `fold`.

    Judged on are images of the next fold; at most `loss_search.images` are trained on and a
    quarter as many judged.
    """
    samples = load_training_set(recipe)
    table = read_folds(folds_path(recipe), samples.names, recipe.folds)
    usable, _ = split(table, fold)
    next_fold = 0 if fold == "all" else (fold + 1) % recipe.folds.count
    in_next = set(table["image"][table["fold"] == next_fold])
    rng = np.random.default_rng(recipe.loss_search.seed)
    inner = rng.permutation([n for n in usable if n not in in_next])[: recipe.loss_search.images]
    judged = rng.permutation([n for n in usable if n in in_next])
    judged = judged[: max(1, recipe.loss_search.images // 4)]
    return samples.take(inner.tolist()), samples.take(judged.tolist())


def search_loss(
    recipe: Recipe, fold: int | str, trials: int | None = None, force: bool = False
) -> Loss | None:
    """Run the study for one fold, or continue it, and write `tuned_loss.json`.

    Args:
        recipe: resolved.
        fold: the fold that the result will be used for.
        trials: how many are to end in all; None: as many as `loss_search.trials`.
        force: start a new study; the old one stays in the storage.

    Returns:
        the best loss, None where the recipe searches nothing.
    """
    path = fold_folder(recipe, fold) / "tuned_loss.json"
    identity = search_identity(recipe, fold)
    kept = read_json(path, identity=str, loss=dict, trials=int, version=int)
    current = kept is not None and kept["identity"] == identity
    version = (kept["version"] if current else 0) + force
    total = trials or recipe.loss_search.trials
    if current and not force and has_enough(kept["trials"], total):
        return check(kept["loss"], shown(path), Loss)
    if not total:
        return None
    train, judged = inner_split(recipe, fold)
    name = f"loss, fold {fold} ({identity[:6]}.{version})"
    own = recipe_as_trial(recipe.loss)
    with open_search(recipe, name, recipe.loss_search.seed) as search:
        search.run(objective_on(recipe, train, judged), total, [own], "loss search")
        result = conclude(recipe, search.study, own)
    write_json(path, result | {"identity": identity, "version": version, "commit": commit()})
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


def search_identity(recipe: Recipe, fold: int | str) -> str:
    """A digest of all that a search's trials depend on; the number of trials is not among it."""
    settings = recipe.loss_search.model_dump(mode="json")
    settings.pop("trials")
    return digest_of([identity_of(recipe, fold), settings])


class Pruner(Watch):
    """Reports each epoch's F1 to the study and ends trials that it finds hopeless."""

    def __init__(self, trial: optuna.Trial):
        self.trial = trial

    def after_epoch(self, state: State) -> None:
        self.trial.report(state.history[-1]["f1"], state.epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def objective_on(recipe: Recipe, train: Samples, judged: Samples):
    """The objective: per-image F1 on `judged` after a short training, pruned on the way."""
    device = pick_device(recipe.machine.device)
    short = recipe.train.model_copy(
        update={"epochs": recipe.loss_search.epochs, "evaluate_every": 1}
    )

    def objective(trial: optuna.Trial) -> float:
        tried = recipe.model_copy(update={"train": short, "loss": suggest_loss(trial, recipe)})
        fitting, state = Fitting(tried, train, judged, device), start(tried, device)

        try:
            fitting.run(state, Pruner(trial), f"trial {trial.number}", quiet=True)
        except Diverged:
            raise optuna.TrialPruned from None
        return state.history[-1]["f1"]

    return objective
