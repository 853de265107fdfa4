"""Shapes on their way to the page and back: examples, files, what is drawn."""

from base64 import b64decode, b64encode
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from canet.core.console import UserError, printable
from canet.core.images import Unreadable, decode_grey, encode_png
from canet.data.demo import draw
from canet.skeletons.mask import Mask, find_mask, is_cut_out
from canet.skeletons.options import Options
from canet.skeletons.read import SUFFIXES, Page, read_pages

PNG = "data:image/png;base64,"
MOST_BYTES = 64 * 2**20  # of a file
MOST_PIXELS = 2048 * 2048  # of a picture that is drawn on and told to and fro
MOST_SIDE = 8192  # of a canvas that every browser has
EXAMPLES = {"hand": 7, "key": 4, "tree": 8, "dog": 8, "ray": 0}  # class of generated shape: seed


@cache
def example(name: str) -> str:
    """The picture of one of `EXAMPLES`, 256×256."""
    shape, _ = draw(name, np.random.default_rng(EXAMPLES[name]))
    return to_picture(shape > 127)


def to_picture(mask: np.ndarray) -> str:
    """A mask, (H, W) bool, as a PNG in a data URL, white on black."""
    return to_url(mask * np.uint8(255))


def to_url(image: np.ndarray) -> str:
    """(H, W) or (H, W, 3) RGB uint8 as a PNG in a data URL."""
    return PNG + b64encode(encode_png(image)).decode()


def to_mask(picture: str) -> np.ndarray:
    """A PNG in a data URL as (H, W) bool: at least half white is inside.

    Raises:
        UserError: it is none, or too large.
    """
    try:
        grey = decode_grey(b64decode(picture.removeprefix(PNG)))
    except (Unreadable, ValueError) as error:
        raise UserError(f"the drawing {error}") from None
    _check_size(grey)
    return grey > 127


def read_mask(name: str, content: bytes) -> tuple[np.ndarray, list[str]]:
    """The mask of a file's first image, as `skeletonize.py` finds it.

    Returns:
        (H, W) bool, and what there is to say about it.

    Raises:
        UserError: it cannot be read, or it is too large for the page.
    """
    name, suffix = printable(name), Path(name).suffix.lower()
    if len(content) > MOST_BYTES:
        raise UserError(f"{name}: is larger than {MOST_BYTES // 2**20} MB; make it smaller")
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"file{suffix if suffix in SUFFIXES else ''}"
            path.write_bytes(content)
            first, mask = _first_of(path, Options())
            if is_cut_out(mask.inside, first.opacity):  # the page has no switch for it
                first, mask = _first_of(path, Options(threshold="alpha"))
                mask.warnings.append("taken by its opacity")
    except (Unreadable, UserError) as error:
        raise UserError(f"{name}: {error}") from None
    except (MemoryError, OSError) as error:
        raise UserError(f"{name}: cannot be read: {str(error) or 'out of memory'}") from None
    said = [_without_switches(warning) for warning in mask.warnings]
    if first.number:
        said.append("the first of several images")
    return mask.inside, [f"{name}: {words}" for words in said]


def _first_of(path: Path, options: Options) -> tuple[Page, Mask]:
    first = next(read_pages(path, options.kind))
    _check_size(first.grey)
    return first, find_mask(first.grey, first.opacity, options)


def _check_size(grey: np.ndarray) -> None:
    if grey.size > MOST_PIXELS or max(grey.shape) > MOST_SIDE:
        height, width = grey.shape[:2]
        raise UserError(
            f"is {width}×{height}; this page takes up to {MOST_PIXELS:,} pixels and sides of "
            f"{MOST_SIDE:,}, python src/skeletonize.py more"
        )


def _without_switches(warning: str) -> str:
    """A warning without the command line's switches, which the page has not."""
    return warning.partition(" (--")[0]
