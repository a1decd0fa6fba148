"""Takes a decoder of masked convolutions apart, and makes a program of what depends on the image."""

from __future__ import annotations

from torch import Tensor, fx, nn

from vidpred.errors import ConfigError
from vidpred.nn.masked_conv.assembler import Assembler
from vidpred.nn.masked_conv.layers import MaskedConv2d
from vidpred.ops.pixel_program import PixelProgram


class TracedDecoder:
    """A decoder, taken apart into what depends on the context alone and what depends on the image.

    Raises:
        ConfigError: the decoder cannot be traced, for instance because it branches on values.
    """

    def __init__(self, decoder: nn.Module):
        try:
            self._module = fx.GraphModule(decoder, _Tracer().trace(decoder))
        except Exception as error:  # the tracer raises whatever the decoder does with its proxies
            reason = str(error).split(". ")[0].splitlines()[0]
            raise ConfigError(
                f"cannot sample from {type(decoder).__name__}: it cannot be traced: {reason}"
            ) from error
        nodes = list(self._module.graph.nodes)
        image, *_ = (node for node in nodes if node.op == "placeholder")
        self._of_image: dict[fx.Node, None] = {image: None}
        for node in nodes:
            if any(source in self._of_image for source in node.all_input_nodes):
                self._of_image[node] = None
        self._alone = [node for node in nodes if node not in self._of_image]

    def context_values(self, context: Tensor) -> dict[fx.Node, Tensor]:
        """What depends on `context` alone and meets the image, each (N, C, H, W)."""
        interpreter = fx.Interpreter(self._module, garbage_collect_values=False)
        interpreter.args_iter = iter([context])
        for node in self._alone:
            interpreter.env[node] = interpreter.run_node(node)
        met = [node for node in self._alone if any(user in self._of_image for user in node.users)]
        batch, _, height, width = context.shape
        return {
            node: interpreter.env[node].expand(batch, -1, height, width)
            for node in met
            if isinstance(interpreter.env[node], Tensor)
        }

    def program(self, context_values: dict[fx.Node, Tensor], colors: int) -> PixelProgram:
        """The code for one pixel of an image with so many colors, with the decoder's weights as they are.

        Raises:
            ConfigError: something on the way from image to logits is not per pixel, or a pixel would see
                itself or one that comes later.
        """
        assembler = Assembler(self._module, context_values, colors)
        for node in self._of_image:
            assembler.add(node)
        return assembler.program()


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, MaskedConv2d) or super().is_leaf_module(module, name)
