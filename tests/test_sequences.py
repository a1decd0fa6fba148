from pathlib import Path

import numpy as np
import pytest
import torch

from vidpred.config import DataConfig
from vidpred.data.hdf5 import create_dataset
from vidpred.errors import ConfigError, DataError
from vidpred.models.baselines import Copy
from vidpred.sequences import mean_training_frame, open_sequences, open_video, require_positive

ON_THE_FLY = DataConfig(size=32, digit_size=16, frames=5, train=3, val=7)


@pytest.fixture
def frames():
    generator = np.random.default_rng(0)
    return {
        split: generator.integers(0, 256, (9, 6, 1, 8, 10), dtype=np.uint8) for split in ("train", "test")
    }


@pytest.fixture
def data_file(tmp_path, frames):
    path = tmp_path / "data.h5"
    with create_dataset(path, command="test", config={}, seed=0, sources={}) as file:
        for name, content in frames.items():
            with file.split(name, len(content), content.shape[1:]) as split:
                split.append(content, labels=np.arange(9, dtype=np.uint8)[:, None])
    return path


def test_batches_hold_all_frames_in_order_between_zero_and_one(data_file, frames):
    sequences = open_sequences(ON_THE_FLY, data_file, "test", length=6)
    assert (len(sequences), sequences.frame_shape) == (9, (6, 1, 8, 10))
    read = list(sequences.batches(range(2, 9), 3))
    assert [len(batch.frames) for batch in read] == [3, 3, 1]
    together = torch.cat([batch.frames for batch in read])
    np.testing.assert_allclose(together, frames["test"][2:] / 255, rtol=1e-6)
    assert all(batch.labels is None for batch in read)


def test_labels_come_along_when_asked_for(data_file):
    sequences = open_sequences(ON_THE_FLY, data_file, "test", length=6, with_labels=True)
    (batch,) = sequences.batches([4, 7], 2)
    assert batch.labels.tolist() == [[4], [7]]


def test_the_digest_of_the_data_is_known(data_file):
    sequences = open_sequences(ON_THE_FLY, data_file, "test", length=6)
    assert len(sequences.sha256["test/frames"]) == 64
    assert sequences.source == f"{data_file} (test)"


def test_the_runs_own_file_is_used_where_no_other_is_named(data_file, frames):
    trained_on = DataConfig(file=str(data_file))
    sequences = open_sequences(trained_on, None, "train", length=6)
    (batch,) = sequences.batches([0], 1)
    np.testing.assert_allclose(batch.frames[0], frames["train"][0] / 255, rtol=1e-6)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_clips_need_no_splits(tmp_path, frames, ending):
    path = tmp_path / f"clips.{ending}"
    (np.save if ending == "npy" else np.savez)(path, frames["test"])
    sequences = open_sequences(ON_THE_FLY, path, "val", length=6)
    (batch,) = sequences.batches([8, 1], 2)
    np.testing.assert_allclose(batch.frames, frames["test"][[8, 1]] / 255, rtol=1e-6)
    with pytest.raises(DataError, match="has no labels, but the model is conditioned on them"):
        open_sequences(ON_THE_FLY, path, "val", length=6, with_labels=True)


def test_sequences_made_on_the_fly_are_as_long_as_needed():
    sequences = open_sequences(ON_THE_FLY, None, "test", length=33)
    assert (len(sequences), sequences.frame_shape) == (7, (33, 1, 32, 32))
    sequences.check_length(13, 20)


def test_what_does_not_fit_is_said_in_one_sentence(data_file):
    sequences = open_sequences(ON_THE_FLY, data_file, "test", length=6)
    sequences.check_length(6)
    sequences.check_length(2, 4)
    sequences.check_numbers(7, 2)
    sequences.check_fits(Copy(1, (8, 10)), "the run x")
    with pytest.raises(
        DataError, match=r"a context of 7 frames does not fit into the sequences of .*which have 6"
    ):
        sequences.check_length(7)
    with pytest.raises(DataError, match="a context of 3 and a horizon of 4 frames do not fit"):
        sequences.check_length(3, 4)
    with pytest.raises(DataError, match=r"sequence 9 was asked for, but .* has only 0 to 8"):
        sequences.check_numbers(7, 3)
    with pytest.raises(
        DataError, match=r"the run x expects frames of 3 channels, 8x10, but those of .* are 1 channel, 8x10"
    ):
        sequences.check_fits(Copy(3, (8, 10)), "the run x")
    with pytest.raises(DataError, match="1 channel, 10x8, but"):
        sequences.check_fits(Copy(1, (10, 8)), "the run x")


def test_the_mean_frame_is_that_of_the_training_split(data_file, frames):
    mean = mean_training_frame(ON_THE_FLY, data_file)
    np.testing.assert_allclose(mean, frames["train"].mean(axis=(0, 1)) / 255, rtol=1e-6)


def test_the_mean_frame_is_unknown_without_a_training_split(tmp_path, frames):
    np.save(tmp_path / "clips.npy", frames["test"])
    assert mean_training_frame(ON_THE_FLY, tmp_path / "clips.npy") is None
    with (
        create_dataset(tmp_path / "test.h5", command="", config={}, seed=0, sources={}) as file,
        file.split("test", 9, frames["test"].shape[1:]) as split,
    ):
        split.append(frames["test"])
    assert mean_training_frame(ON_THE_FLY, tmp_path / "test.h5") is None


def test_the_mean_frame_of_what_is_made_on_the_fly():
    sequences = open_sequences(ON_THE_FLY, None, "train", length=5)
    (everything,) = sequences.batches(range(3), 3)
    torch.testing.assert_close(mean_training_frame(ON_THE_FLY, None), everything.frames.mean(dim=(0, 1)))


@pytest.fixture
def long_file(tmp_path):
    """Sequences of 9 and 4 frames, for training and testing, with a window from every frame on."""
    frames = np.random.default_rng(0).integers(0, 256, (13, 1, 8, 10), dtype=np.uint8)
    with create_dataset(tmp_path / "long.h5", command="test", config={}, seed=0, sources={}) as file:
        for name in ("train", "test"):
            with file.long_split(name, (1, 8, 10)) as split:
                split.append([frames[:9]], stride=1)
                split.append([frames[9:]], stride=1)
    return tmp_path / "long.h5", frames


def test_windows_are_as_long_as_asked_for(long_file):
    path, frames = long_file
    sequences = open_sequences(ON_THE_FLY, path, "test", length=6)
    assert (len(sequences), sequences.frame_shape) == (4, (6, 1, 8, 10))
    assert sequences.source == f"{path} (test, windows of 6 frames)"
    (batch,) = sequences.batches([2], 1)
    np.testing.assert_allclose(batch.frames[0], frames[2:8] / 255, rtol=1e-6)
    assert len(open_sequences(ON_THE_FLY, path, "test", length=4)) == 6 + 1
    with pytest.raises(DataError, match=r"windows of 10 frames .* has 9$"):
        open_sequences(ON_THE_FLY, path, "test", length=10)


def test_shorter_windows_do_where_the_longer_do_not_fit(long_file):
    path, _ = long_file
    for least, expected in ((1, 4), (4, 4), (6, 6)):  # those of the shortest sequence, if that is enough
        assert open_sequences(ON_THE_FLY, path, "test", length=10, least=least).frame_shape[0] == expected
    assert open_sequences(ON_THE_FLY, path, "test", length=9, least=4).frame_shape[0] == 9


def test_the_mean_frame_is_that_of_all_frames_of_long_sequences(long_file):
    path, frames = long_file
    mean = mean_training_frame(ON_THE_FLY, path)
    np.testing.assert_allclose(mean, frames.mean(axis=0) / 255, rtol=1e-6)


@pytest.mark.parametrize(("place", "expected"), [("end", slice(9, 12)), ("start", slice(0, 8))])
def test_a_video_gives_the_frames_that_a_model_wants(tmp_path, make_video, moving_frames, place, expected):
    frames = moving_frames(12)
    path = make_video(tmp_path / "x.avi", frames)
    sequences = open_video(path, Copy(3, (24, 32)), context=3, horizon=5, place=place)
    (batch,) = sequences.batches([0], 1)
    np.testing.assert_allclose(batch.frames[0], np.repeat(frames[expected, None], 3, 1) / 255, rtol=1e-6)
    assert open_video(path, Copy(1, (8, 9)), 3, 5).frame_shape == (3, 1, 8, 9)


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=r"none\.h5 does not exist"):
        open_sequences(ON_THE_FLY, Path("none.h5"), "test", length=6)


def test_numbers_must_be_positive():
    require_positive(horizon=1, samples=2)
    with pytest.raises(ConfigError, match="samples must be at least 1, got 0"):
        require_positive(horizon=1, samples=0)
