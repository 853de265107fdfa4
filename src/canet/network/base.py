"""What all architectures share: the form of their output, their heads and how they begin."""

import math
from collections.abc import Sequence

import torch
from segmentation_models_pytorch.base import SegmentationModel
from torch import nn

from canet.network.attention import ContextAttention

# The share of skeleton pixels in the real data; the heads start by predicting it everywhere.
SKELETON_PRIOR = 0.01


class SkeletonModel(SegmentationModel):
    """An encoder, a decoder that returns features coarse to fine, and a head on each.

    Subclasses set `encoder` and `decoder`, then call `complete`. `auxiliary_heads` are those
    that nothing but their loss needs: where the loss does not weight them, they are not trained.
    """

    def complete(self, name: str, heads: Sequence[nn.Module], own_encoder: bool) -> None:
        """Add the heads, finest first, and initialise all that has no weights from elsewhere.

        He initialisation; residual branches of attention at zero; heads at the prior.
        """
        self.segmentation_head, *auxiliary = heads
        self.auxiliary_heads = nn.ModuleList(auxiliary)
        self.classification_head = None
        self.name = name
        own_parts = [self.decoder, self.segmentation_head, self.auxiliary_heads]
        own_parts += [self.encoder] if own_encoder else []
        for module in (m for part in own_parts for m in part.modules()):
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for attention in self.modules():
            if isinstance(attention, ContextAttention):
                nn.init.zeros_(attention.norm.weight)
        for head in heads:
            begin_at_prior(head)

    def forward(
        self, x: torch.Tensor, auxiliary: bool = False
    ) -> torch.Tensor | list[torch.Tensor]:
        """Logits of the skeleton.

        Args:
            x: (B, in_channels, H, W); H and W divisible by the encoder's output stride.
            auxiliary: also return the coarser heads.

        Returns:
            (B, classes, H, W), or with `auxiliary` a list of it and the logits at 1/2, 1/4, 1/8 …
            of the size, as many as the architecture has.

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


def begin_at_prior(head: nn.Module) -> None:
    """Let a head predict the share of skeleton pixels everywhere at first."""
    nn.init.normal_(head.weight, std=0.01)
    nn.init.constant_(head.bias, math.log(SKELETON_PRIOR / (1 - SKELETON_PRIOR)))


def heads_on(channels: Sequence[int], classes: int) -> list[nn.Module]:
    """A 1×1 convolution for each feature map."""
    return [nn.Conv2d(c, classes, 1) for c in channels]
