"""Fetching MNIST and its relatives from their public mirrors: short, checked, and never waited for twice."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from vidpred.errors import VidpredError
from vidpred.files import replacing


@dataclass(frozen=True)
class _Mirror:
    address: str
    files: dict[str, str]
    """File name -> md5, as published with the collection."""


_MIRRORS = {
    "mnist": _Mirror(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion": _Mirror(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "kmnist": _Mirror(
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        {
            "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
            "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
            "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
            "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
        },
    ),
}
_FAILED = ".unreachable"
_RETRY_AFTER = 24 * 3600.0


def download(name: str, folder: Path, seconds: float) -> Path | None:
    """Downloads a collection into `folder`.

    Nothing is asked of the network if the environment variable ``VIDPRED_OFFLINE`` is set, if the
    collection has no mirror, or if an attempt failed within the last day.

    Args:
        seconds: the longest to wait for all of it.

    Returns:
        `folder`, or None if the files could not be had.
    """
    if name not in _MIRRORS or os.environ.get("VIDPRED_OFFLINE") or _failed_lately(folder):
        return None
    # A thread, because looking up a host's address can outlast every timeout of a connection.
    mirror = _MIRRORS[name]
    attempt = threading.Thread(target=_fetch, args=(mirror, folder, seconds), daemon=True)
    attempt.start()
    attempt.join(seconds)
    if all((folder / file).is_file() for file in mirror.files):
        return folder
    _remember_failure(folder)
    return None


def _fetch(mirror: _Mirror, folder: Path, seconds: float) -> None:
    try:
        for name, md5 in mirror.files.items():
            with urllib.request.urlopen(mirror.address + name, timeout=seconds) as response:
                content = response.read()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
                return
            with replacing(folder / name) as path:
                path.write_bytes(content)
    except (OSError, http.client.HTTPException, VidpredError):
        return  # what is missing afterwards tells that the attempt failed


def _failed_lately(folder: Path) -> bool:
    try:
        return time.time() - (folder / _FAILED).stat().st_mtime < _RETRY_AFTER
    except OSError:
        return False


def _remember_failure(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FAILED).touch()
    except OSError:
        pass  # a cache that cannot be written only costs the next attempt
