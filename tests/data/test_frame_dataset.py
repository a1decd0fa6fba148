import pickle

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vidpred.data import FrameDataset
from vidpred.data.hdf5 import create_dataset
from vidpred.errors import DataError


@pytest.fixture
def content():
    random = np.random.default_rng(0)
    return {
        "frames": random.integers(0, 256, (9, 4, 3, 6, 5), np.uint8),
        "labels": random.integers(0, 200, (9, 2), np.uint8),
    }


@pytest.fixture
def path(tmp_path, content):
    with create_dataset(tmp_path / "data.h5", command="", config={}, seed=0, sources={}) as file:
        with file.split("train", 9, (4, 3, 6, 5)) as writer:
            writer.append(**content)
        with file.split("val", 9, (4, 3, 6, 5)) as writer:
            writer.append(content["frames"])
    return tmp_path / "data.h5"


def test_items_are_the_sequences_as_uint8(path, content):
    dataset = FrameDataset(path, split="train")
    assert len(dataset) == 9
    assert dataset.frame_shape == (4, 3, 6, 5)
    assert dataset[7].dtype == torch.uint8
    np.testing.assert_array_equal(dataset[7].numpy(), content["frames"][7])


def test_many_are_read_at_once_in_any_order(path, content):
    items = FrameDataset(path).__getitems__([5, 0, 5, 8])
    np.testing.assert_array_equal(np.stack(items), content["frames"][[5, 0, 5, 8]])


def test_labels_come_with_the_frames(path, content):
    item = FrameDataset(path, with_labels=True)[4]
    assert item["labels"].dtype == torch.int64
    assert item["labels"].tolist() == content["labels"][4].tolist()
    np.testing.assert_array_equal(item["frames"], content["frames"][4])


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_workers_read_the_same(path, content, workers):
    dataset = FrameDataset(path)
    dataset[0]  # the file is open here before the workers are forked
    loader = DataLoader(dataset, batch_size=4, num_workers=workers)
    np.testing.assert_array_equal(torch.cat(list(loader)), content["frames"])


def test_an_open_dataset_can_be_sent_to_another_process(path, content):
    dataset = FrameDataset(path)
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[3], content["frames"][3])


def test_what_cannot_be_given_is_told(path):
    with pytest.raises(DataError, match=r"the split 'val' of .* has no labels"):
        FrameDataset(path, split="val", with_labels=True)
    with pytest.raises(DataError, match="no split 'test'"):
        FrameDataset(path, split="test")
    with pytest.raises(IndexError):
        FrameDataset(path)[9]


def test_sequences_of_different_lengths_are_told(path):
    with h5py.File(path, "r+") as file:
        file["test/frames"] = np.zeros((9, 1, 6, 5), np.uint8)
        file["test/offsets"] = np.array([0, 4, 9])
    with pytest.raises(DataError, match="differ in length: expected a length of the windows"):
        FrameDataset(path, split="test")


@pytest.fixture
def long_file(tmp_path):
    """Sequences of 9, 3 and 11 frames; every pixel of frame t of sequence s is 20 s + t."""
    lengths, strides = (9, 3, 11), (2, 1, 0)
    with (
        create_dataset(tmp_path / "long.h5", command="", config={}, seed=0, sources={}) as file,
        file.long_split("train", (1, 4, 4)) as writer,
    ):
        for s, (length, stride) in enumerate(zip(lengths, strides, strict=True)):
            values = 20 * s + np.arange(length, dtype=np.uint8)
            frames = np.broadcast_to(values[:, None, None, None], (length, 1, 4, 4))
            writer.append([frames], stride=stride, labels=np.array([s + 5], np.uint8))
    return tmp_path / "long.h5"


@pytest.mark.parametrize(
    ("length", "firsts"), [(3, [0, 2, 4, 6, 20, 40, 43, 46]), (4, [0, 2, 4, 40, 44]), (10, [40])]
)
def test_windows_of_any_length_are_cut_from_longer_sequences(long_file, length, firsts):
    dataset = FrameDataset(long_file, length=length, with_labels=True)
    assert dataset.windowed
    assert (len(dataset), dataset.frame_shape) == (len(firsts), (length, 1, 4, 4))
    order = list(range(len(firsts)))[::-1]
    for index, item in zip(order, dataset.__getitems__(order), strict=True):
        values = firsts[index] + np.arange(length)
        np.testing.assert_array_equal(
            item["frames"], np.broadcast_to(values[:, None, None, None], (length, 1, 4, 4))
        )
        assert item["labels"].tolist() == [firsts[index] // 20 + 5]


def test_windows_are_read_by_loader_workers_too(long_file):
    dataset = FrameDataset(long_file, length=4)
    loader = DataLoader(dataset, batch_size=2, num_workers=2)
    assert torch.cat(list(loader))[:, 0, 0, 0, 0].tolist() == [0, 2, 4, 40, 44]


def test_the_longest_sequence_is_named_where_no_window_fits(long_file):
    with pytest.raises(DataError, match=r"windows of 12 frames .* the longest sequence .* has 11$"):
        FrameDataset(long_file, length=12)


def test_sequences_of_one_length_are_taken_whole(path):
    dataset = FrameDataset(path, length=2)
    assert not dataset.windowed
    assert dataset.frame_shape == (4, 3, 6, 5)


def test_padded_chunks_hold_every_frame_at_their_ends(long_file):
    dataset = FrameDataset(long_file, length=4, padded=True, with_labels=True)
    assert dataset.frame_shape == (4, 1, 4, 4)
    chunks = [[0, 1, 2, 3], [4, 5, 6, 7], [8], [20, 21, 22], [40, 41, 42, 43], [44, 45, 46, 47], [48, 49, 50]]
    assert dataset.lengths.tolist() == [len(chunk) for chunk in chunks]
    order = [6, 2, 0, 1, 3, 4, 5]
    for index, item in zip(order, dataset.__getitems__(order), strict=True):
        chunk = chunks[index]
        assert item["length"] == len(chunk)
        assert item["length"].dtype == torch.int64
        assert item["frames"][:, 0, 2, 2].tolist() == [0] * (4 - len(chunk)) + chunk
        assert item["labels"].tolist() == [chunk[0] // 20 + 5]


def test_padded_chunks_come_in_batches(long_file):
    loader = DataLoader(FrameDataset(long_file, length=8, padded=True), batch_size=3, num_workers=2)
    first, second = list(loader)
    assert (first["frames"].shape, first["length"].tolist()) == ((3, 8, 1, 4, 4), [8, 1, 3])
    assert second["length"].tolist() == [8, 3]


def test_a_sequence_shorter_than_a_chunk_is_one(long_file):
    dataset = FrameDataset(long_file, length=100, padded=True)
    assert dataset.lengths.tolist() == [9, 3, 11]
    assert dataset[1]["frames"][:, 0, 0, 0].tolist() == [0] * 97 + [20, 21, 22]


def test_sequences_of_one_length_need_no_padding(path, content):
    dataset = FrameDataset(path, length=2, padded=True)
    assert dataset.lengths.tolist() == [4] * 9
    np.testing.assert_array_equal(dataset[3]["frames"], content["frames"][3])
    assert dataset[3]["length"] == 4
