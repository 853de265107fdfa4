"""Leaderboard files: PNGs, a flat zip and a manifest, checked before they appear.

Shapes are predicted a few at a time, so that memory does not grow with their number, and each PNG
is kept as soon as it is there: a call that was killed continues, and several processes share a
folder of shapes.
"""

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from glob import escape
from pathlib import Path

import cv2
import numpy as np

from canet.dataset import check_shapes, list_images
from canet.distributed import ALONE, World
from canet.files import (
    UserError,
    digest_of,
    digest_of_files,
    locked,
    printable,
    read_grey,
    remove,
    replace_folder,
    replacing,
    shown,
    write_json,
)
from canet.overview import write_overview
from canet.png import Unreadable, decode_grey
from canet.stage import Stamp, progress, skip

EPOCH = (1980, 1, 1, 0, 0, 0)  # fixed, so that equal predictions give equal zips
CHUNK_PX = 64 * 256 * 256  # pixels of shapes predicted at once
LARGEST_MEMBER = 2**26  # bytes of a PNG in a zip; larger ones are not unpacked
MOST_PIXELS_READ = 2**31  # of all images of a submission: 30,000 of the challenge's size


def encode(skeleton: np.ndarray) -> bytes:
    """(H, W) bool → PNG, RGB, 0 and 255, as the challenge's labels are."""
    rgb = np.repeat(skeleton[..., None] * np.uint8(255), 3, axis=2)
    return cv2.imencode(".png", rgb)[1].tobytes()


class Submission:
    """A submission in the making: PNGs come one by one, zip and folder when all are there.

    Until then they wait in a hidden folder beside the zip.

    Args:
        zip_path: of the zip; `<name>/`, `<name>.json` and `<name>.png` come to lie beside it.
        identity: of all that the predictions depend on; what waits under another is not used.

    Raises:
        UserError: there are files of these names that were not written here.
    """

    def __init__(self, zip_path: Path, identity: str):
        self.zip_path, self.identity = zip_path, identity
        self.folder, self.manifest = zip_path.with_suffix(""), zip_path.with_suffix(".json")
        self.waiting = zip_path.with_name(f".{zip_path.stem}.{identity[:12]}.partial")
        self.overview = zip_path.with_suffix(".png")
        folder, ours = self.folder, self.manifest.exists()
        if folder.exists() and any(folder.iterdir()) and not ours:
            raise UserError(f"{shown(folder)}: holds files not written here; choose another --out")
        if self.overview.exists() and not ours:
            raise UserError(f"{shown(self.overview)}: not written here; choose another --out")

    def lacks(self, name: str) -> bool:
        return not (self.waiting / name).is_file()

    def add(self, name: str, skeleton: np.ndarray) -> None:
        """Keep a prediction, (H, W) bool."""
        self.waiting.mkdir(parents=True, exist_ok=True)
        temporary = self.waiting / f".{name}.tmp"
        try:
            temporary.write_bytes(encode(skeleton))
            os.replace(temporary, self.waiting / name)
        finally:
            temporary.unlink(missing_ok=True)

    def stamp(self, names: Iterable[str]) -> Stamp:
        """Whether all of this is there already."""
        outputs = [self.zip_path, self.manifest, *(self.folder / name for name in names)]
        return Stamp(
            self.zip_path.with_name(f".{self.zip_path.stem}.stamp"), self.identity, outputs
        )

    def finish(
        self, sizes: dict[str, tuple[int, int]], facts: dict, shapes: Sequence[Path] = ()
    ) -> None:
        """Write and check the zip, then the manifest, then the folder: what is killed is repeated.

        Args:
            sizes: (H, W) of the shapes that were to be predicted, by file name.
            facts: for the manifest.
            shapes: their paths, for the picture of some of them.

        Raises:
            UserError: the zip would not be valid; nothing is replaced then.
        """
        names = sorted(sizes)
        with replacing(self.zip_path) as temporary:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in names:
                    archive.writestr(zipfile.ZipInfo(name, EPOCH), self._content(name))
            problems = find_zip_problems(temporary, sizes)
            for name in problems:
                remove(self.waiting / name)  # to be predicted again
            if problems:
                told = "; ".join(list(problems.values())[:5])
                raise UserError(f"{shown(self.zip_path)}: not written; {told}")
        write_json(self.manifest, facts)  # first: it is what marks the others as ours
        if shapes:
            write_overview(shapes, lambda name: read_grey(self.waiting / name), self.overview)
        self.stamp(names).write({self.folder / n: self.waiting / n for n in names})
        replace_folder(self.waiting, self.folder)
        for other in self.zip_path.parent.glob(f".{escape(self.zip_path.stem)}.*.partial"):
            remove(other)

    def _content(self, name: str) -> bytes:
        if self.lacks(name):
            raise UserError(f"{shown(self.zip_path)}: not written; {name} is missing")
        return (self.waiting / name).read_bytes()


def chunks(paths: Iterable[Path], sizes: dict[str, tuple[int, int]]) -> Iterator[list[Path]]:
    """Paths in groups of at most `CHUNK_PX` pixels, or one larger shape."""
    group, pixels = [], 0
    for path in paths:
        height, width = sizes[path.name]
        if group and pixels + height * width > CHUNK_PX:
            yield group
            group, pixels = [], 0
        group.append(path)
        pixels += height * width
    if group:
        yield group


def submit(
    paths: list[Path],
    predict: Callable[[list[Path]], dict[str, np.ndarray]],
    zip_path: Path,
    facts: dict,
    said: str = "",
    force: bool = False,
    world: World = ALONE,
) -> bool:
    """Predict shapes: `<name>/*.png`, `<name>.zip`, `<name>.json`, and `<name>.png` to look at.

    Args:
        paths: of the shapes.
        predict: skeletons, (H, W) bool by file name, of some of them.
        zip_path: of the zip.
        facts: what the prediction depends on and where it comes from, for the manifest.
        said: printed when there is something to predict.
        force: predict again what is current.
        world: the processes that share the work.

    Returns:
        False where all was there already.

    Raises:
        UserError: a shape cannot be used, the zip would not be valid, or another process writes it.
    """
    sizes, content = world.share(look_at(paths) if world.is_first else None)
    facts = facts | {"images": {"folder": paths[0].parent.name, "count": len(paths)} | content}
    identity = digest_of({k: v for k, v in facts.items() if k != "commit"})
    submission = Submission(zip_path, identity)
    with ExitStack() as held:
        if world.is_first:
            problem = f"{shown(zip_path)} is being written by {{holder}}; wait for it, or stop it"
            lock = zip_path.with_name(f".{zip_path.stem}.lock")
            held.enter_context(locked(lock, problem))
        if world.share(world.is_first and skip(submission.stamp(sizes), force)):
            return False
        print(said, end="\n" if said else "", flush=True)
        with world.first_alone():
            if force and world.is_first:
                remove(submission.waiting)
        _predict(paths[world.rank :: world.size], sizes, predict, submission)
        world.wait_for_all()
        if world.is_first:
            submission.finish(sizes, facts, paths)
    return True


def _predict(
    paths: list[Path],
    sizes: dict[str, tuple[int, int]],
    predict: Callable[[list[Path]], dict[str, np.ndarray]],
    submission: Submission,
) -> None:
    """Add to the submission what it lacks."""
    left = [path for path in paths if submission.lacks(path.name)]
    done = len(paths) - len(left)
    if done:
        print(f"   continues: {done} of {len(paths)} are predicted", flush=True)
    with progress(total=len(paths), initial=done, desc="predict", unit="image") as bar:
        for group in chunks(left, sizes):
            for name, skeleton in predict(group).items():
                submission.add(name, skeleton)
            bar.update(len(group))


def look_at(paths: list[Path]) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Sizes of the shapes by file name, and a digest of their contents."""
    return check_shapes(paths), {"sha256": digest_of_files(paths)}


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
            raise UserError(f"{shown(path)}: its images are too large to be skeletons; mend it")
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
