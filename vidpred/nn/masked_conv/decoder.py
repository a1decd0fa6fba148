"""The PixelCNN decoder of the Video Pixel Network (seed 001, sec. 3.2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidpred.nn.blocks import BlockKind, make_block
from vidpred.nn.masked_conv.layers import MaskedConv2d, masked_conv


class PixelDecoder(nn.Module):
    """From an image and what is known beforehand to the logits of every pixel given those before it.

    A mask A lets the pixel's predecessors in; the context is seen whole. The defaults are the paper's.

    Args:
        context_channels: channels of the context, such as the hidden states of a ConvLSTM.
        colors: channels of the image.
        levels: values of a color to choose from, evenly spaced in [0, 1]; 1 for a Bernoulli logit.
        channels: channels between the blocks, a multiple of `colors`; so are the others.
        hidden: channels within a block.
        blocks: how many residual blocks.
        block: ``"residual"``, with ReLU, or ``"multiplicative"``, with gates.
        head: channels of the two layers after the blocks.
        kernel_size: of the first layer.
    """

    def __init__(
        self,
        context_channels: int = 256,
        *,
        colors: int = 1,
        levels: int = 1,
        channels: int = 256,
        hidden: int = 128,
        blocks: int = 24,
        block: BlockKind = "residual",
        head: int = 768,
        kernel_size: int = 7,
    ):
        super().__init__()
        self.of_context: nn.Module = nn.Conv2d(
            context_channels, channels, kernel_size, padding=kernel_size // 2
        )
        self.of_image = MaskedConv2d(colors, channels, kernel_size, "A", colors=colors, bias=False)
        self.blocks = nn.Sequential(
            *(make_block(block, channels, hidden, conv=masked_conv(colors)) for _ in range(blocks))
        )
        self.head = nn.Sequential(
            nn.ReLU(),
            MaskedConv2d(channels, head, 1, "B", colors=colors),
            nn.ReLU(),
            MaskedConv2d(head, head, 1, "B", colors=colors),
            nn.ReLU(),
            MaskedConv2d(head, colors * levels, 1, "B", colors=colors),
        )

    def forward(self, image: Tensor, context: Tensor) -> Tensor:
        """Logits (N, colors * levels, H, W) from image (N, colors, H, W) and context (N, C, H, W)."""
        return self.join(image, self.see_context(context))

    def see_context(self, context: Tensor) -> Tensor:
        """What the first layer makes of the context, (N, channels, H, W)."""
        # The layout in which masked convolutions on a CPU need no copy of their input; a sum keeps it.
        seen: Tensor = self.of_context(context).contiguous(memory_format=torch.channels_last)
        return seen

    def join(self, image: Tensor, seen: Tensor) -> Tensor:
        """Logits from the image and what `see_context` gave, so that several images can share it."""
        logits: Tensor = self.head(self.blocks(seen + self.of_image(image)))
        return logits
