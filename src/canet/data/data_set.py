"""Shapes and skeletons on disk: the starting kit's folders, each listed, read and hashed once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from canet.core.console import REPOSITORY, UserError, printable, shown
from canet.core.cores import in_threads
from canet.core.files import digest_of_named, sha256
from canet.core.images import decode_file, read_content, read_grey
from canet.core.recipe import Data, Recipe

MOST_LISTED = 5  # problems in one message
OTHER_IMAGES = {".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".npy"}

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
    paths = pngs_in(folder)
    if not paths:
        others = Counter(p.suffix.lower() for p in folder.iterdir() if p.suffix)
        found = f" but {listed(f'{n} {printable(kind)}' for kind, n in others.items())}"
        raise UserError(
            f"{shown(folder)}: holds no PNG{found if others else ''}; "
            f"expected a folder of shape PNGs, convert what is none"
        )
    misnamed = [problem for path in paths if (problem := name_problem(path))]
    if misnamed:
        raise UserError(misnamed[0])
    return paths


def pngs_in(folder: Path) -> list[Path]:
    """Files of a folder whose name ends in .png, sorted; [] where there are none."""
    return [path for path in _files_of(folder) if path.suffix.lower() == ".png"]


def _files_of(folder: Path) -> list[Path]:
    """What is in a folder but ._NAME, which macOS writes beside NAME on other systems' disks."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("._"))


def warn_of_others(folder: Path) -> None:
    """Name the images of a folder that are no PNGs, which nothing here reads."""
    others = [p.name for p in _files_of(folder) if p.suffix.lower() in OTHER_IMAGES]
    if others:
        names = listed(map(printable, others))
        print(f"   warning: left out, since no PNG: {names}; convert, or use src/skeletonize.py")


def name_problem(path: Path) -> str | None:
    """Why a file's name cannot be written into tables and zips; None where it can."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return f"{shown(path)}: its name is not UTF-8; rename it"
    if "\r" in path.name:  # which tables take for the end of a line
        return f"{shown(path)}: its name has a carriage return; rename it"
    return None


def listed(problems: Iterable[str]) -> str:
    """The first few problems, and how many more there are, in one line."""
    problems = list(problems)
    more = len(problems) - MOST_LISTED
    return "; ".join(problems[:MOST_LISTED]) + (f"; … and {more:,} more" if more > 0 else "")


def read_skeleton(path: Path) -> np.ndarray:
    """(H, W) bool, True on the skeleton; grey and RGB files, 0/1 and 0/255 alike."""
    return read_grey(path) > 0


class ImageFolder:
    """The PNGs of a folder: listed, read from disk and hashed once, in the order of their names.

    Args:
        path: of the folder; it is looked at when its images are first asked for.
    """

    def __init__(self, path: Path):
        self.path = path
        self._content: dict[str, bytes] = {}

    @cached_property
    def names(self) -> list[str]:
        """File names, see `list_images`."""
        return [p.name for p in list_images(self.path)]

    @cached_property
    def digest(self) -> str:
        """A digest of the names and contents of all images."""
        return digest_of_named((name, sha256(self.content(name))) for name in self.names)

    def content(self, name: str) -> bytes:
        """The bytes of a file, compressed as they are, kept for the next time."""
        if name not in self._content:
            self._content[name] = read_content(self.path / name)
        return self._content[name]

    def read(self, name: str) -> np.ndarray:
        """One image, (H, W) uint8 grey; see `images.read_grey`."""
        return decode_file(self.content(name), self.path / name)

    def read_all(self, names: Sequence[str] | None = None) -> np.ndarray:
        """Images of one size, by default all of them: (N, H, W) uint8 grey.

        Raises:
            UserError: an image is unreadable or of another size than the first.
        """
        names = self.names if names is None else names
        images = list(in_threads(self.read, names))
        for name, image in zip(names, images):
            if image.shape != images[0].shape:
                (height, width), (own_height, own_width) = images[0].shape, image.shape
                raise UserError(
                    f"{shown(self.path / name)}: is {own_width}×{own_height}, the others "
                    f"{width}×{height}; bring all to one size"
                )
        return np.stack(images)


class DataSet:
    """The folders that a recipe's `data` section names; extra data has none to test on.

    Args:
        root: folder of the starting kit.
        data: the recipe's `data` section.
        is_extra: one of `data.extra`.
    """

    def __init__(self, root: Path, data: Data, *, is_extra: bool = False):
        self.root, self.data, self.is_extra = root, data, is_extra
        self.train_shapes = ImageFolder(root / data.train_shapes)
        self.train_skeletons = ImageFolder(root / data.train_skeletons)
        self.test_shapes = ImageFolder(root / data.test_shapes)
        known = data.test_skeletons
        self.test_skeletons = ImageFolder(root / known) if known else None

    @classmethod
    def of(cls, recipe: Recipe) -> "DataSet":
        """The data set of a recipe."""
        return cls(recipe.data_root, recipe.data)

    @cached_property
    def extra(self) -> list["DataSet"]:
        """The data sets of `data.extra`, in their order."""
        return [DataSet(REPOSITORY / root, self.data, is_extra=True) for root in self.data.extra]

    @property
    def digest(self) -> str:
        """A digest of the training images, shapes and skeletons."""
        return f"{self.train_shapes.digest}:{self.train_skeletons.digest}"

    def skeletons(self, names: Sequence[str] | None = None) -> np.ndarray:
        """Labels of training images, by default all of them: (N, H, W) bool."""
        names = self.train_shapes.names if names is None else names
        return self.train_skeletons.read_all(names) > 0

    def pairs(self) -> list[tuple[ImageFolder, ImageFolder | None]]:
        """Folders of shapes with those of their skeletons, None where these are not known."""
        train = (self.train_shapes, self.train_skeletons)
        return [train] if self.is_extra else [train, (self.test_shapes, self.test_skeletons)]

    def folders(self) -> list[ImageFolder]:
        """All folders, shapes before skeletons."""
        return [folder for pair in self.pairs() for folder in pair if folder]

    def expected_tree(self) -> str:
        """How the folders should lie, for messages."""
        tree = EXPECTED_TREE.rpartition("\n")[0] if self.is_extra else EXPECTED_TREE
        return tree.format(
            **self.data.model_dump() | {"root": shown(self.root), "size": self.data.size_px}
        )

    def found_tree(self) -> str:
        """How they do lie, for messages."""
        if not self.root.is_dir():
            return f"{shown(self.root)}/ does not exist"
        lines = [f"{shown(self.root)}/"]
        for path in sorted(self.root.iterdir()):
            if path.is_dir():
                lines.append(f"  {printable(path.name)}/      {len(pngs_in(path))} PNGs")
            else:
                lines.append(f"  {printable(path.name)}")
        return "\n".join(lines[:20])
