"""The project's own encoder, registered with smp's encoders as `resblock<width>`."""

import re
from collections.abc import Collection

import torch
from segmentation_models_pytorch.encoders import encoders
from segmentation_models_pytorch.encoders._base import EncoderMixin
from torch import nn

from canet.network.attention import context_attention
from canet.network.blocks import stage_of

STAGES = 5
NAME = re.compile(r"resblock([1-9]\d*)")


class ResBlockEncoder(nn.Module, EncoderMixin):
    """Five stages of blocks, some ending in context attention, with max pooling between.

    (B, in_channels, H, W) → features of `width`, 2·, 4·, 8· and 16·`width` channels at 1, 1/2,
    1/4, 1/8 and 1/16 of the size. Unlike most smp encoders the first feature is a real one at
    full size, so five stages are depth 4 in smp's count.

    Args:
        width: channels of the first stage; 64 in the U-Net, the paper does not tell its own.
        blocks: of a stage; 3 in the paper.
        attention_stages: 1-based stages with context attention; 3 to 5 in the paper.
        reduction: of context attention's inner channels; 16 in the paper.
        depth: number of poolings, 4 at most.
        output_stride: given by smp; only the undilated 2**depth exists here.
        block: `residual`, or `double` for the encoder of U-Net, see `blocks`.

    Source: paper, section 3.1, figure 2.
    """

    def __init__(
        self,
        width: int,
        *,
        blocks: int = 3,
        attention_stages: Collection[int] = (3, 4, 5),
        reduction: int = 16,
        depth: int = STAGES - 1,
        output_stride: int = 32,
        block: str = "residual",
    ):
        super().__init__()
        if not 1 <= depth <= STAGES - 1:
            raise ValueError(f"depth is {depth}; a ResBlock encoder has between 1 and {STAGES - 1}")
        self._depth, self._in_channels, self._output_stride = depth, 3, output_stride
        self._out_channels = [width * 2**i for i in range(depth + 1)]
        self._block = block
        inputs = [3] + self._out_channels[:-1]
        self.stages = nn.ModuleList(
            stage_of(block, a, b, count=blocks) for a, b in zip(inputs, self._out_channels)
        )
        self.attention = nn.ModuleList(
            context_attention(c, i in attention_stages, reduction)
            for i, c in enumerate(self._out_channels, start=1)
        )
        self.pool = nn.MaxPool2d(2)

    def set_in_channels(self, in_channels: int, pretrained: bool = False) -> None:
        """Rebuild the first block for `in_channels`: there are no weights to carry over."""
        first = self.stages[0]
        self._in_channels = in_channels
        width = self._out_channels[0]
        self.stages[0] = stage_of(self._block, in_channels, width, count=len(first))

    def get_stages(self) -> dict[int, list[nn.Module]]:
        """The stages by stride, as smp's interface asks."""
        return {2**i: [stage] for i, stage in enumerate(self.stages)}

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for i, (stage, attend) in enumerate(zip(self.stages, self.attention)):
            x = attend(stage(self.pool(x) if i else x))
            features.append(x)
        return features


def width_of(name: str) -> int | None:
    """The width that an encoder's name tells, as `resblock64` does; None of any other encoder."""
    match = NAME.fullmatch(name)
    return int(match.group(1)) if match else None


def required_width(name: str) -> int:
    """`width_of` for networks that have an encoder of their own.

    Raises:
        ValueError: it is the name of another encoder.
    """
    width = width_of(name)
    if width is None:
        raise ValueError("this architecture has its own encoder and takes only the width")
    return width


def register_resblock_encoder(name: str, **arguments) -> None:
    """Make `resblock<width>` known to `smp.encoders.get_encoder`; other names are left alone.

    smp's registry holds constructor arguments by name, so a width is a name.

    Args:
        name: of the encoder.
        arguments: `blocks`, `block`, `attention_stages`, `reduction` of `ResBlockEncoder`.
    """
    width = width_of(name)
    if width:
        encoders[name] = {
            "encoder": ResBlockEncoder,
            "pretrained_settings": {},
            "params": {"width": width, **arguments},
        }


for _width in (8, 16, 32, 64):
    register_resblock_encoder(f"resblock{_width}")
