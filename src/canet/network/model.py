"""CANet (Huang et al., 2022) as a segmentation model of smp."""

import math
from collections.abc import Sequence

import torch
from segmentation_models_pytorch.base import SegmentationModel
from segmentation_models_pytorch.base.hub_mixin import supports_config_loading
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn

from canet.network.attention import ContextAttention
from canet.network.decoder import CANetDecoder
from canet.network.encoder import NAME, STAGES, register_resblock_encoder

# The share of skeleton pixels in the real data; the heads start by predicting it everywhere.
SKELETON_PRIOR = 0.01


class CANet(SegmentationModel):
    """U-Net with ResBlocks and context attention (paper, section 3.1, figure 2).

    Built readings of what the paper leaves open:
    - 3 ResBlocks in each encoder and each decoder stage; widths 64 to 1024 like U-Net.
    - "Context attention at stages 3–5 of the network": after the ResBlocks of encoder stages 3,
      4, 5 and of the decoder stages at the same resolutions (4 and 3; stage 5 is the turn).
      Encoders of smp or timm stay as they are: with them only the decoder attends.
    - The figure's caption puts the 1×1 convolution "at the end of the encoder stage"; section 3.3
      says "from each stage of the decoder", which is built: one 1×1 head a decoder stage. The
      finest is the output, the others serve the auxiliary losses.

    With `resblock64` it has 96 M parameters and 279 GFLOP for a 256×256 image.

    Args:
        encoder_name: `resblock<width>` or any encoder of smp, `tu-<name>` for timm's.
        encoder_depth: number of halvings; None for 4 (ResBlock encoder) or 5 (others).
        encoder_weights: passed to smp; None trains from scratch and downloads nothing.
        decoder_channels: of the decoder's stages, fine to coarse; None doubles from the
            encoder's width (64 for foreign encoders) at every stage.
        attention_stages: 1-based, by resolution from the full size.
        blocks: ResBlocks a stage.
        reduction: of the context attention's inner channels.
        in_channels: of the input.
        classes: of the output.

    Source: paper, sections 3.1 and 3.3.
    """

    @supports_config_loading
    def __init__(
        self,
        encoder_name: str = "resblock64",
        encoder_depth: int | None = None,
        encoder_weights: str | None = None,
        decoder_channels: Sequence[int] | None = None,
        attention_stages: Sequence[int] = (3, 4, 5),
        blocks: int = 3,
        reduction: int = 16,
        in_channels: int = 1,
        classes: int = 1,
    ):
        super().__init__()
        register_resblock_encoder(
            encoder_name,
            blocks=blocks,
            attention_stages=tuple(attention_stages),
            reduction=reduction,
        )
        own = NAME.fullmatch(encoder_name)
        depth = encoder_depth or (STAGES - 1 if own else 5)
        width = int(own.group(1)) if own else 64
        channels = list(decoder_channels or (width * 2**i for i in range(depth)))
        self.encoder = get_encoder(
            encoder_name, in_channels=in_channels, depth=depth, weights=encoder_weights
        )
        self.decoder = CANetDecoder(
            self.encoder.out_channels, channels, attention_stages, blocks, reduction
        )
        self.segmentation_head = nn.Conv2d(channels[0], classes, 1)
        self.auxiliary_heads = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels[1:])
        self.classification_head = None
        self.name = f"canet-{encoder_name}"
        self.initialize()

    def initialize(self) -> None:
        """He initialisation; residual branches of attention at zero; heads at the prior."""
        own_parts = [self.decoder, self.segmentation_head, self.auxiliary_heads]
        own_parts += [self.encoder] if NAME.fullmatch(self.name.removeprefix("canet-")) else []
        for module in (m for part in own_parts for m in part.modules()):
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for attention in self.modules():
            if isinstance(attention, ContextAttention):
                nn.init.zeros_(attention.norm.weight)
        bias = math.log(SKELETON_PRIOR / (1 - SKELETON_PRIOR))
        for head in [self.segmentation_head, *self.auxiliary_heads]:
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias, bias)

    def forward(
        self, x: torch.Tensor, auxiliary: bool = False
    ) -> torch.Tensor | list[torch.Tensor]:
        """Logits of the skeleton.

        Args:
            x: (B, in_channels, H, W); H and W divisible by the encoder's output stride.
            auxiliary: also return the coarser heads.

        Returns:
            (B, classes, H, W), or with `auxiliary` a list of it and the logits at 1/2, 1/4, 1/8 …

        Raises:
            RuntimeError: H or W is not divisible; the message names the size to pad to.
        """
        if not torch.compiler.is_compiling():
            self.check_input_shape(x)
        *coarse, finest = self.decoder(self.encoder(x))
        logits = self.segmentation_head(finest)
        if not auxiliary:
            return logits
        return [logits] + [head(f) for head, f in zip(self.auxiliary_heads, reversed(coarse))]
