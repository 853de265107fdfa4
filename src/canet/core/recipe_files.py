"""Recipes on disk: YAML files in `pipelines/`, over one parent at most, with overrides."""

import difflib
from pathlib import Path
from typing import Any

import yaml

from canet.core.console import REPOSITORY, UserError, brief, printable, shown
from canet.core.files import digest_of
from canet.core.recipe import LONGEST_TEXT, Recipe, check

PIPELINES = REPOSITORY / "pipelines"
LONGEST_RUN_NAME = 80
LARGEST_FILE = 100_000  # bytes; the largest recipe here has 600
DEEPEST = 20  # levels of a recipe; three are used
# Overrides of these leave what is trained as it is, so they do not name another run.
NOT_THE_TRAINING = (
    "machine.",
    "predict.",
    "postprocess.",
    "threshold_search.",
    "loss_search.trials",
    "selection.trials",
    "train.folds",
    "data.root",
    "data.folds",
    "data.test_",
)
OF_PREDICTION = ("predict.", "postprocess.", "data.")


def available() -> list[str]:
    """Names of the recipes in `pipelines/`."""
    return sorted(path.stem for path in PIPELINES.glob("*.yaml"))


def load(name: str, overrides: list[str] = ()) -> Recipe:
    """The recipe `pipelines/<name>.yaml` with `key=value` overrides applied.

    Args:
        name: a recipe's name, or the path of a YAML file.
        overrides: such as `train.epochs=20`; values are YAML.

    Returns:
        the checked recipe; overrides that change what is trained become part of its name, so
        that its run gets a folder of its own.

    Raises:
        UserError: unknown recipe or key (with the nearest valid one), value out of range.
    """
    values = _read_over_parent(_find(name))
    plain_name = str(values.pop("name", None) or Path(name).stem)
    changes = dict(_parse(text) for text in overrides)
    chosen_name = changes.pop("name", None)
    values["name"] = plain_name
    for key, value in changes.items():
        _assign(values, key, value)
    experiment = {k: v for k, v in changes.items() if not k.startswith(NOT_THE_TRAINING)}
    values["name"] = str(chosen_name or _named(plain_name, experiment))
    return check(values, f"recipe {printable(name)}")


def overridden(recipe: Recipe, overrides: list[str]) -> Recipe:
    """The recipe of what is trained, with overrides of how and on what it predicts.

    Raises:
        UserError: an override of something else, or a value out of range.
    """
    values = recipe.model_dump(mode="json")
    for key, value in map(_parse, overrides):
        if not key.startswith(OF_PREDICTION):
            raise UserError(
                f"--set {printable(key)}: {recipe.name} is trained, so only predict.…, "
                f"postprocess.… and data.… can be set; name another run's recipe by --recipe"
            )
        _assign(values, key, value)
    return check(values, f"recipe {printable(recipe.name)}")


def _find(name: object, asked_by: str = "") -> Path:
    candidates = []
    if isinstance(name, str) and len(name) <= LONGEST_TEXT:
        is_path = Path(name).suffix in (".yaml", ".yml")
        candidates = [PIPELINES / f"{name}.yaml", *([Path(name)] if is_path else [])]
    try:
        return next(path for path in candidates if path.is_file())
    except (StopIteration, OSError):  # such as a name that is too long
        near = difflib.get_close_matches(str(name)[:LONGEST_TEXT], available(), 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(available())}"
        said = printable(name) if isinstance(name, str) else brief(name)
        raise UserError(f"{asked_by}no recipe {said} in {shown(PIPELINES)}/: {hint}") from None


class _PlainLoader(yaml.SafeLoader):
    """YAML of sections, keys and values alone.

    Aliases, which can make a few lines expand to gigabytes, tags, keys that are there twice and
    deep nesting are errors; dates stay text.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor or getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(problem="it has an alias, an anchor or a tag")
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key in (self.construct_object(key, deep=True) for key, _ in node.value):
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"its key {brief(key)} is no text")
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"its key {printable(key)} is there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _from_yaml(content: str | bytes, origin: str) -> Any:
    """A value from YAML.

    Raises:
        UserError: in one line that begins with `origin`.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        if len(text) > LARGEST_FILE:
            raise yaml.YAMLError("it is too long")
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" in line {line + 1}"
        raise UserError(f"{origin}: not readable as YAML{where} ({printable(reason)})") from None


def read_yaml(path: Path) -> dict:
    """The sections and keys in a YAML file.

    Raises:
        UserError: it is not readable as YAML, or holds something else.
    """
    with open(path, "rb") as file:
        content = file.read(LARGEST_FILE + 1)  # one more, so that what is too long is noticed
    values = _from_yaml(content, shown(path))
    if not isinstance(values, dict | None):
        raise UserError(f"{shown(path)}: expected sections with keys, found {brief(values)}")
    return values or {}


def _read_over_parent(path: Path) -> dict:
    values = read_yaml(path)
    parent = values.pop("parent", None)
    if parent is None:
        return values
    base = read_yaml(_find(parent, f"{shown(path)}: as its parent, "))
    if "parent" in base:
        raise UserError(
            f"{shown(path)}: its parent {printable(parent)} has a parent itself; one level only"
        )
    return _merge(base, values)


def _merge(base: dict, over: dict) -> dict:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _parse(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"{brief(text)} is no override: write key=value, such as train.epochs=20")
    return key, _from_yaml(value, f"the value in {brief(text)}")


def _assign(values: dict, key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(
                f"{printable(key)}: {printable(section)} is a value and has no keys below it"
            )
    values[last] = value


def _named(name: str, changes: dict[str, Any]) -> str:
    if not changes:
        return name
    plain = "_".join(f"{k}={v}" for k, v in sorted(changes.items()))
    slug = "".join(c if c.isalnum() or c in "=._-+" else "-" for c in plain)
    too_long = len(name) + len(slug) >= LONGEST_RUN_NAME
    return f"{name}_{digest_of(changes)[:8] if too_long else slug}"
