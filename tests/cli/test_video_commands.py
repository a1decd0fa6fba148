"""From videos to a data file, a trained model, its scores and a rollout."""

import json
import shlex

import numpy as np
import pytest

from vidpred.cli.main import run as vidpred
from vidpred.data import open_dataset

av = pytest.importorskip("av")


@pytest.fixture
def kth(tmp_path, monkeypatch, make_video, moving_frames):
    """Six persons, two actions, two stretches of 40 and 30 frames each; and a command that takes them all."""
    lines = []
    for person in range(1, 7):
        for n, action in enumerate(("walking", "boxing")):
            name = f"person{person:02}_{action}_d1"
            make_video(tmp_path / "kth" / f"{name}_uncomp.avi", moving_frames(70, seed=2 * person + n))
            lines.append(f"{name}\tframes\t1-40, 41-70\n")
    (tmp_path / "kth" / "00sequences.txt").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDPRED_OFFLINE", "1")
    persons = ["--train-persons=1-4", "--val-persons=5", "--test-persons=6"]
    return ["gen-data", "kth", "kth", "--size=16", *persons]


def test_the_counts_are_told(kth, capsys):
    assert vidpred([*kth, "--out=kth.h5", "--frames=35"]) == 0
    few = "2 videos, 4 sequences, 140 frames; 2 windows of 35 frames (2 sequences are shorter)"
    assert capsys.readouterr().out.splitlines() == [
        "train: persons 1, 2, 3, 4: 8 videos, 16 sequences, 560 frames; 48 windows of 35 frames "
        "(8 sequences are shorter)",
        f"val: persons 5: {few}",
        f"test: persons 6: {few}",
        "wrote kth.h5",
    ]


def test_a_split_without_validation_says_so_and_can_get_one(kth, capsys):
    options = ["gen-data", "kth", "kth", "--out=kth.h5", "--split=predrnn", "--on-error=skip"]
    assert vidpred(options) == 0
    printed = capsys.readouterr().out
    assert "there is no validation split, which training needs: ask for one with --val-persons" in printed
    assert vidpred([*options, "--val-persons=5,6"]) == 0
    assert "there is no validation split" not in capsys.readouterr().out
    with open_dataset("kth.h5") as file:
        assert {name: len(file[name]) for name in file} == {"train": 16, "val": 8}


def test_one_file_serves_training_and_evaluation_at_several_lengths(kth, capsys):
    assert vidpred([*kth, "--out=kth.h5"]) == 0
    small = ["--set=model.hidden=[2]", "--set=train.steps=1", "--set=train.batch=2", "--set=data.frames=12"]
    train = ["train", "convlstm", "--preset=tiny", "--data=kth.h5", "--run=run", "--device=cpu"]
    assert vidpred([*train, *small, "--set=train.context=6"]) == 0
    for horizon, windows in ((10, 2 + 2 + 2), (30, 2)):
        options = ["--context=10", f"--horizon={horizon}", "--samples=1", "--json=s.json", "--device=cpu"]
        assert vidpred(["evaluate", "run", *options]) == 0
        with open("s.json", encoding="utf-8") as file:
            found = json.dumps(json.load(file))
        assert f"test, windows of {10 + horizon} frames" in found
        assert f'"sequences": {windows}' in found, found[:2000]
    capsys.readouterr()
    assert vidpred(["evaluate", "run", "--context=10", "--horizon=31", "--device=cpu"]) == 1
    assert "windows of 41 frames were asked for, but the longest sequence" in capsys.readouterr().err
    assert vidpred(["rollout", "run", "--horizon=40", "--context=10", "--device=cpu", "--out=x.h5"]) == 0
    with open_dataset("x.h5") as file:
        assert file["test"].frames.shape == (1, 50, 1, 16, 16)


@pytest.mark.parametrize(
    "options",
    [
        ["--size=12x16", "--grey", "--val=1", "--test=0.25", "--seed=3"],
        ["--frames=9", "--stride=4", "--val=0", "--test=0", "--on-error=skip"],
    ],
)
def test_the_file_names_the_command_that_makes_it_again(
    tmp_path, monkeypatch, make_video, moving_frames, options
):
    monkeypatch.chdir(tmp_path)
    for n in range(4):
        make_video(tmp_path / "my videos" / f"{n}.avi", moving_frames(20, seed=n))
    assert vidpred(["gen-data", "video", "my videos", "--out=data.h5", *options]) == 0
    with open_dataset("data.h5") as file:
        program, *arguments = shlex.split(file.attributes["command"])
    assert program == "vidpred"
    assert vidpred([*arguments, "--out", "again.h5"]) == 0
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "data.h5").read_bytes()


def test_so_does_a_file_of_kth(kth, tmp_path):
    assert vidpred([*kth, "--out=data.h5", "--clips=predrnn", "--frames=7"]) == 0
    with open_dataset("data.h5") as file:
        _, *arguments = shlex.split(file.attributes["command"])
    assert vidpred([*arguments, "--out", "again.h5"]) == 0
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "data.h5").read_bytes()


def test_what_is_skipped_is_named_at_the_end(tmp_path, monkeypatch, capsys, make_video, moving_frames):
    monkeypatch.chdir(tmp_path)
    for n in range(3):
        make_video(tmp_path / "in" / f"{n}.avi", moving_frames(20, seed=n))
    (tmp_path / "in" / "1.avi").write_text("A text, and no video.")
    command = ["gen-data", "video", "in", "--out=data.h5", "--val=0", "--test=0", "--frames=8"]
    assert vidpred(command) == 1
    assert "in/1.avi cannot be read as an mp4, avi, webm or gif video" in capsys.readouterr().err
    assert not (tmp_path / "data.h5").exists()
    assert vidpred([*command, "--on-error=skip"]) == 0
    skipped, wrote, hint = capsys.readouterr().out.splitlines()
    assert skipped.startswith("skipped: in/1.avi cannot be read")
    assert wrote == "wrote data.h5: 4 train (32 frames) sequences, without what was skipped"
    assert hint == "there is no validation split, which training needs: ask for one with --val"


def test_a_video_of_ones_own_is_continued(make_run, tmp_path, make_video, moving_frames):
    frames = moving_frames(12, size=(32, 32))
    path = make_video(tmp_path / "x.avi", frames)
    rollout = [
        "rollout",
        str(make_run("a", "rnn")),
        "--device=cpu",
        "--context=3",
        "--horizon=4",
        f"--video={path}",
    ]
    assert vidpred([*rollout, f"--out={tmp_path / 'end.h5'}"]) == 0
    assert vidpred([*rollout, f"--out={tmp_path / 'start.h5'}", "--video-from=start"]) == 0
    for place, given in (("end", frames[9:]), ("start", frames[:3])):
        with open_dataset(tmp_path / f"{place}.h5") as file:
            assert file["test"].frames.shape == (1, 3 + 4, 1, 32, 32)
            np.testing.assert_array_equal(file["test"].frames[0, :3, 0], given)
            assert file.attributes["config"]["source"] == f"{path} ({place})"


def test_a_rollout_is_drawn_as_a_video(make_run, tmp_path):
    options = ["--device=cpu", "--horizon=4", "--context=3", f"--out={tmp_path / 'x.mp4'}"]
    assert vidpred(["rollout", str(make_run("a", "rnn")), *options]) == 0
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3 + 4 + 14
