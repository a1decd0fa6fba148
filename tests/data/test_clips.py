import numpy as np
import pytest

from vidpred.data.clips import read_clip
from vidpred.errors import DataError


def pictures(*shape, dtype=np.uint8):
    random = np.random.default_rng(0)
    if dtype == np.uint8:
        return random.integers(0, 256, shape, np.uint8)
    return random.random(shape).astype(dtype)


def saved(tmp_path, array, name="clip.npy"):
    np.save(tmp_path / name, array)
    return tmp_path / name


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((7, 16, 12), "thw"),
        ((7, 1, 16, 12), "tchw"),
        ((7, 3, 16, 12), "tchw"),
        ((7, 16, 12, 3), "thwc"),
        ((7, 16, 12, 1), "thwc"),
        ((2, 7, 3, 16, 12), "ntchw"),
        ((2, 7, 16, 12, 3), "nthwc"),
    ],
)
def test_every_layout_becomes_sequences_with_channels_before_rows(tmp_path, shape, axes):
    array = pictures(*shape)
    clip = read_clip(saved(tmp_path, array))
    assert clip.dtype == np.uint8
    expected = np.einsum(f"{axes}->{''.join(axis for axis in 'ntchw' if axis in axes)}", array)
    sizes = dict(zip(axes, shape, strict=True))
    np.testing.assert_array_equal(clip, expected.reshape([sizes.get(axis, 1) for axis in "ntchw"]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_is_rounded(tmp_path, dtype):
    array = pictures(4, 16, 12, dtype=dtype)
    clip = read_clip(saved(tmp_path, array))
    assert np.abs(clip[0, :, 0] / 255 - array.astype(float)).max() <= 0.5 / 255 + 1e-9


def test_an_npz_file_gives_its_only_array_or_the_one_called_frames(tmp_path):
    one, other = pictures(4, 16, 12), pictures(5, 16, 12)
    np.savez(tmp_path / "one.npz", anything=one)
    np.savez(tmp_path / "two.npz", frames=other, extra=one)
    np.testing.assert_array_equal(read_clip(tmp_path / "one.npz")[0, :, 0], one)
    np.testing.assert_array_equal(read_clip(tmp_path / "two.npz")[0, :, 0], other)


def test_an_npz_file_with_several_arrays_is_told(tmp_path):
    np.savez(tmp_path / "two.npz", a=pictures(4, 16, 12), b=pictures(4, 16, 12))
    with pytest.raises(DataError, match="holds a, b, expected one array or one called frames"):
        read_clip(tmp_path / "two.npz")


@pytest.mark.parametrize(
    "shape", [(16, 12), (20, 100, 64, 64), (7, 3, 16, 3), (0, 16, 12), (1, 2, 3, 4, 5, 6)]
)
def test_a_shape_that_is_not_clear_is_told(tmp_path, shape):
    with pytest.raises(DataError, match="does not read as"):
        read_clip(saved(tmp_path, pictures(*shape)))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.full((4, 16, 12), 255.0), "values from 255 to 255, expected uint8 or values in"),
        (np.full((4, 16, 12), -0.1), "values from -0.1 to -0.1"),
        (np.full((4, 16, 12), np.nan), "values from nan to nan"),
        (np.zeros((4, 16, 12), np.int64), "holds int64 values"),
    ],
)
def test_values_that_are_not_brightness_are_told(tmp_path, array, sentence):
    with pytest.raises(DataError, match=sentence):
        read_clip(saved(tmp_path, array))


def test_a_file_that_would_have_to_be_unpickled_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("not an array at all")
    for name in ("objects.npy", "text.npy"):
        with pytest.raises(DataError, match=r"not a readable \.npy or \.npz file of numbers"):
            read_clip(tmp_path / name)


def test_a_missing_or_damaged_file_is_told(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_clip(tmp_path / "none.npy")
    whole = saved(tmp_path, pictures(4, 16, 12)).read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:200])
    with pytest.raises(DataError, match=r"not a readable \.npy or \.npz file"):
        read_clip(tmp_path / "short.npy")
    (tmp_path / "empty.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"not a readable \.npy or \.npz file"):
        read_clip(tmp_path / "empty.npy")
    np.savez(tmp_path / "whole.npz", frames=pictures(4, 16, 12))
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    with pytest.raises(DataError, match=r"not a readable \.npy or \.npz file"):
        read_clip(tmp_path / "half.npz")
