"""Images in memory, as training and judging need them."""

from dataclasses import dataclass

import numpy as np

from canet.dataset import ImageFolders, list_images, read_skeleton
from canet.folds import folds_path, read_folds, split
from canet.map_cache import load_maps
from canet.recipe import Recipe


@dataclass(frozen=True)
class Samples:
    """Some images in memory: maps (N, C, H, W) float32, skeletons (N, H, W) uint8 of 0 and 1."""

    names: list[str]
    maps: np.ndarray
    skeletons: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def take(self, names: list[str]) -> "Samples":
        rows = {name: i for i, name in enumerate(self.names)}
        chosen = [rows[name] for name in names]
        return Samples(list(names), self.maps[chosen], self.skeletons[chosen])


def load_training_set(recipe: Recipe) -> Samples:
    """All labelled images of a recipe's data set; maps come from the cache."""
    folders = ImageFolders(recipe.data_root, recipe.data)
    paths = list_images(folders.train_shapes)
    maps = load_maps(folders.train_shapes, recipe.input, recipe.cache_folder)
    skeletons = np.stack([read_skeleton(folders.train_skeletons / p.name) for p in paths]).astype(
        np.uint8
    )
    return Samples([p.name for p in paths], maps, skeletons)


def load_split(recipe: Recipe, fold: int | str) -> tuple[Samples, Samples | None]:
    """The images to train on and those held out; None where the fold is `all`."""
    samples = load_training_set(recipe)
    table = read_folds(folds_path(recipe), samples.names, recipe.folds)
    train, held_out = split(table, fold)
    return samples.take(train), samples.take(held_out) if held_out else None
