"""The U-Net with attention of Nguyen (2021), whose auxiliary losses the paper takes over."""

import torch
from segmentation_models_pytorch.base.hub_mixin import supports_config_loading
from timm.layers.cbam import CbamModule
from torch import nn

from canet.network.base import SkeletonModel, heads_on
from canet.network.decoder import CANetDecoder
from canet.network.encoder import ResBlockEncoder, required_width

BRANCHES = 3


class AttentionGroup(nn.Module):
    """x + Σ_k s_k · f_k(x): each pixel chooses among three convolutions, (B, C, H, W) → the same.

    f_k is a 3×3 convolution with batch normalisation and ReLU, s the softmax of a 1×1
    convolution to three channels. One convolution of 3·C channels computes all f_k.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.branches = nn.Sequential(
            nn.Conv2d(channels, BRANCHES * channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(BRANCHES * channels),
            nn.ReLU(inplace=True),
        )
        self.choice = nn.Conv2d(channels, BRANCHES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.branches(x).unflatten(1, (BRANCHES, -1))  # (B, 3, C, H, W)
        share = self.choice(x).softmax(1).unsqueeze(2)  # (B, 3, 1, H, W)
        return x + (share * found).sum(1)


class NguyenUNet(SkeletonModel):
    """U-Net of 64 to 1024 channels with attention in every stage and three coarser outputs.

    Taken from the source and its published code: double convolutions with batch normalisation;
    an attention group after each encoder stage; transposed convolutions with batch normalisation
    and ReLU; channel, then spatial attention (CBAM, here timm's, its spatial part without
    normalisation) after each decoder stage; 1×1 heads at 1, 1/2, 1/4 and 1/8. Convolutions
    before a normalisation have no bias here. Other than the source, the heads begin at the prior.

    Args:
        encoder_name: `resblock<width>`, for the width alone.
        in_channels: of the input.
        classes: of the output.

    Source: Nguyen, "U-Net based skeletonization and bag of tricks", 2021, the paper's reference
    [9]; Woo et al., "CBAM", 2018.
    """

    @supports_config_loading
    def __init__(self, encoder_name: str = "resblock64", in_channels: int = 1, classes: int = 1):
        super().__init__()
        width = required_width(encoder_name)
        self.encoder = ResBlockEncoder(width, blocks=1, attention_stages=(), block="double")
        self.encoder.set_in_channels(in_channels)
        all_channels = self.encoder.out_channels
        channels = all_channels[:-1]
        self.encoder.attention = nn.ModuleList(AttentionGroup(c) for c in all_channels)
        self.decoder = CANetDecoder(
            all_channels, channels, attention_stages=(), blocks=1, block="double"
        )
        for stage, c in zip(self.decoder.stages, channels):
            stage.up = nn.Sequential(stage.up, nn.BatchNorm2d(c), nn.ReLU(inplace=True))
            stage.attention = _cbam(c)
        self.complete(f"nguyen-{encoder_name}", heads_on(channels, classes), own_encoder=True)


def _cbam(channels: int) -> CbamModule:
    attention = CbamModule(channels)
    attention.spatial.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
    return attention
