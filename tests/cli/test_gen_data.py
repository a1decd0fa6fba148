import shlex

import pytest

from vidpred.cli.main import run
from vidpred.data import open_dataset


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDPRED_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


FEW = ["--train", "3", "--val", "0", "--test", "2"]


def test_mmnist_writes_what_was_asked_for(tmp_path, capsys):
    options = ["--frames", "7", "--objects", "3", "--motion", "openstl", "--size", "32", "--digit-size", "12"]
    more = ["--overlap", "add", "--acceleration", "0.5", "--seed", "4", "--workers", "2", "--digits", "auto"]
    assert run(["gen-data", "mmnist", "--out", "data.h5", *FEW, *options, *more]) == 0
    assert capsys.readouterr().out == "wrote data.h5: 3 train + 2 test sequences\n"
    with open_dataset("data.h5") as file:
        assert file["train"].frames.shape == (3, 7, 1, 32, 32)
        assert file["test"].positions.shape == (2, 7, 3, 2)
        assert list(file) == ["train", "test"]
        assert file.attributes["seed"] == 4
        config = file.attributes["config"]
    expected = {
        "motion": "openstl",
        "overlap": "add",
        "acceleration": 0.5,
        "digit_size": 12,
        "digits": "auto",
    }
    assert {key: config[key] for key in expected} == expected


def test_shapes_are_in_colour(capsys):
    assert run(["gen-data", "shapes", "--out", "data.h5", *FEW]) == 0
    with open_dataset("data.h5") as file:
        assert file["train"].frames.shape == (3, 20, 3, 64, 64)
        assert file["train"].labels[()].max() < 3
        assert file["train"].object_ids is None


@pytest.mark.parametrize("kind", ["mmnist", "shapes"])
def test_the_file_names_the_command_that_makes_it_again(tmp_path, kind):
    options = [*FEW, "--seed", "4", "--frames", "6", "--motion", "svg", "--acceleration", "0.25"]
    assert run(["gen-data", kind, "--out", "data.h5", *options]) == 0
    with open_dataset("data.h5") as file:
        program, *arguments = shlex.split(file.attributes["command"])
    assert program == "vidpred"
    assert run([*arguments, "--out", "again.h5"]) == 0
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "data.h5").read_bytes()


@pytest.mark.parametrize(("motion", "side"), [("razali", 28), ("svg", 32)])
def test_objects_have_the_published_size_of_their_motion(motion, side):
    assert run(["gen-data", "mmnist", "--out", "data.h5", *FEW, "--motion", motion]) == 0
    with open_dataset("data.h5") as file:
        assert file.attributes["config"]["digit_size"] == side


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--train", "-5"], 2, "Invalid value for '--train'"),
        (["--objects", "5"], 2, "Invalid value for '--objects'"),
        (["--train", "0", "--val", "0", "--test", "0"], 2, "there is nothing to generate"),
        (["--motion", "svgg"], 2, "motion: "),
        (["--size", "20"], 2, "digit_size must be smaller than size 20, got 28"),
        (["--digits", "mnits"], 2, "did you mean 'mnist'"),
        (["--digits", "kmnist"], 1, "no kmnist images found"),
        (["--digits", "none.npz"], 1, "digit file none.npz does not exist"),
        (["--out", "file/data.h5"], 1, "cannot write file/data.h5: "),
    ],
)
def test_wrong_use_is_told_in_one_sentence(tmp_path, capsys, options, code, sentence):
    (tmp_path / "file").write_text("not a folder")
    assert run(["gen-data", "mmnist", "--out", "data.h5", *FEW, *options]) == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vidpred: ")
    assert sentence in last
    assert not (tmp_path / "data.h5").exists()
