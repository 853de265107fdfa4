"""Images in the formats that people have, as grey levels and opacity."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from canet.core.console import UserError
from canet.core.images import MOST_PIXELS, SIXTEEN_BITS, Unreadable, grey_and_alpha, silhouette

FORMATS = {  # what Pillow calls a file's content, by the end of its name
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".gif": "GIF",
}
ARRAY = ".npy"
SUFFIXES = (*FORMATS, ARRAY)
MOST_BYTES = 8 * MOST_PIXELS
BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue, as Pillow's
Grey = tuple[np.ndarray, np.ndarray | None]  # (H, W) numbers; (H, W) bool, False where clear


@dataclass(frozen=True)
class Page:
    """An image of a file.

    Attributes:
        number: from 1; 0 where the file has one image.
        grey: (H, W) numbers, in their own range.
        opaque: (H, W) bool, False where it is clear; None: nowhere.
    """

    number: int
    grey: np.ndarray
    opaque: np.ndarray | None


def read_pages(path: Path, *, labels: bool = False) -> Iterator[Page]:
    """The images of a file: one, a TIFF's pages, an animation's frames, an array's first axis.

    Colours become their brightness, or a number each where they are labels; the levels of a
    palette are its colours, or where they are labels its indices. Nothing is turned or rescaled.

    Raises:
        Unreadable: it is none of `FORMATS`, not what its name says, damaged or too large.
        OSError: it cannot be opened.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise Unreadable(f"is none of {', '.join(s[1:] for s in SUFFIXES)}; export it as PNG")
    if not path.is_file():
        raise Unreadable("is no file" if path.exists() else "does not exist")
    if path.stat().st_size > MOST_BYTES:
        raise Unreadable("is too large for an image; make it smaller")
    pages = _array_pages(path, labels) if suffix == ARRAY else _image_pages(path, labels)
    try:
        yield from pages
    except (Unreadable, UserError, OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is None:  # Pillow's, of damage
            raise Unreadable(f"is damaged ({_brief(error)}); copy or export it again") from None
        raise
    except Exception as error:  # Pillow raises whatever the bytes provoke
        raise Unreadable(f"is damaged ({_brief(error)}); copy or export it again") from None


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__


def _image_pages(path: Path, labels: bool) -> Iterator[Page]:
    wanted, content = FORMATS[path.suffix.lower()], path.read_bytes()
    try:
        image = Image.open(io.BytesIO(content), formats=[*set(FORMATS.values())])
    except UnidentifiedImageError:
        what = "is empty" if not content else f"is not a {wanted} that can be read"
        raise Unreadable(f"{what}; copy or export it again") from None
    is_phone = (image.format, wanted) == ("MPO", "JPEG")  # a JPEG, then previews or depths
    if image.format != wanted and not is_phone:
        raise Unreadable(f"is a {image.format} with the name of a {wanted}; rename it")
    several = getattr(image, "n_frames", 1) > 1 and not is_phone
    for number, page in enumerate(ImageSequence.Iterator(image) if several else [image], start=1):
        _check_size(page.size)
        if several and page.format == "GIF":  # only the first frame keeps the palette's indices
            page = page.convert("RGBA")
        yield Page(number if several else 0, *_decoded(page, labels))


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise Unreadable(
            f"is {width}×{height}; at most {MOST_PIXELS:,} pixels are read; make it smaller"
        )


def _decoded(image: Image.Image, labels: bool) -> Grey:
    if labels and image.mode in ("P", "LA", "RGB", "RGBA"):
        return _numbers(image), _opacity(image)
    if image.mode == "F" or (image.mode in SIXTEEN_BITS and image.format != "PNG"):
        values = np.array(image)
        return values.astype(values.dtype.newbyteorder("=")), None
    grey, alpha = grey_and_alpha(image)
    if alpha is None:
        return grey, None
    is_drawing = grey.dtype == np.uint8 and not labels
    return silhouette(grey, alpha) if is_drawing else (grey, alpha > 0)


def _numbers(image: Image.Image) -> np.ndarray:
    """(H, W): a palette's indices, grey levels, or a number for each colour."""
    if image.mode in ("P", "LA"):
        return np.array(image if image.mode == "P" else image.getchannel("L"))
    return (np.array(image.convert("RGB")).astype(np.int32) << (16, 8, 0)).sum(2)


def _opacity(image: Image.Image) -> np.ndarray | None:
    """(H, W) bool, None where nothing can be clear."""
    if not image.has_transparency_data:
        return None
    return np.array(image.convert("RGBA").getchannel("A")) > 0


def _array_pages(path: Path, labels: bool) -> Iterator[Page]:
    array = _squeezed(np.load(path, allow_pickle=False, mmap_mode="r"))
    pages = array if _is_stack(array) else array[None]
    if pages.ndim not in (3, 4):
        raise Unreadable(f"is an array of shape {array.shape}; expected (height, width)")
    for number, page in enumerate(pages, start=1):
        _check_size(page.shape[1::-1])
        yield Page(number if len(pages) > 1 else 0, *to_grey(np.array(page), labels))


def _is_stack(array: np.ndarray) -> bool:
    return array.ndim == 4 or (array.ndim == 3 and not _has_colours(array))


def _has_colours(array: np.ndarray) -> bool:
    return array.ndim == 3 and array.shape[2] in (3, 4) and min(array.shape[:2]) > 4


def _squeezed(array: np.ndarray) -> np.ndarray:
    """Without a last axis of one channel, and without axes of one before height and width."""
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return array


def to_grey(array: np.ndarray, labels: bool = False) -> Grey:
    """An array as grey levels and opacity: (H, W) stays, (H, W, 3 or 4) are colours."""
    array = _squeezed(array)
    if _has_colours(array):
        if array.dtype != np.uint8:
            return array[..., :3] @ BRIGHTNESS, array[..., 3] > 0 if array.shape[2] == 4 else None
        return _decoded(Image.fromarray(np.ascontiguousarray(array)), labels)
    return array, None
