"""The CANet decoder: up, concatenate, three blocks, context attention where asked."""

from collections.abc import Collection, Sequence

import torch
from torch import nn

from canet.network.attention import context_attention
from canet.network.blocks import stage_of


class DecoderStage(nn.Module):
    """(B, below, H/2, W/2) and the encoder's (B, skip, H, W) → (B, channels, H, W)."""

    def __init__(
        self,
        below: int,
        skip: int,
        channels: int,
        *,
        blocks: int,
        attention: nn.Module,
        block: str = "residual",
    ):
        super().__init__()
        self.up = nn.ConvTranspose2d(below, channels, 2, stride=2)
        self.blocks = stage_of(block, channels + skip, channels, count=blocks)
        self.attention = attention

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.up(x), skip], dim=1)  # (B, channels + skip, H, W)
        return self.attention(self.blocks(x))


class CANetDecoder(nn.Module):
    """From the encoder's features to one feature map per decoder stage, coarse to fine.

    Works with any smp encoder: all of its features are used as skips, also the first one at
    full size (the raw input in most smp encoders). Stages are counted by resolution from the
    full size, so decoder stage k works where encoder stage k does.

    Args:
        encoder_channels: channels of the encoder's features, fine to coarse.
        channels: channels of the decoder's stages, fine to coarse, one fewer.
        attention_stages: 1-based decoder stages with context attention.
        blocks: of a stage.
        reduction: of context attention.
        block: `residual` or `double`, see `blocks`.
    """

    def __init__(
        self,
        encoder_channels: Sequence[int],
        channels: Sequence[int],
        *,
        attention_stages: Collection[int] = (3, 4, 5),
        blocks: int = 3,
        reduction: int = 16,
        block: str = "residual",
    ):
        super().__init__()
        if len(channels) != len(encoder_channels) - 1:
            raise ValueError(
                f"{len(channels)} decoder stages for {len(encoder_channels)} encoder features: "
                f"there is one decoder stage fewer than features"
            )

        below = [*channels[1:], encoder_channels[-1]]
        self.stages = nn.ModuleList(
            DecoderStage(
                below[i],
                encoder_channels[i],
                width,
                blocks=blocks,
                attention=context_attention(width, i + 1 in attention_stages, reduction),
                block=block,
            )
            for i, width in enumerate(channels)
        )

    def forward(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        *skips, x = features
        decoded = []
        for stage, skip in zip(reversed(self.stages), reversed(skips)):
            x = stage(x, skip)
            decoded.append(x)
        return decoded
