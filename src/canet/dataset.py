"""Shapes and skeletons on disk: the starting kit's folders, read and checked."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canet.distance import closed, inside
from canet.files import REPOSITORY, UserError, printable, read_grey, shown
from canet.recipe import Data
from canet.stage import progress

MOST_LISTED = 5  # problems in one message

EXPECTED_TREE = """\
{root}/
  {train_shapes}/      shapes, 8-bit PNG, {size}×{size}, white on black
  {train_skeletons}/   their skeletons, same names and size, white (255) on black (0)
  {test_shapes}/       shapes to predict"""


def class_of(name: str) -> str:
    """`dog` for `dog-12.png`."""
    return Path(name).stem.rpartition("-")[0] or Path(name).stem


def list_images(folder: Path) -> list[Path]:
    """The PNG files of a folder, sorted by name.

    Raises:
        UserError: the folder does not exist or holds no PNG, or a name cannot be written into
            tables and zips.
    """
    if not folder.is_dir():
        raise UserError(f"{shown(folder)}: no such folder; expected a folder of shape PNGs")
    paths = _pngs(folder)
    if not paths:
        others = Counter(p.suffix.lower() for p in folder.iterdir() if p.suffix)
        found = f" but {listed(f'{n} {printable(kind)}' for kind, n in others.items())}"
        raise UserError(
            f"{shown(folder)}: holds no PNG{found if others else ''}; "
            f"expected a folder of shape PNGs, convert what is none"
        )
    misnamed = [problem for path in paths if (problem := _name_problem(path))]
    if misnamed:
        raise UserError(misnamed[0])
    return paths


def _pngs(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".png")


def _name_problem(path: Path) -> str | None:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return f"{shown(path)}: its name is not UTF-8; rename it"
    if "\r" in path.name:  # which tables take for the end of a line
        return f"{shown(path)}: its name has a carriage return; rename it"
    return None


def read_skeleton(path: Path) -> np.ndarray:
    """(H, W) bool, True on the skeleton; grey and RGB files, 0/1 and 0/255 alike."""
    return read_grey(path) > 0


@dataclass(frozen=True)
class ImageFolders:
    """The folders that a recipe's `data` section names; extra data has none to test on."""

    root: Path
    data: Data
    is_extra: bool = False

    @property
    def train_shapes(self) -> Path:
        return self.root / self.data.train_shapes

    @property
    def train_skeletons(self) -> Path:
        return self.root / self.data.train_skeletons

    @property
    def test_shapes(self) -> Path:
        return self.root / self.data.test_shapes

    @property
    def test_skeletons(self) -> Path | None:
        return self.root / self.data.test_skeletons if self.data.test_skeletons else None

    @property
    def extra(self) -> list["ImageFolders"]:
        """The data sets of `data.extra`, in their order."""
        return [ImageFolders(REPOSITORY / root, self.data, True) for root in self.data.extra]

    def pairs(self) -> list[tuple[Path, Path | None]]:
        """Folders of shapes with those of their skeletons, None where these are not known."""
        train = (self.train_shapes, self.train_skeletons)
        return [train] if self.is_extra else [train, (self.test_shapes, self.test_skeletons)]

    def all(self) -> list[Path]:
        return [folder for pair in self.pairs() for folder in pair if folder]

    def training_files(self) -> list[Path]:
        """Every training PNG, shapes before skeletons, for fingerprints."""
        return list_images(self.train_shapes) + list_images(self.train_skeletons)

    def files(self) -> list[Path]:
        """Every PNG of the data set, for fingerprints."""
        return [path for folder in self.all() for path in list_images(folder)]

    def expected_tree(self) -> str:
        tree = EXPECTED_TREE.rpartition("\n")[0] if self.is_extra else EXPECTED_TREE
        return tree.format(
            **self.data.model_dump() | {"root": shown(self.root), "size": self.data.size_px}
        )

    def found_tree(self) -> str:
        if not self.root.is_dir():
            return f"{shown(self.root)}/ does not exist"
        lines = [f"{shown(self.root)}/"]
        for path in sorted(self.root.iterdir()):
            if path.is_dir():
                lines.append(f"  {printable(path.name)}/      {len(_pngs(path))} PNGs")
            else:
                lines.append(f"  {printable(path.name)}")
        return "\n".join(lines[:20])


def find_problems(folders: ImageFolders) -> list[str]:
    """Everything that is wrong with a data set, each problem in one line with its remedy."""
    problems, usable = [], set()
    for folder in folders.all():
        if not folder.is_dir():
            key = "data.extra" if folders.is_extra else "data.root"
            problems.append(f"{shown(folder)}: folder is missing; create it or set {key}=PATH")
        elif not (paths := _pngs(folder)):
            problems.append(f"{shown(folder)}: holds no PNG; copy the images into it")
        elif misnamed := [problem for p in paths if (problem := _name_problem(p))]:
            problems += misnamed
        else:
            usable.add(folder)
    for shapes, skeletons in folders.pairs():
        if {shapes, skeletons} <= usable:
            problems += _pair_problems(shapes, skeletons, folders.data.size_px)
        elif shapes in usable:
            found = (shape_problem(p, folders.data.size_px) for p in list_images(shapes))
            problems += [p for p in found if p]
    return problems


def _pair_problems(shapes: Path, skeletons: Path, size_px: int) -> list[str]:
    shape_names = {p.name for p in list_images(shapes)}
    skeleton_names = {p.name for p in list_images(skeletons)}
    problems = [
        f"{shown(shapes / name)}: has no skeleton {shown(skeletons / name)}; add or remove"
        for name in sorted(shape_names - skeleton_names)
    ]
    problems += [
        f"{shown(skeletons / name)}: has no shape {shown(shapes / name)}; add or remove"
        for name in sorted(skeleton_names - shape_names)
    ]
    for name in sorted(shape_names & skeleton_names):
        problems += pair_problems(shapes / name, skeletons / name, size_px)
    return problems


def _read_sized(path: Path, size_px: int) -> np.ndarray:
    image = read_grey(path)
    if image.shape != (size_px, size_px):
        height, width = image.shape
        raise UserError(
            f"{shown(path)}: is {width}×{height}, expected {size_px}×{size_px}; pad or resize it"
        )
    return image


def looks_inverted(mask: np.ndarray) -> bool:
    """Whether a shape seems to be black on white: nearly all of the border is inside."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool(border.mean() > 0.9 and mask.mean() > 0.3)


def _read_mask(path: Path, size_px: int | None = None) -> np.ndarray:
    mask = inside(_read_sized(path, size_px) if size_px else read_grey(path))
    if not mask.any():
        raise UserError(f"{shown(path)}: is all black; expected a white shape on black")
    return mask


def check_shapes(paths: list[Path]) -> dict[str, tuple[int, int]]:
    """(H, W) of shapes by file name, after each has been read once and found usable.

    What is black on white can be used and is not refused here; see `looks_inverted`.

    Raises:
        UserError: some are unreadable, too large or all black; one message lists them.
    """
    sizes, problems = {}, []

    def look_at(path: Path) -> tuple[int, int] | str:
        try:
            return _read_mask(path).shape
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        found = pool.map(look_at, paths)
        for path, result in zip(paths, progress(found, total=len(paths), desc="check", delay=2)):
            if isinstance(result, str):
                problems.append(result)
            else:
                sizes[path.name] = result
    if problems:
        raise UserError(
            f"{len(problems):,} of {len(paths):,} shapes cannot be used: {listed(problems)}"
        )
    return sizes


def listed(problems: Iterable[str]) -> str:
    """The first few problems, and how many more there are, in one line."""
    problems = list(problems)
    more = len(problems) - MOST_LISTED
    return "; ".join(problems[:MOST_LISTED]) + (f"; … and {more:,} more" if more > 0 else "")


def _check_shape(path: Path, size_px: int) -> np.ndarray:
    mask = _read_mask(path, size_px)
    if looks_inverted(mask):
        raise UserError(f"{shown(path)}: is black on white; invert it to white on black")
    return mask


def shape_problem(path: Path, size_px: int) -> str | None:
    """What is wrong with one shape file, None where nothing is."""
    try:
        _check_shape(path, size_px)
    except UserError as error:
        return str(error)
    return None


def pair_problems(shape_path: Path, skeleton_path: Path, size_px: int) -> list[str]:
    """What is wrong with a shape and its skeleton; [] where nothing is.

    A label may leave `shape > 0` for pixels that a 3×3 closing adds: the real labels were made
    on the closed shape, and 20 of the 974 do so.
    """
    problems, mask = [], None
    try:
        mask = _check_shape(shape_path, size_px)
    except UserError as error:
        problems.append(str(error))
    try:
        label = _read_sized(skeleton_path, size_px)
        problems += _label_problems(skeleton_path, label, mask)
    except UserError as error:
        problems.append(str(error))
    return problems


def _label_problems(path: Path, label: np.ndarray, mask: np.ndarray | None) -> list[str]:
    skeleton = label > 0
    if not skeleton.any():
        return [f"{shown(path)}: is empty; expected a white skeleton on black"]
    if skeleton.mean() > 0.5:
        return [f"{shown(path)}: is black on white; invert it to white on black"]
    if mask is None:
        return []
    outside = int((skeleton & ~closed(mask)).sum())
    if outside:
        return [
            f"{shown(path)}: {outside} of {int(skeleton.sum())} skeleton pixels lie outside the "
            f"shape; are shape and skeleton of the same image?"
        ]
    return []
