import hashlib

import h5py
import numpy as np
import pytest

from vidpred.data import decoding
from vidpred.data.hdf5 import open_dataset
from vidpred.data.video_files import VideoSpec, generate_from_videos
from vidpred.errors import ConfigError, DataError

pytest.importorskip("av")

GREY = VideoSpec(channels=1)


@pytest.fixture
def videos(tmp_path, make_video, moving_frames):
    """Ten videos of 10, 13, 16, ... frames, by name."""
    made = {f"videos/{n}{'.avi' if n % 2 else '.mp4'}": moving_frames(10 + 3 * n, seed=n) for n in range(10)}
    for name, frames in made.items():
        make_video(tmp_path / name, frames)
    return made


def generate(tmp_path, spec=GREY, name="data.h5", **options):
    return generate_from_videos(tmp_path / name, [tmp_path / "videos"], spec, quiet=True, **options)


def test_every_video_is_whole_in_one_split_alone(tmp_path, videos):
    made = generate(tmp_path, val=0.2, test=3)
    assert made.sequences == {"train": 5, "val": 2, "test": 3}
    seen = []
    with open_dataset(tmp_path / "data.h5") as file:
        names = file.attributes["config"]["videos"]
        for split in file:
            for i, name in enumerate(names[split]):
                np.testing.assert_array_equal(file[split].sequence(i)[:, 0], videos[name])
            seen += names[split]
            assert made.frames[split] == sum(len(videos[name]) for name in names[split])
        expected = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in videos}
        assert file.attributes["sources"] == expected
    assert sorted(seen) == sorted(videos)


@pytest.mark.parametrize(("stride", "step"), [(0, 8), (3, 3)])
def test_videos_are_cut_into_clips(tmp_path, videos, stride, step):
    made = generate(tmp_path, VideoSpec(channels=1, frames=8, stride=stride), val=0, test=0)
    expected = [
        frames[start : start + 8] for frames in videos.values() for start in range(0, len(frames) - 7, step)
    ]
    with open_dataset(tmp_path / "data.h5") as file:
        np.testing.assert_array_equal(file["train"].frames[:, :, 0], expected)
    assert made.sequences == {"train": len(expected)}


def test_videos_too_short_for_a_clip_are_counted(tmp_path, videos):
    made = generate(tmp_path, VideoSpec(channels=1, frames=15), val=0, test=0)
    assert made.too_short == ["videos/0.mp4", "videos/1.avi"]
    with pytest.raises(
        DataError, match="none of the 10 videos gave a sequence: 0 could not be read, 10 have"
    ):
        generate(tmp_path, VideoSpec(channels=1, frames=99), name="none.h5")
    assert not (tmp_path / "none.h5").exists()


def test_the_stride_is_that_of_the_windows_of_whole_videos(tmp_path, videos):
    generate(tmp_path, VideoSpec(channels=1, stride=5), val=0, test=0)
    with open_dataset(tmp_path / "data.h5") as file:
        assert file["train"].strides.tolist() == [5] * 10
        assert file["train"].windows_from == "start"


def test_the_bytes_depend_on_the_seed_and_not_on_the_workers(tmp_path, videos, monkeypatch):
    generate(tmp_path, name="one.h5", workers=1, seed=3)
    monkeypatch.setattr(decoding, "_IN_MEMORY", 1000)  # so that all wait in temporary files
    monkeypatch.setattr(decoding, "_BLOCK_BYTES", 3000)
    generate(tmp_path, name="four.h5", workers=4, seed=3)
    generate(tmp_path, name="other.h5", workers=4, seed=4)
    one, four, other = ((tmp_path / f"{name}.h5").read_bytes() for name in ("one", "four", "other"))
    assert one == four != other


@pytest.fixture
def with_damage(tmp_path, make_video, moving_frames):
    """Five webm files of which the third is corrupt in the middle; its place."""
    for n in range(5):
        path = make_video(tmp_path / "videos" / f"{n}.webm", moving_frames(30, seed=n))
    path = tmp_path / "videos" / "2.webm"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    return path


def test_a_damaged_video_stops_with_its_name_and_leaves_what_was_there(tmp_path, with_damage):
    h5py.File(tmp_path / "data.h5", "w").close()
    older, before = (tmp_path / "data.h5").read_bytes(), set(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"videos/2\.webm (ends early|is damaged).*, expected 30"):
        generate(tmp_path, val=0, test=0)
    assert (tmp_path / "data.h5").read_bytes() == older
    assert set(tmp_path.iterdir()) == before


def test_a_damaged_video_is_skipped_and_named(tmp_path, with_damage):
    made = generate(tmp_path, val=0, test=0, on_error="skip")
    assert made.sequences == {"train": 4}
    assert len(made.skipped) == 1
    assert str(with_damage) in made.skipped[0]
    with open_dataset(tmp_path / "data.h5") as file:
        assert list(file.attributes["sources"]) == [f"videos/{n}.webm" for n in (0, 1, 3, 4)]
        assert np.diff(file["train"].offsets).tolist() == [30] * 4


def test_a_split_whose_videos_are_all_damaged_is_left_out(tmp_path, with_damage):
    with_damage.rename(tmp_path / "videos.webm")
    for path in (tmp_path / "videos").iterdir():
        path.unlink()
    with_damage = (tmp_path / "videos.webm").rename(tmp_path / "videos" / "2.webm")
    with pytest.raises(DataError, match="none of the 1 videos gave a sequence: 1 could not be read"):
        generate(tmp_path, on_error="skip")


def test_one_size_is_needed_for_all(tmp_path, make_video, moving_frames):
    make_video(tmp_path / "videos" / "a.avi", moving_frames(5))
    make_video(tmp_path / "videos" / "b.avi", moving_frames(5, size=(24, 24)))
    with pytest.raises(DataError, match=r"b\.avi has frames of 24x24, but the videos before it of 24x32"):
        generate(tmp_path)
    made = generate(tmp_path, VideoSpec(size=(16, 20)), val=0, test=0)
    assert made.sequences == {"train": 2}
    with open_dataset(tmp_path / "data.h5") as file:
        assert file["train"].frames.shape == (10, 3, 16, 20)


def test_more_videos_than_there_are_cannot_be_kept_apart(tmp_path, videos):
    with pytest.raises(ConfigError, match="8 for val and 3 for test were asked for, but there are only 10"):
        generate(tmp_path, val=8, test=0.3)
    with pytest.raises(ConfigError, match="--val must be a number of videos or a fraction"):
        generate(tmp_path, val=1.5)
