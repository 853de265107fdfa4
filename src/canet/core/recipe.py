"""Recipes: every key with its meaning, default and range.

`recipe_files` reads them. A misspelt key is an error that names the nearest valid one. The resolved
recipe is stored with every run and model.
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
)
from pydantic_core import PydanticCustomError

from canet.core.console import REPOSITORY, UserError, brief, printable
from canet.core.input_planes import problem_of

# A run's name is a folder, a file and part of a URL: nothing that leads out of runs/ or ends it.
NAME = re.compile(r"[\w=+(@][\w .=+,@()\[\]-]*")
LONGEST_NAME_BYTES = 120  # file systems have 255, of which temporary files need a part
LONGEST_TEXT = 1000  # characters of a value
MOST_EXPLAINED = 5  # problems in one message
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

# Keys that came after trainings were fingerprinted, with the value that leaves a training as it was
# without the key: `settings` leaves them out there, so that what is finished still counts. Whoever
# adds a key to a section that `settings` is asked for adds it here, with its default.
ADDED_LATER = {("input", "window"): "image"}


class Data(Section):
    """Where the images are. Relative paths start at the repository."""

    root: Path = Field(description="folder of the starting kit")
    train_shapes: str = Field("img_train_shape", description="folder in root, as the next three")
    train_skeletons: str = "img_train2"
    test_shapes: str = "img_test_shape"
    test_skeletons: str | None = Field(None, description="labels of the test shapes, if known")
    folds: Path = Field(Path("input/folds"), description="folder of the fold CSVs")
    size_px: int = Field(
        256, ge=32, le=8192, multiple_of=32, description="side of the labelled images"
    )
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

    train: Natural = Field(0, description="shapes with skeletons to train on")
    test: Natural = Field(0, description="shapes for the submission, their skeletons aside")
    seed: Seed = 0


class Folds(Section):
    scheme: Literal["stratified", "grouped"] = Field(
        "stratified", description="by class, or that with near duplicates in one fold"
    )
    count: int = Field(5, ge=2, le=1000)
    seed: Seed = 0
    twin_similarity: Share = Field(0.93, description="aligned overlap above which images are twins")


class Input(Section):
    kind: str = Field("repaired_distance", description="planes of `core.input_planes`, joined by +")
    max_hole_px: Natural = Field(25, description="holes up to this area are repaired")
    mask: Literal["any", "label"] = Field(
        "any",
        description="of distances, edges and the shape itself: every grey level, or the mask that "
        "labels are made on (from 2 up, closed 3×3)",
    )
    window: Literal["image", "shape"] = Field(
        "image", description="what the network looks at: all, or the shape's box in steps of 32 px"
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
    attention_stages: list[Annotated[int, Field(ge=1, le=5)]] = Field(
        [3, 4, 5], description="of the encoder that end in context attention; 1 is at full size"
    )
    blocks: int = Field(3, ge=1, le=100, description="of a stage")
    reduction: Count = Field(16, description="of channels within context attention")

    @field_validator("encoder")
    @classmethod
    def _plain(cls, encoder: str) -> str:
        # timm takes hf-hub:… and local-dir:… too, which a model from elsewhere must not ask for
        if not re.fullmatch(r"[\w.+-]+", encoder) or re.fullmatch(r"resblock\d{4,}", encoder):
            raise PydanticCustomError("encoder", "not the name of an encoder")
        return encoder


class Loss(Section):
    """λ_dice·Dice + λ_focal·focal at every scale, the scales weighted (paper, 3.3)."""

    dice: NotNegative = Field(1.0, description="λ_dice")
    focal: NotNegative = Field(100.0, description="λ_focal")
    positive_weight: NotNegative = Field(0.99, description="W_pos, of skeleton pixels")
    negative_weight: NotNegative = Field(0.01, description="W_neg, of the background")
    gamma: NotNegative = Field(2.0, description="of focal: how much less easy pixels count")
    scale_weights: list[NotNegative] = Field(
        [0.5, 0.3, 0.2, 0.1], min_length=1, description="of the heads: 1, 1/2, 1/4, 1/8"
    )
    l1: NotNegative = Field(0.0, description="of the probabilities' absolute error (pix2pix)")
    adversarial: NotNegative = Field(0.0, description="of passing for a label (pix2pix)")
    tuned: bool = Field(False, description="train with what the loss search found")


class Augment(Section):
    flips_and_turns: bool = Field(True, description="by quarters; eight views of an image")
    shift_px: Natural = Field(16, description="up to so far along each axis")
    relabel: Share = Field(
        0.0, description="of the images drawn anew, turned and scaled, labels by geometry"
    )
    scale: float = Field(1.25, ge=1, le=4, description="of those: up to so many times, or parts")
    crop_px: int | None = Field(
        None, ge=32, le=8192, multiple_of=32, description="train on windows of this size; null: all"
    )


class Train(Section):
    folds: list[int | Literal["all"]] = Field([0], description="what run.sh trains")
    epochs: Count = 200
    batch: Count = Field(8, description="images of a step, of all processes together")
    optimizer: Literal["sgd", "adamw", "muon"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = Field(0.02, description="the largest; a cosine to zero")
    warmup_epochs: NotNegative = Field(0, description="in which lr is reached linearly")
    momentum: Share = Field(0.9, description="of SGD (Nesterov's) and Muon")
    weight_decay: NotNegative = 1e-5
    clip_norm: NotNegative | None = Field(None, description="largest norm of a gradient")
    ema_decay: Share | None = Field(None, description="null: no moving average of the weights")
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        "auto", description="bfloat16 where the device has it"
    )
    evaluate_every: Count = Field(5, description="epochs; nothing is chosen by it")
    seed: Seed = 0
    start_from: str | None = Field(
        None, description="a run with this fold (or all of other images) trained; null: afresh"
    )


class LossSearch(Section):
    trials: Natural = Field(0, description="finished or pruned trials wanted; 0 searches nothing")
    epochs: Count = Field(5, description="of a trial")
    images: Count = Field(200, description="that a trial trains on, at most")
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
        "path",
        description="to get there: keep the best piece, connect all by cheapest paths, or draw the "
        "candidate of the labels' mask that agrees best",
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
    trials: Count = Field(40, description="finished trials wanted")
    seed: Seed = 0


class Selection(Section):
    """Which candidate skeleton is the label; the study tunes the forest's three settings."""

    trees: Count = 200
    criterion: Literal["gini", "entropy"] = Field("gini", description="of a split")
    max_features: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="share of the features that a split looks at"
    )
    min_leaf: Count = Field(1, description="images in a leaf, at least")
    trials: Natural = Field(0, description="finished trials wanted; 0 takes the above as it is")
    seed: Seed = 0


class Predict(Section):
    tta: bool = Field(False, description="average over the eight flips and turns")
    batch: Count = Field(8, description="images predicted at once")


class Machine(Section):
    """What depends on the machine and not on the experiment; never stored with a run."""

    device: str = Field("auto", description="cpu, cuda:1 …; several trains folds side by side")
    workers: int | None = Field(None, description="loader processes; null: by the CPU's cores")
    resident: bool | None = Field(
        None, description="training images stay on the device, moved there; null: on a GPU"
    )
    graphs: bool = Field(True, description="a step is one CUDA graph, where it can be; on a GPU")
    channels_last: bool = Field(True, description="memory format; False is torch's plain one")
    compile: bool | Literal["max-autotune-no-cudagraphs"] = Field(
        False, description="network and loss by torch.compile, or its mode"
    )
    deterministic: bool = Field(False, description="the same on a GPU every time, and slower")
    checkpoint_every_s: NotNegative = Field(60, description="from which a training continues")
    cache: Path = Field(Path("cache"), description="folder of input maps and checked data")
    runs: Path = Field(Path("runs"), description="folder of runs")
    submissions: Path = Field(Path("submissions"), description="folder of leaderboard files")
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
    augment: Augment = Augment()
    train: Train = Train()
    loss_search: LossSearch = LossSearch()
    postprocess: Postprocess = Postprocess()
    threshold_search: ThresholdSearch = ThresholdSearch()
    selection: Selection = Selection()
    predict: Predict = Predict()
    machine: Machine = Machine()

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

    def settings(self, *sections: str) -> dict[str, dict[str, Any]]:
        """The named sections as plain values, for fingerprints; see `ADDED_LATER`."""
        found = {name: getattr(self, name).model_dump(mode="json") for name in sections}
        for (section, key), unchanged in ADDED_LATER.items():
            if section in found and found[section][key] == unchanged:
                del found[section][key]
        return found

    def stored(self) -> dict[str, Any]:
        """What is kept with runs, models and manifests: all but the machine (and its passwords)."""
        return self.model_dump(mode="json", exclude={"machine"})

    def to_yaml(self) -> str:
        """`stored`, of the post-processing what is named, since a search keeps that."""
        named = self.postprocess.model_dump(mode="json", exclude_unset=True)
        return yaml.safe_dump(
            self.stored() | {"postprocess": named}, sort_keys=False, allow_unicode=True
        )


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
        raise UserError(
            f"{origin}: {problems}" + (f"; … {more} more" if more > 0 else "")
        ) from None


def check_stored(values: object, origin: str) -> Recipe:
    """The recipe that came with a model; what it says of machines and folders to write is left out.

    Raises:
        UserError: as `check`.
    """
    if not isinstance(values, dict):
        raise UserError(f"{origin}: holds no recipe; train it again")
    return check({k: v for k, v in values.items() if k != "machine"}, origin)


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
