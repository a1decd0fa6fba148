import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vidpred import open_dataset
from vidpred.errors import ConfigError, DataError, OutputError
from vidpred.models.base import ModelOptions, VideoModel
from vidpred.models.baselines import Copy
from vidpred.rollout import Rollout, check_format, each_sample, roll_out_sequences, rollout, write_rollout
from vidpred.sequences import Clips, Sequences


class RandomWalk(VideoModel):
    """Predicts half the context's mean plus t / 100, and a shift for each sample and sequence."""

    stochastic = True

    def __init__(self):
        super().__init__(1, (4, 4), ModelOptions())
        self.batches = []

    def predict(self, context, horizon, *, sample=True, labels=None, generator=None):
        self.batches.append(len(context))
        future = (
            context.mean(dim=1, keepdim=True) / 2 + torch.arange(1, horizon + 1).view(1, -1, 1, 1, 1) / 100
        )
        shift = torch.rand(len(context), 1, 1, 1, 1, generator=generator) / 4 if sample else 0
        return future + shift + (0 if labels is None else labels.view(-1, 1, 1, 1, 1) / 10)


@pytest.fixture
def context():
    return torch.rand(3, 5, 1, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def clips(tmp_path):
    frames = np.random.default_rng(2).integers(0, 256, (7, 6, 1, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "clips.npy", frames)
    return Sequences(Clips(tmp_path / "clips.npy"), "clips", {}), frames


def test_samples_differ_and_a_seed_repeats_them(context):
    futures = rollout(RandomWalk(), context, 7, samples=4, seed=3)
    assert futures.shape == (4, 3, 7, 1, 4, 4)
    assert len({float(future[0, 0, 0, 0, 0]) for future in futures}) == 4
    assert torch.equal(futures, rollout(RandomWalk(), context, 7, samples=4, seed=3))
    assert not torch.equal(futures, rollout(RandomWalk(), context, 7, samples=4, seed=4))


def test_a_sample_does_not_depend_on_how_many_are_drawn(context):
    torch.testing.assert_close(
        rollout(RandomWalk(), context, 2, samples=5)[:2], rollout(RandomWalk(), context, 2, samples=2)
    )


def test_batches_have_noise_of_their_own(context):
    first, second = (rollout(RandomWalk(), context, 2, batch=batch) for batch in (0, 1))
    assert not torch.equal(first, second)


def test_deterministic_takes_the_mean_once(context):
    futures = rollout(RandomWalk(), context, 3, samples=5, deterministic=True)
    assert futures.shape == (1, 3, 3, 1, 4, 4)
    torch.testing.assert_close(futures[0, :, 2], context.mean(dim=1) / 2 + 0.03)


def test_a_model_without_chance_predicts_once(context):
    assert rollout(Copy(1, (4, 4)), context, 2, samples=5).shape[0] == 1


def test_labels_reach_the_model(context):
    futures = rollout(RandomWalk(), context, 1, deterministic=True, labels=torch.tensor([[0], [1], [3]]))
    torch.testing.assert_close(
        futures[0, :, 0, 0, 0, 0] - context[:, :, 0, 0, 0].mean(dim=1) / 2, torch.tensor([0.01, 0.11, 0.31])
    )


def test_gradients_go_on_outside_between_two_samples(context):
    futures = each_sample(RandomWalk(), context, 1, samples=2)
    next(futures)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("wrong", [{"horizon": 0}, {"horizon": -3}, {"horizon": 2, "samples": 0}])
def test_counts_must_be_positive(context, wrong):
    with pytest.raises(ConfigError, match="must be at least 1, got"):
        rollout(RandomWalk(), context, **wrong)


def test_sequences_are_rolled_out_in_batches(clips):
    sequences, frames = clips
    model = RandomWalk()
    result = roll_out_sequences(model, sequences, range(1, 7), 4, 9, deterministic=True, batch=4, quiet=True)
    assert model.batches == [4, 2]
    np.testing.assert_array_equal(result.context, frames[1:, :4])
    np.testing.assert_array_equal(result.truth, frames[1:, 4:])  # two frames are known, nine predicted
    expected = frames[1:, None, :4].mean(axis=2) / 2 + 255 * np.arange(1, 10).reshape(9, 1, 1, 1) / 100
    np.testing.assert_allclose(result.predicted[0], np.clip(expected, 0, 255), atol=0.5001)


def test_no_ground_truth_is_needed(clips):
    result = roll_out_sequences(RandomWalk(), clips[0], [0], 6, 3, samples=2, quiet=True)
    assert result.truth.shape == (1, 0, 1, 4, 4)
    assert result.predicted.shape == (2, 1, 3, 1, 4, 4)


def test_truth_beyond_the_horizon_is_left_out(clips):
    sequences, frames = clips
    result = roll_out_sequences(RandomWalk(), sequences, [0], 2, 3, quiet=True)
    np.testing.assert_array_equal(result.truth, frames[:1, 2:5])


def test_every_batch_gets_noise_of_its_own(clips):
    result = roll_out_sequences(RandomWalk(), clips[0], [0, 0], 2, 1, batch=1, quiet=True)
    assert not np.array_equal(result.predicted[0, 0], result.predicted[0, 1])


def test_a_context_longer_than_the_sequence_and_frames_of_another_size_are_refused(clips):
    with pytest.raises(
        DataError, match="a context of 7 frames does not fit into the sequences of clips, which have 6"
    ):
        roll_out_sequences(RandomWalk(), clips[0], [0], 7, 1, quiet=True)
    with pytest.raises(DataError, match="expects frames of 1 channel, 4x8, but those of clips are"):
        roll_out_sequences(Copy(1, (4, 8)), clips[0], [0], 2, 1, quiet=True)


@pytest.fixture
def result():
    generator = np.random.default_rng(0)
    shapes = [(2, 3, 1, 4, 4), (3, 2, 5, 1, 4, 4), (2, 4, 1, 4, 4)]
    return Rollout(*(generator.integers(0, 256, shape, dtype=np.uint8) for shape in shapes))


def test_npy_holds_the_predicted_frames(tmp_path, result):
    write_rollout(result, tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), result.predicted)


def test_h5_is_a_data_file_of_context_and_prediction(tmp_path, result):
    write_rollout(result, tmp_path / "x.h5", settings={"run": "r"}, seed=4, sources={"test/frames": "00"})
    with open_dataset(tmp_path / "x.h5") as file:
        frames = file["test"].frames[()].reshape(3, 2, 3 + 5, 1, 4, 4)
        attributes = file.attributes
    for sample in range(3):
        np.testing.assert_array_equal(frames[sample, :, :3], result.context)
        np.testing.assert_array_equal(frames[sample, :, 3:], result.predicted[sample])
    assert attributes["config"] == {"run": "r"}
    assert attributes["sources"] == {"test/frames": "00"}
    assert attributes["seed"] == 4


def test_pictures_are_chosen_by_the_name(tmp_path, result):
    write_rollout(result, tmp_path / "x.gif")
    write_rollout(result, tmp_path / "x.PNG", every=5)
    write_rollout(result, tmp_path / "all.png", every=1)
    with Image.open(tmp_path / "x.gif") as gif, Image.open(tmp_path / "x.PNG") as png:
        assert (gif.format, gif.n_frames, png.format) == ("GIF", 8, "PNG")
        few = png.width
    with Image.open(tmp_path / "all.png") as png:
        assert png.width > few


def test_another_ending_is_refused_before_any_work(tmp_path, result):
    for name in ("x.mp5", "x"):
        with pytest.raises(
            ConfigError,
            match=r"expected a name that ends in \.gif, \.mp4, \.png, \.mid, \.midi, \.h5 or \.npy",
        ):
            check_format(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot tell"):
        write_rollout(result, tmp_path / "x.avi")


@pytest.mark.parametrize("ending", ["gif", "png", "h5", "npy"])
def test_what_cannot_be_written_is_an_output_error(tmp_path, result, ending):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_rollout(result, tmp_path / "file" / f"x.{ending}")


def test_a_video_cannot_be_written_without_pyav(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    check_format(Path("x.gif"))
    with pytest.raises(ConfigError, match=r"pip install 'vidpred\[video\]'"):
        check_format(Path("x.mp4"))
