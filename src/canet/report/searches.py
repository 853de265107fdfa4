"""The Optuna studies of a run, read without disturbing whoever is searching."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from canet.core.console import UserError
from canet.core.files import read_json
from canet.core.recipe import Recipe
from canet.search.storage import database_url, open_storage, takes_several
from canet.search.study import ended_trials

FEWEST = 5  # completed trials; the importance of anything among fewer is an accident


@dataclass(frozen=True)
class Search:
    """One study: the trials that ended, and how much each parameter explains of their F1, 0 to 1.

    `importance` is empty where too few trials were completed, or all with one value.
    """

    title: str
    trials: list[FrozenTrial]
    importance: dict[str, float]

    @property
    def completed(self) -> list[FrozenTrial]:
        return [t for t in self.trials if t.state == TrialState.COMPLETE]


def searches_of(recipe: Recipe) -> list[Search]:
    """The studies that the run's results came from; those that the storage no longer has are not
    listed, nor any (said in a warning) where it cannot be read."""
    wanted = study_names(recipe)
    file = Path(database_url(recipe).database or "")
    if not wanted or not (takes_several(recipe) or file.is_file()):
        return []
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with open_storage(recipe, to_read=True) as storage:
            there = optuna.get_all_study_names(storage)
            return [
                _read(title, optuna.load_study(study_name=name, storage=storage))
                for title, name in wanted.items()
                if name in there
            ]
    except UserError as error:
        print(f"   warning: the report goes without its searches: {error}")
        return []


def study_names(recipe: Recipe) -> dict[str, str]:
    """Names of studies by title, as the results record them."""
    run = recipe.run_folder
    if recipe.method == "geometry":
        files = {"forest": run / "selection.json"}
    else:
        tuned = sorted(run.glob("fold-*/tuned_loss.json"))
        tuned = [p for p in tuned if "." not in p.parent.name]  # fold-0.old1 was set aside
        files = {f"loss weights, {p.parent.name.replace('-', ' ')}": p for p in tuned}
        files["threshold and post-processing"] = run / "threshold.json"
    kept = {title: read_json(path, study=str) for title, path in files.items()}
    return {title: content["study"] for title, content in kept.items() if content}


def _read(title: str, study: optuna.Study) -> Search:
    search = Search(title, ended_trials(study), {})
    values = [t.value for t in search.completed]
    if len(values) < FEWEST or np.ptp(values) == 0:
        return search
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return Search(title, search.trials, {k: float(v) for k, v in found.items()})
