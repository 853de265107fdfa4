"""Recipes: one YAML file per experiment in `pipelines/`, over one parent at most.

Every key exists in the classes below and is checked there; a misspelt key is an error that
names the nearest valid one. The resolved recipe is stored with every run and model.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from canet.files import REPOSITORY, UserError, digest_of, shown
from canet.input_kinds import problem_of

PIPELINES = REPOSITORY / "pipelines"
LONGEST_RUN_NAME = 80
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
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Where the images are. Relative paths start at the repository."""

    root: Path = Field(description="folder of the starting kit")
    train_shapes: str = "img_train_shape"
    train_skeletons: str = "img_train2"
    test_shapes: str = "img_test_shape"
    test_skeletons: str | None = Field(None, description="labels of the test shapes, if known")
    folds: Path = Field(Path("input/folds"), description="folder of the fold CSVs")
    size_px: int = Field(256, ge=32, multiple_of=32)


class Demo(Section):
    """Generated shapes; `train` = 0 generates none and uses what is in `data.root`."""

    train: int = Field(0, ge=0)
    test: int = Field(0, ge=0)
    seed: int = 0


class Folds(Section):
    scheme: Literal["stratified", "grouped"] = "stratified"
    count: int = Field(5, ge=2)
    seed: int = 0
    twin_similarity: Share = Field(0.93, description="aligned overlap above which images are twins")


class Input(Section):
    kind: str = Field("repaired_distance", description="planes of `input_kinds`, joined by +")
    max_hole_px: int = Field(25, ge=0, description="holes up to this area are repaired")

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        problem = problem_of(kind)
        if problem:  # in braces a message would be a template
            raise PydanticCustomError("input_kind", "{problem}", {"problem": problem})
        return kind


class Model(Section):
    encoder: str = "resblock64"
    attention_stages: list[Annotated[int, Field(ge=1, le=5)]] = [3, 4, 5]
    blocks: Count = 3
    reduction: Count = 16


class Loss(Section):
    """λ_dice·Dice + λ_focal·focal at every scale, the scales weighted (paper, 3.3)."""

    dice: NotNegative = 1.0
    focal: NotNegative = 100.0
    positive_weight: NotNegative = Field(0.99, description="W_pos, of skeleton pixels")
    negative_weight: NotNegative = Field(0.01, description="W_neg, of the background")
    gamma: NotNegative = 2.0
    scale_weights: list[NotNegative] = Field([0.5, 0.3, 0.2, 0.1], description="1, 1/2, 1/4, 1/8")
    tuned: bool = Field(False, description="train with what the loss search found")


class Augment(Section):
    flips_and_turns: bool = True
    shift_px: int = Field(16, ge=0)
    crop_px: int | None = Field(
        None, ge=32, multiple_of=32, description="train on windows of this size; null: all"
    )


class Train(Section):
    folds: list[int | Literal["all"]] = Field([0], description="what run.sh trains")
    epochs: Count = 200
    batch: Count = 8
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = 0.02
    warmup_epochs: NotNegative = 0
    momentum: Share = 0.9
    weight_decay: NotNegative = 1e-5
    clip_norm: float | None = None
    ema_decay: float | None = Field(None, description="null: no moving average of the weights")
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    evaluate_every: Count = 5
    seed: int = 0


class LossSearch(Section):
    trials: int = Field(0, ge=0, description="finished or pruned trials wanted; 0 searches nothing")
    epochs: Count = 5
    images: Count = 200
    seed: int = 0


class Postprocess(Section):
    """From probabilities above the threshold to a skeleton.

    The threshold search keeps what the recipe names here and tries values for the rest.
    """

    inside_shape: bool = Field(True, description="drop pixels outside the closed shape")
    min_component_px: int = Field(0, ge=0, description="drop smaller islands, but never all")
    components: Literal["any", "one", "per_shape"] = Field(
        "any", description="8-connected pieces: as they come, one, or one per piece of the shape"
    )
    join: Literal["drop", "path", "candidates"] = Field(
        "path", description="to get there: keep the best piece, or connect all by cheapest paths"
    )
    thin: bool = Field(False, description="thin to one pixel (Zhang–Suen)")
    spur_px: int = Field(0, ge=0, description="drop end branches of fewer pixels")
    spur_radii: NotNegative = Field(0, description="likewise, in radii of the shape there")

    @property
    def is_plain(self) -> bool:
        """Whether pixels are judged one by one: by their probability and place alone."""
        joined = self.components != "any"
        return not (self.min_component_px or joined or self.thin or self.trims)

    @property
    def trims(self) -> bool:
        """Whether spurs are trimmed."""
        return self.spur_px > 0 or self.spur_radii > 0


class ThresholdSearch(Section):
    trials: Count = 40
    seed: int = 0


class Selection(Section):
    """Which candidate skeleton is the label; the study tunes the forest's three settings."""

    trees: Count = 200
    criterion: Literal["gini", "entropy"] = "gini"
    max_features: Annotated[float, Field(gt=0, le=1)] = 0.2
    min_leaf: Count = 1
    class_names: bool = Field(False, description="also look at the class that a file name tells")
    trials: int = Field(0, ge=0, description="finished trials wanted; 0 takes the above as it is")
    seed: int = 0


class Predict(Section):
    tta: bool = Field(False, description="average over the eight flips and turns")
    batch: Count = 8


class Machine(Section):
    """What depends on the machine and not on the experiment; never stored with a run."""

    device: str = "auto"
    workers: int | None = Field(None, description="loader processes; null: by the CPU's cores")
    compile: bool = False
    checkpoint_every_s: NotNegative = 60
    cache: Path = Path("cache")
    runs: Path = Path("runs")
    submissions: Path = Path("submissions")
    storage: str | None = Field(None, description="RDB URL for Optuna; null: SQLite in the run")


class Recipe(Section):
    name: str
    method: Literal["network", "geometry"] = "network"
    data: Data
    demo: Demo = Demo()
    folds: Folds = Folds()
    input: Input = Input()
    model: Model = Model()
    loss: Loss = Loss()
    augment: Augment = Augment()
    train: Train = Train()
    loss_search: LossSearch = LossSearch()
    postprocess: Postprocess = Postprocess()
    threshold_search: ThresholdSearch = ThresholdSearch()
    selection: Selection = Selection()
    predict: Predict = Predict()
    machine: Machine = Machine()

    @property
    def data_root(self) -> Path:
        return REPOSITORY / self.data.root

    @property
    def run_folder(self) -> Path:
        return REPOSITORY / self.machine.runs / self.name

    @property
    def cache_folder(self) -> Path:
        return REPOSITORY / self.machine.cache

    @property
    def zip_path(self) -> Path:
        """Where the submission of this recipe's run goes."""
        return REPOSITORY / self.machine.submissions / f"{self.name}.zip"

    def settings(self, *sections: str) -> dict[str, Any]:
        """The named sections as plain values, for fingerprints and files."""
        return {name: getattr(self, name).model_dump(mode="json") for name in sections}

    def stored(self) -> dict[str, Any]:
        """What is kept with runs, models and manifests: all but the machine (and its passwords)."""
        return self.model_dump(mode="json", exclude={"machine"})

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.stored(), sort_keys=False, allow_unicode=True)


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
    plain_name = values.pop("name", None) or Path(name).stem
    changes = dict(_parse(text) for text in overrides)
    chosen_name = changes.pop("name", None)
    for key, value in changes.items():
        _assign(values, key, value)
    experiment = {k: v for k, v in changes.items() if not k.startswith(NOT_THE_TRAINING)}
    values["name"] = str(chosen_name or _named(plain_name, experiment))
    return check(values, f"recipe {name}")


def check(values: dict, origin: str) -> Recipe:
    """A `Recipe` from plain values.

    Raises:
        UserError: naming `origin`, the key, the problem and the nearest valid key.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_explain(e) for e in error.errors())
        raise UserError(f"{origin}: {problems}") from None


def _find(name: str) -> Path:
    path = PIPELINES / f"{name}.yaml"
    if path.is_file():
        return path
    if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
        return Path(name)
    near = difflib.get_close_matches(name, available(), 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(available())}"
    raise UserError(f"no recipe {name} in {shown(PIPELINES)}/: {hint}")


def _read(path: Path) -> dict:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        first_line = str(error).splitlines()[0]
        raise UserError(f"{shown(path)}: not readable as YAML ({first_line})") from None
    if not isinstance(values, dict):
        raise UserError(f"{shown(path)}: expected sections with keys, found {values!r}")
    return values


def _read_over_parent(path: Path) -> dict:
    values = _read(path)
    parent = values.pop("parent", None)
    if parent is None:
        return values
    base = _read(_find(parent))
    if "parent" in base:
        raise UserError(f"{shown(path)}: its parent {parent} has a parent itself; one level only")
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
        raise UserError(f"{text!r} is no override: write key=value, such as train.epochs=20")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"the value in {text!r} is not readable as YAML") from None


def _assign(values: dict, key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"{key}: {section} is a value and has no keys below it")
    values[last] = value


def _named(name: str, changes: dict[str, Any]) -> str:
    if not changes:
        return name
    plain = "_".join(f"{k}={v}" for k, v in sorted(changes.items()))
    slug = "".join(c if c.isalnum() or c in "=._-+" else "-" for c in plain)
    too_long = len(name) + len(slug) >= LONGEST_RUN_NAME
    return f"{name}_{digest_of(changes)[:8] if too_long else slug}"


def _valid_keys() -> list[str]:
    keys = []
    for name, field in Recipe.model_fields.items():
        keys.append(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys += [f"{name}.{key}" for key in field.annotation.model_fields]
    return keys


def _explain(error: dict) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        keys = _valid_keys()
        by_last = {k.rpartition(".")[2]: k for k in keys}
        near = difflib.get_close_matches(key, keys, 1) or [
            by_last[k] for k in difflib.get_close_matches(key.rpartition(".")[2], by_last, 1)
        ]
        return f"unknown key {key}" + (f", did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return f"{key} is missing"
    return f"{key} is {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
