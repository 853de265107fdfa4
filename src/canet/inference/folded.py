"""Networks for prediction alone."""

from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from canet.network.attention import ContextAttention


def folded(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose convolutions do the normalisation that follows them.

    The same function but for rounding, without a pass through memory for each normalisation.
    """
    network = deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for (first, _), (second, _) in pairwise(list(module.named_children())):
                _fold(module, first, second)
        elif isinstance(module, ContextAttention):
            _fold(module, "project", "norm")
    return network.to(memory_format=torch.channels_last)


def _fold(module: nn.Module, first: str, second: str) -> None:
    convolution, norm = getattr(module, first), getattr(module, second)
    if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        setattr(module, first, fuse_conv_bn_eval(convolution, norm))
        setattr(module, second, nn.Identity())
