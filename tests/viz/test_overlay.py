import gzip

import numpy as np
import pytest
from PIL import Image

from vidpred.errors import ConfigError, OutputError
from vidpred.viz.overlay import overlay, write_overlays
from vidpred.viz.tiles import CONTEXT, INK, PREDICTION, TRUTH

SCALE = 4  # a frame of 16 pixels is drawn 64 pixels large


def assert_shows(pictures, expected):
    assert len(pictures) == len(expected)
    for picture, frame in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(picture, np.broadcast_to(frame, picture.shape))


def test_truth_is_white_and_what_is_only_predicted_is_red():
    #                  both  missed  invented  neither  a bit of both
    truth = np.uint8([[[255, 255, 0, 0, 100]]])
    prediction = np.uint8([[[255, 0, 255, 0, 180]]])
    found = overlay(truth, prediction)
    assert found.dtype == np.uint8
    expected = [(255, 255, 255), (255, 255, 255), (255, 0, 0), (0, 0, 0), (180, 100, 100)]
    np.testing.assert_array_equal(found[:, 0].T, expected)


def test_colours_are_turned_to_their_brightness():
    red, green, blue, white = np.uint8(255 * np.vstack([np.eye(3), np.ones(3)]))
    truth = np.stack([red, green, blue, white], axis=1)[:, None]  # (3, 1, 4)
    expected = [76, 150, 29, 255]  # 255 times 0.299, 0.587, 0.114 and 1
    np.testing.assert_array_equal(overlay(truth, np.zeros((1, 1, 4), np.uint8)), [[expected]] * 3)
    np.testing.assert_array_equal(overlay(np.zeros_like(truth), truth)[0], [expected])
    grey = np.arange(256, dtype=np.uint8)[None, None].repeat(3, axis=0)
    np.testing.assert_array_equal(overlay(grey, np.zeros_like(grey)), grey)


def test_truth_then_predictions_then_overlaps(tmp_path, noise, framed_pictures):
    truth, a, b, context = noise(6, 1, 16, 16), noise(6, 1, 16, 16), noise(6, 1, 16, 16), noise(3, 1, 16, 16)
    write_overlays(tmp_path / "x.png", truth, {"convlstm": a, "vpn": b}, context, every=2)
    page = Image.open(tmp_path / "x.png")
    shown = [0, 1, 3, 5]  # frames 1, 2, 4, 6
    assert_shows(framed_pictures(page, CONTEXT, SCALE), list(context))
    assert_shows(framed_pictures(page, TRUTH, SCALE), [truth[t] for t in shown])
    assert_shows(framed_pictures(page, PREDICTION, SCALE), [frames[t] for frames in (a, b) for t in shown])
    overlaps = framed_pictures(page, INK, SCALE)
    assert len(overlaps) == 2 * len(shown)
    for picture, (frames, t) in zip(overlaps, [(f, t) for f in (a, b) for t in shown], strict=True):
        np.testing.assert_array_equal(picture[0], np.maximum(truth[t, 0], frames[t, 0]))
        np.testing.assert_array_equal(picture[1], truth[t, 0])
        np.testing.assert_array_equal(picture[2], truth[t, 0])


def test_colour_frames_are_shown_in_colour_and_overlaid_in_grey(tmp_path, noise, framed_pictures):
    truth, frames = noise(2, 3, 16, 16), noise(2, 3, 16, 16)
    write_overlays(tmp_path / "x.png", truth, {"vrnn": frames}, truth[:0])
    page = Image.open(tmp_path / "x.png")
    assert framed_pictures(page, CONTEXT, SCALE) == []
    assert_shows(framed_pictures(page, TRUTH, SCALE), list(truth))
    assert_shows(framed_pictures(page, PREDICTION, SCALE), list(frames))
    for picture, there in zip(framed_pictures(page, INK, SCALE), truth, strict=True):
        luma = np.asarray(Image.fromarray(there.transpose(1, 2, 0)).convert("L"))
        np.testing.assert_allclose(picture[1].astype(int), luma, atol=1)


@pytest.mark.parametrize(("length", "columns"), [(1, 1), (12, 12), (13, 7), (100, 11)])
def test_at_most_twelve_frames_are_shown_by_themselves(tmp_path, noise, framed_pictures, length, columns):
    frames = np.broadcast_to(noise(1, 1, 16, 16), (length, 1, 16, 16))
    write_overlays(tmp_path / "x.png", frames, {"copy": frames})
    assert len(framed_pictures(Image.open(tmp_path / "x.png"), TRUTH, SCALE)) == columns


def test_the_legend_is_not_cut_off_a_narrow_page(tmp_path, noise):
    frames = noise(1, 1, 16, 16)
    write_overlays(tmp_path / "x.png", frames, {"vpn": frames})
    page = np.asarray(Image.open(tmp_path / "x.png"))
    assert (page == (255, 0, 0)).all(axis=-1).sum() == 9 * 9  # the swatch, without its border
    assert (page[:, -10:] == 255).all()
    assert (page[-10:] == 255).all()


def test_a_picture_of_digits_is_small(tmp_path, shared_data):
    file = shared_data / "mnist" / "t10k-images-idx3-ubyte.gz"
    if not file.exists():
        pytest.skip("no MNIST there")
    with gzip.open(file) as stream:
        digits = np.frombuffer(stream.read(16 + 40 * 784), np.uint8, offset=16).reshape(4, 10, 1, 28, 28)
    frames = np.pad(digits, [(0, 0)] * 3 + [(18, 18)] * 2)
    write_overlays(tmp_path / "x.png", frames[0], dict(zip("abc", frames[1:], strict=True)), frames[0])
    assert (tmp_path / "x.png").stat().st_size < 300_000


def test_what_does_not_fit_is_refused(tmp_path, noise):
    truth = noise(3, 1, 16, 16)
    for there, predictions, every, message in (
        (truth, {}, None, "at least one model"),
        (truth[:0], {"vpn": truth[:0]}, None, "at least one frame"),
        (truth, {"vpn": truth[:2]}, None, "prediction 'vpn' must be as long and as large"),
        (truth, {"vpn": truth[..., 1:]}, None, r"got \(3, 1, 16, 15\)"),
        (truth, {"vpn": truth}, 0, "every must be at least 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_overlays(tmp_path / "x.png", there, predictions, every=every)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, noise):
    (tmp_path / "file").touch()
    frames = noise(1, 1, 16, 16)
    with pytest.raises(OutputError, match="cannot write"):
        write_overlays(tmp_path / "file" / "x.png", frames, {"vpn": frames})
