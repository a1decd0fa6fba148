import pytest

from vidpred.benchmarking.roofline import Peaks, Work, fraction, gb_per_s, gflop_per_s

PEAKS = Peaks(gb_per_s=20.0, gflop_per_s=100.0)


def test_work_bound_by_memory_is_measured_against_the_copy():
    # 1 GB at 20 GB/s takes 50 ms at best; 1 GFLOP would take 10 ms.
    work = Work(bytes=10**9, flops=10**9)
    assert fraction(work, 0.100, PEAKS) == pytest.approx(0.5)


def test_work_bound_by_arithmetic_is_measured_against_the_matrix_product():
    # 10 GFLOP at 100 GFLOP/s take 100 ms at best; 1 GB would take 50 ms.
    work = Work(bytes=10**9, flops=10**10)
    assert fraction(work, 0.125, PEAKS) == pytest.approx(0.8)


def test_data_in_a_cache_can_beat_the_memory():
    assert fraction(Work(bytes=10**9), 0.025, PEAKS) == pytest.approx(2.0)


def test_rates_are_in_billions_a_second():
    work = Work(bytes=3 * 10**9, flops=8 * 10**9)
    assert gb_per_s(work, 2.0) == pytest.approx(1.5)
    assert gflop_per_s(work, 2.0) == pytest.approx(4.0)


def test_work_that_counts_nothing_has_no_rate():
    assert gb_per_s(Work(flops=1), 1.0) is None
    assert gflop_per_s(Work(bytes=1), 1.0) is None
    assert fraction(Work(), 1.0, PEAKS) is None


def test_the_passes_of_an_op_add_up():
    assert Work(bytes=28, flops=1) + Work(bytes=52, flops=2) == Work(bytes=80, flops=3)
