"""Reading images and writing files so that nothing is ever half there."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]


class UserError(Exception):
    """Something a user can mend; scripts print it as one line and exit with 1."""


def shown(path: Path) -> str:
    """`path` relative to the current folder where that is shorter, for messages."""
    path = Path(path).absolute()
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block succeeds.

    Works for a file and for a folder; a folder in the way is replaced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if temporary.is_dir() and path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict | None:
    """The content of a JSON file, None where there is none or it is damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3) RGB uint8 as PNG."""
    image = image if image.ndim == 2 else image[..., ::-1]
    encoded = cv2.imencode(".png", image)[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def read_grey(path: Path) -> np.ndarray:
    """An image file as (H, W) uint8.

    Raises:
        UserError: the file is missing, empty or no image.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    if image is None:
        raise UserError(f"{shown(path)}: not a readable image; export it again as PNG")
    return image


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: object) -> str:
    """A digest of a JSON-like value that does not depend on the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_files(paths: Iterable[Path]) -> str:
    """A digest of the names and contents of files, in the given order."""
    total = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(Path(path).read_bytes()).digest()
        total.update(Path(path).name.encode() + b"\0" + content)
    return total.hexdigest()


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if Path(path).is_dir():
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary path, then move it to `path`."""
    with replacing(path) as temporary:
        write(temporary)
