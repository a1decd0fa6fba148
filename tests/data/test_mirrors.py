import hashlib
import threading
import urllib.request

import pytest

from vidpred.data import digits, mirrors

FILES = {"train-images-idx3-ubyte.gz": b"images", "train-labels-idx1-ubyte.gz": b"labels"}


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    """A mirror in a local folder instead of on the network."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    checksums = {name: hashlib.md5(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setitem(mirrors._MIRRORS, "mnist", mirrors._Mirror(f"{folder.as_uri()}/", checksums))
    monkeypatch.delenv("VIDPRED_OFFLINE")
    return folder


def test_files_arrive_whole(mirror, tmp_path):
    target = tmp_path / "digits"
    assert mirrors.download("mnist", target, seconds=10) == target
    assert {path.name: path.read_bytes() for path in target.iterdir()} == FILES


def test_a_file_with_another_checksum_is_not_kept(mirror, tmp_path):
    (mirror / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    assert mirrors.download("mnist", tmp_path / "digits", seconds=10) is None
    assert not (tmp_path / "digits" / "train-images-idx3-ubyte.gz").exists()


def test_a_failure_is_remembered(mirror, tmp_path, monkeypatch):
    target = tmp_path / "digits"
    (mirror / "train-labels-idx1-ubyte.gz").rename(mirror / "aside")
    assert mirrors.download("mnist", target, seconds=10) is None
    (mirror / "aside").rename(mirror / "train-labels-idx1-ubyte.gz")
    assert mirrors.download("mnist", target, seconds=10) is None
    monkeypatch.setattr(mirrors, "_RETRY_AFTER", -1.0)
    assert mirrors.download("mnist", target, seconds=10) == target


def test_a_network_that_never_answers_is_given_up(mirror, tmp_path, monkeypatch):
    end_of_test = threading.Event()

    def silent(*args, **kwargs):
        end_of_test.wait()
        raise OSError

    monkeypatch.setattr(urllib.request, "urlopen", silent)
    assert mirrors.download("mnist", tmp_path / "digits", seconds=0.1) is None
    end_of_test.set()


def test_offline_the_network_is_not_asked(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDPRED_OFFLINE", "1")
    assert mirrors.download("mnist", tmp_path / "digits", seconds=10) is None
    assert not (tmp_path / "digits").exists()


def test_auto_downloads_into_the_cache_when_it_can(mirror, monkeypatch):
    fetched = []
    monkeypatch.setattr(mirrors, "download", lambda name, folder, seconds: fetched.append((name, folder)))
    digits.load("auto")
    assert fetched == [("mnist", digits.cache_directory() / "mnist")]
