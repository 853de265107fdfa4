"""Pictures of single images: the page's rows of shape, input, label, prediction and errors."""

from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np

from canet.distance import distance_map, fill_holes, inside
from canet.input_kinds import parts_of
from canet.pictures import MISSED, draw_errors
from canet.recipe import Recipe
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
    body = inside(look.shape)
    window = Window.around(body | look.label | look.prediction)
    tiles = [Tile("shape", "shape", look.shape)]
    if look.input_map is not None:
        tiles.append(Tile("input", "network input", heat(look.input_map)))
    tiles += [
        Tile("label", "label", draw_errors(look.label, look.label, body)),
        Tile("prediction", "prediction", draw_errors(look.prediction, look.prediction, body)),
        Tile("errors", "errors", draw_errors(look.prediction, look.label, body)),
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
        mask = inside(shape)
        filled = fill_holes(mask, recipe.input.max_hole_px)
        if filled.sum() > mask.sum():
            before, after = distance_map(mask), distance_map(filled)
            changed.append((float((after - before).sum()), i, before, after))
    changed.sort(key=lambda row: (-row[0], row[1]))
    return [
        (held_out.names[i], _repair_tiles(held_out.shapes[i], before, after))
        for _, i, before, after in changed[:MOST_REPAIRED]
    ]


def _repair_tiles(shape: np.ndarray, before: np.ndarray, after: np.ndarray) -> list[Tile]:
    window, deepest, gain = Window.around(inside(shape)), after.max(), after - before
    holes = (shape == 0) & (after > 0)
    marked = cv2.cvtColor(shape, cv2.COLOR_GRAY2RGB)
    marked[cv2.dilate(holes.astype(np.uint8), np.ones((5, 5))) > 0] = MISSED  # one pixel is lost
    tiles = [
        Tile("shape", f"{np.count_nonzero(holes)} px of holes, around them orange", marked),
        Tile("before", f"before, up to {before.max():.1f} px", heat(before, deepest)),
        Tile("after", f"after, up to {deepest:.1f} px", heat(after, deepest)),
        Tile("gain", f"difference, up to {gain.max():.1f} px", heat(gain)),
    ]
    return [Tile(t.kind, t.caption, window.cut(t.image)) for t in tiles]
