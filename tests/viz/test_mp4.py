import numpy as np
import pytest

from vidpred.errors import OutputError
from vidpred.viz.animation import draw_pages
from vidpred.viz.mp4 import write_mp4

av = pytest.importorskip("av")


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("side", [16, 15])
def test_a_video_shows_the_pages_of_the_animation(tmp_path, noise, side):
    context, predicted = noise(1, 3, 1, side, side), noise(2, 1, 4, 1, side, side)
    write_mp4(tmp_path / "x.mp4", context, predicted)
    found = decoded(tmp_path / "x.mp4")
    pages = [np.asarray(page) for page in draw_pages(context, predicted)]
    assert len(found) == len(pages) + 14  # the last page stays for one and a half seconds
    assert not any(length % 2 for length in found[0].shape[:2])
    for page, frame in zip([*pages, *pages[-1:] * 14], found, strict=True):
        height, width = page.shape[:2]
        # The brightness is kept, save for the loss of compression; colours have half the resolution.
        difference = page.mean(axis=2) - frame[:height, :width].mean(axis=2)
        assert np.abs(difference).mean() < 4
    assert np.abs(pages[3].mean(axis=2) - pages[0].mean(axis=2)).mean() > 10


def test_it_has_ten_pages_a_second_and_the_same_bytes_again(tmp_path, noise):
    context, predicted = noise(1, 3, 1, 16, 16), noise(1, 1, 4, 1, 16, 16)
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, context, predicted)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == 10


def test_a_place_that_cannot_be_written_is_told_and_left_as_it_was(tmp_path, noise):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/x\.mp4"):
        write_mp4(tmp_path / "file" / "x.mp4", noise(1, 1, 1, 8, 8), noise(1, 1, 1, 1, 8, 8))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
