from contextlib import nullcontext

import pytest
import torch

from vidpred import ops
from vidpred.benchmarking import models
from vidpred.benchmarking.roofline import Peaks
from vidpred.benchmarking.rows import Skipped
from vidpred.errors import ConfigError
from vidpred.models.registry import MODELS

PEAKS = Peaks(gb_per_s=20.0, gflop_per_s=100.0)
CPU = torch.device("cpu")


class Product(torch.nn.Module):
    """A model of known work: (32, 10, 16) @ (16, 8) in a rollout."""

    channels, size = 1, (4, 4)
    recognises = False

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(16, 8))

    def predict(self, context, horizon):
        return context.flatten(2) @ self.weight

    def loss(self, frames, context, labels=None):
        return {"loss": self.predict(frames, 1).sum()}


@pytest.fixture
def product(monkeypatch):
    """Puts one matrix product in the place of every model."""
    monkeypatch.setattr(models, "create_model", lambda *_, **__: Product())


@pytest.fixture
def one_thread():
    """Threads that wait for each other are slow where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def timed(monkeypatch):
    """Replaces the timer: every variant is called once and takes a second. Returns the backends asked for."""
    asked = []

    def medians(variants, inputs, *_, **__):
        for variant in variants.values():
            variant(inputs[0])
        return dict.fromkeys(variants, 1.0)

    monkeypatch.setattr(models, "interleaved_medians", medians)
    monkeypatch.setattr(models, "why_no_kernels", lambda _: None)
    monkeypatch.setattr(ops, "use_backend", lambda name: nullcontext(asked.append(name)))
    return asked


def _rows(case):
    return list(models.run_case(case, CPU, PEAKS, budget=0.0))


def test_every_registered_model_is_measured_at_both_presets_for_cpus():
    alike = [case for case in models.cases(quick=False) if case.size is None]
    assert {(case.model, case.preset) for case in alike} == {
        (model, preset) for model in MODELS for preset in ("tiny", "small")
    }
    assert {case.preset for case in models.cases(quick=True)} == {"tiny"}
    assert models.cases(quick=False)[-1].models == ("convlstm12", "convttlstm")


@pytest.mark.usefixtures("one_thread", "timed")
def test_a_step_counts_the_frames_of_the_batch_and_a_rollout_those_it_predicts():
    rows = _rows(models.Case("vrnn", "tiny"))
    assert [(row.stage, row.variant) for row in rows] == [
        ("training step", "native"),
        ("training step", "eager"),
        ("rollout", "native"),
        ("rollout", "eager"),
    ]
    # The preset's batch of 32 sequences of 20 frames; 10 predicted from 10. Each took a second.
    assert rows[0].shape == (32, 20, 1, 32, 32)
    assert rows[0].frames_per_s == 32 * 20
    assert rows[2].shape == (32, 10, 1, 32, 32)
    assert rows[2].frames_per_s == 32 * 10


@pytest.mark.usefixtures("product")
def test_each_variant_runs_on_its_backend(timed):
    _rows(models.Case("rnn", "tiny"))
    assert timed == ["native", "reference"] * 4  # of each stage the memory, then the time


@pytest.mark.usefixtures("product", "timed")
def test_operations_are_those_of_the_matrix_products():
    rollout = _rows(models.Case("rnn", "tiny"))[-1]
    assert rollout.gflop_per_s == pytest.approx(2 * 32 * 10 * 16 * 8 / 1e9)
    assert rollout.fraction_of_roofline == pytest.approx(rollout.gflop_per_s / PEAKS.gflop_per_s)


@pytest.mark.usefixtures("product", "timed")
def test_without_the_extension_only_plain_torch_is_timed(monkeypatch):
    monkeypatch.setattr(models, "why_no_kernels", lambda _: "not built")
    results = _rows(models.Case("rnn", "tiny"))
    assert [result.variant for result in results] == ["native", "eager"] * 2
    assert [isinstance(result, Skipped) for result in results] == [True, False] * 2


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["flow_autoencoder", "convttlstm"])
def test_the_naive_variant_sees_frame_after_frame_and_gives_the_same(name):
    lengths = []

    class Watched(models.MODELS[name]):
        def observe(self, seen, *given, **named):
            lengths.append(len(seen))
            return super().observe(seen, *given, **named)

    model = models.create_model(name, "tiny", size=32)
    model.__class__ = Watched
    frames = torch.rand(2, 5, 1, 32, 32)
    expected = model.loss(frames, 3)["loss"]
    assert max(lengths) == 3
    lengths.clear()
    found = models._one_by_one(model, lambda model: lambda frames: model.loss(frames, 3)["loss"])(frames)
    assert set(lengths) == {1}
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("timed", "one_thread")
def test_a_case_may_have_frames_and_batches_of_its_own():
    rows = _rows(models.Case("rnn", "tiny", size=16, batch=2))
    assert {row.shape for row in rows} == {(2, 20, 1, 16, 16), (2, 10, 1, 16, 16)}


def test_some_models_can_be_chosen():
    chosen = models.cases(quick=False, only=["convttlstm", "rnn"])
    assert [(case.model, case.preset) for case in chosen] == [
        ("convttlstm", "tiny"),
        ("rnn", "tiny"),
        ("convttlstm", "small"),
        ("rnn", "small"),
        ("convttlstm", "paper"),
    ]
    assert chosen[-1].rivals == ()
    with pytest.raises(ConfigError, match="model 'rn'"):
        models.cases(quick=False, only=["rn"])


@pytest.mark.usefixtures("product")
def test_rivals_take_turns(monkeypatch):
    together = []

    def medians(variants, *_, **__):
        together.append(list(variants))
        return {key: 1.0 + number for number, key in enumerate(variants)}

    monkeypatch.setattr(models, "interleaved_medians", medians)
    monkeypatch.setattr(models, "why_no_kernels", lambda _: None)
    case = models.Case("rnn", "tiny", rivals=("vrnn",))
    rows = _rows(case)
    pairs = [(model, variant) for model in ("rnn", "vrnn") for variant in ("native", "eager")]
    assert together == [pairs, pairs]
    assert [(row.name, row.variant, row.ms) for row in rows[:4]] == [
        (f"{model} tiny", variant, 1e3 + 1e3 * number) for number, (model, variant) in enumerate(pairs)
    ]
    assert [row.speedup_vs_eager for row in rows[:4]] == [2 / 1, 1, 4 / 3, 1]
    assert models.results_of(case) == len(rows) == 8


def test_models_that_see_frames_one_by_one_have_a_naive_variant():
    assert models.results_of(models.Case("convlstm", "tiny")) == 6
    assert models.results_of(models.Case("vrnn", "tiny")) == 4
