"""Music from the command line: from a data file to a model to notes that can be heard."""

import json

import numpy as np
import pytest
from PIL import Image

from vidpred import open_dataset, runs
from vidpred.cli.main import run as vidpred
from vidpred.data.midi import read_midi, write_midi

TINY = [f"--set={setting}" for setting in (
    "data.frames=12", "model.hidden=[4]", "model.patch=1", "train.batch=4", "train.steps=2", "train.epochs=1",
    "eval.context=5",
)]  # fmt: skip
ROLLOUT = ["--device=cpu", "--context=6", "--horizon=5"]


@pytest.fixture(scope="module")
def chorales(tmp_path_factory):
    path = tmp_path_factory.mktemp("chorales") / "data.h5"
    assert (
        vidpred(["gen-data", "piano-roll", "--train=6", "--val=3", "--test=3", "--seed=2", f"--out={path}"])
        == 0
    )
    return path


@pytest.fixture(scope="module")
def trained(chorales):
    run = chorales.parent / "run"
    given = [
        "train",
        "convlstm",
        "--preset=tiny",
        f"--data={chorales}",
        f"--run={run}",
        "--device=cpu",
        *TINY,
    ]
    assert vidpred(given) == 0
    return run


def test_chorales_need_no_download(tmp_path, capsys):
    out = tmp_path / "x.h5"
    assert vidpred(["gen-data", "piano-roll", "--train=3", "--val=0", "--test=1", f"--out={out}"]) == 0
    with open_dataset(out) as file:
        assert [(split, len(file[split])) for split in file] == [("train", 3), ("test", 1)]
        steps = [len(file[split].frames) for split in file]
    assert capsys.readouterr().out == (
        f"wrote {out}: 3 train ({steps[0]} steps) + 1 test ({steps[1]} steps) sequences\n"
        "there is no validation split, which training needs: ask for one with --val\n"
    )


def test_files_are_read_and_what_is_left_out_is_said(tmp_path, capsys):
    mido = pytest.importorskip("mido")
    folder = tmp_path / "midi"
    folder.mkdir()
    for n in range(9):
        roll = np.zeros((4, 88), bool)
        roll[:, n] = True
        write_midi(folder / f"{n}.mid", roll)
    file = mido.MidiFile(folder / "0.mid")
    file.tracks[0].insert(0, mido.Message("note_on", note=120))
    file.save(folder / "0.mid")
    (folder / "bad.mid").write_bytes(b"MThd")
    given = ["gen-data", "piano-roll", str(folder), f"--out={tmp_path / 'x.h5'}", "--val=0", "--test=0"]
    assert vidpred(given) == 1
    capsys.readouterr()
    assert vidpred([*given, "--on-error=skip", "--steps-per-beat=8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"skipped: {folder / 'bad.mid'} cannot be read as a MIDI file")
    assert lines[1] == "left out 1 note that a piano does not have: 120 (1 time)"
    assert lines[2] == f"wrote {tmp_path / 'x.h5'}: 9 train (72 steps) sequences, without what was skipped"
    assert lines[3] == "there is no validation split, which training needs: ask for one with --val"


def test_a_missing_validation_split_is_said_with_what_helps(tmp_path, capsys):
    pytest.importorskip("mido")
    (tmp_path / "a.json").write_text('{"train": [[[60]]]}')
    assert vidpred(["gen-data", "piano-roll", f"{tmp_path / 'a.json'}", f"--out={tmp_path / 'x.h5'}"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "there is no validation split, which training needs, as no SOURCE has one: add one that does"
    )
    write_midi(tmp_path / "a.mid", np.ones((4, 88)))
    files = [f"{tmp_path / 'a.mid'}", f"--out={tmp_path / 'x.h5'}"]
    assert vidpred(["gen-data", "piano-roll", *files, "--val=0.0001", "--test=0"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "of 1 MIDI file none fell into the validation split, which training needs: "
        "give more files, a larger --val, or another --seed"
    )


def test_music_from_published_files_is_heard_at_the_beat_that_was_stated(trained, tmp_path):
    mido = pytest.importorskip("mido")
    (tmp_path / "a.json").write_text(json.dumps({"test": [[[60]] * 20]}))
    data = tmp_path / "x.h5"
    given = ["gen-data", "piano-roll", f"{tmp_path / 'a.json'}", "--steps-per-beat=2", f"--out={data}"]
    assert vidpred(given) == 0
    out = tmp_path / "x.mid"
    assert vidpred(["rollout", str(trained), *ROLLOUT, f"--data={data}", "--tempo=60", f"--out={out}"]) == 0
    assert mido.MidiFile(out).length == pytest.approx((6 + 5) / 2)  # seconds


def test_a_model_of_frames_learns_from_music(trained):
    assert [line["split"] for line in runs.read_metrics(trained)] == ["val"]
    settings = runs.read_config(trained).config
    assert (settings.channels, settings.size) == (1, (1, 88))
    (picture,) = (trained / "samples").iterdir()
    with Image.open(picture) as sheet:
        assert sheet.height > 1500  # four sequences, truth and prediction below each other: rolls, not tiles


def test_a_rollout_is_drawn_as_rolls_by_itself(trained, capsys):
    assert vidpred(["rollout", str(trained), *ROLLOUT]) == 0
    assert capsys.readouterr().out.startswith(f"{trained / 'rollout.png'}: ")
    with Image.open(trained / "rollout.png") as picture:
        assert picture.height > 500


def test_a_rollout_can_be_heard(trained, tmp_path, chorales):
    pytest.importorskip("mido")
    given = ["rollout", str(trained), *ROLLOUT, "--index=1"]
    assert vidpred([*given, f"--out={tmp_path / 'x.mid'}", "--tempo=60"]) == 0
    assert vidpred([*given, f"--out={tmp_path / 'x.npy'}"]) == 0
    roll, _ = read_midi(tmp_path / "x.mid", steps_per_beat=1)
    assert len(roll) == 6 + 5
    predicted = np.load(tmp_path / "x.npy")[0, 0, :, 0, 0]
    np.testing.assert_array_equal(roll[6:], predicted > 127)
    with open_dataset(chorales) as file:
        first = file["test"].sequence(0)
        windows = [first[at : at + 11] for at in range(0, len(first) - 10, 11)]
    np.testing.assert_array_equal(roll[:6], windows[1][:6, 0, 0] > 0)


def test_notes_that_can_be_drawn_are_drawn(make_run, tmp_path, chorales):
    """Means hardly ever reach 1/2, and a file of them would be silent."""
    pytest.importorskip("mido")
    run = make_run("vosp", "vosp", f"data.file={chorales}", "train.context=0")
    given = ["rollout", str(run), *ROLLOUT, "--samples=1"]
    for name, more in (("x", []), ("mean", ["--deterministic"]), ("said", ["--set=model.decoding=mean"])):
        assert vidpred([*given, *more, f"--out={tmp_path / name}.mid"]) == 0
    assert vidpred([*given, "--set=model.decoding=sample", f"--out={tmp_path / 'x.npy'}"]) == 0
    rolls = {name: read_midi(tmp_path / f"{name}.mid", steps_per_beat=1)[0] for name in ("x", "mean", "said")}
    np.testing.assert_array_equal(rolls["x"][6:], np.load(tmp_path / "x.npy")[0, 0, :, 0, 0] > 127)
    assert rolls["x"][6:].any()
    assert not rolls["mean"][6:].any()
    assert not rolls["said"][6:].any()


def test_what_is_read_is_not_overwritten(trained, chorales, tmp_path, capsys):
    before = chorales.read_bytes()
    assert vidpred(["rollout", str(trained), *ROLLOUT, f"--out={chorales}"]) == 1
    assert vidpred(["evaluate", str(trained), *ROLLOUT, f"--data={chorales}", f"--json={chorales}"]) == 1
    told = capsys.readouterr().err
    assert told.count(f"{chorales} would replace what is read from {chorales}") == 2
    assert chorales.read_bytes() == before


def test_only_music_can_be_heard(make_run, tmp_path, capsys):
    run = make_run("a", "rnn")
    assert vidpred(["rollout", str(run), *ROLLOUT, f"--out={tmp_path / 'x.mid'}"]) == 2
    assert (
        "expected a run trained on piano rolls (1 channel, 1x88), but the frames of this one are 1 channel, "
        in (capsys.readouterr().err)
    )


def test_music_is_evaluated_without_ssim(trained, tmp_path, capsys):
    out = tmp_path / "x.json"
    assert vidpred(["evaluate", str(trained), *ROLLOUT, "--conventions=openstl", f"--json={out}"]) == 0
    report = json.loads(out.read_text())
    assert "bce_frame" in report["metrics"]
    assert "openstl.mse" in report["metrics"]
    assert not [name for name in report["metrics"] if "ssim" in name]
    assert "SSIM" not in capsys.readouterr().out
