"""Tables of results: named rows, each a training on several splits, under one budget.

`tables/*.yaml` are tables, `tables/budgets/*.yaml` what all their rows share on a kind of machine:
the splits, and settings that make a training affordable. Two rows that train the same are one
training: its run is named by what it trains, not by who asks for it.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from canet.files import REPOSITORY, UserError, digest_of, printable, read_json, shown
from canet.recipe import (
    NOT_THE_TRAINING,
    Count,
    Recipe,
    Section,
    Share,
    check,
    load,
    read_yaml,
)
from canet.training import TRAINING_SECTIONS, fold_folder, identity_of

FOLDER, BUDGETS = REPOSITORY / "tables", "budgets"
SCORES, SPEED = "scores.json", "speed.json"  # of a training, in its fold's folder
NOT_NAMED = ("folds", "test_shapes", "test_skeletons")  # of data: what changes no training
LONGEST_KIND = 40  # characters of a run's name
# what a judged training has left; without all of it, it is judged again
JUDGED = {"identity": str, "f1": float, "pooled_f1": float, "one_component": float}
JUDGED |= {"parameters": int, "training_s": float, "device": str, "commit": str}
MEASURED = {"identity": str, "images_per_s": float, "device": str}


class Row(Section):
    name: str
    paper: Share | None = Field(None, description="the F1 that the source prints")
    recipe: str | None = Field(None, description="a recipe of its own; null: the table's")
    set: dict[str, Any] = Field({}, description="overrides, key: value")
    leave: list[str] = Field([], description="keys of the budget that its recipe knows better")
    note: str | None = None


class Table(Section):
    title: str
    source: str
    note: str | None = None
    recipe: str = Field("paper", description="of rows that name none")
    set: dict[str, Any] = Field({}, description="overrides of all its rows")
    compare: Literal["above", "first"] = Field("above", description="with which row, paired")
    by_default: bool = Field(True, description="also trained where no table is named")
    speed: bool = Field(False, description="also measure images a second in prediction")
    generate: dict[str, Count] = Field({}, description="folder: generated shapes to put there")
    rows: list[Row] = Field(min_length=1)


class Budget(Section):
    splits: list[Count | Literal[0]] = Field(min_length=1, description="folds to hold out")
    set: dict[str, Any] = Field({}, description="overrides of every row")
    leave_out: dict[str, str | dict[str, str]] = Field(
        {}, description="by table: why it is not trained, or which of its rows are not, and why"
    )

    def left_out(self, table: str, row: str) -> str:
        """Why a row is not trained; empty where it is."""
        said = self.leave_out.get(table, "")
        return said if isinstance(said, str) else said.get(row, "")


@dataclass(frozen=True)
class Planned:
    """A row with the recipe that it trains and the words that name it to a stage script.

    `left_out` tells why the budget does not train it; empty where it does.
    """

    row: Row
    recipe: Recipe
    words: list[str]
    left_out: str = ""


@dataclass(frozen=True)
class Plan:
    """A table, ready to be trained; `budget` in words."""

    path: Path
    table: Table
    splits: list[int]
    budget: str
    rows: list[Planned]

    @property
    def name(self) -> str:
        return self.path.stem


def available() -> list[str]:
    """Names of the tables in `tables/`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def path_of(name: str) -> Path:
    """The file of a table, from its name or its path.

    Raises:
        UserError: there is none.
    """
    for path in (FOLDER / f"{name}.yaml", Path(name)):
        if path.suffix == ".yaml" and path.is_file():
            return path
    raise UserError(f"no table {printable(name)}; there are {', '.join(available())}")


def read_table(path: Path) -> Table:
    """A table as its file describes it.

    Raises:
        UserError: unknown key or wrong value, or two rows have one name.
    """
    table = check(read_yaml(path), shown(path), Table)
    names = [row.name for row in table.rows]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise UserError(f"{shown(path)}: two rows are named {min(doubled)}; rename one")
    return table


def read_budget(path: Path) -> Budget:
    """A budget as its file describes it.

    Raises:
        UserError: there is none, an unknown key or a wrong value.
    """
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise UserError(f"no budget {shown(path)}; there are {there or 'none'}")
    return check(read_yaml(path), shown(path), Budget)


def plan_table(path: Path, overrides: list[str], budget: str = "gpu") -> Plan:
    """A table with its budget and the recipes of its rows.

    Args:
        path: of the table.
        budget: its name, a file in `budgets/` beside the table.
        overrides: `key=value`, of the budget; rows that set the same key keep theirs.

    Raises:
        UserError: listing every row that cannot be trained.
    """
    table = read_table(path)
    granted = read_budget(path.with_name(BUDGETS) / f"{budget}.yaml")
    _check_left_out(granted.leave_out, path, {row.name for row in table.rows})
    shared = _as_text(granted.set) | dict(_split(text) for text in overrides)
    load(table.recipe, _written(shared))  # so that what is wrong with all rows is said once
    rows, problems = [], []
    for row in table.rows:
        try:
            planned = _plan_row(table, row, shared)
            rows.append(replace(planned, left_out=granted.left_out(path.stem, row.name)))
        except UserError as error:
            problems.append(f"{row.name}: {error}")
    if problems:
        raise UserError(f"{shown(path)}: " + "\n  ".join(problems))
    trained = {k: v for k, v in shared.items() if not k.startswith(NOT_THE_TRAINING)}
    said = " ".join(_written(trained)).replace('"', "")
    return Plan(path, table, granted.splits, said, rows)


def _check_left_out(left_out: dict[str, str | dict[str, str]], path: Path, rows: set[str]) -> None:
    unknown = left_out.keys() - {p.stem for p in path.parent.glob("*.yaml")}
    if isinstance(own := left_out.get(path.stem), dict):
        unknown |= {f"{path.stem}: {name}" for name in own.keys() - rows}
    if unknown:
        raise UserError(f"{shown(path.parent / BUDGETS)}: leave_out names {min(unknown)}; no such")


def _plan_row(table: Table, row: Row, shared: dict[str, str]) -> Planned:
    kept = {key: value for key, value in shared.items() if key not in row.leave}
    changes = kept | _as_text(table.set) | _as_text(row.set)
    name, overrides = row.recipe or table.recipe, _written(changes)
    recipe = load(name, overrides)
    if recipe.method != "network":
        raise UserError(f"recipe {name} trains no network; rows are trainings of networks")
    words = ["--recipe", name, "--set", *overrides]
    return Planned(row, recipe.model_copy(update={"name": name_of(recipe)}), words)


def _as_text(values: dict[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def _written(changes: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in changes.items()]


def _split(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"{printable(text)} is no override: write key=value")
    return key, value


def name_of(recipe: Recipe) -> str:
    """A run's name from all that its figures depend on, but for what is in the data's files."""
    depends = recipe.settings(*TRAINING_SECTIONS, "data", "postprocess")
    depends["train"].pop("folds")
    depends["tta"] = recipe.predict.tta
    for key in NOT_NAMED:
        depends["data"].pop(key)
    kind = recipe.input.kind[:LONGEST_KIND].rstrip("+")
    return f"{recipe.model.encoder}_{kind}_{digest_of(depends)[:8]}"


@dataclass(frozen=True, eq=False)
class Training:
    """A recipe trained without one fold and judged on it, for one row or several."""

    recipe: Recipe
    fold: int
    rows: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return fold_folder(self.recipe, self.fold)

    @property
    def log(self) -> Path:
        """What it prints; not in its folder, which a new training may set aside."""
        return self.recipe.run_folder / f"fold-{self.fold}.log"

    @cached_property
    def identity(self) -> str:
        """A digest of all that its figures depend on."""
        trained = identity_of(self.recipe, self.fold)
        return digest_of([trained, self.recipe.settings("postprocess"), self.recipe.predict.tta])

    def scores(self) -> dict | None:
        """Its figures; None where it is not trained and judged."""
        return self._read(SCORES, JUDGED)

    def speed(self) -> dict | None:
        """Images a second of its network; None where that was not measured."""
        return self._read(SPEED, MEASURED)

    def _read(self, name: str, wanted: dict[str, type]) -> dict | None:
        found = read_json(self.folder / name, **wanted)
        return found if found and found["identity"] == self.identity else None


def trainings_of(plans: list[Plan]) -> list[Training]:
    """Every training that the tables need, once; the first split of all rows comes first.

    So whatever time allows, rows are compared on the same splits.
    """
    wanted: dict[tuple[int, str], Training] = {}
    for number in range(max(len(plan.splits) for plan in plans)):
        for plan in plans:
            for planned in plan.rows if number < len(plan.splits) else ():
                if planned.left_out:
                    continue
                key = (plan.splits[number], planned.recipe.name)
                rows = wanted[key].rows if key in wanted else ()
                rows = (*rows, f"{plan.name}: {planned.row.name}")
                wanted[key] = Training(planned.recipe, key[0], rows)
    return list(wanted.values())
