"""The generator of pix2pix (Isola et al., 2017), the challenge's own baseline."""

import torch
from segmentation_models_pytorch.base.hub_mixin import supports_config_loading
from torch import nn

from canet.network.base import SkeletonModel
from canet.network.encoder import required_width

LEAK = 0.2
DROPPED_STAGES = 3  # innermost ones of the decoder
WIDEST = 8  # times the width


class Pix2PixEncoder(nn.Module):
    """Strided 4×4 convolutions, (B, in_channels, H, W) → features at 1/2, 1/4 … of the size.

    Normalised except for the first and the last; activated where they are used.
    """

    def __init__(self, in_channels: int, out_channels: list[int]):
        super().__init__()
        self.out_channels, self.output_stride = out_channels, 2 ** len(out_channels)
        last = len(out_channels) - 1
        self.stages = nn.ModuleList()
        for i, (a, b) in enumerate(zip([in_channels, *out_channels], out_channels)):
            norm = nn.BatchNorm2d(b) if 0 < i < last else nn.Identity()
            active = nn.LeakyReLU(LEAK) if i else nn.Identity()
            conv = nn.Conv2d(a, b, 4, stride=2, padding=1)
            self.stages.append(nn.Sequential(active, conv, norm))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Pix2PixDecoder(nn.Module):
    """Transposed 4×4 convolutions with skips → the map at half size, (B, 2·width, H/2, W/2)."""

    def __init__(self, encoder_channels: list[int]):
        super().__init__()
        *skips, below = encoder_channels
        self.stages = nn.ModuleList()
        for i, c in enumerate(reversed(skips)):
            layers = [nn.ReLU(), nn.ConvTranspose2d(below, c, 4, stride=2, padding=1)]
            layers += [nn.BatchNorm2d(c)] + [nn.Dropout(0.5)] * (i < DROPPED_STAGES)
            self.stages.append(nn.Sequential(*layers))
            below = 2 * c

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        *skips, x = features
        for stage, skip in zip(self.stages, reversed(skips)):
            x = torch.cat([stage(x), skip], dim=1)
        return [torch.relu(x)]


class Pix2Pix(SkeletonModel):
    """Image-to-image translation by a U-Net; its adversary is in `adversary`.

    Taken from the source: 4×4 convolutions with stride 2 and leaky ReLU down, transposed ones
    with ReLU up, widths 1, 2, 4, 8, 8 … times the first, skips at every size, dropout in the
    three innermost stages of the decoder, no normalisation at either end of the encoder. The
    challenge's baseline trains it on distance maps. Adapted: five halvings in place of eight, so
    that sizes need only be multiples of 32; logits in place of tanh; dropout is off when
    predicting, where the source keeps it on as its noise.

    Args:
        encoder_name: `resblock<width>`, for the width alone.
        halvings: of the size.
        in_channels: of the input.
        classes: of the output.

    Source: Isola et al., "Image-to-image translation with conditional adversarial networks",
    2017, appendix 6.1; Demir et al., "SkelNetOn 2019", the paper's reference [2].
    """

    @supports_config_loading
    def __init__(
        self,
        encoder_name: str = "resblock64",
        *,
        halvings: int = 5,
        in_channels: int = 1,
        classes: int = 1,
    ):
        super().__init__()
        width = required_width(encoder_name)
        channels = [width * min(2**i, WIDEST) for i in range(halvings)]
        self.encoder = Pix2PixEncoder(in_channels, channels)
        self.decoder = Pix2PixDecoder(channels)
        head = nn.ConvTranspose2d(2 * width, classes, 4, stride=2, padding=1)
        self.complete(f"pix2pix-{encoder_name}", [head], own_encoder=True)
