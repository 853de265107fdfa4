"""A folder of shapes skeletonized by a method that learns nothing."""

from pathlib import Path

import numpy as np

from canet.core.console import announce, shown
from canet.core.images import read_grey
from canet.core.provenance import code_digest, commit, versions
from canet.data.data_set import list_images, warn_of_others
from canet.geometry import compact_skeleton
from canet.geometry.candidates import PLAIN
from canet.geometry.classical import METHODS
from canet.geometry.masks import label_mask
from canet.postprocess.mend import mended
from canet.submission.write import submit, zip_beside


def draw_folder(
    method: str,
    images: Path,
    out: Path,
    *,
    tolerance_px: float = PLAIN.tolerance_px,
    force: bool = False,
) -> None:
    """Write skeletons as PNGs, a zip and a manifest.

    Args:
        method: a key of `classical.METHODS`.
        images: folder of shapes.
        out: folder to write; the zip lies beside it.
        tolerance_px: of `compact`, which draws a skeleton in each piece of a shape.
        force: draw again what is current.

    Raises:
        UserError: a shape cannot be used, or files of these names were not written here.
    """

    def skeleton_of(shape: np.ndarray) -> np.ndarray:
        if method != "compact":
            return METHODS[method](shape)
        drawn = compact_skeleton(label_mask(shape), tolerance_px).draw(shape.shape)
        return mended(drawn, shape)

    def skeletons(paths: list[Path]) -> dict[str, np.ndarray]:
        return {p.name: skeleton_of(read_grey(p)) for p in paths}

    zip_path = zip_beside(out)
    announce(method, [images], [zip_path])
    facts = {"method": method, "commit": commit(), "versions": versions()}
    facts |= {"code": code_digest("canet.submission.by_method")}
    if method == "compact":
        facts |= {"tolerance_px": tolerance_px}
    paths = list_images(images)
    warn_of_others(images)
    if submit(paths, skeletons, zip_path, facts=facts, force=force):
        written = shown(zip_path.with_suffix(""))
        print(f"   {len(paths)} PNGs in {written}/, zipped: {shown(zip_path)}")
