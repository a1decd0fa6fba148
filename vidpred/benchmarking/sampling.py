"""The sampling suite: a frame drawn from the decoder of the Video Pixel Network at its paper's size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidpred import ops
from vidpred.benchmarking.machine import why_no_kernels
from vidpred.benchmarking.roofline import Peaks, Work, fraction, gflop_per_s
from vidpred.benchmarking.rows import Row, Skipped, speedups
from vidpred.benchmarking.timer import interleaved_timings, stopwatch_for
from vidpred.nn.masked_conv import PixelDecoder, PixelSampler
from vidpred.ops.pixel_program import Operation, PixelProgram

NAIVE = (
    "naive runs the decoder once for each pixel: one pass is timed and multiplied by the number of pixels; "
    "no variant counts the convolution of the context, which is computed once"
)
"""How the naive time comes about, for reports."""

RESULTS_OF_A_CASE = 3
"""How many rows and skipped variants `run_case` yields."""


@dataclass(frozen=True)
class Case:
    """Frames drawn together."""

    batch: int
    size: int


def cases(quick: bool) -> list[Case]:
    """Frames of 64x64, one and eight at a time; one of 32x32 when `quick`."""
    return [Case(1, 32)] if quick else [Case(1, 64), Case(8, 64)]


@torch.no_grad()
def run_case(case: Case, device: torch.device, peaks: Peaks, *, budget: float) -> Iterator[Row | Skipped]:
    """Yields the rows of one case.

    Variants: ``native`` and ``eager`` are `PixelSampler` on the kernels and on plain torch; for ``naive``
    see `NAIVE`. The fraction is of the matrix-product rate, for the products of live taps. The error is that
    of the logits, against one pass of the decoder over the frame that came out, in float64.

    Args:
        case: what to draw.
        device: where.
        peaks: rates of the machine.
        budget: seconds of timing.
    """
    torch.manual_seed(0)
    decoder = PixelDecoder().to(device)
    context = decoder.of_context(torch.randn(case.batch, 256, case.size, case.size, device=device))
    decoder.of_context = nn.Identity()  # the context is what its convolution made of it
    noise = torch.rand(case.batch, 1, case.size, case.size, device=device)
    sampler = PixelSampler(decoder)
    variants: dict[str, Callable[[Tensor], object]] = {}
    if reason := why_no_kernels(device):
        yield Skipped("VPN decoder", "native", reason)
    else:
        variants["native"] = lambda given: sampler.with_logits(context, given)
    variants |= {"eager": _on_plain_torch(sampler, context), "naive": lambda image: decoder(image, context)}
    timings = interleaved_timings(variants, [noise], stopwatch_for(device), budget=budget, least=3)
    timings["naive"] = timings["naive"].times(case.size**2)
    seconds = {variant: timing.median for variant, timing in timings.items()}

    image, logits = sampler.with_logits(context, noise)
    exact = decoder.double()(image.double(), context.double())
    error = (logits - exact).abs().max().item()
    program = sampler.program
    assert program is not None
    work = Work(flops=case.batch * case.size**2 * _flops_of_pixel(program))
    vs_eager, vs_naive = speedups(seconds, "eager"), speedups(seconds, "naive")
    for variant, time in seconds.items():
        yield Row(
            name="VPN decoder, paper",
            stage="frame",
            shape=tuple(noise.shape),
            dtype="float32",
            device=device.type,
            variant=variant,
            ms=time * 1e3,
            ms_low=timings[variant].low * 1e3,
            ms_high=timings[variant].high * 1e3,
            gflop_per_s=gflop_per_s(work, time),
            fraction_of_roofline=fraction(work, time, peaks),
            speedup_vs_eager=vs_eager[variant],
            speedup_vs_naive=vs_naive[variant],
            max_error=error if variant == "native" else None,
            frames_per_s=case.batch / time,
        )


def _on_plain_torch(sampler: PixelSampler, context: Tensor) -> Callable[[Tensor], object]:
    def draw(noise: Tensor) -> object:
        with ops.use_backend("reference"):
            return sampler.with_logits(context, noise)

    return draw


def _flops_of_pixel(program: PixelProgram) -> int:
    products = (
        line.taps * line.in_channels * line.channels
        for line in program.main
        if line.operation is Operation.CONVOLVE
    )
    return 2 * sum(products)
