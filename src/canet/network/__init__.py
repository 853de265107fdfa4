"""CANet as a `segmentation_models_pytorch` model: encoder, context attention, decoder."""

from canet.network.attention import ContextAttention
from canet.network.blocks import ResBlock
from canet.network.decoder import CANetDecoder
from canet.network.encoder import ResBlockEncoder, register_resblock_encoder
from canet.network.model import CANet

__all__ = [
    "CANet",
    "CANetDecoder",
    "ContextAttention",
    "ResBlock",
    "ResBlockEncoder",
    "register_resblock_encoder",
]
