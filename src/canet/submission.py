"""Leaderboard files: PNGs, a flat zip and a manifest, checked before they appear."""

import zipfile
from pathlib import Path

import cv2
import numpy as np

from canet.dataset import list_images
from canet.files import UserError, replacing, shown, write_json

EPOCH = (1980, 1, 1, 0, 0, 0)  # fixed, so that equal predictions give equal zips


def encode(skeleton: np.ndarray) -> bytes:
    """(H, W) bool → PNG, RGB, 0 and 255, as the challenge's labels are."""
    rgb = np.repeat(skeleton[..., None] * np.uint8(255), 3, axis=2)
    return cv2.imencode(".png", rgb)[1].tobytes()


def write_submission(
    skeletons: dict[str, np.ndarray], sizes: dict[str, tuple[int, int]], zip_path: Path, facts: dict
) -> Path:
    """Write `<name>/*.png`, `<name>.zip` and `<name>.json` beside each other.

    Args:
        skeletons: (H, W) bool by file name.
        sizes: (H, W) of the shapes that were to be predicted, by file name.
        zip_path: of the zip.
        facts: for the manifest.

    Returns:
        the folder of PNGs.

    Raises:
        UserError: the zip would not be valid; nothing is replaced then.
    """
    folder, manifest = zip_path.with_suffix(""), zip_path.with_suffix(".json")
    if folder.exists() and any(folder.iterdir()) and not manifest.exists():
        raise UserError(f"{shown(folder)}: holds files not written here; choose another --out")
    with replacing(zip_path) as temporary, replacing(folder) as pngs:
        pngs.mkdir()
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(skeletons):
                content = encode(skeletons[name])
                (pngs / name).write_bytes(content)
                archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
        problems = find_zip_problems(temporary, sizes)
        if problems:
            raise UserError(f"{shown(zip_path)}: not written; " + "; ".join(problems[:5]))
        write_json(manifest, facts)  # before the folder: it is what marks the folder as ours
    return folder


def read_submission(path: Path) -> dict[str, np.ndarray]:
    """Predictions by file name, (H, W) uint8, from a zip or a folder of PNGs.

    Raises:
        UserError: no such file, damaged, or a nested folder in the zip.
    """
    if path.is_dir():
        contents = {p.name: p.read_bytes() for p in list_images(path)}
    elif path.is_file():
        contents = _read_zip(path)
    else:
        raise UserError(f"{shown(path)}: no such file or folder; expected a zip or PNGs")
    if not contents:
        raise UserError(f"{shown(path)}: holds no PNG")
    return {name: _decode(name, content) for name, content in contents.items()}


def _read_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            nested = [n for n in archive.namelist() if "/" in n]
            if nested:
                raise UserError(
                    f"{shown(path)}: {nested[0]} lies in a folder; the challenge wants a flat zip"
                )
            return {n: archive.read(n) for n in archive.namelist() if n.lower().endswith(".png")}
    except zipfile.BadZipFile as error:
        raise UserError(f"{shown(path)}: not a readable zip ({error})") from None


def _decode(name: str, content: bytes) -> np.ndarray:
    data = np.frombuffer(content, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    if image is None:
        raise UserError(f"{name}: not a readable image")
    return image


def find_zip_problems(path: Path, sizes: dict[str, tuple[int, int]]) -> list[str]:
    """Why the challenge would refuse a zip, or score it 0; [] where it would not.

    Args:
        path: the zip.
        sizes: (H, W) of every expected image by file name.
    """
    try:
        images = read_submission(path)
    except UserError as error:
        return [str(error)]
    missing, unknown = sorted(sizes.keys() - images), sorted(images.keys() - sizes)
    problems = [f"{name} is missing" for name in missing]
    problems += [f"{name} belongs to no shape" for name in unknown]
    for name in sizes.keys() & images.keys():
        image = images[name]
        if image.shape != sizes[name]:
            problems.append(f"{name} is {image.shape[::-1]}, its shape {sizes[name][::-1]}")
        elif not np.isin(image, (0, 255)).all():
            problems.append(f"{name} has values other than 0 and 255")
        elif not image.any():
            problems.append(f"{name} is empty, which scores 0")
    return problems
