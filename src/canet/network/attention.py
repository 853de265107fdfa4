"""Context attention: where else in the image to look, then which channels to trust."""

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

# Fused attention kernels want the inner dimension to be a multiple of 8; a 1/16 of a narrow
# stage would fall below and send a 256×256 stage to the kernel with quadratic memory.
SMALLEST_INNER_CHANNELS = 8


class ContextAttention(nn.Module):
    """Non-local spatial attention followed by channel attention, (B, C, H, W) → the same.

    y = ReLU(x + BN(W·softmax(QKᵀ)V)),  out = y · sigmoid(FC(ReLU(FC(mean y)))).

    The paper's figure 3 is not in its text. Read from section 3.1: "the long-range space
    dependence is captured by matrix multiplication. Then we use channel attention to reassign
    channel weight. ReLU function is added to increase the nonlinear of the model. … the number
    of channels in the middle convolutional layer is reduced to 1/16". Built as: queries, keys
    and values of C/16 channels (Wang et al., "Non-local Neural Networks", 2018, embedded
    Gaussian, here with the 1/√d of scaled dot products), a residual sum whose normalisation
    starts at zero (ibid., section 4.1) so that the block begins as the identity, ReLU after the
    sum, then squeeze-and-excitation (Hu et al., 2018) with the same reduction.

    Args:
        channels: C.
        reduction: the inner layers have C / reduction channels, at least 8.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        inner = max(channels // reduction, SMALLEST_INNER_CHANNELS)
        self.query_key_value = nn.Conv2d(channels, 3 * inner, 1)
        self.project = nn.Conv2d(inner, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.channel_gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, _, h, w = x.shape
        # kernels without quadratic memory want the channels side by side; channels_last has them so
        qkv = self.query_key_value(x).flatten(2).transpose(1, 2).contiguous()  # (B, HW, 3d)
        q, k, v = (t.unsqueeze(1) for t in qkv.chunk(3, dim=-1))  # each (B, 1, HW, d)
        context = attend(q, k, v, backward=self.training)  # (B, 1, HW, d)
        context = context.squeeze(1).transpose(1, 2).reshape(b, -1, h, w)  # (B, d, H, W)
        y = self.relu(x + self.norm(self.project(context)))
        return y * self.channel_gate(y)


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, backward: bool
) -> torch.Tensor:
    """softmax(QKᵀ/√d)V, each (B, 1, N, d).

    On a CPU the backward pass is slower in bfloat16 than in float32, the forward pass faster
    (docs/experiments/speed.md), so it is computed in float32 where both are needed.
    """
    if not backward or query.device.type != "cpu":
        return scaled_dot_product_attention(query, key, value)
    with torch.autocast("cpu", enabled=False):
        context = scaled_dot_product_attention(query.float(), key.float(), value.float())
    return context.to(query.dtype)


def context_attention(channels: int, wanted: bool, reduction: int = 16) -> nn.Module:
    """Context attention where a stage wants it, the identity elsewhere."""
    return ContextAttention(channels, reduction) if wanted else nn.Identity()
