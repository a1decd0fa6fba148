import hashlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vidpred.data import FrameDataset, open_dataset
from vidpred.data.generate import generate
from vidpred.data.moving import MovingDataset
from vidpred.data.moving_objects import MovingSpec
from vidpred.errors import ConfigError, OutputError

COUNTS = {"train": 70, "val": 3, "test": 40}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["mmnist", "shapes"])
def test_the_file_does_not_depend_on_the_number_of_workers(tmp_path, kind):
    digests = set()
    for workers in (1, 2, 4, 0):
        path = tmp_path / f"{workers}.h5"
        generate(path, MovingSpec(kind=kind), COUNTS, seed=3, workers=workers, quiet=True)
        digests.add(sha256(path))
    assert len(digests) == 1
    generate(path, MovingSpec(kind=kind), COUNTS, seed=4, quiet=True)
    assert sha256(path) not in digests


def test_the_file_holds_what_is_made_on_the_fly(tmp_path):
    spec = MovingSpec(size=32, digit_size=16)
    generate(tmp_path / "data.h5", spec, COUNTS, seed=3, quiet=True)
    for split, count in COUNTS.items():
        stored = FrameDataset(tmp_path / "data.h5", split, with_labels=True)
        made = MovingDataset(spec, split, count, seed=3, with_labels=True)
        assert len(stored) == count
        for i in (0, count - 1):
            np.testing.assert_array_equal(stored[i]["frames"], made[i]["frames"])
            np.testing.assert_array_equal(stored[i]["labels"], made[i]["labels"])


def test_the_file_says_how_it_was_made(tmp_path, mnist_folder):
    generate(
        tmp_path / "data.h5", MovingSpec(frames=5), {"train": 4, "val": 0, "test": 2}, seed=8, quiet=True
    )
    with open_dataset(tmp_path / "data.h5") as file:
        assert list(file) == ["train", "test"]
        assert file.attributes["seed"] == 8
        assert file.attributes["config"] == MovingSpec(frames=5).model_dump() | {"train": 4, "test": 2}
        assert file.attributes["sources"] == {path.name: sha256(path) for path in mnist_folder.iterdir()}
        for name, digest in file.attributes["sha256"].items():
            split, dataset = name.split("/")
            stored = getattr(file[split], dataset)[()]
            assert hashlib.sha256(stored.tobytes()).hexdigest() == digest


def test_wrong_counts_are_told(tmp_path):
    with pytest.raises(ConfigError, match="number of val sequences must not be negative, got -1"):
        generate(tmp_path / "data.h5", MovingSpec(), {"train": 4, "val": -1}, quiet=True)
    with pytest.raises(ConfigError, match="0 in every split"):
        generate(tmp_path / "data.h5", MovingSpec(), {"train": 0, "val": 0}, quiet=True)
    assert not (tmp_path / "data.h5").exists()


def test_an_output_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"cannot write .*data\.h5"):
        generate(tmp_path / "file" / "data.h5", MovingSpec(), {"train": 1}, quiet=True)


PROGRAM = """
import resource, sys
from vidpred.data.generate import generate
from vidpred.data.moving_objects import MovingSpec
from vidpred.errors import VidpredError
path, count, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    generate(path, MovingSpec(), {"train": count}, workers=2, quiet=True)
except VidpredError as error:
    sys.exit(str(error))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def program(path, count, limit=0):
    return [sys.executable, "-c", PROGRAM, str(path), str(count), str(limit)]


def test_memory_does_not_grow_with_the_number_of_sequences(tmp_path):
    kibibytes = [
        int(subprocess.run(program(tmp_path / "data.h5", count), capture_output=True, check=True).stdout)
        for count in (300, 2000)
    ]
    assert (tmp_path / "data.h5").stat().st_size > 2000 * 20 * 64 * 64
    assert kibibytes[1] - kibibytes[0] < 30 * 1024  # the second file is 139 MB larger


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path):
    # A limit on the size of files stands for the disk: the write fails in the same way.
    done = subprocess.run(program(tmp_path / "data.h5", 300, limit=2**23), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [f"cannot write {tmp_path}/data.h5: file too large"]
    assert list(tmp_path.glob("*.h5*")) == []


def test_a_killed_process_leaves_no_file_under_the_final_name(tmp_path):
    process = subprocess.Popen(program(tmp_path / "data.h5", 100_000), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size > 2**24 for path in tmp_path.glob(".data.h5.*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "data.h5").exists()
