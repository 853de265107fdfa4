"""What can be wrong with shapes and labels on disk; all of it is said at once."""

from pathlib import Path

import cv2
import numpy as np

from canet.core.console import UserError, progress, shown
from canet.core.cores import in_threads
from canet.core.files import digest_of_named, sha256
from canet.core.images import decode_file, read_content
from canet.data.data_set import DataSet, ImageFolder, listed, name_problem, pngs_in
from canet.geometry.masks import any_mask, closing

MOST_THICK = 0.25  # of a label's pixels; crossings of thin lines are a block at most


def find_problems(data: DataSet) -> list[str]:
    """Everything that is wrong with a data set, each problem in one line with its remedy."""
    problems, usable = [], []
    for folder in data.folders():
        if not folder.path.is_dir():
            key = "data.extra" if data.is_extra else "data.root"
            problems.append(f"{shown(folder.path)}: folder is missing; create it or set {key}=PATH")
        elif not (paths := pngs_in(folder.path)):
            problems.append(f"{shown(folder.path)}: holds no PNG; copy the images into it")
        elif misnamed := [problem for p in paths if (problem := name_problem(p))]:
            problems += misnamed
        else:
            usable.append(folder)
    for shapes, skeletons in data.pairs():
        if shapes in usable and skeletons in usable:
            problems += _pair_problems(shapes, skeletons, data.data.size_px)
        elif shapes in usable:
            for name in shapes.names:
                problems += pair_problems(shapes, None, name, size_px=data.data.size_px)
    return problems


def _pair_problems(shapes: ImageFolder, skeletons: ImageFolder, size_px: int) -> list[str]:
    shape_names, skeleton_names = set(shapes.names), set(skeletons.names)
    problems = [
        f"{shown(shapes.path / name)}: has no skeleton {shown(skeletons.path / name)}; "
        f"add or remove"
        for name in sorted(shape_names - skeleton_names)
    ]
    problems += [
        f"{shown(skeletons.path / name)}: has no shape {shown(shapes.path / name)}; add or remove"
        for name in sorted(skeleton_names - shape_names)
    ]
    for name in sorted(shape_names & skeleton_names):
        problems += pair_problems(shapes, skeletons, name, size_px=size_px)
    return problems


def pair_problems(
    shapes: ImageFolder, skeletons: ImageFolder | None, name: str, *, size_px: int
) -> list[str]:
    """What is wrong with a shape and its skeleton, None where it is not known; [] where nothing is.

    A label may leave `any_mask` for pixels that closing adds: the real labels were made on the
    closed shape, and 20 of the 974 do so.
    """
    problems, mask = [], None
    try:
        mask = _usable_mask(shapes, name, size_px)
    except UserError as error:
        problems.append(str(error))
    try:
        if skeletons:
            label = _read_sized(skeletons, name, size_px)
            problems += _label_problems(skeletons.path / name, label, mask)
    except UserError as error:
        problems.append(str(error))
    return problems


def _read_sized(folder: ImageFolder, name: str, size_px: int) -> np.ndarray:
    image = folder.read(name)
    if image.shape != (size_px, size_px):
        height, width = image.shape
        raise UserError(
            f"{shown(folder.path / name)}: is {width}×{height}, expected {size_px}×{size_px}; "
            f"pad or resize it, or set data.size_px where all have one size, a multiple of 32"
        )
    return image


def _usable_mask(shapes: ImageFolder, name: str, size_px: int) -> np.ndarray:
    mask, path = any_mask(_read_sized(shapes, name, size_px)), shapes.path / name
    if not mask.any():
        raise UserError(f"{shown(path)}: is all black; expected a white shape on black")
    if looks_inverted(mask):
        raise UserError(f"{shown(path)}: is black on white; invert it to white on black")
    return mask


def _label_problems(path: Path, label: np.ndarray, mask: np.ndarray | None) -> list[str]:
    skeleton = label > 0
    if (levels := len(np.unique(label))) > 2:
        return [f"{shown(path)}: has {levels} grey levels; expected a skeleton of 0 and 255"]
    if not skeleton.any():
        return [f"{shown(path)}: is empty; expected a white skeleton on black"]
    if skeleton.mean() > 0.5:
        return [f"{shown(path)}: is black on white; invert it to white on black"]
    wide = np.pad(label, 1)  # OpenCV takes what lies beyond for white
    block = cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    if block.sum() > MOST_THICK * skeleton.sum():
        return [f"{shown(path)}: its lines are 3 and more pixels wide; expected one, thin it"]
    if mask is None:
        return []
    outside = int((skeleton & ~closing(mask)).sum())
    if outside:
        return [
            f"{shown(path)}: {outside} of {int(skeleton.sum())} skeleton pixels lie outside the "
            f"shape; are shape and skeleton of the same image?"
        ]
    return []


def looks_inverted(mask: np.ndarray) -> bool:
    """Whether a shape seems to be black on white: nearly all of the border is inside."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool(border.mean() > 0.9 and mask.mean() > 0.3)


def check_shapes(paths: list[Path]) -> tuple[dict[str, tuple[int, int]], str]:
    """Look at shapes of any size and number, each read once and not kept.

    What is black on white can be used and is not refused here; see `looks_inverted`.

    Returns:
        (H, W) by file name, and a digest of names and contents as `ImageFolder.digest` has it.

    Raises:
        UserError: some are unreadable, too large or all black; one message lists them.
    """
    sizes, problems, contents = {}, [], []

    def look_at(path: Path) -> tuple[tuple[int, int], bytes] | str:
        try:
            content = read_content(path)
            mask = any_mask(decode_file(content, path))
            if not mask.any():
                return f"{shown(path)}: is all black; expected a white shape on black"
            return mask.shape, sha256(content)
        except UserError as error:
            return str(error)

    found = progress(in_threads(look_at, paths), total=len(paths), desc="check", delay=2)
    for path, result in zip(paths, found):
        if isinstance(result, str):
            problems.append(result)
        else:
            sizes[path.name] = result[0]
            contents.append((path.name, result[1]))
    if problems:
        raise UserError(
            f"{len(problems):,} of {len(paths):,} shapes cannot be used: {listed(problems)}"
        )
    return sizes, digest_of_named(contents)
