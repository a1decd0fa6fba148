import pytest
import torch

from vidpred import ops
from vidpred.benchmarking import machine
from vidpred.benchmarking.roofline import Peaks

CPU = torch.device("cpu")


def test_the_facts_name_all_that_a_time_depends_on():
    facts = machine.facts(CPU, Peaks(12.345, 150.04), "the system's")
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert facts["threads"] == torch.get_num_threads()
    assert facts["memory_gb"] > 0
    assert facts["torch"] == torch.__version__
    assert facts["allocator"] == "the system's"
    assert facts["gpu"] is None
    assert (facts["copy_gb_per_s"], facts["matrix_product_gflop_per_s"]) == (12.35, 150.0)


def test_peaks_are_bytes_and_operations_over_the_time_they_took(monkeypatch):
    monkeypatch.setattr(machine, "stopwatch_for", lambda _: lambda call: call() is None or 0.5)
    monkeypatch.setattr(
        machine, "interleaved_medians", lambda variants, *_, **__: dict.fromkeys(variants, 0.5)
    )
    peaks = machine.measure_peaks(CPU)
    assert peaks.gb_per_s == pytest.approx(2 * 4 * 2**25 / 0.5 / 1e9)
    assert peaks.gflop_per_s == pytest.approx(2 * 2048**3 / 0.5 / 1e9)


def _built(monkeypatch, *, backend="native", reason=None, architectures=()):
    monkeypatch.setattr(ops, "backend", lambda: backend)
    monkeypatch.setattr(ops, "build_info", lambda: {"reason": reason, "cuda_architectures": architectures})


def test_kernels_are_missing_for_the_reason_the_extension_gives(monkeypatch):
    _built(monkeypatch, backend="reference", reason="not built")
    assert machine.why_no_kernels(CPU) == "not built"
    _built(monkeypatch, backend="reference")
    assert machine.why_no_kernels(CPU) == "VIDPRED_BACKEND=reference"


def test_kernels_for_the_cpu_alone_do_not_serve_a_gpu(monkeypatch):
    _built(monkeypatch)
    assert machine.why_no_kernels(CPU) is None
    assert machine.why_no_kernels(torch.device("cuda")) == "no CUDA kernels are compiled in"
    _built(monkeypatch, architectures=["sm_90"])
    assert machine.why_no_kernels(torch.device("cuda")) is None


def test_a_matrix_product_is_measured_in_the_dtype_asked_for(monkeypatch):
    seen = []

    def medians(variants, inputs, *_, **__):
        seen.append(variants["call"](None))
        return {"call": 0.5}

    monkeypatch.setattr(machine, "interleaved_medians", medians)
    assert machine.measure_matrix_product(CPU, torch.bfloat16) == pytest.approx(2 * 2048**3 / 0.5 / 1e9)
    assert (seen[0].dtype, seen[0].shape) == (torch.bfloat16, (2048, 2048))
