"""Recipes: one YAML file per experiment in `pipelines/`, over one parent at most.

Every key exists in the classes below and is checked there; a misspelt key is an error that
names the nearest valid one. The resolved recipe is stored with every run and model.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from canet.files import REPOSITORY, UserError, brief, digest_of, printable, shown
from canet.input_kinds import problem_of

PIPELINES = REPOSITORY / "pipelines"
LONGEST_RUN_NAME = 80
# A run's name is a folder, a file and part of a URL: nothing that leads out of runs/ or ends it.
NAME = re.compile(r"[\w=+(@][\w .=+,@()\[\]-]*")
LONGEST_NAME_BYTES = 120  # file systems have 255, of which temporary files need a part
LARGEST_FILE = 100_000  # bytes; the largest recipe here has 600
DEEPEST = 20  # levels of a recipe; three are used
LONGEST_TEXT = 1000  # characters of a value
MOST_EXPLAINED = 5  # problems in one message
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
# Keys that older recipes have not; with these values a training is what it was without them.
ADDED = {
    "input": {"mask": "any"},
    "distill": {"teacher": None, "share": 0.5},
    "model": {"architecture": "canet", "block": "residual", "rounds": 1},
    "loss": {
        "l1": 0.0,
        "adversarial": 0.0,
        "cldice": 0.0,
        "points": 0.0,
        "contour": 0.0,
        "offset": 0.0,
    },
    "train": {"start_from": None},
    "augment": {"relabel": 0.0, "scale": 1.25, "native_share": 0.0},
}
# Keys that recipes had once: stored ones with these values mean what they mean without them.
REMOVED = {"selection": {"class_names": False}, "augment": {"native_epochs": 0}}
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Natural = Annotated[int, Field(ge=0, le=10**6)]
Count = Annotated[int, Field(ge=1, le=10**6)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy, torch and scikit-learn all take


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _printable(cls, value: Any) -> Any:
        if isinstance(value, str) and (len(value) > LONGEST_TEXT or not value.isprintable()):
            raise PydanticCustomError("text", "not a short text that can be printed")
        return value


AnySection = TypeVar("AnySection", bound=Section)


class Data(Section):
    """Where the images are. Relative paths start at the repository."""

    root: Path = Field(description="folder of the starting kit")
    train_shapes: str = "img_train_shape"
    train_skeletons: str = "img_train2"
    test_shapes: str = "img_test_shape"
    test_skeletons: str | None = Field(None, description="labels of the test shapes, if known")
    folds: Path = Field(Path("input/folds"), description="folder of the fold CSVs")
    size_px: int = Field(256, ge=32, le=8192, multiple_of=32)
    extra: list[Path] = Field(
        [], description="folders like root; networks train on their pairs too, in every fold"
    )

    @field_validator("extra")
    @classmethod
    def _told_apart(cls, extra: list[Path], info: ValidationInfo) -> list[Path]:
        names = [path.name for path in [info.data.get("root", Path()), *extra]]
        if len(set(names)) < len(names):  # images and cached maps go by it
            raise PydanticCustomError("extra", "no two data sets' folders may have the same name")
        return extra


class Demo(Section):
    """Generated shapes; `train` = 0 generates none and uses what is in `data.root`."""

    train: Natural = 0
    test: Natural = 0
    seed: Seed = 0


class Folds(Section):
    scheme: Literal["stratified", "grouped"] = "stratified"
    count: int = Field(5, ge=2, le=1000)
    seed: Seed = 0
    twin_similarity: Share = Field(0.93, description="aligned overlap above which images are twins")


class Input(Section):
    kind: str = Field("repaired_distance", description="planes of `input_kinds`, joined by +")
    max_hole_px: Natural = Field(25, description="holes up to this area are repaired")
    mask: Literal["any", "label"] = Field(
        "any",
        description="of distances, edges and the shape itself: every grey level, or the mask that "
        "labels are made on (from 2 up, closed 3×3)",
    )

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        problem = problem_of(kind)
        if problem:  # in braces a message would be a template
            raise PydanticCustomError("input_kind", "{problem}", {"problem": problem})
        return kind


class Model(Section):
    """The network, see `canet.network`; after `encoder` for architectures with a choice."""

    architecture: Literal[
        "canet", "unet", "panichev_unet", "nguyen_unet", "side_outputs", "pix2pix"
    ] = "canet"
    encoder: str = Field("resblock64", description="resblock<width>: the architecture's own")
    block: Literal["residual", "double"] = Field(
        "residual", description="of the own encoder and the decoder: ResBlock, or U-Net's two 3×3"
    )
    attention_stages: list[Annotated[int, Field(ge=1, le=5)]] = [3, 4, 5]
    blocks: int = Field(3, ge=1, le=100, description="of a stage")
    reduction: Count = 16
    rounds: int = Field(
        1, ge=1, le=10, description="how often it looks; from the second on at its drawing too"
    )

    @field_validator("encoder")
    @classmethod
    def _plain(cls, encoder: str) -> str:
        # timm takes hf-hub:… and local-dir:… too, which a model from elsewhere must not ask for
        if not re.fullmatch(r"[\w.+-]+", encoder) or re.fullmatch(r"resblock\d{4,}", encoder):
            raise PydanticCustomError("encoder", "not the name of an encoder")
        return encoder


class Loss(Section):
    """λ_dice·Dice + λ_focal·focal at every scale, the scales weighted (paper, 3.3)."""

    dice: NotNegative = 1.0
    focal: NotNegative = 100.0
    positive_weight: NotNegative = Field(0.99, description="W_pos, of skeleton pixels")
    negative_weight: NotNegative = Field(0.01, description="W_neg, of the background")
    gamma: NotNegative = 2.0
    scale_weights: list[NotNegative] = Field(
        [0.5, 0.3, 0.2, 0.1], min_length=1, description="of the heads: 1, 1/2, 1/4, 1/8"
    )
    l1: NotNegative = Field(0.0, description="of the probabilities' absolute error (pix2pix)")
    adversarial: NotNegative = Field(0.0, description="of passing for a label (pix2pix)")
    cldice: NotNegative = Field(0.0, description="of unbroken lines (soft clDice)")
    points: NotNegative = Field(0.0, description="of also telling ends and junctions, see `tasks`")
    contour: NotNegative = Field(0.0, description="of also telling the shape's outline")
    offset: NotNegative = Field(0.0, description="of also telling the way to the skeleton")
    tuned: bool = Field(False, description="train with what the loss search found")


class Distill(Section):
    """Learning from a trained network beside the labels (Hinton et al., 2015)."""

    teacher: str | None = Field(None, description="a run with this fold trained; null: none")
    share: Share = Field(0.5, description="of its probabilities in the target; labels the rest")


class Augment(Section):
    flips_and_turns: bool = True
    shift_px: Natural = 16
    relabel: Share = Field(
        0.0, description="of the images drawn anew, turned and scaled, labels by geometry"
    )
    scale: float = Field(1.25, ge=1, le=4, description="of those: up to so many times, or parts")
    native_share: Share = Field(
        0.0,
        description="of the epochs, the last, rounded: no flips, no turns, nothing drawn anew",
    )
    crop_px: int | None = Field(
        None, ge=32, le=8192, multiple_of=32, description="train on windows of this size; null: all"
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
    clip_norm: NotNegative | None = None
    ema_decay: Share | None = Field(None, description="null: no moving average of the weights")
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    evaluate_every: Count = 5
    seed: Seed = 0
    start_from: str | None = Field(
        None, description="a run with this fold (or all of other images) trained; null: afresh"
    )


class LossSearch(Section):
    trials: Natural = Field(0, description="finished or pruned trials wanted; 0 searches nothing")
    epochs: Count = 5
    images: Count = 200
    seed: Seed = 0


class Postprocess(Section):
    """From probabilities above the threshold to a skeleton.

    The threshold search keeps what the recipe names here and tries values for the rest.
    """

    inside_shape: bool = Field(True, description="drop pixels outside the closed shape")
    min_component_px: Natural = Field(0, description="drop smaller islands, but never all")
    components: Literal["any", "one", "per_shape"] = Field(
        "any", description="8-connected pieces: as they come, one, or one per piece of the shape"
    )
    join: Literal["drop", "path", "candidates"] = Field(
        "path", description="to get there: keep the best piece, or connect all by cheapest paths"
    )
    thin: bool = Field(False, description="thin to one pixel (Zhang–Suen)")
    spur_px: Natural = Field(0, description="drop end branches of fewer pixels")
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
    seed: Seed = 0


class Selection(Section):
    """Which candidate skeleton is the label; the study tunes the forest's three settings."""

    trees: Count = 200
    criterion: Literal["gini", "entropy"] = "gini"
    max_features: Annotated[float, Field(gt=0, le=1)] = 0.2
    min_leaf: Count = 1
    series: bool = Field(
        False, description="also look at the labelled images whose file names are near"
    )
    trials: Natural = Field(0, description="finished trials wanted; 0 takes the above as it is")
    seed: Seed = 0


class Predict(Section):
    tta: bool = Field(False, description="average over the eight flips and turns")
    batch: Count = 8


class Machine(Section):
    """What depends on the machine and not on the experiment; never stored with a run."""

    device: str = Field("auto", description="cpu, cuda:1 …; several trains folds side by side")
    workers: int | None = Field(None, description="loader processes; null: by the CPU's cores")
    resident: bool | None = Field(
        None, description="training images stay on the device, moved there; null: on a GPU"
    )
    channels_last: bool = Field(True, description="memory format; False is torch's plain one")
    compile: bool | Literal["reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = (
        Field(False, description="torch.compile, or its mode")
    )
    checkpoint_every_s: NotNegative = 60
    cache: Path = Path("cache")
    runs: Path = Path("runs")
    submissions: Path = Path("submissions")
    storage: str | None = Field(None, description="RDB URL for Optuna; null: SQLite in the run")
    heartbeat_s: Count = Field(10, description="of a search's workers; dead after five without")


class Recipe(Section):
    name: str
    method: Literal["network", "geometry"] = "network"
    data: Data
    demo: Demo = Demo()
    folds: Folds = Folds()
    input: Input = Input()
    model: Model = Model()
    loss: Loss = Loss()
    distill: Distill = Distill()
    augment: Augment = Augment()
    train: Train = Train()
    loss_search: LossSearch = LossSearch()
    postprocess: Postprocess = Postprocess()
    threshold_search: ThresholdSearch = ThresholdSearch()
    selection: Selection = Selection()
    predict: Predict = Predict()
    machine: Machine = Machine()

    @model_validator(mode="before")
    @classmethod
    def _without_removed_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kept = dict(values)
        for name in REMOVED.keys() & kept.keys():
            if isinstance(section := kept[name], dict):
                gone = REMOVED[name].items()
                kept[name] = {k: v for k, v in section.items() if (k, v) not in gone}
        return kept

    @field_validator("name")
    @classmethod
    def _stays_in_runs(cls, name: str) -> str:
        if not NAME.fullmatch(name) or len(name.encode()) > LONGEST_NAME_BYTES:
            raise PydanticCustomError(
                "name",
                "a run's name has letters, digits, spaces and any of =._-+,@()[], begins with "
                "none of .-,)] and is short",
            )
        return name

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
        """The named sections as plain values, for fingerprints; less later keys that do nothing."""
        found = {name: getattr(self, name).model_dump(mode="json") for name in sections}
        for name in found.keys() & ADDED.keys():
            known = ADDED[name]
            found[name] = {k: v for k, v in found[name].items() if (k, v) not in known.items()}
        return {name: values for name, values in found.items() if values or name not in ADDED}

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
    plain_name = str(values.pop("name", None) or Path(name).stem)
    changes = dict(_parse(text) for text in overrides)
    chosen_name = changes.pop("name", None)
    values["name"] = plain_name
    for key, value in changes.items():
        _assign(values, key, value)
    experiment = {k: v for k, v in changes.items() if not k.startswith(NOT_THE_TRAINING)}
    values["name"] = str(chosen_name or _named(plain_name, experiment))
    return check(values, f"recipe {printable(name)}")


def check(values: dict, origin: str, kind: type[AnySection] = Recipe) -> AnySection:
    """A `Recipe`, or one section of it, from plain values.

    Raises:
        UserError: naming `origin`, the key, the problem and the nearest valid key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems = "; ".join(_explain(e, kind) for e in errors[:MOST_EXPLAINED])
        more = len(errors) - MOST_EXPLAINED
        raise UserError(f"{origin}: {problems}" + (f"; … {more} more" * (more > 0))) from None


def check_stored(values: object, origin: str) -> Recipe:
    """The recipe that came with a model; what it says of machines and folders to write is left out.

    Raises:
        UserError: as `check`.
    """
    if not isinstance(values, dict):
        raise UserError(f"{origin}: holds no recipe; train it again")
    return check({k: v for k, v in values.items() if k != "machine"}, origin)


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


def _valid_keys(kind: type[Section]) -> list[str]:
    keys = []
    for name, field in kind.model_fields.items():
        keys.append(name)
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Section):
                keys += [f"{name}.{key}" for key in inner.model_fields]
    return keys


def _explain(error: dict, kind: type[Section]) -> str:
    key = printable(".".join(str(part) for part in error["loc"]))
    if error["type"] == "extra_forbidden":
        keys = _valid_keys(kind)
        by_last = {k.rpartition(".")[2]: k for k in keys}
        near = difflib.get_close_matches(key, keys, 1) or [
            by_last[k] for k in difflib.get_close_matches(key.rpartition(".")[2], by_last, 1)
        ]
        return f"unknown key {key}" + (f", did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return f"{key} is missing"
    message = printable(error["msg"])
    return f"{key} is {brief(error['input'])}: {message[0].lower()}{message[1:]}"
