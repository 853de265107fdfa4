"""What a stage is made of: U-Net's double convolution, or the ResBlock that replaces it."""

from itertools import pairwise

import torch
from torch import nn


def two_convolutions(in_channels: int, out_channels: int) -> list[nn.Module]:
    """3×3 convolution, normalisation, ReLU, 3×3 convolution, normalisation."""
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
    ]


class DoubleConv(nn.Sequential):
    """U-Net's block, (B, in_channels, H, W) → (B, out_channels, H, W).

    Source: Ronneberger et al., "U-Net", 2015, section 2; padded and with batch normalisation,
    which the original has not, as everyone builds it since.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(*two_convolutions(in_channels, out_channels), nn.ReLU(inplace=True))


class ResBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation and a shortcut.

    (B, in_channels, H, W) → (B, out_channels, H, W). The shortcut is the identity, or a 1×1
    convolution where the number of channels changes.

    Source: paper, section 3.1; He et al., "Deep Residual Learning for Image Recognition", 2016,
    figure 2. The paper names the block and not its inside, so this is the plain one (no
    bottleneck).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.body = nn.Sequential(*two_convolutions(in_channels, out_channels))
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.body(x) + self.shortcut(x))


BLOCKS = {"residual": ResBlock, "double": DoubleConv}


def stage_of(block: str, in_channels: int, out_channels: int, *, count: int) -> nn.Sequential:
    """One stage: `count` blocks of a kind, the first of which changes the number of channels."""
    channels = [in_channels] + [out_channels] * count
    return nn.Sequential(*(BLOCKS[block](a, b) for a, b in pairwise(channels)))
