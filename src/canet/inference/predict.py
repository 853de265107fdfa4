"""From maps to probabilities: batches, flips and turns, several models averaged."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from canet.core.console import progress
from canet.geometry.metrics import quantize
from canet.inference.device import autocast


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
        label: of the progress bar; None shows none.

    Returns:
        (N, H, W) uint8.
    """
    for model in models:
        model.eval()
    levels = np.empty((len(maps), *maps.shape[-2:]), np.uint8)
    with progress(total=len(maps), desc=label, unit="image", disable=label is None) as bar:
        for first in range(0, len(maps), batch):
            x = torch.from_numpy(np.ascontiguousarray(maps[first : first + batch])).to(device)
            p = probabilities(models, x, precision=precision, tta=tta)
            levels[first : first + batch] = quantize(p[:, 0].cpu().numpy())
            bar.update(len(x))
    return levels


def pad_to(maps: np.ndarray, stride: int) -> np.ndarray:
    """Zeros to the right and below, so that (N, C, H, W) is divisible by `stride`."""
    height, width = maps.shape[-2:]
    extra = ((0, 0), (0, 0), (0, -height % stride), (0, -width % stride))
    return np.pad(maps, extra) if height % stride or width % stride else maps
