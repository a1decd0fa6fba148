import hashlib

import h5py
import numpy as np
import pytest

import vidpred
from vidpred.data.hdf5 import create_dataset, open_dataset
from vidpred.errors import DataError, OutputError


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


def test_a_file_of_another_kind_is_not_replaced(tmp_path):
    mine = tmp_path / "own.json"
    mine.write_text("{}")
    with pytest.raises(OutputError, match=r"own\.json exists and is no HDF5 file: it is not replaced"):
        written(mine, {"train": sequences(3)})
    assert mine.read_text() == "{}"
    assert written(written(tmp_path / "x.h5", {"train": sequences(3)}), {"train": sequences(4)}).exists()


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


def long_written(path, seed=0, **options):
    """Sequences of 5, 300 and 1 frames, given in pieces of uneven size; 300 are more than a chunk."""
    frames = np.random.default_rng(seed).integers(0, 256, (306, 1, 16, 16), np.uint8)
    with (
        create_dataset(path, command="", config={}, seed=0, sources={}, **options) as file,
        file.long_split("val", (1, 16, 16), "end") as writer,
    ):
        writer.append([frames[:5]], stride=3, labels=np.array([4], np.uint8))
        writer.append(np.split(frames[5:305], [7, 8, 290]), labels=np.array([0], np.uint8))
        writer.append([frames[305:]], stride=1, labels=np.array([2], np.uint8))
        assert writer.lengths.tolist() == [5, 300, 1]
    return frames


def test_sequences_of_any_length_are_written_piece_by_piece(tmp_path):
    frames = long_written(tmp_path / "data.h5")
    with open_dataset(tmp_path / "data.h5") as file:
        split, digests = file["val"], file.attributes["sha256"]
        assert len(split) == 3
        for i, (first, last) in enumerate([(0, 5), (5, 305), (305, 306)]):
            np.testing.assert_array_equal(split.sequence(i), frames[first:last])
        assert (split.windows_from, split.longest) == ("end", 300)
        stored = {
            "frames": frames,
            "offsets": np.array([0, 5, 305, 306], np.int64),
            "strides": np.array([3, 0, 1], np.int32),
            "labels": np.array([[4], [0], [2]], np.uint8),
        }
        for name, values in stored.items():
            found = np.asarray(getattr(split, name)[()])
            assert found.dtype == values.dtype
            np.testing.assert_array_equal(found, values)
            assert digests[f"val/{name}"] == hashlib.sha256(values.tobytes()).hexdigest()
        assert split.frames.chunks == (2**16 // 256, 1, 16, 16)


def test_long_sequences_too_give_the_same_bytes_for_the_same_content(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        long_written(tmp_path / name, seed)
    first, second, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == second != other


def test_a_split_without_long_sequences_is_absent(tmp_path):
    with (
        create_dataset(tmp_path / "data.h5", command="", config={}, seed=0, sources={}) as file,
        file.long_split("val", (1, 8, 8)),
    ):
        pass
    with open_dataset(tmp_path / "data.h5") as file:
        assert list(file) == []
        assert file.attributes["sha256"] == {}


def test_as_many_sequences_as_are_appended_where_no_number_is_given(tmp_path):
    content = sequences(5)
    with (
        create_dataset(tmp_path / "data.h5", command="", config={}, seed=0, sources={}) as file,
        file.split("test", None, content["frames"].shape[1:]) as writer,
    ):
        for rows in (slice(0, 2), slice(2, None)):
            writer.append(**{key: values[rows] for key, values in content.items()})
        assert len(writer) == 5
    with open_dataset(tmp_path / "data.h5") as file:
        for key, values in content.items():
            np.testing.assert_array_equal(getattr(file["test"], key)[()], values)


def test_classes_and_their_groups_have_names(tmp_path):
    long_written(tmp_path / "a.h5", classes=("walking", "running"), groups=["legs", "legs"])
    with open_dataset(tmp_path / "a.h5") as file:
        assert file.attributes["classes"] == ["walking", "running"]
        assert file.attributes["groups"] == ["legs", "legs"]
    long_written(tmp_path / "b.h5")
    with open_dataset(tmp_path / "b.h5") as file:
        assert not {"classes", "groups"} & file.attributes.keys()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("offsets", [0, 5, 305, 307], "offsets go to 307, beyond its 306 frames"),
        ("offsets", [0, 305, 5, 306], "offsets do not rise from 0"),
        ("offsets", [0.0, 3.5, 5.0, 306.0], "offsets do not rise from 0 in whole numbers"),
        ("strides", [3, 0], "strides are not 3 numbers >= 0"),
        ("strides", [3, 0, -1], "strides are not 3 numbers >= 0"),
    ],
)
def test_offsets_and_strides_that_cannot_be_are_told(tmp_path, name, values, message):
    long_written(tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        del file[f"val/{name}"]
        file[f"val/{name}"] = np.array(values)
    with pytest.raises(DataError, match=f"is damaged: val/{message}"):
        open_dataset(tmp_path / "data.h5")


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


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_attributes_that_cannot_be_are_told(good, text):
    with h5py.File(good, "r+") as file:
        file.attrs["config"] = text
    with pytest.raises(DataError, match=r"data\.h5 is damaged: .*JSON"):
        open_dataset(good)


def test_frames_of_another_type_are_told(good):
    with h5py.File(good, "r+") as file:
        file["val/frames"] = np.zeros((2, 4, 1, 6, 5), np.float32)
    with pytest.raises(DataError, match="damaged: val/frames is not uint8 of 5 dimensions"):
        open_dataset(good)
