import numpy as np
import pytest

from vidpred.cli.main import run
from vidpred.data import open_dataset


@pytest.fixture(autouse=True)
def files(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, count in (("mnist_test_seq.npy", 5), ("other.npy", 3)):
        np.save(name, random.integers(0, 256, (4, count, 8, 8), np.uint8))


def test_a_file_of_another_project_and_back(capsys):
    assert run(["convert", "mnist_test_seq.npy", "data.h5"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "read mnist_test_seq.npy: 5 sequences of 4 frames of 1x8x8 (npy)",
        "wrote data.h5: 5 sequences of 4 frames of 1x8x8 (hdf5, test)",
    ]
    assert run(["convert", "data.h5", "back.npy"]) == 0
    np.testing.assert_array_equal(np.load("back.npy"), np.load("mnist_test_seq.npy"))


def test_several_files_become_several_splits():
    assert (
        run(["convert", "mnist_test_seq.npy", "other.npy", "data.h5", "--split", "train", "--split", "val"])
        == 0
    )
    with open_dataset("data.h5") as file:
        assert {name: len(split) for name, split in file.items()} == {"train": 5, "val": 3}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["none.npy", "data.h5"], 1, "none.npy does not exist"),
        (["other.npy", "data.npz"], 2, "the ending of data.npz does not tell the format"),
        (["other.npy", "data.h5", "--format", "conv-tt"], 2, "did you mean 'convtt'"),
        (["other.npy", "data.h5", "--split", "training"], 2, "did you mean 'train'"),
        (
            ["mnist_test_seq.npy", "other.npy", "data.h5"],
            2,
            "expected a --split of its own for each of 2 inputs",
        ),
        (["other.npy"], 2, "Missing argument"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(tmp_path, capsys, arguments, code, sentence):
    assert run(["convert", *arguments]) == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vidpred: ")
    assert sentence in last
    assert not (tmp_path / "data.h5").exists()
