import csv
import json

import h5py
import numpy as np
import pytest
from PIL import Image

from vidpred.cli.main import run as vidpred

QUICK = ["--device=cpu", "--context=3", "--horizon=4", "--samples=2"]


@pytest.fixture
def runs(make_run):
    return [str(make_run("a", "vrnn")), str(make_run("b", "rnn"))]


def test_runs_and_baselines_stand_in_one_table(runs, tmp_path, capsys):
    outputs = [f"--{kind}={tmp_path / name}" for kind, name in (("json", "j"), ("csv", "c"), ("curve", "p"))]
    assert vidpred(["evaluate", *runs, *QUICK, "--count=5", "--batch=2", "--frames=1,4", *outputs]) == 0
    printed = capsys.readouterr().out
    for title in ("predicted frames 1 to 4", "predicted frame 1", "predicted frame 4"):
        assert f"{title}, context 3, 5 sequences of moving MNIST" in " ".join(printed.split())
    for word in ("vrnn tiny", "rnn tiny", "average", "best", "copy", "mean", "baseline"):
        assert word in printed

    content = json.loads((tmp_path / "j").read_text())
    assert [(row["name"], row["reduction"], row["preset"]) for row in content["rows"]] == [
        ("a", "average", "tiny"),
        ("a", "best", "tiny"),
        ("a", "mean frame", "tiny"),
        ("b", "single", "tiny"),
        ("copy", "single", None),
        ("mean", "single", None),
    ]
    expected = {"context": 3, "horizon": 4, "sequences": 5, "samples": 2, "seed": 0, "split": "test"}
    assert {key: content[key] for key in expected} == expected
    assert [(run["name"], run["model"]) for run in content["runs"]] == [("a", "vrnn"), ("b", "rnn")]
    assert content["machine"]["torch"]
    with (tmp_path / "c").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6 * 4
    assert float(lines[0]["mse"]) == content["rows"][0]["metrics"]["mse"]["per_frame"][0]
    with Image.open(tmp_path / "p") as picture:
        assert picture.format == "PNG"


def test_what_is_not_said_comes_from_the_first_run(make_run, tmp_path):
    settings = ["eval.context=2", "eval.horizon=3", "eval.samples=4"]
    run = make_run("a", "vrnn", *settings)
    assert vidpred(["evaluate", str(run), "--device=cpu", f"--json={tmp_path / 'j'}"]) == 0
    content = json.loads((tmp_path / "j").read_text())
    assert [content[key] for key in ("context", "horizon", "samples", "sequences")] == [2, 3, 4, 6]


def test_a_data_file_is_identified_by_its_digest(runs, tmp_path):
    data = tmp_path / "data.h5"
    counts = ["--train=3", "--val=0", "--test=4", "--size=32", "--digit-size=16", "--frames=8"]
    assert vidpred(["gen-data", "mmnist", f"--out={data}", *counts]) == 0
    assert vidpred(["evaluate", *runs, *QUICK, f"--data={data}", f"--json={tmp_path / 'j'}"]) == 0
    content = json.loads((tmp_path / "j").read_text())
    assert content["source"] == f"{data} (test)"
    assert set(content["sha256"]) >= {"train/frames", "test/frames"}
    assert content["sequences"] == 4


def test_runs_of_one_name_are_told_apart(make_run, tmp_path):
    first, second = make_run("x/a", "rnn"), make_run("y/a", "rnn")
    assert vidpred(["evaluate", str(first), str(second), *QUICK, f"--json={tmp_path / 'j'}"]) == 0
    names = [row["name"] for row in json.loads((tmp_path / "j").read_text())["rows"]]
    assert names == [str(first), str(second), "copy", "mean"]


def test_runs_on_different_data_need_data_in_common(make_run, tmp_path, capsys):
    different = [str(make_run("a", "rnn")), str(make_run("b", "rnn", "data.objects=1"))]
    assert vidpred(["evaluate", *different, *QUICK]) == 2
    assert "were trained on different data: say with --data" in capsys.readouterr().err
    np.save(tmp_path / "clips.npy", np.zeros((2, 7, 1, 32, 32), np.uint8))
    assert vidpred(["evaluate", *different, *QUICK, f"--data={tmp_path / 'clips.npy'}"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--frames=1,x"], 2, "--frames expects numbers such as 10,50,100, got '1,x'"),
        (["--frames=5"], 2, "--frames: 5 is not among the predicted frames 1 to 4"),
        (
            ["--count=7"],
            1,
            "sequence 6 was asked for, but moving MNIST made on the fly",
        ),
        (["--count=0"], 2, "--count"),
        (["--batch=0"], 2, "--batch"),
        (["--data=short.npy"], 1, "a context of 3 and a horizon of 4 frames do not fit"),
        (["--data=none.h5"], 1, "none.h5 does not exist"),
        (["--split=tset"], 2, "unknown split 'tset'"),
        (["--json=file/x.json"], 1, "cannot write file/x.json"),
    ],
)
def test_a_mistake_is_one_sentence(runs, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    np.save("short.npy", np.zeros((1, 6, 1, 32, 32), np.uint8))
    (tmp_path / "file").touch()
    assert vidpred(["evaluate", *runs, *QUICK, *arguments]) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("vidpred: ")
    assert message in error


def test_scores_of_every_sequence_lie_beside_the_json(runs, tmp_path):
    outputs = [f"--json={tmp_path / 'scores.json'}", "--count=5", "--batch=2"]
    assert vidpred(["evaluate", *runs, *QUICK, *outputs]) == 0
    content = json.loads((tmp_path / "scores.json").read_text())
    with h5py.File(tmp_path / "scores.scores.h5") as file:
        for number, row in enumerate(content["rows"]):
            group = file[f"row-{number}"]
            assert (group.attrs["name"], group.attrs["reduction"]) == (row["name"], row["reduction"])
            for metric, score in row["metrics"].items():
                assert group[metric].shape == (5, 4)
                np.testing.assert_allclose(group[metric][()].mean(axis=0), score["per_frame"], rtol=1e-4)


def test_other_conventions_have_tables_of_their_own(runs, tmp_path, capsys):
    options = ["--conventions=strict,openstl", f"--json={tmp_path / 'j.json'}", "--count=2"]
    assert vidpred(["evaluate", *runs, *QUICK, *options]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "predicted frames 1 to 4, convention openstl, context 3" in printed
    metrics = json.loads((tmp_path / "j.json").read_text())["rows"][0]["metrics"]
    assert metrics["openstl.mse"]["mean"] == pytest.approx(metrics["mse_frame"]["mean"], rel=1e-6)
    assert metrics["openstl.ssim"]["mean"] != metrics["ssim"]["mean"]


def test_study_writes_the_tables_and_pictures_of_the_thesis(make_run, tmp_path, capsys):
    paths = [str(make_run("a", "convlstm")), str(make_run("b", "vpn"))]
    study = tmp_path / "study"
    assert vidpred(["evaluate", *paths, *QUICK, f"--study={study}", "--count=4"]) == 0
    assert "thesis: table 4.1" in capsys.readouterr().out.lower()
    names = {file.name for file in study.iterdir()}
    boxes = {"errors-mean.png", "errors-first.png", "errors-last.png"}
    assert names == {
        "tables.md",
        "study.json",
        "test.scores.h5",
        "val.scores.h5",
        *boxes,
        *(f"sequence-{n}.png" for n in range(4)),
    }
    for name in names:
        if name.endswith(".png"):
            with Image.open(study / name) as picture:
                picture.verify()


def test_set_changes_how_a_run_predicts(make_run, tmp_path):
    path = make_run("a", "vpn")
    found = {}
    for decoding in ("blank", "sample"):
        options = [f"--set=model.decoding={decoding}", "--count=2", f"--json={tmp_path / decoding}.json"]
        assert vidpred(["evaluate", str(path), *QUICK, *options]) == 0
        found[decoding] = json.loads((tmp_path / f"{decoding}.json").read_text())["rows"]
    assert [row["reduction"] for row in found["blank"]] == ["single"] * 3
    assert [row["reduction"] for row in found["sample"]][:2] == ["average", "best"]


def test_lpips_takes_its_weights_from_a_file(runs, tmp_path, shared_data, capsys):
    weights = shared_data / "lpips" / "alexnet_features_and_lpips_lin_v0.1.npz"
    assert vidpred(["evaluate", *runs, *QUICK, "--count=1", f"--lpips={weights}"]) == 0
    assert "LPIPS" in capsys.readouterr().out
