"""The architectures that a recipe can name, all of them `segmentation_models_pytorch` models.

Each returns logits; with `auxiliary=True` a list of them, the output first, then coarser ones or
those of single stages. At width 64, or as published, for one 256×256 image of one channel:

| `model.architecture` | class | parameters, M | GFLOP | halvings |
|---|---|---|---|---|
| `canet` (paper) | `CANet` | 95.9 | 278.6 | 4 |
| the same, attention at 1–5 | `CANet` | 95.9 | 571.5 | 4 |
| the same, no attention (U-Net + ResBlock) | `CANet` | 95.3 | 275.5 | 4 |
| `unet` | `CANet` | 31.0 | 96.2 | 4 |
| `panichev_unet` (width 32) | `PanichevUNet` | 7.8 | 27.8 | 4 |
| `nguyen_unet` | `NguyenUNet` | 68.8 | 168.7 | 4 |
| `side_outputs` (VGG-16) | `SideOutputs` | 14.7 | 40.0 | 4 |
| `pix2pix` (generator) | `Pix2Pix` | 16.7 | 10.8 | 5 |

The discriminator that pix2pix learns against has 2.8 M and 6.3 GFLOP more (`earlier.adversary`).
"""

from canet.network.attention import ContextAttention
from canet.network.base import SkeletonModel
from canet.network.blocks import DoubleConv, ResBlock
from canet.network.build import build_model, build_network, from_pretrained
from canet.network.canet import CANet
from canet.network.decoder import CANetDecoder
from canet.network.earlier.nguyen import NguyenUNet
from canet.network.earlier.panichev import PanichevUNet
from canet.network.earlier.pix2pix import Pix2Pix
from canet.network.earlier.side_outputs import SideOutputs
from canet.network.encoder import ResBlockEncoder, register_resblock_encoder, width_of

__all__ = [
    "CANet",
    "CANetDecoder",
    "ContextAttention",
    "DoubleConv",
    "NguyenUNet",
    "PanichevUNet",
    "Pix2Pix",
    "ResBlock",
    "ResBlockEncoder",
    "SideOutputs",
    "SkeletonModel",
    "build_model",
    "build_network",
    "from_pretrained",
    "register_resblock_encoder",
    "width_of",
]
