"""Side outputs on every stage, fused: DeepSkeleton (Shen et al., 2017) for one class."""

import torch
from segmentation_models_pytorch.base.hub_mixin import supports_config_loading
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn
from torch.nn.functional import interpolate

from canet.network.base import SkeletonModel, begin_at_prior, heads_on
from canet.network.encoder import STAGES, register_resblock_encoder, width_of


class SideHeads(nn.Module):
    """A 1×1 convolution on each feature, enlarged bilinearly to the size of the first.

    Features fine to coarse → logits (B, classes, H, W) of each.
    """

    def __init__(self, channels: list[int], classes: int):
        super().__init__()
        self.heads = nn.ModuleList(heads_on(channels, classes))

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        size = features[0].shape[-2:]
        logits = [head(f) for head, f in zip(self.heads, features)]
        return [interpolate(y, size, mode="bilinear", align_corners=False) for y in logits]


class SideOutputs(SkeletonModel):
    """A fully convolutional encoder whose every stage predicts, fused by a 1×1 convolution.

    Taken from the source: VGG-16's convolutions (`vgg16_bn`), an output at each stage, enlarged,
    a learned fusion over the stages, supervision of all of them. Adapted: skeleton or not is the
    only class, where the source tells apart the scales of skeletons, supervises a stage by those
    that its receptive field can see, and fuses scale by scale; all labels are whole here. Other
    than in the source the first stage has an output too, VGG has batch normalisation and learns
    from scratch. The fusion begins as the mean.

    Every output has full size, so the loss compares all with the labels themselves:
    `loss.scale_weights` weight the fused one, then the stages, fine to coarse. No head is
    auxiliary, since the fusion needs each, weighted or not.

    Args:
        encoder_name: any encoder of smp, `tu-<name>` for timm's, or `resblock<width>`.
        block: of the own encoder, see `blocks`.
        blocks: of a stage of the own encoder.
        in_channels: of the input.
        classes: of the output.

    Source: Shen et al., "DeepSkeleton", 2017, the paper's reference [12]; Xie & Tu,
    "Holistically-nested edge detection", 2015.
    """

    @supports_config_loading
    def __init__(
        self,
        encoder_name: str = "vgg16_bn",
        *,
        block: str = "double",
        blocks: int = 1,
        in_channels: int = 1,
        classes: int = 1,
    ):
        super().__init__()
        register_resblock_encoder(encoder_name, blocks=blocks, attention_stages=(), block=block)
        self.encoder = get_encoder(
            encoder_name, in_channels=in_channels, depth=STAGES - 1, weights=None
        )
        channels = self.encoder.out_channels
        self.decoder = SideHeads(channels, classes)
        fusion = nn.Conv2d(len(channels) * classes, classes, 1)
        own_encoder = width_of(encoder_name) is not None
        self.complete(f"side-outputs-{encoder_name}", [fusion], own_encoder)
        for head in self.decoder.heads:
            begin_at_prior(head)
        with torch.no_grad():
            fusion.bias.zero_()
            fusion.weight.zero_()
            for k in range(classes):
                fusion.weight[k, k::classes] = 1 / len(channels)

    def forward(
        self, x: torch.Tensor, auxiliary: bool = False
    ) -> torch.Tensor | list[torch.Tensor]:
        """As every architecture's, with the stages' outputs at full size behind the fused one."""
        if not torch.compiler.is_compiling():
            self.check_input_shape(x)
        sides = self.decoder(self.encoder(x))
        fused = self.segmentation_head(torch.cat(sides, dim=1))
        return [fused, *sides] if auxiliary else fused
