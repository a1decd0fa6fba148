"""How large a model is, and what one more predicted frame costs: counted, without computing anything."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vidpred import ops
from vidpred.benchmarking.counters import count_flops
from vidpred.config import Config
from vidpred.errors import ConfigError
from vidpred.models.base import VideoModel
from vidpred.models.convttlstm import ConvTTLSTMOptions
from vidpred.models.registry import build
from vidpred.models.vpn import VPNOptions
from vidpred.nn.masked_conv import MaskedConv2d
from vidpred.nn.upsample import TransposedConv2d
from vidpred.viz.table import Table


@dataclass(frozen=True)
class Complexity:
    """What `complexity` counts; each field is a number of the JSON that ``vidpred info MODEL`` writes."""

    model: str
    preset: str
    channels: int
    height: int
    width: int
    parameters: int
    weight_bytes: int
    """Of the parameters, in float32."""
    multiply_adds_per_frame: int
    flops_per_frame: int
    """Twice as many: a multiplication and an addition."""
    su_2020_gflops: float | None
    """What `published_gflops` gives for the networks of seed 002."""


def complexity(settings: Config) -> Complexity:
    """Counts the parameters of a model and what it multiplies to predict one further frame of one sequence.

    The frame is one in the middle of a rollout: the model sees the frame that it predicted before, updates
    its memory, and predicts the next. The context costs extra, once. Of a `vrnn` this is encoder, LSTM, prior
    and decoder, not the posterior; of a `vpn` the blank pass.

    Counted by torch's own counter are convolutions and matrix products, in float32, for all positions of
    "same" padding alike. Products with what is zero by construction are left out: weights under a mask, and
    those that fill the kernels of `TransposedConv2d`. Biases, gates, peepholes and other operations on single
    numbers are not counted, nor is what a `flow_warp` interpolates. A kernel that is stored as a classic
    tensor-train is put together in every step, which is counted.

    No memory is used and nothing computed, so a model of any size takes seconds; and the count is the
    same on all machines.

    Raises:
        ConfigError: a model that does not fit the frames, or a VPN that predicts pixel by pixel.
    """
    if isinstance(settings.model, VPNOptions) and settings.model.decoding != "blank":
        raise ConfigError(
            "the operations of a vpn are counted for model.decoding=blank, its prediction in one pass, "
            f"got '{settings.model.decoding}'"
        )
    with ops.use_backend("reference"), FakeTensorMode():
        model = build(settings).eval().requires_grad_(False)
        flops = _flops_per_frame(model)
    parameters = sum(weights.numel() for weights in model.parameters())
    return Complexity(
        model=settings.name,
        preset=settings.preset,
        channels=settings.channels,
        height=settings.size[0],
        width=settings.size[1],
        parameters=parameters,
        weight_bytes=sum(weights.nbytes for weights in model.parameters()),
        multiply_adds_per_frame=flops // 2,
        flops_per_frame=flops,
        su_2020_gflops=published_gflops(parameters, settings.size) if _is_of_su_2020(settings) else None,
    )


def published_gflops(parameters: int, size: tuple[int, int]) -> float:
    """The "# FLOPs" of table 2 of seed 002, there "the multiplications for one-step prediction per sample".

    Each of its six figures is the printed number of parameters (in millions, to two decimals) times the
    pixels of a frame in units of 1024: 3.97M * 64 * 64 / 1024 = 15.88G, 2.69M * 120 * 120 / 1024 = 37.83G.
    So its G is 1.024e9, and biases, which multiply nothing, are counted.
    """
    return round(round(parameters / 1e6, 2) * math.prod(size) / 1024, 2)


def table(rows: list[Complexity]) -> Table:
    """The numbers of at least one model, all of one preset, as a table, with what they count below it."""
    header = ["model", "frame", "parameters", "weights", "multiply-adds", "FLOPs"]
    cells = [
        [
            row.model,
            f"{row.channels}x{row.height}x{row.width}",
            f"{row.parameters:,}",
            f"{row.weight_bytes / 1e6:.2f} MB",
            _billions(row.multiply_adds_per_frame),
            _billions(row.flops_per_frame),
        ]
        for row in rows
    ]
    notes = [_COUNTED, *map(_as_published, filter(lambda row: row.su_2020_gflops is not None, rows))]
    return Table(f"Complexities, preset {rows[0].preset}", header, cells, "\n".join(notes))


def _billions(count: int) -> str:
    return f"{count / 1e9:#.4g}".rstrip(".") + " G"


def as_plain_data(rows: list[Complexity], skipped: dict[str, str]) -> dict[str, Any]:
    """For JSON: every number of the table, what they count, and why models are missing."""
    return {"counted": _COUNTED, "models": [asdict(row) for row in rows], "skipped": skipped}


_COUNTED = (
    "Operations for one further frame of one sequence in a rollout: one frame seen, one predicted. Counted "
    "are convolutions and matrix products, without biases and without zeros under masks. A multiply-add is 2 "
    "FLOPs; G = 1e9, MB = 1e6 bytes, weights in float32."
)


def _as_published(row: Complexity) -> str:
    product = f"{row.parameters / 1e6:.2f}M parameters x {row.height} x {row.width} pixels / 1024"
    return (
        f"{row.model} as table 2 of Su et al. 2020 counts: {product} = {row.su_2020_gflops:.2f}G, "
        "with 1 FLOP for a multiply-add, biases included, and G = 1.024e9."
    )


def _is_of_su_2020(settings: Config) -> bool:
    """Whether each parameter of the network is used once for every pixel, as the published count has it."""
    options = settings.model
    return isinstance(options, ConvTTLSTMOptions) and options.patch == 1 and options.cell != "convlstm_ttd"


def _flops_per_frame(model: VideoModel) -> int:
    """What a rollout of two frames costs more than one of one frame."""
    zeros = _ZeroProducts(model)
    context = torch.empty(1, 1, model.channels, *model.size)
    labels = torch.tensor([[0]]) if getattr(model.options, "classes", 0) else None

    def counted(horizon: int) -> int:
        zeros.flops = 0
        flops = count_flops(lambda: model.predict(context, horizon, sample=False, labels=labels))
        return flops - zeros.flops

    return counted(2) - counted(1)


class _ZeroProducts:
    """Counts what the layers of a model multiply with zeros that are there by construction.

    Masked convolutions are made plain ones, which cost the same and spare making the masks. The model is of
    no other use afterwards.
    """

    def __init__(self, model: nn.Module) -> None:
        self.flops = 0
        for layer in model.modules():
            if isinstance(layer, MaskedConv2d):
                layer.forward = partial(nn.Conv2d.forward, layer)  # type: ignore[method-assign]
                layer.register_forward_hook(self._adding(_hidden_taps))
            elif isinstance(layer, TransposedConv2d):
                layer.register_forward_hook(self._adding(_filling_taps))

    def _adding(
        self, taps: Callable[[Any, Tensor], int]
    ) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def add(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            self.flops += 2 * taps(layer, inputs[0])

        return add


def _hidden_taps(layer: MaskedConv2d, frames: Tensor) -> int:
    """Products of a plain convolution of `frames` with weights that the mask hides (see `masked_conv2d`)."""
    pairs = layer.out_channels * layer.in_channels
    after_centre = layer.kernel_size[0] ** 2 // 2 * pairs
    # Of the pairs of colors an output's own and those before it are seen: (colors + 1) / 2 of `colors`.
    unseen = layer.colors + 1 if layer.mask == "A" else layer.colors - 1
    return (after_centre + pairs * unseen // (2 * layer.colors)) * frames[:, 0].numel()


def _filling_taps(layer: TransposedConv2d, features: Tensor) -> int:
    """Products of the four phases with the zeros that make their kernels equally large."""
    phases = 4 * len(layer.taps[0]) ** 2 * layer.weight[:, :, 0, 0].numel()
    _, _, height, width = features.shape
    computed = phases * (height + layer.extra) * (width + layer.extra)
    return (computed - layer.weight.numel() * height * width) * len(features)
