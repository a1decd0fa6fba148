import hashlib

import h5py
import numpy as np
import pytest

import vidpred
from vidpred.data.hdf5 import create_dataset, open_dataset
from vidpred.errors import DataError


def sequences(count, seed=0):
    random = np.random.default_rng(seed)
    return {
        "frames": random.integers(0, 256, (count, 4, 1, 6, 5), np.uint8),
        "labels": random.integers(0, 10, (count, 2), np.uint8),
        "positions": random.integers(-2, 60, (count, 4, 2, 2)).astype(np.int16),
        "object_ids": random.integers(0, 60_000, (count, 2)).astype(np.int32),
    }


def written(path, splits, config=None):
    with create_dataset(
        path, command="vidpred test", config=config or {"size": 6}, seed=9, sources={"a.gz": "beef"}
    ) as file:
        for name, content in splits.items():
            frames = content["frames"]
            with file.split(name, len(frames), frames.shape[1:]) as writer:
                for rows in (slice(0, 2), slice(2, None)):
                    writer.append(**{key: values[rows] for key, values in content.items()})
    return path


def test_what_is_written_is_read_back(tmp_path):
    splits = {"train": sequences(5), "test": sequences(3, seed=1)}
    with vidpred.open_dataset(written(tmp_path / "data.h5", splits)) as file:
        assert list(file) == ["train", "test"]
        assert "val" not in file
        for name, content in splits.items():
            assert len(file[name]) == len(content["frames"])
            for key, values in content.items():
                stored = getattr(file[name], key)
                assert stored.dtype == values.dtype
                np.testing.assert_array_equal(stored[()], values)
        np.testing.assert_array_equal(file["train"].sequence(3), splits["train"]["frames"][3])


def test_the_layout_is_the_documented_one(tmp_path):
    content = sequences(5)
    path = written(tmp_path / "data.h5", {"train": content})
    with h5py.File(path) as file:
        frames = file["train/frames"]
        assert frames.shape == (5, 4, 1, 6, 5)
        assert frames.chunks == (1, 4, 1, 6, 5)
        assert frames.compression is None
        assert dict(file.attrs)["format_version"] == 1
    with open_dataset(path) as file:
        assert file.attributes["command"] == "vidpred test"
        assert file.attributes["seed"] == 9
        assert file.attributes["config"] == {"size": 6}
        assert file.attributes["sources"] == {"a.gz": "beef"}
        assert file.attributes["sha256"] == {
            f"train/{key}": hashlib.sha256(values.tobytes()).hexdigest() for key, values in content.items()
        }


def test_what_is_not_known_is_absent(tmp_path):
    content = sequences(4) | {"labels": None, "object_ids": None}
    path = tmp_path / "data.h5"
    with (
        create_dataset(path, command="", config={}, seed=0, sources={}) as file,
        file.split("val", 4, content["frames"].shape[1:]) as writer,
    ):
        writer.append(**content)
    with open_dataset(path) as file:
        assert file["val"].labels is None
        assert file["val"].object_ids is None
        assert file["val"].positions.shape == (4, 4, 2, 2)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    first = written(tmp_path / "a.h5", {"train": sequences(5)}).read_bytes()
    assert written(tmp_path / "b.h5", {"train": sequences(5)}).read_bytes() == first
    assert written(tmp_path / "c.h5", {"train": sequences(5, seed=1)}).read_bytes() != first


def test_an_error_while_writing_leaves_nothing_behind(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        create_dataset(tmp_path / "data.h5", command="", config={}, seed=0, sources={}),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_sequences_of_different_lengths_are_read_by_their_offsets(tmp_path):
    path = written(tmp_path / "data.h5", {"train": sequences(2)})
    frames = np.random.default_rng(0).integers(0, 256, (9, 1, 6, 5), np.uint8)
    with h5py.File(path, "r+") as file:
        file["val/frames"] = frames
        file["val/offsets"] = np.array([0, 4, 9])
    with open_dataset(path) as file:
        assert len(file["val"]) == 2
        np.testing.assert_array_equal(file["val"].sequence(0), frames[:4])
        np.testing.assert_array_equal(file["val"].sequence(1), frames[4:])


@pytest.fixture
def good(tmp_path):
    return written(tmp_path / "data.h5", {"train": sequences(40)})


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match=r"none\.h5 does not exist"):
        open_dataset(tmp_path / "none.h5")


@pytest.mark.parametrize("left", [0.999, 0.5])
def test_a_truncated_file_is_told(good, left):
    content = good.read_bytes()
    good.write_bytes(content[: int(left * len(content))])
    with pytest.raises(DataError, match="is truncated"):
        open_dataset(good)


@pytest.mark.parametrize("content", [b"", b"text, not numbers"])
def test_a_file_that_is_not_hdf5_is_told(good, content):
    good.write_bytes(content)
    with pytest.raises(DataError, match="is not an HDF5 file"):
        open_dataset(good)


def test_a_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="is a directory"):
        open_dataset(tmp_path)


def test_hdf5_of_another_kind_is_told(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(DataError, match=r"not one of vidpred's \(no format_version\)"):
        open_dataset(tmp_path / "other.h5")


def test_a_newer_format_is_told(good):
    with h5py.File(good, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(DataError, match="has format version 2, newer than the 1"):
        open_dataset(good)


def test_a_missing_split_is_told_with_those_there_are(good):
    with (
        open_dataset(good) as file,
        pytest.raises(DataError, match=r"has no split 'test' \(its splits: train\)"),
    ):
        file["test"]


def test_an_empty_split_is_told(good):
    with h5py.File(good, "r+") as file:
        file["val/frames"] = np.zeros((0, 4, 1, 6, 5), np.uint8)
    with open_dataset(good) as file, pytest.raises(DataError, match=r"the split 'val' of .* is empty"):
        file["val"]


def test_frames_of_another_type_are_told(good):
    with h5py.File(good, "r+") as file:
        file["val/frames"] = np.zeros((2, 4, 1, 6, 5), np.float32)
    with pytest.raises(DataError, match="damaged: val/frames is not uint8 of 5 dimensions"):
        open_dataset(good)
