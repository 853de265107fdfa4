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

import numpy as np

from canet.core.console import UserError, printable, progress, shown
from canet.core.files import (
    digest_of,
    locked,
    read_json,
    remove,
    replace_folder,
    replacing,
    write_json,
)
from canet.core.images import encode_skeleton, read_grey
from canet.core.provenance import Stamp, skip
from canet.data.checks import check_shapes
from canet.inference.distributed import ALONE, World
from canet.submission.preview import write_overview
from canet.submission.read import find_zip_problems

EPOCH = (1980, 1, 1, 0, 0, 0)  # fixed, so that equal predictions give equal zips
CHUNK_PX = 64 * 256 * 256  # pixels of shapes predicted at once


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
        self._refuse_others()

    def _refuse_others(self) -> None:
        """Of what is there, only PNGs and what a manifest tells to be ours may be replaced."""
        is_ours = read_json(self.manifest, images=dict) is not None
        if self.folder.is_dir():
            foreign = [p for p in self.folder.iterdir() if not (is_ours and _is_replaced(p))]
            if foreign:
                raise UserError(
                    f"{shown(self.folder)}: holds files not written here, such as "
                    f"{printable(min(foreign).name)}; choose another --out"
                )
        elif self.folder.exists():
            raise UserError(
                f"{shown(self.folder)}: is a file not written here; choose another --out"
            )
        for path in () if is_ours else (self.zip_path, self.manifest, self.overview):
            if path.exists():
                raise UserError(f"{shown(path)}: not written here; choose another --out")

    def lacks(self, name: str) -> bool:
        return not (self.waiting / name).is_file()

    def add(self, name: str, skeleton: np.ndarray) -> None:
        """Keep a prediction, (H, W) bool."""
        self.waiting.mkdir(parents=True, exist_ok=True)
        temporary = self.waiting / f".{name}.tmp"
        try:
            temporary.write_bytes(encode_skeleton(skeleton))
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
        """Check the zip, then write manifest, zip and folder: what is killed is repeated.

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
        identity = "[0-9a-f]" * 12  # no * for it: NAME.more is another submission
        for other in self.zip_path.parent.glob(f".{escape(self.zip_path.stem)}.{identity}.partial"):
            remove(other)

    def _content(self, name: str) -> bytes:
        if self.lacks(name):
            raise UserError(f"{shown(self.zip_path)}: not written; {name} is missing")
        return (self.waiting / name).read_bytes()


def _is_replaced(path: Path) -> bool:
    """Whether this may lie in a folder of skeletons: a PNG, or what a file browser leaves."""
    return path.is_file() and (path.suffix.lower() == ".png" or path.name.startswith("."))


def zip_beside(out: Path) -> Path:
    """The zip of a folder of skeletons, either of which --out may name.

    Raises:
        UserError: `out` has no name.
    """
    if out.name in ("", ".."):
        raise UserError(f"--out {out}: expected a folder with a name, which its zip gets too")
    return out.with_name(out.name.removesuffix(".zip") + ".zip")


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
    *,
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
    sizes, digest = world.share(check_shapes(paths) if world.is_first else None)
    images = {"folder": paths[0].parent.name, "count": len(paths), "sha256": digest}
    shapes = paths[0].parent.resolve()
    for place, what in ((zip_path.with_suffix(""), "holds"), (zip_path, "would lie among")):
        if shapes == (place if what == "holds" else place.parent).resolve():
            raise UserError(f"{shown(place)}: {what} the shapes; choose another --out")
    facts = world.share(facts | {"images": images})  # devices of processes may differ
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
