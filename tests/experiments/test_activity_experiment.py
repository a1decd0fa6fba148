"""Early activity recognition on small runs that have learnt nothing, against brute force."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from vidpred import runs
from vidpred.cli.main import run as vidpred
from vidpred.data.hdf5 import create_dataset
from vidpred.experiments import activity as activity_module
from vidpred.models.registry import build
from vidpred.runs import load_run
from vidpred.training.settings import resolve_settings

NAMES = ("Tearing something", "Moving something | left", "Holding something", "Moving something right")
GROUPS = ("Tearing", "Moving", "Holding", "Moving")
SMALL = ("model.horizon=2", "model.hidden=[4]", "train.steps=2", "train.batch=4", "eval.samples=1")


@pytest.fixture
def make_file(tmp_path):
    """make_file(name, classes=..., groups=...): 8 training and 14 test sequences of noise, of 8 frames."""

    def make(name="x.h5", classes=NAMES, groups=GROUPS, width=1, labels=True):
        random = np.random.default_rng(3)
        path = tmp_path / name
        with create_dataset(
            path, command="", config={}, seed=0, sources={}, classes=classes, groups=groups
        ) as file:
            for split, count in (("train", 8), ("val", 4), ("test", 14)):
                with file.split(split, count, (8, 1, 16, 16)) as writer:
                    frames = random.integers(0, 256, (count, 8, 1, 16, 16), np.uint8)
                    numbers = random.integers(0, 3, (count, width), np.uint8)  # the last class has none
                    writer.append(frames, labels=numbers if labels else None)
        return path

    return make


@pytest.fixture
def make_activity(tmp_path):
    """make_activity(name, file, front): the folder of a run of model activity with random weights."""

    def make(name, file, front=0.5, *settings):
        resolved = resolve_settings(
            "activity", "tiny", data=file, assignments=[*SMALL, f"model.front={front}", *settings]
        )
        runs.create(tmp_path / name, resolved)
        torch.manual_seed(len(name))
        model = build(resolved.config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        runs.save_checkpoint(tmp_path / name, "last", model, {})
        return tmp_path / name

    return make


def experiment(*arguments):
    return vidpred(["experiment", "activity", *map(str, arguments), "--device=cpu", "--batch=5"])


def content(folder):
    return json.loads((folder / "results.json").read_text())


def named(run, file, given):
    """Truth and what the run names, one sequence at a time."""
    import h5py

    with h5py.File(file) as opened:
        frames, labels = opened["test/frames"][()], opened["test/labels"][:, 0]
    model = load_run(run).model
    sequences = torch.from_numpy(frames[:, :given]).float() / 255
    return labels, [int(model.classify(sequence[None]).argmax()) for sequence in sequences]


def test_numbers_tables_and_pictures_of_two_runs(make_file, make_activity, tmp_path, capsys):
    file = make_file()
    paths = [make_activity("quarter", file, 0.25), make_activity("a-half", file, 0.5)]
    assert experiment(*paths, f"--out={tmp_path / 'out'}") == 0
    results = content(tmp_path / "out")["results"]
    assert results["classes"] == list(NAMES)
    group_of = np.array(GROUPS)
    table = (tmp_path / "out" / "table.md").read_text()
    for path, given in zip(paths, (2, 4), strict=True):
        truth, taken = named(path, file, given)
        found = results["runs"][path.name]
        assert (found["given"], found["frames"]) == (given, 8)
        right = np.array(truth) == taken
        assert found["top_1"] == pytest.approx(right.mean())
        error = 100 * np.sqrt(right.mean() * (1 - right.mean()) / 14)
        assert f"| {path.name} | {given} of 8 frames | {100 * right.mean():.2f} ± {error:.2f} |" in table
        for label in range(3):
            assert found["by_class"][label] == pytest.approx(right[truth == label].mean())
        assert found["by_class"][3] is None
        for group, share in found["by_group"].items():
            assert share == pytest.approx(right[group_of[truth] == group].mean())
        expected = np.zeros((4, 4))
        np.add.at(expected, (truth, taken), 1)
        assert found["confusion"] == expected.tolist()
    most = 100 * np.bincount(truth).max() / 14
    assert f"| always the most frequent class |  | {most:.2f} |" in table
    assert "| paper's Conv-TT-LSTM | 50 % | 30.05 |" in table
    assert "Moving something \\| left" in table
    pictures = content(tmp_path / "out")["pictures"]
    assert pictures == ["confusion-0.png", "confusion-1.png"]
    for name in pictures:
        with Image.open(tmp_path / "out" / name) as picture:
            picture.verify()
    assert "Accuracy by group" in capsys.readouterr().out


def test_the_papers_groups_stand_beside_ours_by_name(make_file, make_activity, tmp_path):
    run = make_activity("run", make_file())
    assert experiment(run) == 0
    table = (run / "experiments" / "activity" / "table.md").read_text()
    assert "|  | seen | Tearing | Moving | Holding |" in table
    assert "| paper's Conv-TT-LSTM | 50 % | 46.2 |  | 11.6 |" in table


def test_without_groups_there_is_no_table_of_them(make_file, make_activity):
    run = make_activity("run", make_file(groups=()))
    assert experiment(run) == 0
    table = (run / "experiments" / "activity" / "table.md").read_text()
    assert re.findall("^## (.*)", table, re.MULTILINE) == ["Top-1 accuracy", "Accuracy by class"]


def test_a_finished_run_is_not_done_again_but_for_other_data(make_file, make_activity, monkeypatch, tmp_path):
    asked = []
    name = activity_module._name
    monkeypatch.setattr(
        activity_module, "_name", lambda w, run, split: asked.append(run.name) or name(w, run, split)
    )
    file = make_file()
    one, two = make_activity("one", file), make_activity("other", file)
    out = f"--out={tmp_path / 'out'}"
    assert experiment(one, out) == experiment(one, two, out) == experiment(one, two, out) == 0
    assert asked == ["one", "other"]
    assert experiment(one, two, "--split=val", out) == 0
    assert asked == ["one", "other"] * 2
    other = make_file("y.h5", groups=())
    assert experiment(one, two, "--split=val", f"--data={other}", out) == 0
    assert asked == ["one", "other"] * 3
    assert experiment(one, "--count=3", out) == 0
    assert asked == ["one", "other"] * 3 + ["one"]
    assert content(tmp_path / "out")["sequences"] == 3


def test_train_rollout_evaluate_and_the_experiment_go_together(make_file, tmp_path, capsys):
    file, run = make_file(), tmp_path / "run"
    settings = [f"--set={setting}" for setting in (*SMALL, "train.steps=3")]
    cpu = "--device=cpu"
    assert (
        vidpred(["train", "activity", "--preset=tiny", f"--data={file}", f"--run={run}", *settings, cpu]) == 0
    )
    losses = [line for line in load_run(run).metrics if line["split"] == "val"][-1]
    assert {"loss", "mae", "mse", "cross_entropy", "accuracy"} <= losses.keys()
    assert losses["loss"] == pytest.approx(losses["mae"] + losses["mse"] + losses["cross_entropy"], rel=1e-5)
    assert load_run(run).config.train.context == 4
    assert vidpred(["rollout", str(run), "--horizon=3", f"--out={tmp_path / 'x.npy'}", cpu]) == 0
    assert np.load(tmp_path / "x.npy").shape[-4:] == (3, 1, 16, 16)
    assert vidpred(["evaluate", str(run), cpu, f"--json={tmp_path / 'x.json'}"]) == 0
    assert experiment(run) == 0
    assert "Top-1 accuracy" in capsys.readouterr().out


def test_a_video_without_a_label_can_be_continued(
    make_file, make_activity, make_video, moving_frames, tmp_path
):
    run = make_activity("run", make_file())
    video = make_video(tmp_path / "x.avi", moving_frames(6))
    arguments = ["rollout", str(run), f"--video={video}", "--horizon=2", f"--out={tmp_path / 'x.npy'}"]
    assert vidpred([*arguments, "--device=cpu"]) == 0


# Mistakes


def mistake(capsys, code, *arguments):
    assert experiment(*arguments) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return " ".join(error.split())


def test_a_run_of_another_model(make_run, make_file, capsys):
    run, file = make_run("run", "rnn"), make_file()
    assert "was trained without a data file: say with --data" in mistake(capsys, 2, run)
    assert "is a run of the model rnn, expected activity" in mistake(capsys, 2, run, f"--data={file}")


def test_data_that_does_not_fit(make_file, make_activity, tmp_path, capsys):
    run = make_activity("run", make_file())
    for options, sentence in (
        ({"classes": NAMES[:3], "groups": ()}, "tells 4 classes apart, but {file} names 3"),
        ({"classes": NAMES[::-1], "groups": ()}, "has learnt other classes, those of"),
        ({"classes": (), "groups": ()}, "{file} does not name its classes"),
        ({"width": 2}, "have labels of shape (2,), expected one class each"),
        ({"labels": False}, "the split 'test' of {file} has no labels"),
    ):
        file = make_file("y.h5", **options)
        assert sentence.format(file=file) in mistake(capsys, 1, run, f"--data={file}")
    assert "no split 'tset'" in mistake(capsys, 1, run, "--split=tset")
    assert "has only 0 to 13" in mistake(capsys, 1, run, "--count=99")
    assert "none.h5 does not exist" in mistake(capsys, 1, run, "--data=none.h5")
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 1, 16, 16)))
    assert "x.npy has no labels" in mistake(capsys, 1, run, f"--data={tmp_path / 'x.npy'}")
    assert "cannot write /proc/nowhere/x" in mistake(capsys, 1, run, "--out=/proc/nowhere/x")
    assert "there is no training run at none" in mistake(capsys, 1, "none")
