"""Optuna studies: where they are kept, how they continue, what is recorded with each trial."""

import warnings
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url

from canet.files import REPOSITORY
from canet.recipe import Recipe
from canet.stage import commit, progress, versions

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def storage_url(recipe: Recipe) -> str:
    """The recipe's storage, or a SQLite file in the run's folder."""
    if recipe.machine.storage:
        return recipe.machine.storage
    return f"sqlite:///{recipe.run_folder / 'optuna.db'}"


def open_study(
    recipe: Recipe, name: str, seed: int, sampler=optuna.samplers.TPESampler
) -> optuna.Study:
    """Create a study or continue it.

    A trial that was running when its process was killed is marked as failed and asked for again,
    where only one process can be at work (SQLite). The sampler's seed depends on the trials there
    are, so that a continued study does not draw the same values again.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    recipe.run_folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=storage_url(recipe),
        study_name=f"{recipe.name}: {name}",
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
        load_if_exists=True,
    )
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["per-image F1"])  # the dashboard's axis
    trials = study.get_trials(deepcopy=False)
    study.sampler = sampler(seed=seed + len(trials))
    if storage_url(recipe).startswith("sqlite"):
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params, skip_if_exists=False)
    return study


def ended_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that were completed or pruned."""
    return study.get_trials(deepcopy=False, states=ENDED)


def has_trial(study: optuna.Study, params: dict) -> bool:
    """Whether these parameters were tried to an end, or wait to be."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    fixed = [t.system_attrs.get("fixed_params") for t in waiting]
    return params in fixed or any(t.params == params for t in ended_trials(study))


def shown_url(recipe: Recipe) -> str:
    """The storage's URL for messages: without password, relative where it is in the repository."""
    url = make_url(storage_url(recipe)).render_as_string(hide_password=True)
    return url.replace(f"{REPOSITORY}/", "")


def optimize(
    study: optuna.Study, objective: Callable, total: int, recipe: Recipe, label: str
) -> None:
    """Run trials until `total` have ended; each carries recipe, commit and versions."""
    facts = {"recipe": recipe.name, "commit": commit(), "versions": versions()}
    done = len(ended_trials(study))

    def recorded(trial: optuna.Trial) -> float:
        for key, value in facts.items():
            trial.set_user_attr(key, value)
        return objective(trial)

    with progress(total=max(total, done), initial=done, desc=label, unit="trial") as bar:

        def advance(study: optuna.Study, _: FrozenTrial) -> None:
            bar.update()
            if any(t.state == TrialState.COMPLETE for t in study.get_trials(deepcopy=False)):
                bar.set_postfix({"best F1": f"{study.best_value:.4f}"}, refresh=False)

        study.optimize(recorded, n_trials=max(0, total - done), callbacks=[advance])
