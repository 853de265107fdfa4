"""From maps to probabilities: batches, flips and turns, several models averaged."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from canet.core.console import progress
from canet.data.windows import window_of
from canet.geometry.metrics import quantize
from canet.inference.device import autocast

Picture = tuple[int, tuple[slice, slice]]  # its position, and the window in it


def views(tta: bool) -> list[tuple[int, bool]]:
    """(quarter turns, flip) of the views to average; the identity alone without `tta`."""
    return [(t, f) for f in (False, True) for t in range(4)] if tta else [(0, False)]


def to_view(x: torch.Tensor, turns: int, flip: bool) -> torch.Tensor:
    """Flip, then turn (B, C, H, W) counter-clockwise."""
    return torch.rot90(x.flip(-1) if flip else x, turns, (-2, -1))


def from_view(x: torch.Tensor, turns: int, flip: bool) -> torch.Tensor:
    """Undo `to_view`."""
    x = torch.rot90(x, -turns, (-2, -1))
    return x.flip(-1) if flip else x


@torch.inference_mode()
def probabilities(
    models: Sequence[nn.Module],
    x: torch.Tensor,
    *,
    precision: str,
    tta: bool = False,
) -> torch.Tensor:
    """Mean probability over models and views, (B, C, H, W) → (B, 1, H, W) float32."""
    total, chosen = 0, views(tta)
    for model in models:
        for turns, flip in chosen:
            view = to_view(x, turns, flip).contiguous(memory_format=torch.channels_last)
            with autocast(precision, x.device):
                logits = model(view)
            total = total + from_view(logits.float().sigmoid(), turns, flip)
    return total / (len(models) * len(chosen))


def predict_levels(
    models: Sequence[nn.Module],
    maps: np.ndarray,
    *,
    device: torch.device,
    precision: str,
    batch: int,
    tta: bool = False,
    window: str = "image",
    label: str | None = None,
) -> np.ndarray:
    """Probabilities of many images, as uint8 levels (see `metrics.quantize`).

    Args:
        models: averaged; set to evaluation mode and left in it.
        maps: (N, C, H, W) float32.
        device: where the models are.
        precision: `float32` or `bfloat16`.
        batch: images at once.
        tta: average over the eight flips and turns.
        window: the recipe's `input.window`; outside of a shape's window the levels are 0.
        label: of the progress bar; None shows none.

    Returns:
        (N, H, W) uint8.
    """
    for model in models:
        model.eval()
    levels = np.zeros((len(maps), *maps.shape[-2:]), np.uint8)
    with progress(total=len(maps), desc=label, unit="image", disable=label is None) as bar:
        for pictures in batches_of_one_size(maps, window, batch):
            x = np.stack([maps[k][:, rows, columns] for k, (rows, columns) in pictures])
            x = torch.from_numpy(x).to(device)
            p = probabilities(models, x, precision=precision, tta=tta)
            for (k, (rows, columns)), picture in zip(pictures, quantize(p[:, 0].cpu().numpy())):
                levels[k, rows, columns] = picture
            bar.update(len(x))
    return levels


def batches_of_one_size(maps: np.ndarray, window: str, batch: int) -> Iterator[list[Picture]]:
    """The images with the windows to look at, those of one size together.

    Args:
        maps: (N, C, H, W).
        window: the recipe's `input.window`.
        batch: most images at once.

    Yields:
        (position, (rows, columns)) of up to `batch` images.
    """
    if window == "image":
        windows = [(slice(0, maps.shape[-2]), slice(0, maps.shape[-1]))] * len(maps)
    else:
        windows = [window_of(m) for m in maps]
    by_size: dict[tuple[int, int], list[Picture]] = {}
    for k, (rows, columns) in enumerate(windows):
        size = (rows.stop - rows.start, columns.stop - columns.start)
        by_size.setdefault(size, []).append((k, (rows, columns)))
    for pictures in by_size.values():
        for first in range(0, len(pictures), batch):
            yield pictures[first : first + batch]


def pad_to(maps: np.ndarray, stride: int) -> np.ndarray:
    """Zeros to the right and below, so that (N, C, H, W) is divisible by `stride`."""
    height, width = maps.shape[-2:]
    extra = ((0, 0), (0, 0), (0, -height % stride), (0, -width % stride))
    return np.pad(maps, extra) if height % stride or width % stride else maps
