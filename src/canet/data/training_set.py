"""The labelled images of a recipe with their folds and input maps; each is read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from canet.core.files import digest_of
from canet.core.provenance import code_digest
from canet.core.recipe import Recipe
from canet.data.data_set import DataSet
from canet.data.folds import folds_path, read_folds, split
from canet.data.map_cache import MapCache


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

    def take(self, names: Sequence[str]) -> "Samples":
        """Those of these names, in their order."""
        rows = {name: i for i, name in enumerate(self.names)}
        chosen = [rows[name] for name in names]
        shapes = None if self.shapes is None else self.shapes[chosen]
        return Samples(list(names), self.maps[chosen], self.skeletons[chosen], shapes)

    def without(self, others: "Samples") -> "Samples":
        """Those whose input maps, and so whose shapes, no image of `others` has."""
        known = {map_.tobytes() for map_ in others.maps}
        kept = [n for n, map_ in zip(self.names, self.maps) if map_.tobytes() not in known]
        return self if len(kept) == len(self) else self.take(kept)


def joined(parts: Sequence[Samples]) -> Samples:
    """All images of several samples of one size and input kind."""
    return Samples(
        [name for part in parts for name in part.names],
        np.concatenate([part.maps for part in parts]),
        np.concatenate([part.skeletons for part in parts]),
        None if parts[0].shapes is None else np.concatenate([part.shapes for part in parts]),
    )


class TrainingSet:
    """What all trainings, searches and judgements of a recipe read.

    Args:
        recipe: its sections `data`, `folds`, `input` and `augment.relabel`, and the cache's folder.
    """

    def __init__(self, recipe: Recipe):
        self.recipe, self.data = recipe, DataSet.of(recipe)
        self._maps: dict[Path, MapCache] = {}

    @property
    def names(self) -> list[str]:
        """File names of the labelled images, without those of `data.extra`."""
        return self.data.train_shapes.names

    @cached_property
    def folds_path(self) -> Path:
        """The CSV of the folds."""
        return folds_path(self.data, self.recipe.folds)

    @cached_property
    def folds(self) -> pd.DataFrame:
        """The table of folds, checked against the images; see `read_folds`."""
        return read_folds(self.folds_path, self.names, self.recipe.folds)

    def maps_of(self, data: DataSet) -> MapCache:
        """The cache of a data set's input maps."""
        if data.root not in self._maps:
            kept = MapCache(data.train_shapes, self.recipe.input, self.recipe.cache_folder)
            self._maps[data.root] = kept
        return self._maps[data.root]

    @cached_property
    def samples(self) -> Samples:
        """All labelled images, without those of `data.extra`."""
        return self._load(self.data, "")

    @cached_property
    def extra(self) -> list[Samples]:
        """The images of `data.extra`, which are trained on in every fold and never held out.

        They are named after their data set too, `generated/dog-1.png`, since a name may occur in
        several.
        """
        return [self._load(data, f"{data.root.name}/") for data in self.data.extra]

    def _load(self, data: DataSet, prefix: str) -> Samples:
        maps = self.maps_of(data).load()
        shapes = data.train_shapes.read_all() if self.recipe.augment.relabel else None
        names = [prefix + name for name in data.train_shapes.names]
        return Samples(names, maps, data.skeletons().astype(np.uint8), shapes)

    def split(self, fold: int | str) -> tuple[Samples, Samples | None]:
        """The images to train on and those held out; None where the fold is `all`.

        Images of `data.extra` that are held out as well are not trained on.

        Raises:
            UserError: no folds, or they are of other images.
        """
        train, held_out = split(self.folds, fold)
        trained_on, judged = self.samples.take(train), self.samples.take(held_out)
        if self.extra:
            unseen = [extra.without(judged) for extra in self.extra]
            trained_on = joined([trained_on, *unseen])
        return trained_on, judged if held_out else None

    @property
    def digest(self) -> str:
        """A digest of images and labels alone, those of `data.extra` among them."""
        return digest_of([data.digest for data in (self.data, *self.data.extra)])

    @cached_property
    def images_and_folds(self) -> str:
        """A short digest of images, labels and folds: figures of others cannot be compared."""
        folds = self.folds[["image", "fold"]].to_csv(index=False)
        return digest_of([self.digest, folds])[:12]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of images, labels, folds, input maps, and of the code that draws images anew."""
        sets = [self.data, *self.data.extra]
        for data in sets:
            self.maps_of(data).load()  # makes them, where code or shapes have changed
        relabels = self.recipe.augment.relabel > 0
        drawing = code_digest("canet.training.relabel", core=False) if relabels else None
        return digest_of(
            {
                "images": [data.digest for data in sets],
                "maps": [self.maps_of(data).digest for data in sets],
                "folds": self.folds[["image", "fold"]].to_csv(index=False),
                "relabel": drawing,
            }
        )
