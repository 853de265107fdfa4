"""The U-Net of Panichev & Voloshyna (2019), second in the first challenge."""

from segmentation_models_pytorch.base.hub_mixin import supports_config_loading
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor

from canet.network.base import SkeletonModel, heads_on
from canet.network.encoder import STAGES, register_resblock_encoder, width_of

SMP_CHANNELS = [256, 128, 64, 32, 16]  # of smp.Unet's decoder


class PanichevDecoder(UnetDecoder):
    """smp's decoder in the form of the others: a list, here of the finest map alone.

    smp's encoders have the input at full size, or little more, as their first feature, and its
    decoder leaves that out; the own encoder's first stage is to be used, so it counts twice.
    """

    def __init__(self, encoder_channels: list[int], channels: list[int], uses_first: bool):
        repeated = encoder_channels[:1] * uses_first
        super().__init__([*repeated, *encoder_channels], channels, n_blocks=len(channels))
        self.uses_first = uses_first

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [super().forward(features[:1] * self.uses_first + features)]


class PanichevUNet(SkeletonModel):
    """A plain U-Net from the shape to one full-size output.

    Taken from the source: a U-Net, trained on the binary shape directly, without preprocessing
    and without coarser outputs. Guessed, as no more of it is public in text: two 3×3
    convolutions with batch normalisation a stage, five stages of 32 to 512 channels, upsampling
    by interpolation (smp's U-Net decoder). With an encoder of smp or timm it is smp's `Unet`.

    Args:
        encoder_name: `resblock<width>` or any encoder of smp, `tu-<name>` for timm's.
        in_channels: of the input.
        classes: of the output.

    Source: Panichev & Voloshyna, "U-Net based convolutional neural network for skeleton
    extraction", 2019, the paper's reference [10].
    """

    @supports_config_loading
    def __init__(self, encoder_name: str = "resblock32", in_channels: int = 1, classes: int = 1):
        super().__init__()
        register_resblock_encoder(encoder_name, blocks=1, attention_stages=(), block="double")
        width = width_of(encoder_name)
        depth = STAGES - 1 if width else 5
        self.encoder = get_encoder(encoder_name, in_channels=in_channels, depth=depth, weights=None)
        own = width is not None
        channels = [width * 2**i for i in reversed(range(depth))] if own else SMP_CHANNELS
        self.decoder = PanichevDecoder(self.encoder.out_channels, channels, uses_first=own)
        name = f"panichev-{encoder_name}"
        self.complete(name, heads_on(channels[-1:], classes), own_encoder=own)
