"""What a run has left behind: trainings, held-out images, searches, scores of other methods."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from canet.core.console import UserError, shown
from canet.core.files import read_json
from canet.core.recipe import Machine, Recipe, check_stored
from canet.core.recipe_files import load
from canet.core.runs import FACTS, finished_folds
from canet.evaluation.classical_scores import FIGURES, held_out_table
from canet.evaluation.score_tables import damaged, read_columns, read_table
from canet.geometry.candidates import CANDIDATES
from canet.geometry.classical import BESIDE_RUNS
from canet.report.held_out import HeldOut, held_out_of
from canet.report.searches import Search, searches_of
from canet.selection import forest

HISTORY = {"epoch": float, "loss": float, "lr": float}  # and f1 where images are held out


@dataclass(frozen=True)
class Training:
    """One trained fold: rows of `metrics.csv` (none for a forest), what was kept with the model."""

    fold: str
    history: pd.DataFrame | None
    facts: dict


@dataclass(frozen=True)
class Facts:
    """All that a page tells. `classical` has `CLASSICAL` columns by method, or is None."""

    recipe: Recipe
    trainings: list[Training]
    held_out: HeldOut | None
    searches: list[Search]
    classical: pd.DataFrame | None
    singles: pd.DataFrame | None = None  # scores of a geometry run's candidates, by name


def recipe_of(run: Path, storage: str | None = None) -> Recipe:
    """The recipe that a run keeps, with its folders where the run lies now.

    Args:
        run: its folder.
        storage: of its studies; None: in that folder.

    Raises:
        UserError: it keeps none, or a damaged one.
    """
    kept, stored = run / "recipe.yaml", run / forest.RUN_FOLDER / forest.CONFIG
    if kept.is_file():
        recipe = load(str(kept))
    elif config := read_json(stored, recipe=dict):
        recipe = check_stored(config["recipe"], shown(stored))
    else:
        raise UserError(f"{shown(run)}: keeps no recipe.yaml; is it a run? name one with --recipe")
    machine = Machine(runs=run.absolute().parent, storage=storage)
    here = {"name": run.absolute().name, "machine": machine}
    return recipe.model_copy(update=here)


def gather(recipe: Recipe) -> Facts:
    """Everything about a run.

    Raises:
        UserError: nothing is trained yet, or what is there is damaged.
    """
    run = recipe.run_folder
    folds = finished_folds(run)
    if not folds:
        raise UserError(f"{shown(run)}: nothing is trained there yet; run bash run.sh first")
    held_out = held_out_of(recipe)
    by_forest = held_out and recipe.method == "geometry"
    return Facts(
        recipe,
        [_training(run / f"fold-{k}", k, done) for k, done in folds.items()],
        held_out,
        searches_of(recipe),
        classical_scores(recipe, held_out) if held_out else None,
        _scored(recipe, [c.name for c in CANDIDATES]) if by_forest else None,
    )


def _training(folder: Path, fold: str, done: dict) -> Training:
    path = folder / "metrics.csv"
    facts = read_json(folder / "model" / FACTS) or done  # a forest's are in done.json
    if not path.is_file():
        return Training(fold, None, facts)
    return Training(fold, read_columns(path, HISTORY), facts)


def classical_scores(recipe: Recipe, held_out: HeldOut) -> pd.DataFrame:
    """`FIGURES` of `classical_scores` by method on the same images.

    Of several folds the means, weighted by images; for pooled F1 too, which is therefore not
    quite that of all images together. A geometry run has scored them already, without times.
    """
    if recipe.method == "geometry":
        return _scored(recipe, BESIDE_RUNS)
    counts = pd.Series(held_out.folds).value_counts(sort=False)
    tables = [held_out_table(recipe, int(fold)).set_index("method") for fold in counts.index]
    tables = [table[FIGURES] for table in tables]
    total = sum(table * n for table, n in zip(tables, counts))
    return total.loc[tables[0].index] / counts.sum()


def _scored(recipe: Recipe, methods: Iterable[str]) -> pd.DataFrame:
    """`FIGURES` of methods in a geometry run's own table, as far as it has them."""
    path = recipe.run_folder / "scores.csv"
    if not path.is_file():
        return pd.DataFrame(columns=FIGURES, dtype=float)
    scores = read_table(path, "f1", "pooled_f1", "one_component")
    try:
        return scores.loc[scores.index.isin(list(methods))].reindex(columns=FIGURES).astype(float)
    except ValueError:
        raise damaged(path) from None
