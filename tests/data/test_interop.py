"""The files of other projects, built here by hand from their descriptions."""

import h5py
import numpy as np
import pytest

from vidpred.data.convert import convert
from vidpred.data.hdf5 import create_dataset, open_dataset
from vidpred.errors import ConfigError, DataError, OutputError

N, T, H, W = 70, 6, 8, 10  # more sequences than one block


def sequences(channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (N, T, channels, H, W), np.uint8)


def stored(path, split="test"):
    with open_dataset(path) as file:
        return file[split].frames[()]


def data_file(path, **splits):
    with create_dataset(path, command="", config={}, seed=0, sources={}) as file:
        for name, frames in splits.items():
            with file.split(name, len(frames), frames.shape[1:]) as writer:
                writer.append(frames)
    return path


def test_mnist_test_seq_is_read_time_first(tmp_path):
    frames = sequences()
    array = np.empty((T, N, H, W), np.uint8)
    for i in range(N):
        for t in range(T):
            array[t, i] = frames[i, t, 0]
    np.save(tmp_path / "mnist_test_seq.npy", array)
    sentences = convert({"test": tmp_path / "mnist_test_seq.npy"}, tmp_path / "data.h5", quiet=True)
    np.testing.assert_array_equal(stored(tmp_path / "data.h5"), frames)
    assert sentences == [
        f"read {tmp_path}/mnist_test_seq.npy: 70 sequences of 6 frames of 1x8x10 (npy)",
        f"wrote {tmp_path}/data.h5: 70 sequences of 6 frames of 1x8x10 (hdf5, test)",
    ]


def test_mnist_test_seq_is_written_time_first(tmp_path):
    frames = sequences()
    convert({"val": data_file(tmp_path / "data.h5", val=frames)}, tmp_path / "out.npy", quiet=True)
    array = np.load(tmp_path / "out.npy")
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, frames[:, :, 0].transpose(1, 0, 2, 3))


def test_predrnn_files_are_read_by_their_clips(tmp_path):
    # Clips in another order than the frames, what is to be predicted in an array of its own.
    frames = sequences(channels=3)
    order = np.random.default_rng(1).permutation(N)
    clips = np.zeros((2, N, 2), np.int32)
    given, predicted = [], []
    for place, i in enumerate(order):
        clips[0, i] = (2 * place, 2)
        clips[1, i] = (4 * place, 4)
        given.append(frames[i, :2] / 255)
        predicted.append(frames[i, 2:] / 255)
    np.savez_compressed(
        tmp_path / "moving-mnist-train.npz",
        clips=clips,
        dims=np.array([[3, H, W], [3, H, W]], np.int32),
        input_raw_data=np.concatenate(given).astype(np.float32),
        output_raw_data=np.concatenate(predicted).astype(np.float32),
    )
    convert({"train": tmp_path / "moving-mnist-train.npz"}, tmp_path / "data.h5", quiet=True)
    np.testing.assert_array_equal(stored(tmp_path / "data.h5", "train"), frames)


def test_predrnn_files_are_written_as_its_loader_reads_them(tmp_path):
    frames = sequences()
    source = data_file(tmp_path / "data.h5", test=frames)
    convert({"test": source}, tmp_path / "out.npz", "predrnn", quiet=True)
    file = np.load(tmp_path / "out.npz")
    assert file["dims"].tolist() == [[1, H, W]]
    assert file["input_raw_data"].dtype == np.float32
    for i in range(N):
        (start, length), (then, more) = file["clips"][:, i]
        assert (length, more) == (T // 2, T - T // 2)
        read = np.concatenate(
            [file["input_raw_data"][start : start + length], file["input_raw_data"][then : then + more]]
        )
        np.testing.assert_allclose(read, frames[i] / 255, atol=1e-7)


def test_convtt_files_are_read_with_channels_last(tmp_path):
    frames = sequences(channels=3)
    np.savez(tmp_path / "train.npz", data=frames.transpose(0, 1, 3, 4, 2))
    convert({"train": tmp_path / "train.npz"}, tmp_path / "data.h5", quiet=True)
    np.testing.assert_array_equal(stored(tmp_path / "data.h5", "train"), frames)


def test_a_single_convtt_video_is_one_sequence(tmp_path):
    frames = sequences(channels=3)[0]
    np.savez(tmp_path / "video.npz", data=frames.transpose(0, 2, 3, 1) / 255)
    convert({"test": tmp_path / "video.npz"}, tmp_path / "data.h5", quiet=True)
    np.testing.assert_array_equal(stored(tmp_path / "data.h5"), frames[None])


def test_convtt_files_are_written_with_channels_last(tmp_path):
    frames = sequences(channels=3)
    source = data_file(tmp_path / "data.h5", test=frames)
    convert({"test": source}, tmp_path / "out.npz", "convtt", quiet=True)
    data = np.load(tmp_path / "out.npz")["data"]
    assert data.dtype == np.uint8
    np.testing.assert_array_equal(data, frames.transpose(0, 1, 3, 4, 2))


@pytest.mark.parametrize(("name", "format"), [("x.npy", "npy"), ("x.npz", "predrnn"), ("x.npz", "convtt")])
@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back_again_changes_nothing(tmp_path, name, format, channels):
    frames = sequences(channels)
    convert({"test": data_file(tmp_path / "a.h5", test=frames)}, tmp_path / name, format, quiet=True)
    convert({"val": tmp_path / name}, tmp_path / "b.h5", quiet=True)
    np.testing.assert_array_equal(stored(tmp_path / "b.h5", "val"), frames)


def test_several_files_become_the_splits_of_one(tmp_path):
    train, test = sequences(seed=1), sequences(seed=2)
    np.savez(tmp_path / "train.npz", data=train.transpose(0, 1, 3, 4, 2))
    np.save(tmp_path / "test.npy", test[:, :, 0].transpose(1, 0, 2, 3))
    inputs = {"train": tmp_path / "train.npz", "test": tmp_path / "test.npy"}
    convert(inputs, tmp_path / "data.h5", quiet=True)
    np.testing.assert_array_equal(stored(tmp_path / "data.h5", "train"), train)
    np.testing.assert_array_equal(stored(tmp_path / "data.h5", "test"), test)
    with open_dataset(tmp_path / "data.h5") as file:
        assert set(file.attributes["sources"]) == {"train.npz", "test.npy"}


def test_files_of_the_same_content_have_the_same_bytes(tmp_path):
    source = data_file(tmp_path / "data.h5", test=sequences())
    for name in ("a.npz", "b.npz"):
        convert({"test": source}, tmp_path / name, "predrnn", quiet=True)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def predrnn(tmp_path, clips, frames=None):
    frames = np.zeros((12, 1, H, W), np.float32) if frames is None else frames
    np.savez(tmp_path / "x.npz", clips=np.array(clips), dims=[[1, H, W]], input_raw_data=frames)
    return {"test": tmp_path / "x.npz"}


def test_a_foreign_file_that_does_not_fit_is_told(tmp_path):
    out = tmp_path / "data.h5"
    with pytest.raises(DataError, match="sequences of 4 to 5 frames, expected all of one length"):
        convert(predrnn(tmp_path, [[[0, 2], [2, 2]], [[4, 2], [6, 3]]]), out)
    with pytest.raises(DataError, match="clips reach beyond its 12 frames"):
        convert(predrnn(tmp_path, [[[0, 2]], [[11, 2]]]), out)
    with pytest.raises(DataError, match=r"clips of shape \(2, 2\), expected \(2, sequences, 2\)"):
        convert(predrnn(tmp_path, [[0, 2], [2, 2]]), out)
    with pytest.raises(DataError, match="values from 0 to 255"):
        convert(
            predrnn(tmp_path, [[[0, 2]], [[2, 2]]], 255.0 * (np.arange(12) > 0)[:, None, None, None]), out
        )
    np.savez(tmp_path / "x.npz", images=np.zeros(3))
    with pytest.raises(DataError, match="holds images, expected clips and input_raw_data"):
        convert({"test": tmp_path / "x.npz"}, out)
    np.save(tmp_path / "x.npy", np.zeros((20, 64, 64), np.uint8))
    with pytest.raises(
        DataError, match=r"shape \(20, 64, 64\), expected \(frames, sequences, rows, columns\)"
    ):
        convert({"test": tmp_path / "x.npy"}, out)
    with pytest.raises(DataError, match="does not exist"):
        convert({"test": tmp_path / "none.npy"}, out)
    assert not out.exists()


def test_a_data_file_without_the_split_is_told(tmp_path):
    source = data_file(tmp_path / "data.h5", train=sequences())
    with pytest.raises(DataError, match=r"no split 'test' \(its splits: train\)"):
        convert({"test": source}, tmp_path / "out.npy")
    with h5py.File(source, "r+") as file:
        file["test/frames"] = np.zeros((9, 1, 6, 5), np.uint8)
        file["test/offsets"] = np.array([0, 4, 9])
    with pytest.raises(DataError, match="differ in length"):
        convert({"test": source}, tmp_path / "out.npy")


def test_a_format_that_cannot_be_told_or_does_not_fit_is_told(tmp_path):
    source = data_file(tmp_path / "data.h5", train=sequences(), test=sequences())
    with pytest.raises(ConfigError, match="does not tell the format"):
        convert({"test": source}, tmp_path / "out.npz")
    with pytest.raises(ConfigError, match="did you mean 'predrnn'"):
        convert({"test": source}, tmp_path / "out.npz", "predrn")
    with pytest.raises(ConfigError, match="holds one split, got train, test"):
        convert({"train": source, "test": source}, tmp_path / "out.npy")
    with pytest.raises(ConfigError, match="nothing to convert"):
        convert({"test": source}, tmp_path / "out.h5")


@pytest.mark.parametrize("name", ["out.npy", "out.npz", "out.h5"])
def test_an_output_that_cannot_be_written_is_told(tmp_path, name):
    (tmp_path / "file").write_text("not a folder")
    np.save(tmp_path / "in.npy", np.zeros((T, N, H, W), np.uint8))
    source = tmp_path / "in.npy" if name == "out.h5" else data_file(tmp_path / "data.h5", test=sequences())
    format = "convtt" if name == "out.npz" else None
    with pytest.raises(OutputError, match="cannot write"):
        convert({"test": source}, tmp_path / "file" / name, format, quiet=True)
