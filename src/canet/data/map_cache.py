"""Input maps of a folder of shapes, computed once and kept in `cache/`."""

from functools import cached_property
from pathlib import Path

import numpy as np

from canet.core.console import shown
from canet.core.files import digest_of, replacing
from canet.core.provenance import Stamp, code_digest
from canet.core.recipe import Input
from canet.data.data_set import ImageFolder
from canet.data.input_maps import input_maps


class MapCache:
    """The input maps of a folder of shapes of one size.

    They are current for the contents of the shapes, the settings and the code that reads the shapes
    and computes the maps.

    Args:
        shapes: the folder.
        settings: the recipe's `input` section.
        cache: folder of all caches.
    """

    def __init__(self, shapes: ImageFolder, settings: Input, cache: Path):
        self.shapes, self.settings = shapes, settings
        self._maps: np.ndarray | None = None
        repaired = "repaired_distance"  # holes of another size or another mask are another file
        kind = settings.kind.replace(repaired, f"{repaired}_{settings.max_hole_px}px")
        mask = "" if settings.mask == "any" else f"_{settings.mask}_mask"
        root = shapes.path.parent.resolve()  # others may have its name
        folder = cache / "maps" / f"{root.name}_{digest_of(str(root))[:6]}" / shapes.path.name
        self.path = folder / f"{kind}{mask}.npy"

    @cached_property
    def stamp(self) -> Stamp:
        """Tells whether the cached file is what would be computed now."""
        depends = {
            "shapes": self.shapes.digest,
            "input": self.settings.model_dump(exclude={"window"}),  # cut when it is looked at
            "code": code_digest("canet.core.images", "canet.data.input_maps"),
        }
        return Stamp(self.path.with_suffix(".json"), depends, [self.path])

    def load(self, *, force: bool = False) -> np.ndarray:
        """Maps of all shapes, in the order of their names; computed where the cache is not current.

        Args:
            force: compute them anew.

        Returns:
            (N, C, H, W) float32, read-only, mapped from the file.
        """
        if self._maps is not None and not force:
            return self._maps
        if force or not self.stamp.is_current():
            if self.path.exists() and not force:
                print(f"   {shown(self.path)} is outdated or damaged: rebuilt", flush=True)
            maps = input_maps(self.shapes.read_all(), self.settings, label="maps")
            with replacing(self.path) as temporary:
                with open(temporary, "wb") as file:
                    np.save(file, maps)
                self.stamp.write({self.path: temporary})
        self._maps = np.load(self.path, mmap_mode="r")
        return self._maps

    @property
    def digest(self) -> str:
        """A digest of the cached maps, as `load` has found or left them."""
        return self.stamp.recorded(self.path)
