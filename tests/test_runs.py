"""What is read back from a run's folder, and what is said when it is damaged."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vidpred import config, load_run, runs
from vidpred.errors import CheckpointError, ConfigError, OutputError
from vidpred.models.registry import build
from vidpred.models.rnn import RNNOptions

SETTINGS = ["size=[8, 8]", "model.widths=[2]", "model.kernels=[3]", "model.hidden=4"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    resolved = config.resolve("rnn", "tiny", RNNOptions, [config.set_layer(SETTINGS)])
    runs.create(path, resolved)
    torch.manual_seed(3)
    runs.save_checkpoint(path, "last", build(resolved.config), {"progress": {"step": 5}})
    return path


def weights_file(run: Path) -> Path:
    return run / "checkpoints" / "last" / "model.safetensors"


def test_a_loaded_run_predicts_what_the_saved_model_does(run: Path) -> None:
    torch.manual_seed(3)
    saved = build(runs.read_config(run).config)
    loaded = load_run(run)
    context = torch.rand(2, 3, 1, 8, 8)
    assert torch.equal(loaded.model.predict(context, 2), saved.predict(context, 2))
    assert not loaded.model.training
    assert loaded.config.model.hidden == 4  # type: ignore[attr-defined]
    assert loaded.name == "run"


def test_the_best_checkpoint_is_preferred(run: Path) -> None:
    torch.manual_seed(4)
    best = build(runs.read_config(run).config)
    runs.save_checkpoint(run, "best", best, {})
    context = torch.rand(1, 1, 1, 8, 8)
    assert torch.equal(load_run(run).model.predict(context, 1), best.predict(context, 1))


def test_the_configuration_lies_beside_each_checkpoint(run: Path) -> None:
    beside = run / "checkpoints" / "last" / "config.toml"
    assert beside.read_text() == (run / "config.toml").read_text()
    assert "hidden = 4  # --set" in beside.read_text()


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"no training run at .*nowhere: expected a folder with a config"
    ):
        load_run(tmp_path / "nowhere")


def test_a_run_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    runs.create(tmp_path / "new", config.resolve("rnn", "tiny", RNNOptions))
    with pytest.raises(CheckpointError, match="has no checkpoint yet"):
        load_run(tmp_path / "new")


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, None])
def test_a_corrupt_checkpoint_is_named(run: Path, content: bytes | None) -> None:
    file = weights_file(run)
    file.write_bytes(file.read_bytes()[:-10] if content is None else content)
    with pytest.raises(
        CheckpointError, match=r"cannot read .*model\.safetensors: the file is missing or damaged"
    ):
        _ = load_run(run).model
    training = file.with_name("training.pt")
    training.write_bytes(training.read_bytes()[:-10] if content is None else content)
    with pytest.raises(CheckpointError, match=r"cannot read .*training\.pt: the file is missing or damaged"):
        runs.load_training_state(run, "last")


def test_a_checkpoint_of_another_model_is_named(run: Path) -> None:
    file = weights_file(run)
    weights = load_file(file)
    save_file(weights | {"gates.bias": torch.zeros(3)}, file)
    with pytest.raises(
        CheckpointError, match=r"another model: 'gates.bias' should have shape \(16,\), got \(3,\)"
    ):
        _ = load_run(run).model
    save_file(weights | {"f_z.0.weight": torch.zeros(3)}, file)
    with pytest.raises(CheckpointError, match=r"another model: 'f_z\.0\.weight' is unknown to RNN"):
        _ = load_run(run).model
    del weights["gates.bias"]
    save_file(weights, file)
    with pytest.raises(CheckpointError, match=r"another model: 'gates.bias' is missing for RNN"):
        _ = load_run(run).model


def test_a_training_state_that_holds_code_is_not_run(run: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (run / "executed",))

    torch.save({"progress": Evil()}, run / "checkpoints" / "last" / "training.pt")
    with pytest.raises(CheckpointError):
        runs.load_training_state(run, "last")
    assert not (run / "executed").exists()


def test_an_existing_run_is_not_overwritten(run: Path) -> None:
    with pytest.raises(
        OutputError, match="exists already: choose another --run, or continue it with --resume"
    ):
        runs.create(run, runs.read_config(run))


def test_metrics_lose_only_what_a_kill_cut_short_and_what_will_be_logged_again(run: Path) -> None:
    for step in (1, 2, 3):
        runs.append_metrics(run, {"step": step})
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 4})[:-3])
    assert [line["step"] for line in runs.read_metrics(run)] == [1, 2, 3]
    runs.drop_metrics_after(run, 2)
    assert [line["step"] for line in load_run(run).metrics] == [1, 2]


def test_new_runs_are_numbered(tmp_path: Path) -> None:
    data = runs.DataConfig(file="/somewhere/clips.h5")
    assert runs.new_run_path("vrnn", data, tmp_path) == tmp_path / "vrnn-clips-1"
    (tmp_path / "vrnn-clips-1").mkdir()
    assert runs.new_run_path("vrnn", data, tmp_path) == tmp_path / "vrnn-clips-2"
    assert runs.new_run_path("rnn", runs.DataConfig(), tmp_path) == tmp_path / "rnn-mmnist-1"


def test_a_checkpoint_that_finds_the_disk_full_leaves_the_old_one(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights_file(run).read_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = build(runs.read_config(run).config)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot write .*last: no space left on device"):
        runs.save_checkpoint(run, "last", model, {})
    assert weights_file(run).read_bytes() == before
    assert os.listdir(run / "checkpoints") == ["last"]


def test_settings_of_use_reach_the_runs_that_know_them(make_run) -> None:
    paths = [make_run("a", "vpn"), make_run("b", "rnn")]
    vpn, rnn = runs.load_runs(paths, ["model.decoding=sample", "model.temperature=0.5"])
    assert vpn.model.stochastic
    assert vpn.config.model.temperature == 0.5
    assert not rnn.model.stochastic
    assert runs.load_run(paths[0]).config.model.decoding == "blank"  # nothing is written


@pytest.mark.parametrize("setting", ["model.hidden=9", "train.batch=1", "model.decodign=sample"])
def test_other_settings_are_refused_for_a_trained_run(make_run, setting: str) -> None:
    known = r"these do for the given runs: model\.decoding, model\.temperature"
    with pytest.raises(ConfigError, match=known):
        runs.load_runs([make_run("a", "vpn")], [setting])


def test_runs_of_one_name_are_called_by_their_paths(make_run) -> None:
    paths = [make_run("x/a", "rnn"), make_run("y/a", "rnn")]
    assert [run.name for run in runs.load_runs(paths)] == [str(path) for path in paths]
    assert [run.name for run in runs.load_runs(paths[:1])] == ["a"]


def test_the_digest_is_that_of_the_weights(make_run) -> None:
    path = make_run("a", "rnn")
    weights = (path / "checkpoints" / "last" / "model.safetensors").read_bytes()
    assert runs.checkpoint_digest(path) == hashlib.sha256(weights).hexdigest()


def test_names_that_stand_for_something_else_give_way_to_paths(make_run) -> None:
    path = make_run("copy", "rnn")
    assert [run.name for run in runs.load_runs([path])] == [str(path)]


def test_a_run_that_is_given_twice_is_named(make_run) -> None:
    path = make_run("a", "rnn")
    with pytest.raises(ConfigError, match=r"the run .*/a was given twice"):
        runs.load_runs([path, path.parent / "." / "a"])
