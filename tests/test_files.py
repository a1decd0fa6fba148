"""Writing through a temporary: whole or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidpred.errors import OutputError
from vidpred.files import recover, replacing, require_writable, without_nan


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "result"
    final.write_text("old")

    def write() -> None:
        with replacing(final) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write()
    assert final.read_text() == "old"
    assert os.listdir(tmp_path) == ["result"]


def test_files_and_folders_are_replaced_whole(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text(content)
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert (tmp_path / "file").read_text() == "two"
    assert os.listdir(tmp_path / "folder") == ["two"]
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_the_systems_refusal_is_one_sentence_that_names_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/x"), replacing(tmp_path / "file" / "x"):
        pass

    def write() -> None:
        with replacing(tmp_path / "y"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match=r"cannot write .*y: no space left on device"):
        write()


def test_a_folder_caught_between_old_and_new_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".last.old").mkdir()
    (tmp_path / ".last.old" / "weights").touch()
    recover(tmp_path / "last")
    assert os.listdir(tmp_path / "last") == ["weights"]


def test_a_kill_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    program = (
        "import sys, time; from vidpred.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); print('written', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, tmp_path / "x"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, process.stdout:
        process.stdout.readline()
        process.kill()
    assert not (tmp_path / "x").exists()


def test_a_folder_never_gives_way_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis").touch()

    def write() -> None:
        with replacing(tmp_path / "folder") as temporary:
            temporary.write_text("result")

    with pytest.raises(OutputError, match=r"cannot write .*folder: is a directory"):
        write()
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == ["thesis"]


def test_what_cannot_be_written_is_known_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    require_writable(tmp_path / "new" / "folder" / "x")
    require_writable(tmp_path / "file")
    with pytest.raises(OutputError, match=r"cannot write .*file/x: .*file is not a folder"):
        require_writable(tmp_path / "file" / "x")
    with pytest.raises(OutputError, match="is a directory"):
        require_writable(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_read_is_not_overwritten(tmp_path: Path) -> None:
    read, other = tmp_path / "read", tmp_path / "other"
    read.touch()
    (tmp_path / "link").symlink_to(read)
    require_writable(read, [other, None])
    require_writable(other, [read])
    for same in (read, tmp_path / "link", tmp_path / "." / "read"):
        with pytest.raises(OutputError, match=r"would replace what is read from .*read: choose another"):
            require_writable(same, [other, read])


def test_numbers_that_json_does_not_know_become_null() -> None:
    values = {"a": np.array([1.0, np.nan]), "b": [np.inf, (2, "x")], "c": np.float32(0.5), "d": None}
    assert without_nan(values) == {"a": [1.0, None], "b": [None, [2, "x"]], "c": 0.5, "d": None}
