"""Reading a submission, zip or folder, and finding what the challenge would refuse."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from canet.core.console import UserError, printable, shown
from canet.core.images import Unreadable, decode_grey, read_grey
from canet.data.data_set import list_images

LARGEST_MEMBER = 2**26  # bytes of a PNG in a zip; larger ones are not unpacked
MOST_PIXELS_READ = 2**31  # of all images of a submission: 30,000 of the challenge's size


def read_submission(path: Path) -> dict[str, np.ndarray]:
    """Predictions by file name, (H, W) uint8, from a zip or a folder of PNGs.

    Raises:
        UserError: no such file, damaged, or a nested folder in the zip.
    """
    images, pixels = {}, 0
    for name, image in images_of(path):
        images[name] = image
        pixels += image.size
        if pixels > MOST_PIXELS_READ:
            raise UserError(
                f"{shown(path)}: has more than {MOST_PIXELS_READ:,} pixels in all; "
                f"score parts of it"
            )
    if not images:
        raise UserError(f"{shown(path)}: holds no PNG")
    return images


def images_of(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """What `read_submission` reads, one by one."""
    if path.is_dir():
        yield from ((p.name, read_grey(p)) for p in list_images(path))
    elif path.is_file():
        yield from _read_zip(path)
    else:
        raise UserError(f"{shown(path)}: no such file or folder; expected a zip or PNGs")


def _read_zip(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    try:
        with zipfile.ZipFile(path) as archive:
            problem = _structure_problem(archive.infolist())
            if problem:
                raise UserError(f"{shown(path)}: {problem}")
            for name in archive.namelist():
                if name.lower().endswith(".png"):
                    yield name, _decode(f"{shown(path)}: {printable(name)}", archive.read(name))
    except (UserError, MemoryError):
        raise
    except Exception as error:  # damaged, encrypted, packed in an unknown way: zipfile has many
        reason = printable(str(error).partition("\n")[0])
        raise UserError(f"{shown(path)}: not a readable zip ({reason}); make it anew") from None


def _structure_problem(members: list[zipfile.ZipInfo]) -> str | None:
    """What forbids to unpack a zip at all."""
    seen = set()
    for member in members:
        name = printable(member.filename)
        if "/" in member.filename:
            return f"{name} lies in a folder; the challenge wants a flat zip"
        if member.filename in seen:
            return f"{name} is there twice; make the zip anew"
        if member.file_size > LARGEST_MEMBER:
            return f"{name} would unpack to {member.file_size:,} bytes; no skeleton is so large"
        seen.add(member.filename)
    return None


def _decode(origin: str, content: bytes) -> np.ndarray:
    try:
        return decode_grey(content)
    except Unreadable as error:
        raise UserError(f"{origin}: {error}") from None


def find_zip_problems(path: Path, sizes: dict[str, tuple[int, int]]) -> dict[str, str]:
    """Why the challenge would refuse a zip, or score it 0, by file name; {} where it would not.

    Args:
        path: the zip.
        sizes: (H, W) of every expected image by file name.
    """
    problems, left = {}, dict(sizes)
    try:
        for name, image in images_of(path):
            problem = _image_problem(image, left.pop(name, None))
            if problem:
                problems[name] = f"{name} {problem}"
    except UserError as error:
        return {path.name: str(error)}
    return {name: f"{name} is missing" for name in left} | problems


def _image_problem(image: np.ndarray, size: tuple[int, int] | None) -> str | None:
    if size is None:
        return "belongs to no shape"
    if image.shape != size:
        return f"is {image.shape[::-1]}, its shape {size[::-1]}"
    if not np.isin(image, (0, 255)).all():
        return "has values other than 0 and 255"
    return None if image.any() else "is empty, which scores 0"
