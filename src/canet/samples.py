"""Images in memory, as training and judging need them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from canet.dataset import ImageFolders, list_images, read_skeleton
from canet.files import read_grey
from canet.folds import folds_path, read_folds, split
from canet.map_cache import load_maps
from canet.recipe import Recipe


@dataclass(frozen=True)
class Samples:
    """Some images in memory: maps (N, C, H, W) float32, skeletons (N, H, W) uint8 of 0 and 1.

    `shapes` (N, H, W) uint8 are there for recipes that draw them anew (`augment.relabel`).
    """

    names: list[str]
    maps: np.ndarray
    skeletons: np.ndarray
    shapes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, names: list[str]) -> "Samples":
        rows = {name: i for i, name in enumerate(self.names)}
        chosen = [rows[name] for name in names]
        shapes = None if self.shapes is None else self.shapes[chosen]
        return Samples(list(names), self.maps[chosen], self.skeletons[chosen], shapes)


def joined(parts: Sequence[Samples]) -> Samples:
    """All images of several samples of one size and input kind."""
    return Samples(
        [name for part in parts for name in part.names],
        np.concatenate([part.maps for part in parts]),
        np.concatenate([part.skeletons for part in parts]),
        None if parts[0].shapes is None else np.concatenate([part.shapes for part in parts]),
    )


def load_training_set(recipe: Recipe) -> Samples:
    """All labelled images of a recipe's data set, without `data.extra`; see `load_samples`."""
    return load_samples(ImageFolders(recipe.data_root, recipe.data), recipe)


def load_samples(folders: ImageFolders, recipe: Recipe) -> Samples:
    """All labelled images of a data set; maps come from the cache.

    An image of extra data is named after its data set too, `generated/dog-1.png`, since a name
    may occur in several.
    """
    paths, within = list_images(folders.train_shapes), ""
    if folders.is_extra:
        within = f"{folders.root.name}/"
    maps = load_maps(folders.train_shapes, recipe.input, recipe.cache_folder)
    skeletons = np.stack([read_skeleton(folders.train_skeletons / p.name) for p in paths]).astype(
        np.uint8
    )
    shapes = np.stack([read_grey(p) for p in paths]) if recipe.augment.relabel else None
    return Samples([within + p.name for p in paths], maps, skeletons, shapes)


def load_split(recipe: Recipe, fold: int | str) -> tuple[Samples, Samples | None]:
    """The images to train on and those held out; None where the fold is `all`.

    Extra data is trained on in every fold and never held out.

    Raises:
        UserError: no folds, or they are of other images.
    """
    samples = load_training_set(recipe)
    table = read_folds(folds_path(recipe), samples.names, recipe.folds)
    train, held_out = split(table, fold)
    extra = [load_samples(f, recipe) for f in ImageFolders(recipe.data_root, recipe.data).extra]
    trained_on = joined([samples.take(train), *extra]) if extra else samples.take(train)
    return trained_on, samples.take(held_out) if held_out else None
