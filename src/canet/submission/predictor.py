"""What draws skeletons for a submission, and how it goes through shapes of any size."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canet.core.console import warn
from canet.core.images import read_grey
from canet.core.recipe import Recipe
from canet.data.checks import looks_inverted
from canet.geometry.masks import any_mask
from canet.inference.distributed import World
from canet.postprocess.mend import mended
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
        every_piece: each piece of a shape gets a skeleton.
    """

    recipe: Recipe
    facts: dict
    said: str
    predict: Callable[[Images], Images]
    world: World
    every_piece: bool = True

    def predict_files(self, paths: list[Path], longest_px: int) -> Images:
        """Skeletons by file name.

        Args:
            paths: of the shapes.
            longest_px: larger shapes are skeletonized at this size and drawn at their own; 0: none.
        """
        shapes = {path.name: read_grey(path) for path in paths}
        for name, shape in shapes.items():
            if looks_inverted(any_mask(shape)):
                warn(
                    f"{name} looks black on white; expected white on black: invert it, or use "
                    f"src/skeletonize.py (--invert, or --threshold where the ground is not black)"
                )
        small = {name: shrink(shape, longest_px) for name, shape in shapes.items()}
        skeletons = self.predict(small)
        return {k: self._finished(skeletons[k], small[k], shapes[k]) for k in shapes}

    def _finished(self, skeleton: np.ndarray, small: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """At the shape's size, and in all of its parts where each is to have its skeleton."""
        if not self.every_piece:
            return enlarge(skeleton, shape)
        skeleton = mended(skeleton, small)
        if small.shape == shape.shape:
            return skeleton
        return mended(enlarge(skeleton, shape), shape, is_enlarged=True)
