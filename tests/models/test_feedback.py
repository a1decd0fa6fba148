"""What models that feed their frames back see, with a model simple enough to follow by hand; and what every
model of the registry promises."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from vidpred import create_model, ops
from vidpred.errors import DataError
from vidpred.models.base import VideoModel
from vidpred.models.feedback import FeedbackModel, FeedbackOptions
from vidpred.models.registry import MODELS

Feed = Literal["predictions", "frames", "scheduled"]


class Fading(FeedbackModel):
    """Says of the next frame three quarters of the mean of this one and what it said before."""

    def __init__(self, **options: Any) -> None:
        super().__init__(1, (2, 3), FeedbackOptions(**options))
        self.seen: list[Tensor] = []

    def observe(self, frames: Tensor, memory: Any, last: int = 1) -> tuple[Tensor, Tensor]:
        said = []
        for frame in frames:
            memory = 0.75 * frame if memory is None else 0.375 * (frame + memory)
            said.append(memory)
            self.seen.append(frame)
        return torch.stack(said[-last:]), memory

    def image(self, output: Tensor) -> Tensor:
        return output[-1]

    def after(self, *frames: Tensor) -> Tensor:
        """By hand: the frame after these."""
        said = 0.75 * frames[0]
        for frame in frames[1:]:
            said = 0.375 * (frame + said)
        return said


@pytest.fixture
def frames() -> Tensor:
    return torch.rand(6, 4, 1, 2, 3, generator=torch.Generator().manual_seed(0))  # (T, N, C, H, W)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seen_by(model: Fading, frames: Tensor, context: int, seed: int = 0) -> Tensor:
    """The frames that the model is shown, (T - 1, N, C, H, W)."""
    model.seen.clear()
    model.outputs(frames, context, generator(seed))
    return torch.stack(model.seen)


def test_it_sees_its_own_predictions_after_the_context(frames: Tensor) -> None:
    model = Fading(feed="predictions")
    inputs = list(frames[:2])
    for _ in range(3):
        inputs.append(model.after(*inputs))
    torch.testing.assert_close(seen_by(model, frames, context=2), torch.stack(inputs))
    said = torch.cat(model.outputs(frames, 2, None))
    torch.testing.assert_close(said, torch.stack([model.after(*inputs[:t]) for t in range(2, 6)]))


def test_or_the_true_frames(frames: Tensor) -> None:
    model = Fading(feed="frames")
    assert torch.equal(seen_by(model, frames, context=2), frames[:-1])
    said = torch.cat(model.outputs(frames, 2, None))
    torch.testing.assert_close(said, torch.stack([model.after(*frames[:t]) for t in range(2, 6)]))


def test_or_of_each_sequence_one_of_the_two(frames: Tensor) -> None:
    model = Fading(feed="scheduled")
    model.true_share = 0.5
    seen = seen_by(model, frames, context=2)
    assert torch.equal(seen[:2], frames[:2])
    true = (seen[2:] == frames[2:-1]).flatten(2)
    assert torch.equal(true.any(2), true.all(2))  # whole frames
    assert true.any()
    assert not true.all()
    for t in range(2, 5):
        expected = torch.where((seen[t] == frames[t]), frames[t], model.after(*seen[:t]))
        torch.testing.assert_close(seen[t], expected)


def test_how_often_it_sees_the_truth_is_the_share() -> None:
    model = Fading(feed="scheduled")
    model.true_share = 0.3
    frames = torch.rand(11, 400, 1, 2, 3, generator=generator())
    true = (seen_by(model, frames, context=1)[1:] == frames[1:-1]).all((2, 3, 4)).float()
    assert true.mean().item() == pytest.approx(0.3, abs=0.03)  # 4 standard deviations


@pytest.mark.parametrize(("share", "feed"), [(1.0, "frames"), (0.0, "predictions")])
def test_the_ends_of_the_schedule_are_the_other_two(frames: Tensor, share: float, feed: Feed) -> None:
    model = Fading(feed="scheduled")
    model.true_share = share
    expected = seen_by(Fading(feed=feed), frames, context=2)
    torch.testing.assert_close(seen_by(model, frames, context=2), expected)


def test_the_generator_decides_which(frames: Tensor) -> None:
    model = Fading(feed="scheduled")
    model.true_share = 0.5
    first = seen_by(model, frames, 1, seed=1)
    assert torch.equal(first, seen_by(model, frames, 1, seed=1))
    assert any(not torch.equal(first, seen_by(model, frames, 1, seed=seed)) for seed in (2, 3))


def test_the_share_of_true_frames_falls_from_one_to_zero() -> None:
    model = Fading(feed="scheduled", scheduled_steps=200)
    shares = []
    for step in (0, 50, 100, 200, 1000):
        model.begin_step(step)
        shares.append(model.true_share)
    assert shares == pytest.approx([1, 0.75, 0.5, 0, 0])


@pytest.mark.parametrize("feed", ["frames", "scheduled"])
def test_outside_of_training_it_sees_what_it_predicts(frames: Tensor, feed: Feed) -> None:
    expected = seen_by(Fading(feed="predictions"), frames, context=2)
    model = Fading(feed=feed, learn_context=True).eval()
    torch.testing.assert_close(seen_by(model, frames, context=2), expected)
    assert model.first_learnt(context=2) == 2


def test_the_context_is_learnt_when_asked() -> None:
    assert Fading().first_learnt(context=3) == 3
    assert Fading(learn_context=True).first_learnt(context=3) == 1


@pytest.mark.parametrize("feed", ["frames", "predictions"])
def test_outputs_are_about_the_learnt_frames(frames: Tensor, feed: Feed) -> None:
    said = torch.cat(Fading(feed=feed, learn_context=True).outputs(frames, 3, None))
    assert len(said) == len(frames) - 1
    later = torch.cat(Fading(feed=feed).outputs(frames, 3, None))
    torch.testing.assert_close(later, said[2:])


def test_prediction_feeds_back(frames: Tensor) -> None:
    model = Fading(feed="frames")
    inputs = list(frames[:3])
    for _ in range(4):
        inputs.append(model.after(*inputs))
    predicted = model.predict(frames[:3].transpose(0, 1), 4)
    torch.testing.assert_close(predicted, torch.stack(inputs[3:], 1))
    assert not predicted.requires_grad


def test_frames_of_another_shape_are_refused() -> None:
    model = create_model("convlstm", "tiny", channels=1, size=8)
    sentence = "expects frames of shape (N, T, 1, 8, 8), got (2, 3, 1, 8, 12)"
    for call in (model.loss, lambda frames: model.predict(frames, 1)):
        with pytest.raises(DataError, match=re.escape(sentence)):
            call(torch.zeros(2, 3, 1, 8, 12))
    with pytest.raises(DataError, match="at least 4 frames, got 3"):
        model.loss(torch.zeros(2, 3, 1, 8, 8), context=3)


# What every model promises: on frames that are not square, of two channels, after two frames of context.

SMALL: dict[str, dict[str, Any]] = {
    "activity": {"horizon": 3},
    "convlstm": {"hidden": (4, 3, 3), "kernel_size": 3, "patch": 2, "peephole": "pixel"},
    "flow_autoencoder": {"features": 4, "hidden": 4, "flow_kernel": 3},
    "vpn": {"levels": 3, "block": "multiplicative"},
}


def small(name: str) -> VideoModel:
    torch.manual_seed(0)
    return create_model(name, "tiny", channels=2, size=(8, 16), **SMALL.get(name, {}))


def clips(frames: int = 5) -> Tensor:
    return torch.rand(3, frames, 2, 8, 16, generator=generator())


def given(model: VideoModel) -> int:
    return min(2, model.least_context * 2)  # a bound covers every frame


def labels(model: VideoModel) -> Tensor | None:
    return torch.tensor([[0], [3], [1]]) if model.recognises else None


@pytest.mark.parametrize("name", MODELS)
def test_the_loss_reaches_every_parameter(name: str) -> None:
    model = small(name)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(2):  # what starts at zero hides what comes before it from the first step
        optimizer.zero_grad()
        terms = model.loss(clips(), context=given(model), labels=labels(model), generator=generator())
        terms["loss"].backward()
        optimizer.step()
    assert all(value.isfinite() and value.dim() == 0 for value in terms.values())
    assert not any(value.requires_grad for key, value in terms.items() if key != "loss")
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_frames(name: str, horizon: int) -> None:
    predicted = small(name).eval().predict(clips(2), horizon, generator=generator())
    assert predicted.shape == (3, horizon, 2, 8, 16)
    assert predicted.dtype == torch.float32
    assert predicted.min() >= 0
    assert predicted.max() <= 1
    assert not predicted.requires_grad


@pytest.mark.parametrize("name", MODELS)
def test_autocast_gives_nearly_the_same(name: str) -> None:
    model = small(name)
    expected = model.loss(clips(), context=given(model), labels=labels(model), generator=generator())["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(clips(), context=given(model), labels=labels(model), generator=generator())["loss"]
        predicted = model.predict(clips(2), 2, generator=generator())
    loss.backward()
    torch.testing.assert_close(loss.float(), expected, rtol=0.02, atol=0)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert 0 <= predicted.min() <= predicted.max() <= 1


@pytest.mark.parametrize("name", MODELS)
def test_the_kernels_and_plain_torch_agree(name: str) -> None:
    if ops.backend() != "native":
        pytest.skip("the kernels are not built")
    model = small(name).double()
    found = {}
    for backend in ("native", "reference"):
        with ops.use_backend(backend):
            terms = model.loss(
                clips().double(), context=given(model), labels=labels(model), generator=generator()
            )
            loss = terms["loss"]
            found[backend] = (loss.detach(), *torch.autograd.grad(loss, list(model.parameters())))
    torch.testing.assert_close(found["native"], found["reference"])
