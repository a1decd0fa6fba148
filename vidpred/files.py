"""Writing files so that a killed or failing process never leaves half of one under its final name."""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidpred.errors import OutputError


@contextmanager
def replacing(final: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `final`; renames it to `final` when the block ends without error.

    The block may create a file or a directory at the temporary path. On an error the temporary is
    removed and `final` is left as it was. An `OSError` raised while writing (no space, no permission,
    a missing folder) becomes an `OutputError` that names `final`.
    """
    final = Path(final)
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        if final.parent.exists() and not final.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{final.parent} is not a folder")
        final.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(final.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        yield temporary
        _swap(temporary, final)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        _remove(temporary)


def require_writable(final: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Raises `OutputError` where `final` cannot be written; to be asked before long work.

    Permissions do not tell everything, so a file without a name is made in the folder, or in the nearest
    one that is there already.

    Args:
        inputs: what is read; it must not be `final`, which would replace it.
    """
    for read in inputs:
        if read is not None and read.exists() and final.exists() and final.samefile(read):
            raise OutputError(f"{final} would replace what is read from {read}: choose another output")
    folder = next(parent for parent in final.parents if parent.exists())
    if final.is_dir():
        raise cannot_write(final, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if not folder.is_dir():
        raise cannot_write(final, NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder"))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(final, error) from error


def cannot_write(final: Path, error: OSError) -> OutputError:
    """The one sentence for an output that the operating system refused."""
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {final}: {reason[:1].lower()}{reason[1:]}")


def without_nan(value: Any) -> Any:
    """Plain data for JSON, which knows neither not-a-number nor infinity: they become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy
        return without_nan(value.tolist())
    return value


def recover(final: Path) -> None:
    """Puts back the old directory `final` if a kill struck while `replacing` was exchanging it."""
    old = _old(final)
    if old.is_dir() and not final.exists():
        os.replace(old, final)


def _swap(temporary: Path, final: Path) -> None:
    if not final.is_dir():
        os.replace(temporary, final)
        return
    if not temporary.is_dir():  # a folder of the user's never gives way to a file
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    # A directory cannot be replaced in one step: the old one stands aside until the new one is in place.
    old = _old(final)
    shutil.rmtree(old, ignore_errors=True)
    os.replace(final, old)
    os.replace(temporary, final)
    shutil.rmtree(old)


def _old(final: Path) -> Path:
    return final.with_name(f".{final.name}.old")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
