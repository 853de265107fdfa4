"""Images in the formats that people have, as grey levels and opacity."""

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from tifffile import TiffFile

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
TIFF_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue, as Pillow's
FULL = (1, 255, 65535)  # opacities, of floats and integers
NOT_OWN = 1 | 4  # bits of a TIFF's NewSubfileType: an overview, a mask of another page
UPRIGHT = {  # by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Grey = tuple[np.ndarray, np.ndarray | None]  # (H, W) numbers; (H, W) uint8 opacity, None: all
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is damaged is told here
Kind = Literal["brightness", "labels", "alpha"]  # what a picture's numbers are


@dataclass(frozen=True)
class Page:
    """An image of a file.

    Attributes:
        number: from 1; 0 where the file has one image.
        grey: (H, W) numbers, in their own range.
        opacity: (H, W) uint8, 0 where it is clear, 255 opaque; None: opaque all over.
    """

    number: int
    grey: np.ndarray
    opacity: np.ndarray | None


def read_pages(path: Path, kind: Kind = "brightness") -> Iterator[Page]:
    """The images of a file: one, a TIFF's pages, an animation's frames, an array's first axis.

    A TIFF's overviews, smaller copies of its pages, and its masks of pages are left out.
    Photographs are turned as their EXIF orientation says; nothing is rescaled.

    Args:
        path: of a file that ends in one of `SUFFIXES`.
        kind: `brightness`; `labels`: a number for each colour, or a palette's indices; `alpha`: the
            opacity.

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
    pages = _array_pages(path, kind) if suffix == ARRAY else _image_pages(path, kind)
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


def _image_pages(path: Path, kind: Kind) -> Iterator[Page]:
    wanted, content = FORMATS[path.suffix.lower()], path.read_bytes()
    try:
        image = Image.open(io.BytesIO(content), formats=[*set(FORMATS.values())])
    except Image.DecompressionBombError:
        raise Unreadable(f"has more than {MOST_PIXELS:,} pixels; make it smaller") from None
    except UnidentifiedImageError:
        if wanted == "TIFF" and content[:4] in TIFF_BEGINS:
            yield from _rare_tiff_pages(content, kind)
            return
        what = "is empty" if not content else f"is not a {wanted} that can be read"
        raise Unreadable(f"{what}; copy or export it again") from None
    is_phone = (image.format, wanted) == ("MPO", "JPEG")  # a JPEG, then previews or depths
    if image.format != wanted and not is_phone:
        raise Unreadable(f"is a {image.format} with the name of a {wanted}; rename it")
    if _is_deep_and_planar(image):
        yield from _rare_tiff_pages(content, kind)
        return
    frames = [0] if is_phone else _frames(image, content)
    several = len(frames) > 1
    for number, frame in enumerate(frames, start=1):
        image.seek(frame)
        _check_size(image.size)
        # only a GIF's first frame keeps the palette's indices
        page = image.convert("RGBA") if several and image.format == "GIF" else image
        yield Page(number if several else 0, *_decoded(page if several else _upright(page), kind))


def _is_deep_and_planar(image: Image.Image) -> bool:
    """Whether a TIFF has more than 8 bits, a colour after the other, which Pillow takes for 8."""
    tags = getattr(image, "tag_v2", {})
    is_planar = tags.get(ExifTags.Base.PlanarConfiguration) == 2
    return is_planar and max(tags.get(ExifTags.Base.BitsPerSample, (1,))) > 8


def _frames(image: Image.Image, content: bytes) -> Sequence[int]:
    """Which of a file's pages or frames are read."""
    if image.format != "TIFF":
        return range(getattr(image, "n_frames", 1))
    with TiffFile(io.BytesIO(content)) as file:  # Pillow has no mode for masks
        return _own_pages(file)


def _own_pages(file: TiffFile) -> list[int]:
    """Which pages are no overviews and no masks of others; if there are none, the first."""
    return [k for k, page in enumerate(file.pages) if not page.subfiletype & NOT_OWN] or [0]


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says, which is often damaged where the picture is not."""
    if image.format == "TIFF":  # which Pillow turns itself
        return image
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises whatever the bytes provoke
        return image
    if orientation not in UPRIGHT:
        return image
    turned = image.transpose(UPRIGHT[orientation])
    turned.format = image.format
    return turned


def _rare_tiff_pages(content: bytes, kind: Kind) -> Iterator[Page]:
    """Those of numbers that Pillow has no mode for, such as 64 bits."""
    with TiffFile(io.BytesIO(content)) as file:
        if not file.pages:
            raise Unreadable("is not a TIFF that can be read; copy or export it again")
        own = [file.pages[k] for k in _own_pages(file)]
        for number, page in enumerate(own, start=1):
            _check_size((page.imagewidth, page.imagelength))
            try:
                array = page.asarray()
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise
                raise Unreadable("has a compression that is not read; export it without") from None
            if page.planarconfig == 2 and array.ndim > 2:  # colours come first
                array = np.moveaxis(array, 0, -1)
            array = _rising(array, page.photometric)
            yield Page(number if len(own) > 1 else 0, *to_grey(array, kind))


def _rising(values: np.ndarray, photometric: int | None) -> np.ndarray:
    """A TIFF's levels with white as the highest, as it is in those of 8 bits that Pillow reads."""
    is_falling = photometric == 0 and values.dtype.kind == "u"
    return np.iinfo(values.dtype).max - values if is_falling else values


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise Unreadable(
            f"is {width}×{height}; at most {MOST_PIXELS:,} pixels are read; make it smaller"
        )


def _decoded(image: Image.Image, kind: Kind) -> Grey:
    if image.mode == "LAB":
        raise Unreadable("has CIELAB colours, which are not read; export it in RGB")
    if kind == "alpha":
        return _alpha(image), None
    if kind == "labels" and image.mode in ("P", "LA", "RGB", "RGBA"):
        return _numbers(image), _opacity(image)
    if image.mode == "F" or (image.mode in SIXTEEN_BITS and image.format != "PNG"):
        values = np.array(image)
        values = values.astype(values.dtype.newbyteorder("="))
        photometric = getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation)
        return _rising(values, photometric), None
    grey, alpha = grey_and_alpha(image)
    if alpha is None:
        return grey, None
    is_drawing = grey.dtype == np.uint8 and kind == "brightness"
    return (silhouette(grey, alpha) if is_drawing else grey), alpha


def _numbers(image: Image.Image) -> np.ndarray:
    """(H, W): a palette's indices, grey levels, or a number for each colour."""
    if image.mode in ("P", "LA"):
        return np.array(image if image.mode == "P" else image.getchannel("L"))
    return (np.array(image.convert("RGB")).astype(np.int32) << (16, 8, 0)).sum(2)


def _opacity(image: Image.Image) -> np.ndarray | None:
    """(H, W) uint8, None where nothing can be clear."""
    return _alpha(image) if image.has_transparency_data else None


def _alpha(image: Image.Image) -> np.ndarray:
    """(H, W) uint8, 255 opaque."""
    if not image.has_transparency_data:
        raise Unreadable("is opaque all over; leave --threshold alpha out")
    return np.array(image.convert("RGBA").getchannel("A"))


def _array_pages(path: Path, kind: Kind) -> Iterator[Page]:
    array = _squeezed(np.load(path, allow_pickle=False, mmap_mode="r"))
    pages = array if _is_stack(array) else array[None]
    if not len(pages):
        raise Unreadable(f"has no image (shape {array.shape}); expected (height, width)")
    if pages.ndim not in (3, 4):
        raise Unreadable(f"is an array of shape {array.shape}; expected (height, width)")
    for number, page in enumerate(pages, start=1):
        _check_size(page.shape[1::-1])
        yield Page(number if len(pages) > 1 else 0, *to_grey(np.array(page), kind))


def _is_stack(array: np.ndarray) -> bool:
    is_picture = _has_colours(array) and min(array.shape[:2]) > 4
    return array.ndim == 4 or (array.ndim == 3 and not is_picture)


def _has_colours(array: np.ndarray) -> bool:
    return array.ndim == 3 and array.shape[2] in (3, 4)


def _squeezed(array: np.ndarray) -> np.ndarray:
    """Without a last axis of one channel, and without axes of one before height and width."""
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return array


def read_image(image: np.ndarray | Image.Image | str | Path, kind: Kind = "brightness") -> Grey:
    """One image, wherever it comes from, as numbers and opacity.

    Raises:
        Unreadable: see `read_pages`; or the file has several images.
        OSError: it cannot be opened.
    """
    if isinstance(image, str | Path):
        pages = [*islice(read_pages(Path(image), kind), 2)]
        if len(pages) != 1:
            raise Unreadable("has several images; give one, as an array")
        return pages[0].grey, pages[0].opacity
    if isinstance(image, Image.Image):
        return _decoded(_upright(image), kind)
    if np.ma.is_masked(image):
        image = image.astype(float).filled(np.nan)  # what is masked is no number
    return to_grey(np.asarray(image), kind)


def to_grey(array: np.ndarray, kind: Kind = "brightness") -> Grey:
    """An array as numbers and opacity: (H, W) stays, (H, W, 3 or 4) are colours.

    Raises:
        Unreadable: it has no opacity, which is asked for.
    """
    array = _squeezed(array)
    if _has_colours(array) and array.dtype == np.uint8:
        return _decoded(Image.fromarray(np.ascontiguousarray(array)), kind)
    opacity = None
    if _has_colours(array) and array.shape[2] == 4:
        alpha = np.nan_to_num(array[..., 3].astype(float))
        full = next((full for full in FULL if alpha.max() <= full), alpha.max())
        opacity = np.ceil(np.clip(alpha / full, 0, 1) * 255).astype(np.uint8)
    if kind == "alpha":
        if opacity is None:
            raise Unreadable("is opaque all over; leave --threshold alpha out")
        return opacity, None
    return array[..., :3] @ BRIGHTNESS if _has_colours(array) else array, opacity
