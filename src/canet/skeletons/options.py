"""The switches of `skeletonize`, in Python and on the command line by the same names."""

import argparse
import math
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Literal

from canet.core.console import UserError

OURS = ("compact", "canet")
SCIKIT_IMAGE = ("skeletonize", "lee", "medial_axis", "thin")
METHODS = (*OURS, *SCIKIT_IMAGE)
ONLY_FOR = {  # switches that not every method has
    "weights": ("canet",),
    "tolerance": ("compact",),
    "reach_border": OURS,
    "reach_outline": OURS,
    "prune_salience": ("compact",),
}
NETWORK_NEEDS = ("torch", "segmentation_models_pytorch", "timm", "safetensors")


@dataclass(frozen=True)
class Options:
    """How a mask is made of an image, a skeleton of the mask, and how it is measured.

    Attributes:
        threshold: what lies above it is inside: a grey level, `otsu`, or None: a binary image as it
            is, a grey one at half of its range, a label image above 0. `alpha`: what is at least
            half opaque, of cut-outs in colour.
        labels: each value above 0 is an object of its own; else touching ones are one.
        invert: black on white.
        close: px: gaps up to about twice this are closed (by a disk of this radius, or of the
            image's longer side where that is less).
        fill_holes: px²: holes of at most this area are filled.
        min_area: px²: objects of less area are left out.
        method: `compact` (geometry), `canet` (the trained network), or scikit-image's
            `skeletonize`, `lee`, `medial_axis`, `thin`, whose pixels stay as they are.
        weights: of `canet`: a trained run's name or folder, or a folder of exported weights; None:
            those that come along.
        tolerance: of `compact`: how far the mask redrawn from the skeleton's circles may differ,
            in px, or such as `5%` of each object's width (its largest circle's diameter).
        reach_border: of `compact` and `canet`: lines go on to the image's border, where the mask
            does.
        reach_outline: of `compact` and `canet`: lines go on straight from their ends to the mask's
            outline, as lengths of rods are measured.
        prune_length: px: end branches that are shorter go, the shortest first.
        prune_radii: … shorter than this many radii of the mask at their junction.
        prune_salience: px: … for which less outline than this would be lost (arc less chord; of
            `compact` alone; of lines of one pixel twice their length).
        spacing: how long a pixel's side is, in `unit`.
        unit: of lengths, radii and areas.

    Raises:
        UserError: a value is out of its range, or two do not go together.
    """

    threshold: float | str | None = None
    labels: bool = False
    invert: bool = False
    close: int = 0
    fill_holes: int = 0
    min_area: int = 0
    method: str = "compact"
    weights: str | None = None
    tolerance: float | str = 2.0
    reach_border: bool = False
    reach_outline: bool = False
    prune_length: float = 0.0
    prune_radii: float = 0.0
    prune_salience: float = 0.0
    spacing: float = 1.0
    unit: str = "px"

    def __post_init__(self):
        if self.method not in METHODS:
            raise UserError(f"method {self.method!r}: expected one of {', '.join(METHODS)}")
        self._check_numbers()
        if not (isinstance(self.unit, str) and self.unit.isprintable() and self.unit):
            raise UserError(f"unit {self.unit!r}: expected a word such as um")
        if self.method == "canet" and not all(map(find_spec, NETWORK_NEEDS)):
            raise UserError(
                f"method canet: needs {', '.join(NETWORK_NEEDS)}; install the package with its "
                f"extra: pip install '.[train]'"
            )
        for name, methods in ONLY_FOR.items():
            if self.method not in methods and getattr(self, name) != getattr(Options, name):
                raise UserError(f"{name} is for {' and '.join(methods)}; {self.method} has none")
        if self.labels and (self.threshold is not None or self.invert):
            raise UserError("labels takes the values as they are; leave threshold and invert out")

    def _check_numbers(self) -> None:
        for name in ("close", "fill_holes", "min_area", *PRUNING):
            value = getattr(self, name)
            wanted = "0 or more" if name in PRUNING else "a whole number, 0 or more"
            number = _number(value, name, wanted)
            if not 0 <= number < math.inf or (name not in PRUNING and number % 1):
                raise UserError(f"{name} {value}: expected {wanted}")
            object.__setattr__(self, name, number if name in PRUNING else int(number))
        spacing = _number(self.spacing, "spacing", "more than 0")
        if not 0 < spacing < math.inf:
            raise UserError(f"spacing {self.spacing}: expected more than 0")
        object.__setattr__(self, "spacing", spacing)
        self.tolerance_of(1.0)
        if self.threshold not in ("otsu", "alpha", None):
            wanted = "a grey level, otsu or alpha"
            if not math.isfinite(_number(self.threshold, "threshold", wanted)):
                raise UserError(f"threshold {self.threshold}: expected {wanted}")

    def tolerance_of(self, width_px: float) -> float:
        """The tolerance in px for an object of a width."""
        text = str(self.tolerance).strip()
        share = text.endswith("%")
        wanted = "0 or more pixels, or a share of the width such as 5%"
        value = _number(text.removesuffix("%"), "tolerance", wanted)
        if not 0 <= value < math.inf:
            raise UserError(f"tolerance {self.tolerance}: expected {wanted}")
        return value / 100 * width_px if share else value

    @property
    def kind(self) -> Literal["brightness", "labels", "alpha"]:
        """What is taken of an image, see `read.read_pages`."""
        if self.labels:
            return "labels"
        return "alpha" if self.threshold == "alpha" else "brightness"

    @property
    def prunes(self) -> bool:
        """Whether spurs are pruned."""
        return any(getattr(self, name) for name in PRUNING)


PRUNING = ("prune_length", "prune_radii", "prune_salience")


def _number(value: object, name: str, wanted: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(f"{name} {value!r}: expected {wanted}") from None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add a switch for each field of `Options`."""
    mask = parser.add_argument_group("mask (default: a binary image as it is, grey at one half)")
    mask.add_argument("--threshold", metavar="VALUE|otsu|alpha", help="what lies above is inside")
    mask.add_argument("--labels", action="store_true", help="each value is an object of its own")
    mask.add_argument("--invert", action="store_true", help="black on white")
    mask.add_argument("--close", type=int, metavar="PX", help="close gaps by a disk of this radius")
    mask.add_argument("--fill-holes", type=int, metavar="PX²", help="fill holes up to this area")
    mask.add_argument("--min-area", type=int, metavar="PX²", help="leave out smaller objects")
    line = parser.add_argument_group("skeleton")
    line.add_argument("--method", choices=METHODS, help="(default: compact)")
    line.add_argument("--weights", metavar="RUN", help="of canet (default: those that come along)")
    line.add_argument(
        "--tolerance", metavar="PX|N%", help="of compact (default: 2), or of the width"
    )
    line.add_argument("--reach-border", action="store_true", help="end at the border, as the mask")
    line.add_argument("--reach-outline", action="store_true", help="go on to the mask's outline")
    line.add_argument("--prune-length", type=float, metavar="PX", help="cut shorter end branches")
    line.add_argument("--prune-radii", type=float, metavar="K", help="… than K radii at their root")
    line.add_argument("--prune-salience", type=float, metavar="PX", help="… that add less outline")
    scale = parser.add_argument_group("scale")
    scale.add_argument("--spacing", type=float, metavar="S", help="side of a pixel (default: 1)")
    scale.add_argument("--unit", metavar="NAME", help="that S is in (default: px)")


def options_of(args: argparse.Namespace) -> Options:
    """What the command line asks for.

    Raises:
        UserError: see `Options`; the message names the switch.
    """
    given = {f.name: getattr(args, f.name) for f in fields(Options)}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        return Options(**given)
    except UserError as error:
        name, space, rest = str(error).partition(" ")
        raise UserError(f"--{name.replace('_', '-')}{space}{rest}") from None
