"""Tables of results: named rows, each a training on several splits, under one budget.

`tables/*.yaml` are tables, `tables/budgets/*.yaml` what all their rows share on a kind of machine:
the splits, and settings that make a training affordable. Two rows that train the same are one
training: its run is named by what it trains, not by who asks for it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from canet.core.console import REPOSITORY, UserError, printable, shown
from canet.core.files import digest_of, read_json, write_json
from canet.core.gpus import refuse_unusable_gpu
from canet.core.provenance import code_digest
from canet.core.recipe import Count, Recipe, Section, Share, check
from canet.core.recipe_files import NOT_THE_TRAINING, load, read_yaml
from canet.data.training_set import TrainingSet
from canet.inference.device import pick_device
from canet.training.fold import TRAINING_SECTIONS, training_fingerprint
from canet.training.side_by_side import FoldJob

FOLDER, BUDGETS = REPOSITORY / "tables", "budgets"
SCORES, SPEED = "scores.json", "speed.json"  # of a training, in its fold's folder
NOT_NAMED = ("folds", "test_shapes", "test_skeletons")  # of data: what changes no training
LONGEST_KIND = 40  # characters of a run's name
JUDGING = ("canet.evaluation.sweep",)  # the code that skeletons and scores come from
# what a judged training has left; without all of it, it is judged again (identity: fingerprint)
JUDGED = {"identity": str, "code": str, "f1": float, "pooled_f1": float, "one_component": float}
JUDGED |= {"parameters": int, "training_s": float, "device": str, "commit": str}
MEASURED = {"identity": str, "images_per_s": float, "batch": int, "device": str}


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

    def trained_rows(self) -> list[Planned]:
        """The rows that the budget does not leave out."""
        return [planned for planned in self.rows if not planned.left_out]


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
    return Plan(path=path, table=table, splits=granted.splits, budget=said, rows=rows)


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


def different(rows: Iterable[Planned], *sections: str) -> list[Planned]:
    """One row for every setting of these sections of the recipes."""
    return list({digest_of(row.recipe.settings(*sections)): row for row in rows}.values())


def default_budget(overrides: list[str]) -> str:
    """That of the device on which the rows would train."""
    on = load("base", [o for o in overrides if o.startswith("machine.device=")])
    refuse_unusable_gpu(on.machine.device)
    return "gpu" if pick_device(on.machine.device).type == "cuda" else "cpu"


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
    """A run's name from all that its figures depend on, but for what is in the data's files.

    What is at its default is no part of it: a key that is added or removed renames no run whose
    figures are kept (results/*/*.csv). Whoever changes a default has to rename them all, by
    whatever is added to the digest, since figures from before are of another training then.
    """
    sections = (*TRAINING_SECTIONS, "data", "postprocess")
    depends = {
        name: getattr(recipe, name).model_dump(mode="json", exclude_defaults=True)
        for name in sections
    }
    depends["train"].pop("folds", None)
    depends["tta"] = recipe.predict.tta
    for key in NOT_NAMED:
        depends["data"].pop(key, None)
    kind = recipe.input.kind[:LONGEST_KIND].rstrip("+")
    return f"{recipe.model.encoder}_{kind}_{digest_of(depends)[:8]}"


@dataclass(frozen=True, eq=False)
class Training(FoldJob):
    """A recipe trained without one fold and judged on it, for one row or several."""

    images: TrainingSet  # shared by all trainings that read the same
    rows: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Which rows ask for it, and its split."""
        more = f" and {len(self.rows) - 1} more" if len(self.rows) > 1 else ""
        return f"{self.rows[0]}{more}, fold {self.fold}"

    @property
    def judged_on(self) -> str:
        """A digest of the images and folds that it is of; empty where they are not here."""
        try:
            return self.images.images_and_folds
        except UserError:
            return ""

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that its figures depend on; needs folds, and makes missing maps."""
        trained = training_fingerprint(self.recipe, self.fold, self.images)
        return digest_of([trained, self.recipe.settings("postprocess"), self.recipe.predict.tta])

    def scores(self) -> dict | None:
        """Its figures; None where it is not trained and judged, or judged by other code."""
        found = self._read(SCORES, JUDGED)
        return found if found and found["code"] == code_digest(*JUDGING) else None

    def speed(self) -> dict | None:
        """Images a second of its network; None where that was not measured."""
        found = self._read(SPEED, MEASURED)
        return found if found and found["batch"] == self.recipe.predict.batch else None

    def write(self, name: str, figures: dict) -> None:
        """Write figures of it, `SCORES` or `SPEED`."""
        facts = {"identity": self.fingerprint, "code": code_digest(*JUDGING)}
        write_json(self.folder / name, figures | facts)

    def _read(self, name: str, wanted: dict[str, type]) -> dict | None:
        found = read_json(self.folder / name, **wanted)
        return found if found and found["identity"] == self.fingerprint else None


def trainings_of(plans: list[Plan]) -> list[Training]:
    """Every training that the tables need, once; the first split of all rows comes first.

    So whatever time allows, rows are compared on the same splits. Nothing is read yet.
    """
    wanted: dict[tuple[int, str], Training] = {}
    sets: dict[str, TrainingSet] = {}
    for number in range(max(len(plan.splits) for plan in plans)):
        for plan in plans:
            for planned in plan.trained_rows() if number < len(plan.splits) else ():
                recipe, fold = planned.recipe, plan.splits[number]
                images = sets.setdefault(_reads(recipe), TrainingSet(recipe))
                training = wanted.get((fold, recipe.name), Training(recipe, fold, images))
                rows = (*training.rows, f"{plan.name}: {planned.row.name}")
                wanted[fold, recipe.name] = replace(training, rows=rows)
    return list(wanted.values())


def _reads(recipe: Recipe) -> str:
    """A digest of what a recipe's `TrainingSet` depends on."""
    sections = recipe.settings("data", "folds", "input")
    return digest_of([sections, recipe.augment.relabel > 0, recipe.cache_folder])
