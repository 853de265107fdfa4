"""What is inside an image: binary, grey, probabilities, labels, transparent, black on white."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from canet.core.images import Unreadable
from canet.data.checks import looks_inverted
from canet.geometry.masks import fill_holes
from canet.postprocess.connect import label_pieces
from canet.skeletons.options import Options

MOST_LABELS = 100_000
AROUND_PX = 2  # of ground around an object
RANGES = [2**bits - 1 for bits in (8, 10, 12, 14, 16)]  # of grey levels
MOST_LEVELS = 2**16  # from 0 on, of integers that are counted one by one; others are put in classes
OVERSHOT = 1.5  # up to which values count as probabilities
MOST_ALIKE = 0.7  # share of neighbours that are equal, of labels


@dataclass
class Mask:
    """Objects of an image, and what was done to find them.

    Attributes:
        objects: (H, W) int32: 0 outside, a number from 1 for each label; 1 all over without labels.
        values: of the labels, by number less 1; [1] without.
        threshold: what lies above is inside; None where nothing was to be decided.
        counts: what the switches took away or added, in px² or pieces.
        warnings: in words.
    """

    objects: np.ndarray
    values: np.ndarray
    threshold: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def inside(self) -> np.ndarray:
        """(H, W) bool."""
        return self.objects > 0

    def boxes(self) -> Iterator[tuple[int, tuple[slice, slice]]]:
        """Each label's number and a box, rows and columns, with some ground around it.

        A box ends at a label where the image does.
        """
        for number, box in enumerate(ndimage.find_objects(self.objects), start=1):
            if box is not None:
                yield (
                    number,
                    tuple(slice(max(0, s.start - AROUND_PX), s.stop + AROUND_PX) for s in box),
                )


def find_mask(image: np.ndarray, opacity: np.ndarray | None, options: Options) -> Mask:
    """Decide what is inside.

    Args:
        image: (H, W) of any number or bool.
        opacity: (H, W) uint8, where 0 is outside whatever the image says; None: opaque all over.
        options: threshold, labels, invert, close, fill_holes, min_area.

    Raises:
        Unreadable: the image has no values, more labels than `MOST_LABELS`, or labels that are no
            whole numbers.
    """
    if image.ndim != 2 or not image.size:
        raise Unreadable(f"is an array of shape {image.shape}; expected (height, width)")
    image, missing = _finite(image)
    mask = _labelled(image) if options.labels else _thresholded(image, options)
    if options.invert:
        mask.objects = 1 - mask.objects
    if missing.any():
        mask.objects[missing] = 0
        mask.warnings.insert(0, f"{missing.sum():,} pixels are no numbers: outside")
    if opacity is not None:
        mask.objects[opacity == 0] = 0
    if not mask.inside.any() and image.any():
        mask.warnings.append("nothing is inside (--threshold otsu or alpha, --invert)")
    is_drawing = options.threshold is None and not options.labels and not options.invert
    if is_drawing and is_cut_out(mask.inside, opacity):
        mask.warnings.append("most of what is opaque is outside (--threshold alpha)")
    if not options.labels and not options.invert and looks_inverted(mask.inside):
        mask.warnings.append("looks black on white: nearly all of the border is inside (--invert)")
    _close(mask, options.close)
    _fill(mask, options.fill_holes)
    _drop_small(mask, options.min_area)
    return mask


def is_cut_out(inside: np.ndarray, opacity: np.ndarray | None) -> bool:
    """Whether opacity, (H, W) uint8, may be what counts: most of what is opaque is outside.

    A picture with round corners is none, since it is opaque along nearly all of its border.
    """
    if opacity is None or looks_inverted(opaque := opacity > 127):
        return False
    return 2 * np.count_nonzero(inside) < np.count_nonzero(opaque)


def _finite(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finite numbers, and where there were none, (H, W) bool; the infinite are the extremes."""
    if image.dtype.kind not in "biuf":
        raise Unreadable(f"is an array of {image.dtype}; expected numbers")
    missing = np.isnan(image)
    if image.dtype.kind != "f" or np.isfinite(image).all():
        return image, missing
    known = image[np.isfinite(image)]
    top, bottom = max(known.max(initial=1), 1), min(known.min(initial=0), 0)
    return np.nan_to_num(image, nan=bottom, posinf=top, neginf=bottom), missing


def _labelled(image: np.ndarray) -> Mask:
    if image.dtype.kind == "f" and (image != np.rint(image)).any():
        raise Unreadable("has labels that are no whole numbers; save them as integers")
    values, numbers = np.unique(image, return_inverse=True)
    if len(values) > MOST_LABELS:
        raise Unreadable(f"has {len(values):,} labels; expected at most {MOST_LABELS:,}")
    is_object = values > 0
    number_of = np.where(is_object, np.cumsum(is_object), 0).astype(np.int32)
    mask = Mask(number_of[numbers].reshape(image.shape), values[is_object])
    if len(mask.values) > 256 and image.size < 1000 * len(mask.values):
        mask.warnings.append(f"{len(mask.values):,} labels: is it a grey image?")
    return mask


def _thresholded(image: np.ndarray, options: Options) -> Mask:
    low, high = image.min(), image.max()
    levels = len(np.unique(image))
    if options.threshold == "alpha":
        return Mask((image > 127.5).astype(np.int32), np.array([1]), 127.5)
    if options.threshold is not None:
        level = _otsu(image) if options.threshold == "otsu" else float(options.threshold)
        return Mask((image > level).astype(np.int32), np.array([1]), level)
    if levels <= 2:  # binary; a single value is inside unless it is 0
        level = 0.0 if low == high else float(low)
        return Mask((image > level).astype(np.int32), np.array([1]))
    half = _half(image)
    numbered = high > 255 and high not in RANGES  # more labels than 8 bits hold
    if (high <= half or numbered) and _looks_labelled(image):
        said = (
            f"{levels:,} levels up to {high:g}: all above 0 are inside (--labels keeps them apart)"
        )
        return Mask((image > 0).astype(np.int32), np.array([1]), 0.0, warnings=[said])
    said = f"{levels:,} grey levels: cut at {half:g} (--threshold otsu, or a value)"
    return Mask((image > half).astype(np.int32), np.array([1]), half, warnings=[said])


def _otsu(image: np.ndarray) -> float:
    low, high = image.min().item(), image.max().item()
    if low == high:
        return float(low)
    if image.dtype.kind == "b" or high - min(low, 0) >= MOST_LEVELS:
        image = image.astype(float)
    return float(threshold_otsu(image))


def _looks_labelled(image: np.ndarray) -> bool:
    """Whether the ground is 0 and neighbours above it mostly have one value, as in no picture."""
    pairs = same = 0
    for a, b in ((image[:, :-1], image[:, 1:]), (image[:-1], image[1:])):
        both = (a > 0) & (b > 0)
        pairs += np.count_nonzero(both)
        same += np.count_nonzero(both & (a == b))
    is_numbers = image.dtype.kind in "iu" or (image == np.rint(image)).all()
    return is_numbers and image.min() == 0 and same > MOST_ALIKE * pairs


def _half(image: np.ndarray) -> float:
    """Half of the range that an image was stored in, judged by its largest value."""
    high = float(image.max())
    if image.dtype.kind == "f":
        if high <= OVERSHOT:  # probabilities, which interpolation may carry beyond 1
            return 0.5
        if image.min() < 0:
            return 0.0  # scores before they become probabilities
        if (image != np.rint(image)).any():
            return high / 2
    return next((top / 2 for top in RANGES if high <= top), high / 2)


def _close(mask: Mask, radius: int) -> None:
    """Closing by a disk; pixels go to the nearest label."""
    if not radius:
        return
    radius = min(radius, max(mask.objects.shape))  # around which so much is reserved
    outside = np.pad(~mask.inside, 2 * radius + 2, constant_values=True).view(np.uint8)
    beyond = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > radius
    inner = slice(2 * radius + 2, -2 * radius - 2)
    depth = cv2.distanceTransform((~beyond).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    closed = (depth > radius)[inner, inner] if beyond.any() else ~beyond[inner, inner]
    mask.counts["closed-px"] = _add(mask, closed & ~mask.inside)


def _fill(mask: Mask, most_px: int) -> None:
    if most_px:
        mask.counts["filled-px"] = _add(mask, fill_holes(mask.inside, most_px) & ~mask.inside)


def _add(mask: Mask, added: np.ndarray) -> int:
    """Let pixels be inside, those of the label that is nearest."""
    if added.any():
        outside = (~mask.inside).view(np.uint8)
        _, nearest = cv2.distanceTransformWithLabels(
            outside, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        number_at = np.zeros(nearest.max() + 1, np.int32)
        number_at[nearest[mask.inside]] = mask.objects[mask.inside]
        mask.objects[added] = number_at[nearest[added]]
    return int(added.sum())


def _drop_small(mask: Mask, least_px: int) -> None:
    """Without 8-connected objects below an area; touching labels are judged each by itself."""
    if not least_px:
        return
    dropped = 0
    for number, box in mask.boxes():
        own = mask.objects[box] == number
        count, pieces = label_pieces(own)
        small = np.bincount(pieces.ravel(), minlength=count + 1) < least_px
        small[0] = False
        mask.objects[box][small[pieces]] = 0
        dropped += int(small.sum())
    mask.counts["dropped-objects"] = dropped
