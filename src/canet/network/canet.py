"""CANet (Huang et al., 2022) as a segmentation model of smp."""

from collections.abc import Sequence

from segmentation_models_pytorch.base.hub_mixin import supports_config_loading
from segmentation_models_pytorch.encoders import get_encoder

from canet.network.base import SkeletonModel, heads_on
from canet.network.decoder import CANetDecoder
from canet.network.encoder import STAGES, register_resblock_encoder, width_of


class CANet(SkeletonModel):
    """U-Net with ResBlocks and context attention (paper, section 3.1, figure 2).

    Built readings of what the paper leaves open:

    - 3 ResBlocks in each encoder and each decoder stage; widths 64 to 1024 like U-Net.
    - "Context attention at stages 3–5 of the network": after the ResBlocks of encoder stages 3,
      4, 5 and of the decoder stages at the same resolutions (4 and 3; stage 5 is the turn).
      Encoders of smp or timm stay as they are: with them only the decoder attends.
    - The figure's caption puts the 1×1 convolution "at the end of the encoder stage"; section 3.3
      says "from each stage of the decoder", which is built: one 1×1 head a decoder stage. The
      finest is the output, the others serve the auxiliary losses.

    With `resblock64` it has 96 M parameters and 279 GFLOP for a 256×256 image. With
    `block="double"`, `blocks=1` and no attention it is the U-Net that the paper starts from.

    Args:
        encoder_name: `resblock<width>` or any encoder of smp, `tu-<name>` for timm's.
        encoder_depth: number of halvings; None for 4 (ResBlock encoder) or 5 (others).
        encoder_weights: passed to smp; None trains from scratch and downloads nothing.
        decoder_channels: of the decoder's stages, fine to coarse; None doubles from the
            encoder's width (64 for foreign encoders) at every stage.
        attention_stages: 1-based, by resolution from the full size.
        blocks: of a stage.
        reduction: of the context attention's inner channels.
        in_channels: of the input.
        classes: of the output.
        block: `residual`, or `double` for U-Net's two convolutions.

    Source: paper, sections 3.1 and 3.3.
    """

    @supports_config_loading
    def __init__(
        self,
        encoder_name: str = "resblock64",
        *,
        encoder_depth: int | None = None,
        encoder_weights: str | None = None,
        decoder_channels: Sequence[int] | None = None,
        attention_stages: Sequence[int] = (3, 4, 5),
        blocks: int = 3,
        reduction: int = 16,
        in_channels: int = 1,
        classes: int = 1,
        block: str = "residual",
    ):
        super().__init__()
        register_resblock_encoder(
            encoder_name,
            blocks=blocks,
            attention_stages=tuple(attention_stages),
            reduction=reduction,
            block=block,
        )
        width = width_of(encoder_name)
        depth = encoder_depth or (STAGES - 1 if width else 5)
        channels = list(decoder_channels or ((width or 64) * 2**i for i in range(depth)))
        self.encoder = get_encoder(
            encoder_name,
            in_channels=in_channels,
            depth=depth,
            weights=encoder_weights,
        )
        self.decoder = CANetDecoder(
            self.encoder.out_channels,
            channels,
            attention_stages=attention_stages,
            blocks=blocks,
            reduction=reduction,
            block=block,
        )
        name = f"canet-{encoder_name}"
        self.complete(name, heads_on(channels, classes), own_encoder=width is not None)
