"""Input maps of a folder of shapes, computed once and kept in `cache/`."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from canet import distance, geometry, inputs
from canet.dataset import list_images
from canet.files import UserError, digest_of_files, read_grey, replacing, shown
from canet.geometry import planes
from canet.input_kinds import channels_of
from canet.recipe import Input
from canet.stage import Stamp, progress

CODE = [Path(distance.__file__), Path(inputs.__file__), *geometry.CODE, Path(planes.__file__)]


def cache_path(folder: Path, settings: Input, cache: Path) -> Path:
    """Where the maps of a folder are kept; another mask, or holes of another size, another file."""
    repaired = "repaired_distance"
    kind = settings.kind.replace(repaired, f"{repaired}_{settings.max_hole_px}px")
    mask = "" if settings.mask == "any" else f"_{settings.mask}_mask"
    return cache / "maps" / folder.parent.name / folder.name / f"{kind}{mask}.npy"


def stamp_of(folder: Path, settings: Input, cache: Path) -> Stamp:
    """Maps are current for the contents of the shapes, the settings and the code that maps."""
    path = cache_path(folder, settings, cache)
    depends = {
        "shapes": digest_of_files(list_images(folder)),
        "input": settings.model_dump(),
        "code": digest_of_files(CODE),
    }
    return Stamp(path.with_suffix(".json"), depends, [path])


def input_maps(shapes: list[np.ndarray], settings: Input) -> np.ndarray:
    """Input maps of shapes, (H, W) uint8 grey of one size, as (N, C, H, W) float32."""
    with ThreadPoolExecutor() as pool:  # OpenCV transforms outside Python's lock
        return np.stack(list(pool.map(lambda shape: inputs.input_map(shape, settings), shapes)))


def compute_maps(paths: list[Path], settings: Input) -> np.ndarray:
    """Input maps of image files.

    Args:
        paths: shapes, all of one size.
        settings: the recipe's `input` section.

    Returns:
        (N, C, H, W) float32.

    Raises:
        UserError: a file is unreadable or of another size than the first.
    """
    height, width = read_grey(paths[0]).shape
    maps = np.empty((len(paths), channels_of(settings.kind), height, width), np.float32)

    def fill(i: int) -> None:
        shape = read_grey(paths[i])
        if shape.shape != (height, width):
            raise UserError(
                f"{shown(paths[i])}: is {shape.shape[1]}×{shape.shape[0]}, the others "
                f"{width}×{height}; bring all to one size"
            )
        maps[i] = inputs.input_map(shape, settings)

    with ThreadPoolExecutor() as pool:  # OpenCV decodes and transforms outside Python's lock
        done = pool.map(fill, range(len(paths)))
        for _ in progress(done, total=len(paths), desc="maps", delay=2):
            pass
    return maps


def load_maps(folder: Path, settings: Input, cache: Path, force: bool = False) -> np.ndarray:
    """Input maps of all shapes of a folder, in the order of their names.

    Read from the cache; computed, and written there, where the cache is missing, outdated or
    damaged (its checksum says so).

    Returns:
        (N, C, H, W) float32, read-only, mapped from the file.
    """
    stamp = stamp_of(folder, settings, cache)
    path = stamp.outputs[0]
    if force or not stamp.is_current():
        if path.exists() and not force:
            print(f"   {shown(path)} is outdated or damaged: rebuilt", flush=True)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.save(file, compute_maps(list_images(folder), settings))
        stamp.write()
    return np.load(path, mmap_mode="r")
