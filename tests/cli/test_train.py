"""``vidpred train`` as a user meets it."""

from pathlib import Path

import pytest

from vidpred import load_run
from vidpred.cli.main import run as vidpred
from vidpred.models.vrnn import VRNN

SMALL = [
    "--preset=tiny",
    "--device=cpu",
    "--set=data.train=8",
    "--set=data.val=4",
    "--set=data.frames=4",
    "--set=train.batch=4",
    "--set=train.epochs=1",
]


def test_it_trains_without_a_data_file_into_a_numbered_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vidpred(["train", "vrnn", *SMALL, "--seed=5"]) == 0
    assert "trained 2 steps" in capsys.readouterr().out
    trained = load_run("runs/vrnn-mmnist-1")
    assert isinstance(trained.model, VRNN)
    assert trained.config.train.seed == 5
    assert [line["split"] for line in trained.metrics] == ["val"]


def test_it_goes_on_where_a_run_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "run")
    assert vidpred(["train", "rnn", *SMALL, "--run", path]) == 0
    assert vidpred(["train", "--resume", path, "--set=train.epochs=2", "--device=cpu"]) == 0
    assert "trained 4 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["vrn"],
            2,
            "unknown model 'vrn'; did you mean 'vrnn'? (choices: activity, convlstm, ",
        ),
        (["vrnn", "--preset=papre"], 2, "unknown preset of vrnn 'papre'; did you mean 'paper'?"),
        (["vrnn", "--set=train.bacth=3"], 2, "did you mean 'train.batch'?"),
        (
            ["vrnn", "--set=train.batch=0"],
            2,
            "train.batch: input should be greater than 0, got 0 (from --set)",
        ),
        (["vrnn", "--set=train.steps=-1"], 2, "train.steps: input should be greater than 0, got -1"),
        (["vrnn", "--data=none.h5"], 1, "none.h5"),
        (["vrnn", "--config=none.toml"], 2, "cannot read the configuration none.toml: No such file"),
        (["vrnn", "--device=tpu", "--preset=tiny"], 2, "there is no device 'tpu' here"),
        (["--resume=nowhere"], 1, "there is no training run at nowhere"),
        (["vrnn", "--resume=nowhere"], 2, "--resume takes the run's own settings: leave out 'model'"),
        ([], 2, "say which model to train"),
        (["vrnn", "--bogus"], 2, "--bogus"),
        (["vrnn", "--preset=tiny", "--set=data.size=30"], 2, "multiple of 8 on both sides, got 30x30"),
        (["vrnn", "--preset=tiny", "--set=data.motion=newton"], 2, "motion: input should be"),
        (
            ["vrnn", "--preset=tiny", "--set=train.context=20"],
            2,
            "train.context must be less than the 20 frames",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vidpred(["train", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_an_unwritable_place_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert vidpred(["train", "vrnn", *SMALL, "--run", str(tmp_path / "file" / "run")]) == 1
    assert "cannot write" in capsys.readouterr().err
