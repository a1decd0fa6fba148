"""Masked convolutions, the decoder built of them, and exact sampling from such decoders."""

from vidpred.nn.masked_conv.decoder import PixelDecoder
from vidpred.nn.masked_conv.layers import MaskedConv2d, MaskedResidualBlock
from vidpred.nn.masked_conv.sampling import PixelSampler, sample

__all__ = ["MaskedConv2d", "MaskedResidualBlock", "PixelDecoder", "PixelSampler", "sample"]
