"""Training a network that sees what it drew before: half a batch from nothing, half once more.

At prediction a network of several rounds begins with an empty drawing and sees its own from then
on, so that it can close what it left open. In training the own drawing has pieces taken out.
"""

import torch
from torch import nn
from torch.nn.functional import interpolate

PIECE_PX = 16


def erase_pieces(drawn: torch.Tensor) -> torch.Tensor:
    """Set squares of 16 px to 0, of each image another share: (B, 1, H, W) → the same."""
    batch, _, height, width = drawn.shape
    size = (-(-height // PIECE_PX), -(-width // PIECE_PX))
    share = torch.rand(batch, 1, 1, 1, device=drawn.device)
    kept = torch.rand(batch, 1, *size, device=drawn.device) >= share
    kept = interpolate(kept.to(drawn.dtype), scale_factor=PIECE_PX, mode="nearest")
    return drawn * kept[..., :height, :width]


@torch.no_grad()
def drawn_before(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the network shall see of an earlier round: (B, C, H, W) → (B, 1, H, W), 0 to 1.

    Nothing for every other image; for the rest what it draws now from nothing, with pieces
    erased. Statistics of batch normalisation are left alone.

    Source: the idea of feeding the skeleton back with pieces removed is CAMION's (Pixel SkelNetOn
    2022); shares, squares and halves are this project's.
    """
    drawn = x.new_zeros(len(x), 1, *x.shape[-2:], dtype=torch.float32)
    again = x[1::2]
    if len(again):
        model.eval()
        logits = model(again, drawn=drawn[1::2])[:, :1]
        model.train()
        drawn[1::2] = erase_pieces(logits.float().sigmoid())
    return drawn
