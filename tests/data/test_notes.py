"""Piano rolls in a data file: what is stored, and the frames they are read as."""

import hashlib

import h5py
import numpy as np
import pytest
import torch

from vidpred.data import FrameDataset
from vidpred.data.hdf5 import create_dataset, open_dataset
from vidpred.data.notes import as_frames, as_roll
from vidpred.errors import DataError

LENGTHS = (5, 1, 30)


def rolls(seed=0):
    random = np.random.default_rng(seed)
    return [(random.random((length, 88)) < 0.1).astype(np.uint8) for length in LENGTHS]


def written(path, seed=0):
    with (
        create_dataset(path, command="", config={}, seed=0, sources={}) as file,
        file.note_split("train") as writer,
    ):
        for roll in rolls(seed):
            writer.append(roll)
        assert (len(writer), writer.steps) == (3, 36)
    return path


def test_the_layout_is_the_documented_one(tmp_path):
    with h5py.File(written(tmp_path / "a.h5")) as file:
        assert sorted(file["train"]) == ["notes", "offsets"]
        np.testing.assert_array_equal(file["train/notes"][()], np.concatenate(rolls()))
        assert file["train/notes"].dtype == np.uint8
        np.testing.assert_array_equal(file["train/offsets"][()], [0, 5, 6, 36])
        assert file["train/offsets"].dtype == np.int64
    with open_dataset(tmp_path / "a.h5") as file:
        digests = file.attributes["sha256"]
        offsets = np.array([0, 5, 6, 36], np.int64)
    assert digests == {
        "train/notes": hashlib.sha256(np.concatenate(rolls()).tobytes()).hexdigest(),
        "train/offsets": hashlib.sha256(offsets.tobytes()).hexdigest(),
    }


def test_steps_are_read_as_frames_of_one_row(tmp_path):
    with open_dataset(written(tmp_path / "a.h5")) as file:
        split = file["train"]
        assert (len(split), split.longest) == (3, 30)
        assert (split.frames.shape, split.frames.dtype, len(split.frames)) == ((36, 1, 1, 88), np.uint8, 36)
        for index, roll in enumerate(rolls()):
            frames = split.sequence(index)
            assert (frames.shape, frames.dtype) == ((LENGTHS[index], 1, 1, 88), np.uint8)
            np.testing.assert_array_equal(frames[:, 0, 0], np.where(roll == 1, 255, 0))
        np.testing.assert_array_equal(split.frames[7], split.frames[7:8][0])


def test_windows_are_cut_from_rolls_as_from_videos(tmp_path):
    dataset = FrameDataset(written(tmp_path / "a.h5"), length=5)
    assert (len(dataset), dataset.frame_shape) == (1 + 6, (5, 1, 1, 88))
    windows = torch.stack(dataset.__getitems__(range(7))).numpy()[:, :, 0, 0]
    first, _, last = rolls()
    np.testing.assert_array_equal(windows, 255 * np.stack([first, *last.reshape(6, 5, 88)]))


def test_the_same_rolls_give_the_same_bytes(tmp_path):
    first, second, other = (
        written(tmp_path / name, seed).read_bytes() for name, seed in zip("abc", (0, 0, 1), strict=True)
    )
    assert first == second != other


def test_rolls_and_frames_are_the_same_numbers():
    roll = rolls()[0]
    frames = as_frames(roll)
    assert frames.shape == (5, 1, 1, 88)
    np.testing.assert_array_equal(as_roll(frames), 255 * roll)
    np.testing.assert_array_equal(as_frames(roll > 0), frames)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("notes", np.full((36, 88), 2, np.uint8), "notes holds 2, expected 0 and 1 alone"),
        ("notes", np.zeros((36, 87), np.uint8), "notes is not uint8 of 88 columns"),
        ("notes", np.zeros((36, 88), np.float32), "notes is not uint8 of 88 columns"),
        ("notes", np.zeros(36, np.uint8), "notes is not uint8 of 88 columns"),
        ("notes", np.zeros((35, 88), np.uint8), "offsets go to 36, beyond its 35 frames"),
        ("offsets", np.array([0, 6, 5, 36]), "offsets do not rise from 0"),
        ("offsets", None, "notes has no offsets beside it"),
    ],
)
def test_notes_that_cannot_be_are_told(tmp_path, name, values, message):
    with h5py.File(written(tmp_path / "a.h5"), "r+") as file:
        del file[f"train/{name}"]
        if values is not None:
            file[f"train/{name}"] = values
    with pytest.raises(DataError, match=f"is damaged: train/{message}"):
        open_dataset(tmp_path / "a.h5")
