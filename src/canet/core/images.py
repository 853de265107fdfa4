"""PNG files from anywhere: checked, decoded by Pillow, and brought to one kind of grey.

OpenCV's decoder reserves memory for whatever size a header claims, prints its complaints past
Python, and drops transparency and the low bits when asked for 8-bit grey.
"""

import io
import os
import stat
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from canet.core.console import UserError, shown
from canet.core.files import replacing

MOST_PIXELS = 8192 * 8192
MOST_BYTES = 8 * MOST_PIXELS  # what so many pixels take at their largest, 16-bit RGBA
SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE = slice(16, 24)  # of an image, in its header
SIXTEEN_BITS = ("I;16", "I;16B", "I")  # what Pillow calls grey of so many


class Unreadable(ValueError):
    """Why a file cannot be used as an image, and what to do."""


def decode_grey(content: bytes) -> np.ndarray:
    """A PNG file's content as (H, W) uint8 grey; see `read_grey` for what becomes of what.

    Raises:
        Unreadable: no PNG, damaged, or larger than `MOST_PIXELS`.
    """
    _check_size(content)
    try:
        _open(content).verify()  # checksums, which loading does not look at
        grey, alpha = grey_and_alpha(_open(content))
    except UnidentifiedImageError:
        raise Unreadable("damaged PNG (its header); copy or export it again") from None
    except Exception as error:  # Pillow raises whatever the bytes provoke
        said = " ".join(str(error).split())[:80] or type(error).__name__
        raise Unreadable(f"damaged PNG ({said}); copy or export it again") from None
    return _normalised(grey, alpha)


def _open(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=["PNG"])


def _check_size(content: bytes) -> None:
    """Look at what a file claims before anything is reserved for it."""
    if not content.startswith(SIGNATURE):
        raise Unreadable(f"is {'empty, ' if not content else ''}not a PNG; export it as PNG")
    if len(content) < SIZE.stop:
        raise Unreadable("is cut off; copy or export it again")
    width, height = struct.unpack(">II", content[SIZE])
    if width * height > MOST_PIXELS:
        raise Unreadable(
            f"is {width}×{height}; at most {MOST_PIXELS:,} pixels are read (8192×8192), "
            f"make it smaller"
        )


def grey_and_alpha(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Brightness, (H, W) uint8 or uint16, and opacity, (H, W) uint8 or None."""
    if image.mode in SIXTEEN_BITS:
        grey = np.asarray(image).astype(np.uint16)
        clear = image.info.get("transparency")
        return grey, None if clear is None else np.where(grey == clear, 0, 255).astype(np.uint8)
    if not image.has_transparency_data:
        return np.array(image.convert("L")), None
    grey, alpha = image.convert("RGBA").convert("LA").split()
    return np.array(grey), np.array(alpha)


def _normalised(grey: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """8-bit grey in which 255 is white, whatever it was written with."""
    if grey.dtype == np.uint16:  # levels up to 255 are 8-bit ones that something stored in 16
        grey = (grey if grey.max() <= 255 else np.rint(grey / 257)).astype(np.uint8)
    if alpha is not None:
        grey = silhouette(grey, alpha)
    return grey * np.uint8(255) if grey.max() == 1 else grey


def silhouette(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Grey with what is clear as background.

    A black silhouette on a clear ground, as icons are drawn, is the opacity itself.

    Args:
        grey: (H, W) uint8.
        alpha: (H, W) uint8, 255 opaque.

    Returns:
        (H, W) uint8.
    """
    seen = np.rint(grey * (alpha / 255)).astype(np.uint8)
    is_silhouette = not seen.any() and alpha.min() < alpha.max()
    return alpha if is_silhouette else seen


def encode_png(image: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3) RGB uint8 as the bytes of a PNG."""
    image = image if image.ndim == 2 else image[..., ::-1]
    return cv2.imencode(".png", image)[1].tobytes()


def encode_skeleton(skeleton: np.ndarray) -> bytes:
    """(H, W) bool → the bytes of an RGB PNG of 0 and 255, as the challenge's labels are."""
    rgb = np.repeat(skeleton[..., None] * np.uint8(255), 3, axis=2)
    return cv2.imencode(".png", rgb)[1].tobytes()


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3) RGB uint8 as PNG."""
    with replacing(path) as temporary:
        temporary.write_bytes(encode_png(image))


def read_grey(path: Path) -> np.ndarray:
    """A PNG file as (H, W) uint8, 255 white; the one place that says what becomes of other kinds.

    - 8-bit grey stays as it is, but a mask of 0 and 1 becomes 0 and 255.
    - Colours and palettes become their brightness; 1, 2 and 4 bits are spread over 0 to 255.
    - 16 bits are scaled to 8; where none of the levels is above 255, they are 8-bit ones already.
    - What is transparent is background, however bright. A black silhouette on a transparent
      ground, as icons are drawn, is the opacity itself.
    - Of an animation the still picture is read; orientation, gamma and colour profiles are not.

    Raises:
        UserError: the file is missing, no PNG, damaged, or larger than `MOST_PIXELS`.
    """
    return decode_file(read_content(path), path)


def read_content(path: Path) -> bytes:
    """The bytes of a PNG file.

    Raises:
        UserError: the file is missing, no file, or too large for `MOST_PIXELS`.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would never end
            raise UserError(f"{shown(path)}: is no file; remove or rename it")
        if status.st_size > MOST_BYTES:
            raise UserError(f"{shown(path)}: is too large for a PNG of a shape; remove it")
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"{shown(path)}: cannot be read ({error.strerror}); mend or remove it"
        ) from None


def decode_file(content: bytes, path: Path) -> np.ndarray:
    """`decode_grey` of a file's content; errors name the file.

    Raises:
        UserError: it is no PNG, damaged, or larger than `MOST_PIXELS`.
    """
    try:
        return decode_grey(content)
    except Unreadable as error:
        raise UserError(f"{shown(path)}: {error}") from None
