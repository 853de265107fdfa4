"""What draws skeletons for a submission, and how it goes through shapes of any size."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canet.core.images import read_grey
from canet.core.recipe import Recipe
from canet.data.checks import looks_inverted
from canet.geometry.masks import any_mask
from canet.inference.distributed import World
from canet.postprocess.rescale import enlarge, shrink

Images = dict[str, np.ndarray]  # by file name


@dataclass(frozen=True)
class Predictor:
    """A way to draw skeletons.

    Attributes:
        recipe: that it was trained by.
        facts: what the result depends on and where it comes from, for the manifest.
        said: the same in words.
        predict: from shapes, (H, W) uint8 grey, to skeletons, (H, W) bool.
        world: the processes that share the work.
    """

    recipe: Recipe
    facts: dict
    said: str
    predict: Callable[[Images], Images]
    world: World

    def predict_files(self, paths: list[Path], longest_px: int) -> Images:
        """Skeletons by file name.

        Args:
            paths: of the shapes.
            longest_px: larger shapes are skeletonized at this size and drawn at their own; 0: none.
        """
        shapes = {path.name: read_grey(path) for path in paths}
        for name, shape in shapes.items():
            if looks_inverted(any_mask(shape)):
                print(f"   warning: {name} looks black on white; expected white on black")
        small = self.predict({name: shrink(shape, longest_px) for name, shape in shapes.items()})
        return {name: enlarge(skeleton, shapes[name]) for name, skeleton in small.items()}
