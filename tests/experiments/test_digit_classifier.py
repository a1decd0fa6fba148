import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import ndimage

from vidpred.data import digits, moving_objects
from vidpred.errors import ConfigError, DataError, OutputError
from vidpred.experiments import digit_classifier
from vidpred.experiments.digit_classifier import train_classifier
from vidpred.metrics.objects import find_objects

REAL_MNIST = Path(__file__).parents[2] / ".." / "shared" / "data" / "mnist"
SIZE = 16


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_folders_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDPRED_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VIDPRED_DIGITS", raising=False)


def ten_patterns():
    """(10, 28, 28) white figures on black that are in one piece and that a shift does not confuse."""
    pictures = np.zeros((10, 28, 28), np.uint8)
    y, x = np.mgrid[:28, :28] - 13.5
    inside = (abs(x) < 9) & (abs(y) < 9)
    radius = np.hypot(x, y)
    figures = [
        inside & (abs(x) < 3),
        inside & (abs(y) < 3),
        inside & ((abs(x) < 2.2) | (abs(y) < 2.2)),
        inside & (abs(x - y) < 4),
        inside & (abs(x + y) < 4),
        radius < 9,
        (radius < 9) & (radius > 5),
        inside & ((x < -5) | (y > 5)),
        inside & ((x > 5) | (y < -5)),
        inside & ((abs(x) > 5) | (abs(y) < 2.2)),
    ]
    for picture, figure in zip(pictures, figures, strict=True):
        picture[figure] = 255
    return pictures


def write_source(path, labels=True):
    """Forty of each pattern, of different brightness, as an npz source of digits."""
    images = np.tile(ten_patterns(), (40, 1, 1))
    brightness = np.random.default_rng(2).uniform(0.8, 1, (400, 1, 1))
    arrays = {"images": (images * brightness).astype(np.uint8)}
    order = np.random.default_rng(3).permutation(400)  # every tenth is for test
    arrays["images"] = arrays["images"][order]
    if labels:
        arrays["labels"] = np.tile(np.arange(10, dtype=np.uint8), 40)[order]
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source") / "patterns.npz")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture(scope="module")
def classifier(source, cache):
    return train_classifier(source, SIZE, cache=cache, quiet=True)


@pytest.fixture
def short_training(monkeypatch):
    monkeypatch.setattr(digit_classifier, "_LEAST_EXAMPLES", 1000)
    monkeypatch.setattr(digit_classifier, "_MOST_EPOCHS", 1)


@pytest.fixture
def no_training(monkeypatch):
    def refuse(*_):
        raise AssertionError("trained, although the cache has it")

    monkeypatch.setattr(digit_classifier, "_trained", refuse)


def pictures(source):
    return moving_objects._digit_pictures(source, True, SIZE)


def weights(classifier):
    return classifier.network.state_dict()


def same_weights(one, other):
    return all(torch.equal(weights(one)[name], weights(other)[name]) for name in weights(one))


def frames_with(pictures, corners, side=48):
    """(n, 1, side, side) uint8 frames, each with one picture at its corner (x, y)."""
    frames = np.zeros((len(pictures), 1, side, side), np.uint8)
    for frame, picture, (x, y) in zip(frames, pictures, corners, strict=True):
        frame[0, y : y + SIZE, x : x + SIZE] = picture
    return frames


def test_clear_patterns_are_read_and_the_accuracy_is_measured(classifier, source):
    test = digits.load(source).test
    images = pictures(source)
    read = []
    for image in images:  # cut by hand around the middle of what is bright
        rows, columns = np.nonzero(image > 127)
        top = (rows.min() + rows.max() + 1 - SIZE) // 2
        left = (columns.min() + columns.max() + 1 - SIZE) // 2
        crop = np.pad(image, SIZE)[top + SIZE :, left + SIZE :][:SIZE, :SIZE] / 255
        read.append(classifier.classify(crop[None]).argmax())
    assert np.mean(np.array(read) == test.labels) == classifier.accuracy > 0.97


def test_the_network_has_between_50_and_100_thousand_parameters(classifier):
    assert 50_000 < sum(parameter.numel() for parameter in classifier.network.parameters()) < 100_000


def test_probabilities_are_over_the_classes(classifier):
    crops = torch.rand(7, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    probabilities = classifier.classify(crops)
    assert probabilities.shape == (7, 10)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-9)
    np.testing.assert_array_equal(probabilities, classifier.classify(crops.numpy()))
    assert classifier.classify(crops[:0]).shape == (0, 10)


def test_digits_are_read_wherever_they_are(classifier, source):
    images = pictures(source)[:30]
    corners = np.random.default_rng(4).integers(0, 48 - SIZE + 1, (30, 2))
    corners[0], corners[1], corners[2] = (0, 0), (32, 32), (0, 32)
    confidence = classifier.confidence(frames_with(images, corners))
    assert confidence.shape == (30,)
    assert (confidence > 0.9).all()
    # Position is all that changes, and the crop follows the object.
    elsewhere = classifier.confidence(frames_with(images, corners[::-1]))
    np.testing.assert_allclose(confidence, elsewhere, atol=1e-6)


def test_noise_is_read_with_less_confidence_than_digits(classifier, source):
    images = pictures(source)[:30]
    readable = classifier.confidence(frames_with(images, np.full((30, 2), 16)))
    noise = np.random.default_rng(6).random((30, 1, 48, 48))
    grains = np.stack([ndimage.gaussian_filter(one[0], 2)[None] for one in noise])
    grains = (grains - grains.min()) / (grains.max() - grains.min())
    for unreadable in (noise, grains):
        unsure = classifier.confidence(unreadable, least_area=0.02)
        assert unsure.mean() < 0.5 < 0.9 < readable.mean()


def test_the_confidence_is_the_mean_over_the_objects(classifier, source):
    first, second = pictures(source)[:2]
    blurred = (ndimage.gaussian_filter(second / 255, 1.8) * 255).astype(np.uint8)
    alone = classifier.confidence(frames_with([first, blurred], [(4, 4), (28, 28)]), threshold=0.3)
    assert abs(alone[0] - alone[1]) > 0.01
    both = frames_with([first], [(4, 4)]) + frames_with([blurred], [(28, 28)])
    assert len(find_objects(both[0], 0.3)) == 2
    assert classifier.confidence(both, threshold=0.3)[0] == pytest.approx(alone.mean(), abs=1e-6)


def test_nothing_found_is_no_confidence(classifier, source):
    frames = np.stack([np.zeros((1, 48, 48)), np.full((1, 48, 48), np.nan), np.full((1, 48, 48), 0.4)])
    assert classifier.confidence(frames).tolist() == [0, 0, 0]
    shown = frames_with(pictures(source)[:1], [(10, 10)]) / 255
    mixed = classifier.confidence(np.concatenate([frames, shown]))
    assert (mixed[:3] == 0).all()
    assert mixed[3] > 0.9


def test_frames_may_be_bytes_floats_tensors_and_coloured(classifier, source):
    frames = frames_with(pictures(source)[:6], np.full((6, 2), 9)).reshape(2, 3, 1, 48, 48)
    as_bytes = classifier.confidence(frames)
    assert as_bytes.shape == (2, 3)
    assert as_bytes.dtype == np.float64
    floats = torch.tensor(frames) / 255
    np.testing.assert_allclose(classifier.confidence(floats), as_bytes, atol=1e-6)
    np.testing.assert_array_equal(classifier.confidence(torch.tensor(frames)), as_bytes)
    green = torch.zeros(2, 3, 3, 48, 48)
    green[:, :, 1:2] = floats
    np.testing.assert_allclose(classifier.confidence(green), as_bytes, atol=1e-6)
    assert classifier.confidence(floats[:0]).shape == (0, 3)
    assert classifier.confidence(floats.bfloat16()).shape == (2, 3)


def test_many_frames_are_read_as_few_are(classifier, source, monkeypatch):
    frames = frames_with(pictures(source)[:20], np.full((20, 2), 9))
    at_once = classifier.confidence(frames)
    monkeypatch.setattr(digit_classifier, "_FRAMES_AT_A_TIME", 7)
    np.testing.assert_allclose(classifier.confidence(frames), at_once, atol=1e-6)


def test_a_second_call_takes_the_classifier_from_the_cache(classifier, source, cache, no_training):
    again = train_classifier(source, SIZE, cache=cache, quiet=True)
    assert same_weights(again, classifier)
    assert again.accuracy == classifier.accuracy
    assert again.crop == SIZE
    crops = np.random.default_rng(0).random((5, SIZE, SIZE))
    np.testing.assert_array_equal(again.classify(crops), classifier.classify(crops))


def test_one_seed_gives_one_classifier(source, short_training, tmp_path):
    torch.manual_seed(1)
    first = train_classifier(source, SIZE, cache=tmp_path / "a", quiet=True)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    again = train_classifier(source, SIZE, cache=tmp_path / "b", quiet=True)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = train_classifier(source, SIZE, seed=1, cache=tmp_path / "b", quiet=True)
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_each_source_size_and_seed_has_a_file_of_its_own(source, short_training, tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, images=255 - ten_patterns(), labels=np.arange(10, dtype=np.uint8))
    folder = tmp_path / "classifiers"
    for asked in ((source, SIZE), (source, 20), (source, SIZE, 3), (str(other), SIZE), (source, SIZE)):
        train_classifier(*asked, cache=folder, quiet=True)
    assert len(list(folder.iterdir())) == 4


def test_the_default_cache_is_beside_the_digits(source, short_training):
    train_classifier(source, SIZE, quiet=True)
    (file,) = (Path(os.environ["XDG_CACHE_HOME"]) / "vidpred" / "classifiers").iterdir()
    assert file.suffix == ".safetensors"


@pytest.mark.parametrize("damage", ["cut off", "not of this kind", "without a weight", "of another shape"])
def test_a_damaged_cache_is_trained_anew(source, short_training, tmp_path, damage):
    first = train_classifier(source, SIZE, cache=tmp_path, quiet=True)
    (file,) = tmp_path.iterdir()
    if damage == "cut off":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "not of this kind":
        file.write_bytes(b"no tensors here")
    else:
        tensors = load_file(file)
        if damage == "without a weight":
            del tensors["scores.bias"]
        else:
            tensors["scores.bias"] = torch.zeros(3)
        save_file(tensors, file)
    assert same_weights(train_classifier(source, SIZE, cache=tmp_path, quiet=True), first)
    assert "accuracy" in load_file(file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_source_without_labels_is_told(tmp_path):
    unlabelled = write_source(tmp_path / "unlabelled.npz", labels=False)
    with pytest.raises(DataError, match=r"unlabelled\.npz has no labels"):
        train_classifier(unlabelled, SIZE, cache=tmp_path, quiet=True)


def test_mistakes_are_told_before_the_training(source, tmp_path, no_training):
    with pytest.raises(ConfigError, match="got digit_size 4"):
        train_classifier(source, 4, cache=tmp_path, quiet=True)
    with pytest.raises(ConfigError, match="no device 'tpu'"):
        train_classifier(source, SIZE, device="tpu", cache=tmp_path, quiet=True)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="not a folder"):
        train_classifier(source, SIZE, cache=tmp_path / "file", quiet=True)


def test_crops_of_another_size_are_told(classifier):
    with pytest.raises(DataError, match=r"\(n, 16, 16\), got \(2, 1, 16, 16\)"):
        classifier.classify(np.zeros((2, 1, 16, 16)))


def test_progress_is_shown_unless_quiet(source, short_training, tmp_path, capsys):
    train_classifier(source, SIZE, cache=tmp_path / "quiet", quiet=True)
    assert capsys.readouterr().err == ""
    train_classifier(source, SIZE, cache=tmp_path / "shown")
    assert "digit classifier" in capsys.readouterr().err


@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.3])
def test_blur_is_gaussian(sigma):
    crops = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
    expected = ndimage.gaussian_filter(
        crops.numpy(), (0, sigma, sigma), mode="constant", radius=(0, *[int(np.ceil(3 * sigma))] * 2)
    )
    np.testing.assert_allclose(digit_classifier._blurred(crops, sigma), expected, atol=1e-5)


@pytest.mark.slow
def test_real_digits_of_16_pixels_are_read(monkeypatch, tmp_path):
    if not REAL_MNIST.is_dir():
        pytest.skip(f"the real MNIST is not at {REAL_MNIST}")
    monkeypatch.setenv("VIDPRED_DIGITS", str(REAL_MNIST.resolve()))
    digits.load.cache_clear()
    moving_objects._digit_pictures.cache_clear()
    classifier = train_classifier("mnist", SIZE, cache=tmp_path, quiet=True)
    digits.load.cache_clear()  # later tests have digits of their own
    images = moving_objects._digit_pictures("mnist", True, SIZE)[:200]
    moving_objects._digit_pictures.cache_clear()
    assert classifier.accuracy > 0.97
    clear = classifier.confidence(frames_with(images, np.full((200, 2), 9)), threshold=0.3)
    melted = ndimage.gaussian_filter(frames_with(images, np.full((200, 2), 9)) / 255, (0, 0, 2, 2))
    melted /= melted.max((-2, -1), keepdims=True)
    assert classifier.confidence(melted, threshold=0.3).mean() < 0.7 < 0.95 < clear.mean()
