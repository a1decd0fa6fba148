"""Random search: what is drawn, what is kept, what goes on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from vidpred import runs
from vidpred.errors import ConfigError
from vidpred.search import Task, draw, read_space, read_trials, search, table_of, trial_path

SPACE = {"model.hidden": [3, 5], "model.incoming": [2, "none"], "optim.learning_rate": [1e-2, 1e-3, 1e-4]}
SMALL = (
    "data.size=8", "data.digit_size=4", "data.frames=4", "data.train=32", "data.val=8", "data.digits=letters",
    "train.batch=8", "train.sample_every=100",
)  # fmt: skip


def task(*assignments: str, seed: int = 0) -> Task:
    return Task("fdrnn", "tiny", SPACE, seed, (*SMALL, *(assignments or ("train.steps=4",))))


def test_a_trial_depends_on_seed_and_number_alone() -> None:
    drawn = [draw(SPACE, 0, trial) for trial in range(600)]
    assert drawn[17] == draw(SPACE, 0, 17)
    assert drawn != [draw(SPACE, 1, trial) for trial in range(600)]
    for key, values in SPACE.items():
        counts = Counter(str(settings[key]) for settings in drawn)
        assert set(counts) == set(map(str, values))
        assert min(counts.values()) > 0.7 * 600 / len(values)


def test_the_spaces_of_table_2() -> None:
    for model in ("vrae", "vosp", "fdrnn"):
        space = read_space(model)
        assert space["model.hidden"] == [200, 400, 600]
        assert space["optim.momentum"] == [0.0, 0.9, 0.95, 0.99, 0.995]
        assert [round(std**2, 4) for std in space["model.weight_std_in"]] == [0.0999, 0.01, 0.001, 0.0001]
    assert "model.hidden" not in read_space("vrae", assignments=["model.hidden=10"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[model]\nhidden = 3", "a list of values for model.hidden"),
        ("", "names no setting"),
        ("[", "not valid TOML"),
    ],
)
def test_a_space_that_is_none_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "space.toml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_space("vrae", tmp_path / "space.toml")


def test_a_model_without_a_space_wants_one() -> None:
    with pytest.raises(ConfigError, match=r"no search space comes with vrnn: give one with --space"):
        read_space("vrnn")


def test_the_best_comes_first_and_more_trials_are_added(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    found, interrupted = search(task(), folder, 2, workers=2, quiet=True)
    assert not interrupted
    assert sorted(trial.number for trial in found) == [0, 1]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trial-00[01]/checkpoints/best/*")}
    found, _ = search(task(), folder, 3, workers=1, quiet=True)
    assert [trial.best for trial in found] == sorted(trial.best for trial in found)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    for trial in found:
        run = runs.load_run(trial_path(folder, trial.number))
        assert run.config.model.hidden == trial.settings["model.hidden"]  # type: ignore[attr-defined]
        incoming = trial.settings["model.incoming"]
        assert run.config.model.incoming == (None if incoming == "none" else incoming)  # type: ignore[attr-defined]
        assert min(line["loss"] for line in run.metrics if line["split"] == "val") == trial.best
    kept = json.loads((folder / "results.json").read_text())
    assert [trial["number"] for trial in kept["trials"]] == [trial.number for trial in found]
    assert table_of(task(), found).markdown() == (folder / "table.md").read_text()
    assert (folder / "search.png").stat().st_size > 0


def test_a_trial_that_diverges_is_the_last(tmp_path: Path) -> None:
    space = {"optim.learning_rate": [1e30, 1e-3]}
    wild = Task("fdrnn", "tiny", space, 1, (*SMALL, "train.steps=6", "model.output=gaussian"))
    found, _ = search(wild, tmp_path / "search", 4, workers=1, quiet=True)
    drawn = [draw(space, 1, trial)["optim.learning_rate"] for trial in range(4)]
    assert {1e30, 1e-3} == set(drawn)
    assert [bool(trial.error) for trial in found] == sorted(rate > 1 for rate in drawn)
    assert "diverged" in (tmp_path / "search" / "table.md").read_text()


def test_another_search_is_not_mixed_in(tmp_path: Path) -> None:
    search(task(), tmp_path / "search", 1, workers=1, quiet=True)
    with pytest.raises(ConfigError, match="holds another search: its seed is 0, got 1"):
        search(task(seed=1), tmp_path / "search", 1, workers=1, quiet=True)


def test_what_a_trial_cannot_do_is_one_sentence(tmp_path: Path) -> None:
    lost = Task("fdrnn", "tiny", SPACE, 0, (*SMALL, "data.digits=nothing-of-this-name"))
    with pytest.raises(ConfigError, match="unknown digit source 'nothing-of-this-name'"):
        search(lost, tmp_path / "search", 2, workers=1, quiet=True)
    assert read_trials(tmp_path / "search") == []


def test_what_cannot_be_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hiden"):
        search(Task("fdrnn", "tiny", {"model.hiden": [1]}, 0, SMALL), tmp_path / "search", 2, quiet=True)
    assert not list(tmp_path.glob("search/trial-*"))


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_was_stopped_goes_on(tmp_path: Path, sent: signal.Signals) -> None:
    folder = tmp_path / "search"
    (tmp_path / "space.toml").write_text("[model]\nhidden = [3, 5]\n")
    settings = [part for one in (*SMALL, "train.steps=400") for part in ("--set", one)]
    command = [
        sys.executable, "-m", "vidpred", "search", "fdrnn", "--preset", "tiny", "--trials", "2",
        "--workers", "1", "--space", str(tmp_path / "space.toml"), "--out", str(folder), *settings,
    ]  # fmt: skip
    first = subprocess.Popen(command, start_new_session=True)
    while not list(folder.glob("trial-000/checkpoints/last")):
        time.sleep(0.1)
    os.kill(first.pid, sent)
    first.wait(timeout=120)
    assert first.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    if sent == signal.SIGKILL:  # the trial it was at may go on for a moment, and is found whole
        time.sleep(20)
    else:
        assert read_trials(folder) == []
    assert subprocess.run(command, check=False).returncode == 0
    assert sorted(trial.number for trial in read_trials(folder)) == [0, 1]
    assert all(trial.step == 400 for trial in read_trials(folder))
