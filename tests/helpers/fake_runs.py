"""Runs as training leaves them, made without training: images with a line each, random weights."""

from pathlib import Path

import numpy as np

from canet.core.files import write_json
from canet.core.images import write_png
from canet.core.recipe import Recipe
from canet.core.runs import DONE, fold_folder
from canet.evaluation.out_of_fold import OutOfFold
from canet.geometry.metrics import quantize
from canet.inference.saved_model import save_model
from canet.network.build import build_model


def noisy_images(n: int = 6, size: int = 64) -> OutOfFold:
    """A line each, probabilities higher on it, one spurious island."""
    rng = np.random.default_rng(0)
    skeletons = np.zeros((n, size, size), bool)
    skeletons[:, size // 2, 8:56] = True
    p = np.where(skeletons, 0.6, 0.2) + rng.normal(0, 0.12, skeletons.shape)
    p[:, 5:7, 5] = 0.95
    shapes = np.zeros(skeletons.shape, np.uint8)
    shapes[:, 3:60, 3:60] = 255
    names = [f"line-{i}.png" for i in range(n)]
    return OutOfFold(names, quantize(np.clip(p, 0, 1)), skeletons, shapes)


def write_images(recipe: Recipe, images: OutOfFold, root: Path) -> Recipe:
    """The images as a data set in `root`; returns the recipe for it."""
    for name, shape, skeleton in zip(images.names, images.shapes, images.skeletons):
        write_png(root / recipe.data.train_shapes / name, shape)
        write_png(root / recipe.data.train_skeletons / name, skeleton.astype(np.uint8) * 255)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": str(root)})})


def write_fold(
    recipe: Recipe, fold: int | str, images: OutOfFold, identity: str = "", *, digest: str = ""
) -> Path:
    """A finished fold that holds these images out; `identity` tells trainings apart.

    `digest` is that of all images, where the training tells it.
    """
    folder = fold_folder(recipe, fold)
    facts = {"finished_at": f"2026-01-0{1 + len(str(fold))}T00:00:00+0000", "commit": "unknown"}
    facts |= {"recipe": recipe.stored(), "fold": fold} | ({"images": digest} if digest else {})
    save_model(build_model(recipe), folder / "model", facts)
    if fold != "all":
        np.savez_compressed(
            folder / "held_out.npz", names=np.array(images.names), levels=images.levels
        )
    done = {"identity": identity or f"fold {fold}", "finished_at": facts["finished_at"]}
    write_json(folder / DONE, done)
    return folder
