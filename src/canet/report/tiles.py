"""Pictures of single images: the page's rows of shape, input, label, prediction and errors."""

from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np

from canet.core.input_planes import parts_of
from canet.core.recipe import Recipe
from canet.data.input_maps import mask_of
from canet.evaluation.pictures import MISSED, draw_errors
from canet.geometry.distance import distance_map
from canet.geometry.masks import any_mask, fill_holes
from canet.report.held_out import HeldOut, Look

MARGIN_PX = 6  # around a shape
SHOWN = 6  # images of each kind
MOST_REPAIRED = 4


@dataclass(frozen=True)
class Tile:
    """One picture of a row: RGB or grey uint8."""

    kind: str
    caption: str
    image: np.ndarray


def extremes(f1: list[float], count: int = SHOWN) -> tuple[list[int], list[int]]:
    """Indices of the worst images, worst first, and of the best ones, best first; none twice."""
    order = np.argsort(f1, kind="stable").tolist()
    count = min(count, (len(order) + 1) // 2)
    return order[:count], order[count:][::-1][:count]


@dataclass(frozen=True)
class Window:
    """A part of an image, (height, width) px from (top, left) on; it may reach beyond the image."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def around(cls, mask: np.ndarray) -> "Window":
        """All of (H, W) bool with a margin: at most as high as wide, at least half as high."""
        left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
        wide = max(width, height) + 2 * MARGIN_PX
        high = max(height + 2 * MARGIN_PX, wide // 2)
        return cls(top + (height - high) // 2, left + (width - wide) // 2, high, wide)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """What is seen of (H, W) or (H, W, 3) uint8 through it; black beyond the image."""
        seen = np.zeros((self.height, self.width, *image.shape[2:]), np.uint8)
        top, left = max(self.top, 0), max(self.left, 0)
        part = image[top : self.top + self.height, left : self.left + self.width]
        rows, columns = part.shape[:2]
        seen[top - self.top :, left - self.left :][:rows, :columns] = part
        return seen


def tiles_of(look: Look) -> list[Tile]:
    """Shape, network's input (where there is one), label, prediction, errors, all cut alike."""
    mask = any_mask(look.shape)
    window = Window.around(mask | look.label | look.prediction)
    tiles = [Tile("shape", "shape", look.shape)]
    if look.input_map is not None:
        tiles.append(Tile("input", "network input", heat(look.input_map)))
    tiles += [
        Tile("label", "label", draw_errors(look.label, look.label, mask)),
        Tile("prediction", "prediction", draw_errors(look.prediction, look.prediction, mask)),
        Tile("errors", "errors", draw_errors(look.prediction, look.label, mask)),
    ]
    return [Tile(t.kind, t.caption, window.cut(t.image)) for t in tiles]


def heat(values: np.ndarray, highest: float | None = None) -> np.ndarray:
    """(H, W) from 0 to `highest` (its own maximum) as colours, dark to bright: RGB uint8."""
    scaled = values / max(values.max() if highest is None else highest, 1e-6)
    return matplotlib.colormaps["magma"](scaled, bytes=True)[..., :3]


def repaired_of(recipe: Recipe, held_out: HeldOut) -> list[tuple[str, list[Tile]]]:
    """The held-out images whose distance map the repair of holes changes most (paper, 3.2).

    Returns:
        (name of the image, tiles) each; [] where the recipe repairs nothing or nothing changes.
    """
    if held_out.shapes is None or "repaired_distance" not in parts_of(recipe.input.kind):
        return []
    changed = []
    for i, shape in enumerate(held_out.shapes):
        mask = mask_of(shape, recipe.input)
        filled = fill_holes(mask, recipe.input.max_hole_px)
        if filled.sum() > mask.sum():
            before, after = distance_map(mask), distance_map(filled)
            gain = float((after - before).sum())
            changed.append((gain, i, _repair_tiles(shape, filled & ~mask, before, after)))
    changed.sort(key=lambda row: (-row[0], row[1]))
    return [(held_out.names[i], tiles) for _, i, tiles in changed[:MOST_REPAIRED]]


def _repair_tiles(
    shape: np.ndarray, holes: np.ndarray, before: np.ndarray, after: np.ndarray
) -> list[Tile]:
    window, deepest, gain = Window.around(any_mask(shape)), after.max(), after - before
    marked = cv2.cvtColor(shape, cv2.COLOR_GRAY2RGB)
    marked[cv2.dilate(holes.astype(np.uint8), np.ones((5, 5))) > 0] = MISSED  # one pixel is lost
    tiles = [
        Tile("shape", f"{np.count_nonzero(holes)} px of holes, around them orange", marked),
        Tile("before", f"before, up to {before.max():.1f} px", heat(before, deepest)),
        Tile("after", f"after, up to {deepest:.1f} px", heat(after, deepest)),
        Tile("gain", f"difference, up to {gain.max():.1f} px", heat(gain)),
    ]
    return [Tile(t.kind, t.caption, window.cut(t.image)) for t in tiles]
