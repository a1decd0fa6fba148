import io
import re
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidpred.data.video import find_videos, read_video
from vidpred.errors import ConfigError, DataError

pytest.importorskip("av")

LOSSLESS = [".avi", ".mp4", ".gif"]


def read(path, channels=1, **options):
    return np.stack(list(read_video(path, channels=channels, **options)))


@pytest.mark.parametrize("ending", LOSSLESS)
def test_frames_are_those_that_were_encoded_in_order(tmp_path, make_video, moving_frames, ending):
    frames = moving_frames(40)
    path = make_video(tmp_path / f"x{ending}", frames)
    np.testing.assert_array_equal(read(path)[:, 0], frames)
    np.testing.assert_array_equal(read(path, channels=3), np.repeat(frames[:, None], 3, axis=1))


def test_a_webm_loses_only_what_its_narrow_range_costs(tmp_path, make_video, moving_frames):
    frames = moving_frames(40)
    found = read(make_video(tmp_path / "x.webm", frames))
    assert np.abs(found[:, 0].astype(int) - frames).max() <= 1


def test_colours_are_red_green_blue(tmp_path, make_video):
    frames = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)
    found = read(make_video(tmp_path / "x.avi", frames), channels=3)
    np.testing.assert_array_equal(found, frames.transpose(0, 3, 1, 2))


def test_the_real_clip_is_what_another_decoder_makes_of_it(shared_data):
    """The values are those of the ffmpeg 9.0.2 program (imageio-ffmpeg 0.8.1), -pix_fmt gray."""
    frames = read(shared_data / "kth" / "person15_handwaving_d1_uncomp.avi")[:, 0]
    assert frames.shape == (581, 120, 160)
    numbers = [0, 136, 279, 440, 580]
    assert frames[numbers, 60, 80].tolist() == [68, 61, 62, 65, 62]
    assert frames[numbers, 30, 70].tolist() == [245, 228, 240, 224, 231]
    np.testing.assert_allclose(
        frames[numbers].mean(axis=(1, 2)), [212.3313, 213.7345, 213.6818, 212.5380, 212.4008], atol=1e-3
    )


def test_luminance_is_stretched_from_studio_range(shared_data):
    """Decoded by another route: the luma plane as it is stored, by presentation time, and the formula."""
    import av

    path = shared_data / "kth" / "person15_handwaving_d1_uncomp.avi"
    with av.open(str(path)) as container:
        stored = sorted(container.decode(video=0), key=lambda frame: frame.pts)
        luma = np.stack([frame.to_ndarray(format="yuv420p")[:120] for frame in stored]).astype(float)
    expected = np.clip(np.rint((luma - 16) * 255 / 219), 0, 255)
    np.testing.assert_allclose(read(path)[:, 0], expected, atol=1)


def test_resizing_averages_over_what_becomes_one_pixel(tmp_path, make_video):
    stripes = np.zeros((2, 64, 64), np.uint8)
    stripes[:, :, ::2] = 255
    found = read(make_video(tmp_path / "x.avi", stripes), size=(16, 32))
    assert found.shape == (2, 1, 16, 32)
    assert np.abs(found[:, :, :, 2:-2].astype(int) - 127).max() <= 1  # no aliasing: stripes become grey


def test_a_folder_of_pictures_is_read_in_natural_order(tmp_path, moving_frames):
    frames = moving_frames(12)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"image{number}.png")
    np.testing.assert_array_equal(read(tmp_path)[:, 0], frames)
    (tmp_path / "image7.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"image7\.png cannot be read: frame 8 of 12 of its video"):
        read(tmp_path)


def test_a_video_that_lies_on_its_side_is_turned(tmp_path, make_video, moving_frames):
    frames = moving_frames(5)
    path = make_video(tmp_path / "x.mp4", frames)
    content = path.read_bytes()
    one, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    upright = one + zero * 3 + one + zero * 3 + (1 << 30).to_bytes(4, "big")
    quarter = zero + one + zero + (-1 << 16).to_bytes(4, "big", signed=True) + zero * 4 + upright[-4:]
    movie, track = content.index(upright), content.rindex(upright)
    assert movie < track  # the matrix of the whole film comes first, then that of the track
    path.write_bytes(content[:track] + quarter + content[track + len(quarter) :])
    turned = np.rot90(frames, -1, axes=(1, 2))  # the matrix turns to the right
    np.testing.assert_array_equal(read(path)[:, 0], turned)


@pytest.mark.parametrize("ending", [".avi", ".webm", ".mp4", ".gif"])
@pytest.mark.parametrize("left", [0.3, 0.6, 0.9])
def test_a_video_that_ends_early_is_told(tmp_path, make_video, moving_frames, ending, left):
    path = make_video(tmp_path / f"x{ending}", moving_frames(60))
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(
        DataError, match=rf"x\{ending} (ends early|is damaged|holds no video|cannot be read as)"
    ):
        read(path)


@pytest.mark.parametrize("ending", [".avi", ".webm"])
def test_the_number_of_good_and_of_expected_frames_is_told(tmp_path, make_video, moving_frames, ending):
    path = make_video(tmp_path / f"x{ending}", moving_frames(60))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    counted = []
    numbered = enumerate(read_video(path, channels=1), start=1)
    with pytest.raises(DataError) as told:
        deque((counted.append(number) for number, _ in numbered), 0)
    good = counted[-1]
    assert 10 < good < 50
    assert re.fullmatch(
        rf"{path} (ends early: {good} good frames could be read|is damaged: .* after {good} good frames), "
        "expected 60",
        str(told.value),
    )


@pytest.mark.parametrize("ending", [".avi", ".webm", ".mp4", ".gif"])
def test_damage_in_the_middle_is_told(tmp_path, make_video, moving_frames, ending):
    path = make_video(tmp_path / f"x{ending}", moving_frames(60))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\{ending} (ends early|is damaged)"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"A text, and no video.\n" * 40, b"\x00\xff" * 500])
@pytest.mark.parametrize("name", ["x.avi", "x.txt", "x.gif"])
def test_what_is_no_video_is_told(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} cannot be read as an mp4, avi, webm or gif video"):
        read(tmp_path / name)


def test_a_missing_file_and_an_empty_folder_are_told(tmp_path):
    with pytest.raises(DataError, match=r"none\.avi does not exist"):
        read(tmp_path / "none.avi")
    with pytest.raises(DataError, match="holds no pictures"):
        read(tmp_path)


def test_frames_of_another_size_need_to_be_told_theirs(tmp_path):
    for number, side in enumerate((8, 8, 9)):
        Image.new("L", (side, 8)).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match="change from 8x8 to 8x9: say which size"):
        read(tmp_path)
    assert read(tmp_path, size=(8, 8)).shape == (3, 1, 8, 8)


def test_frames_come_one_by_one(tmp_path, make_video, moving_frames):
    path = make_video(tmp_path / "x.avi", moving_frames(60))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    video = read_video(path, channels=1)
    next(video)  # the damage further on is not met yet
    next(video)


def test_a_file_in_memory_is_read_under_the_name_given(tmp_path, make_video, moving_frames):
    frames = moving_frames(8)
    content = make_video(tmp_path / "x.avi", frames).read_bytes()
    found = read(Path("a.zip/x.avi"), file=io.BytesIO(content))
    np.testing.assert_array_equal(found[:, 0], frames)
    with pytest.raises(DataError, match=r"^a\.zip/x\.avi (ends early|is damaged).*, expected 8"):
        read(Path("a.zip/x.avi"), file=io.BytesIO(content[: len(content) // 2]))


def test_without_pyav_the_command_to_install_it_is_told(tmp_path, monkeypatch):
    (tmp_path / "x.avi").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"pip install 'vidpred\[video\]'"):
        read(tmp_path / "x.avi")


def test_videos_are_found_below_folders_in_natural_order(tmp_path):
    for name in ("in/b/x10.mp4", "in/b/x9.AVI", "in/a/notes.txt", "in/p/2.png", "in/p/10.png", "y.webm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "in/b/x9.AVI").rename(tmp_path / "elsewhere.avi")
    (tmp_path / "in/b/x9.AVI").symlink_to(tmp_path / "elsewhere.avi")
    found = find_videos([tmp_path / "y.webm", tmp_path / "in"])
    assert list(found) == ["y.webm", "in/b/x9.AVI", "in/b/x10.mp4", "in/p"]
    assert found["in/p"] == tmp_path / "in" / "p"
    with pytest.raises(DataError, match=r"there is no video in .*/in/a: expected \.mp4"):
        find_videos([tmp_path / "in" / "a"])
    with pytest.raises(DataError, match="none does not exist"):
        find_videos([tmp_path / "none"])
