"""The sampling suite on a decoder small enough for a test."""

from functools import partial

import pytest
import torch

from vidpred import ops
from vidpred.benchmarking import sampling
from vidpred.benchmarking.roofline import Peaks
from vidpred.benchmarking.rows import Row
from vidpred.nn.masked_conv import PixelDecoder

SMALL = {"channels": 8, "hidden": 4, "blocks": 2, "head": 6}


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(sampling, "PixelDecoder", partial(PixelDecoder, **SMALL))
    case = sampling.Case(batch=2, size=8)
    results = sampling.run_case(case, torch.device("cpu"), Peaks(10.0, 100.0), budget=0.01)
    return {row.variant: row for row in results if isinstance(row, Row)}


def test_every_variant_is_timed_and_compared_with_the_loop_over_pixels(rows):
    assert set(rows) == {"eager", "naive"} | ({"native"} if ops.backend() == "native" else set())
    for row in rows.values():
        assert row.shape == (2, 1, 8, 8)
        assert row.speedup_vs_naive == pytest.approx(rows["naive"].ms / row.ms)
        assert row.frames_per_s == pytest.approx(2000 / row.ms)


@pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")
def test_work_is_that_of_live_taps_and_the_error_that_of_the_logits(rows):
    # Multiplications and additions of a pixel: 7x7 mask A, two blocks of 1x1, 3x3 mask B, 1x1, and the head.
    flops = 2 * (24 * 8 + 2 * (8 * 4 + 5 * 4 * 4 + 4 * 8) + 8 * 6 + 6 * 6 + 6)
    native = rows["native"]
    assert native.gflop_per_s == pytest.approx(2 * 64 * flops / (native.ms * 1e6))
    assert native.fraction_of_roofline == pytest.approx(native.gflop_per_s / 100)
    assert 0 < native.max_error < 1e-5


def test_cases_grow_from_quick_to_whole():
    assert [case.batch for case in sampling.cases(quick=True)] == [1]
    assert [case.batch for case in sampling.cases(quick=False)] == [1, 8]
