"""Random search: what is drawn, what is kept, what goes on after a kill."""

from __future__ import annotations

import fcntl
import io
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from rich.console import Console

from vidpred import runs
from vidpred import search as searching
from vidpred.cli.main import run
from vidpred.errors import CheckpointError, ConfigError, OutputError, TrainingError
from vidpred.search import (
    Task,
    Trial,
    draw,
    read_space,
    read_trials,
    search,
    short_table_of,
    table_of,
    trial_path,
)
from vidpred.viz.search import draw_search

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
        assert "model.weight_std_rec" not in space  # which has no effect where there is a spectral radius
        assert None not in space["model.spectral_radius"]
        assert "none" not in space["model.spectral_radius"]
        assert space["optim.momentum"] == [0.0, 0.9, 0.95, 0.99, 0.995]
        assert [round(std**2, 4) for std in space["model.weight_std_in"]] == [0.0999, 0.01, 0.001, 0.0001]
    assert "model.hidden" not in read_space("vrae", assignments=["model.hidden=10"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[model]\nhidden = 3", "a list of values for model.hidden"),
        ("", "names no setting"),
        ("[", "not valid TOML"),
        ("train.seed = [1, 2]", "give --seed"),
    ],
)
def test_a_space_that_is_none_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "space.toml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_space("vrae", tmp_path / "space.toml")


def test_the_seed_is_that_of_the_search() -> None:
    with pytest.raises(ConfigError, match="give --seed"):
        read_space("vrae", assignments=["train.seed=3"])


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


def test_a_search_whose_trials_all_diverge_has_no_best(tmp_path: Path) -> None:
    settings = (*SMALL, "train.steps=6", "train.log_every=1", "model.output=gaussian")
    wild = Task("fdrnn", "tiny", {"optim.learning_rate": [1e30]}, 0, settings)
    with pytest.raises(TrainingError, match=r"every trial of .*search diverged"):
        search(wild, tmp_path / "search", 1, workers=1, quiet=True)
    assert "diverged" in (tmp_path / "search" / "table.md").read_text()


def test_a_trial_that_diverges_is_the_last(tmp_path: Path) -> None:
    space = {"optim.learning_rate": [1e30, 1e-3]}
    settings = (*SMALL, "train.steps=6", "train.log_every=1", "model.output=gaussian")
    wild = Task("fdrnn", "tiny", space, 1, settings)
    found, _ = search(wild, tmp_path / "search", 4, workers=1, quiet=True)
    drawn = [draw(space, 1, trial)["optim.learning_rate"] for trial in range(4)]
    assert {1e30, 1e-3} == set(drawn)
    assert [bool(trial.error) for trial in found] == sorted(rate > 1 for rate in drawn)
    assert "diverged" in (tmp_path / "search" / "table.md").read_text()
    for trial in found:
        last = runs.read_metrics(trial_path(tmp_path / "search", trial.number))[-1]
        assert (trial.step, trial.seconds) == (last["step"], last["seconds"])
        assert trial.step > 0


def test_the_command_prints_the_best_and_refuses_another_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.toml").write_text("[model]\nhidden = [3, 5]\n")
    folder = tmp_path / "search"
    settings = [part for one in (*SMALL, "train.steps=4") for part in ("--set", one)]
    files = ["--space", str(tmp_path / "space.toml"), "--out", str(folder)]
    command = ["search", "fdrnn", "--preset", "tiny", "--trials", "1", *files, *settings]
    assert run(command) == 0
    said = capsys.readouterr().out
    (trial,) = read_trials(folder)
    assert f"{trial.best:.4f}" in said
    assert f"model.hidden = {trial.settings['model.hidden']}" in said
    assert said.split("best: ")[1].strip() == str(folder / "trial-000")
    assert run([*command, "--seed", "1"]) == 2
    assert "holds another search: its seed is 0, got 1" in capsys.readouterr().err


def test_what_a_trial_cannot_do_is_one_sentence(tmp_path: Path) -> None:
    lost = Task("fdrnn", "tiny", SPACE, 0, (*SMALL, "data.digits=nothing-of-this-name"))
    with pytest.raises(ConfigError, match=r"trial 0: unknown digit source 'nothing-of.*same command"):
        search(lost, tmp_path / "search", 2, workers=1, quiet=True)
    assert read_trials(tmp_path / "search") == []


def test_what_cannot_be_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hiden"):
        search(Task("fdrnn", "tiny", {"model.hiden": [1]}, 0, SMALL), tmp_path / "search", 2, quiet=True)
    assert not list(tmp_path.glob("search/trial-*"))


def seed_of(space: dict[str, list[int]], wanted: list[int]) -> int:
    """A seed with which the trials draw what is wanted of the one setting in a space."""
    (key,), trials = space, range(len(wanted))
    return next(seed for seed in range(99) if [draw(space, seed, n)[key] for n in trials] == wanted)


def kept(number: int, best: float | None = 1.5, **fields: object) -> str:
    """A line of trials.jsonl."""
    settings = {"model.hidden": 3, "model.incoming": "none", "optim.learning_rate": 1e-3}
    rest = {"settings": settings, "step": 4, "seconds": 0.5, "error": "" if best else "diverged"}
    return json.dumps({"number": number, "best": best} | rest | fields) + "\n"


def test_a_line_that_was_cut_short_is_no_trial_and_in_nobodys_way(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    folder.mkdir()
    (folder / "search.json").write_text(json.dumps(searching._described(task())))
    (folder / "trials.jsonl").write_text(kept(0) + kept(1)[:30])
    assert [trial.number for trial in read_trials(folder)] == [0]
    search(task(), folder, 2, workers=1, quiet=True)
    assert [trial.number for trial in read_trials(folder)] == [0, 1]
    assert (folder / "trials.jsonl").read_text().count("\n") == 2


def test_trials_are_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "trials.jsonl").write_text(kept(3) + kept(0, None))
    assert [(trial.number, trial.best, trial.error) for trial in read_trials(tmp_path)] == [
        (3, 1.5, ""),
        (0, math.inf, "diverged"),
    ]


@pytest.mark.parametrize(
    "line",
    [kept(1)[:30] + "\n", "[1]\n", "{}\n", '"\xff"\n', kept(1, settings=3), kept("x"), kept(1, step=None)],
)
def test_a_damaged_line_is_one_sentence(tmp_path: Path, line: str) -> None:
    (tmp_path / "trials.jsonl").write_bytes((kept(0) + line + kept(2)).encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"trials\.jsonl is damaged: expected a trial in line 2, got '"):
        read_trials(tmp_path)


@pytest.mark.parametrize("content", [b'{"model": "fd', b"[]", b"\xff\n"])
def test_a_damaged_search_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "search.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"search\.json is damaged"):
        search(task(), tmp_path, 1, quiet=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(OutputError, match=r"exists already: it holds no search, choose another --out$"):
        search(task(), tmp_path, 1, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_two_searches_do_not_work_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PATIENCE", 0.3)
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)
    with pytest.raises(TrainingError, match=f"another search is at work in {tmp_path}"):
        search(task(), tmp_path, 1, quiet=True)
    os.close(other)
    assert list(tmp_path.iterdir()) == []


def test_a_search_waits_for_trials_of_a_killed_one(tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)
    begun = time.monotonic()

    def end() -> None:
        time.sleep(0.5)
        os.close(other)

    Thread(target=end).start()
    with searching._alone(tmp_path):
        assert 0.5 <= time.monotonic() - begun < searching.PATIENCE
        third = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(third, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as its own trials do
        os.close(third)


@pytest.mark.slow
def test_a_trial_that_is_killed_stops_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "search"
    space = {"train.steps": [4, 100_000]}
    seed = seed_of(space, [4, 100_000, 100_000])

    def kill_trial_1() -> None:
        while not all((folder / f"trial-00{n}" / "checkpoints" / "last").is_dir() for n in (1, 2)):
            time.sleep(0.1)
        (child,) = (one for one in multiprocessing.active_children() if one.name == "trial-001")
        os.kill(child.pid or 0, signal.SIGKILL)

    Thread(target=kill_trial_1, daemon=True).start()
    with pytest.raises(TrainingError, match=r"^trial 1 broke off \(exit code -9.*the same command goes on"):
        search(Task("fdrnn", "tiny", space, seed, SMALL), folder, 4, workers=2, quiet=True)
    assert [trial.number for trial in read_trials(folder)] == [0]
    assert "| 000 |" in (folder / "table.md").read_text()
    assert not (folder / "trial-003").exists()
    assert not multiprocessing.active_children()
    last = runs.load_training_state(folder / "trial-002", "last")["progress"]["step"]
    assert 4 <= last < 100_000
    assert capfd.readouterr().err == ""


def test_in_80_columns_every_loss_and_every_setting_is_whole() -> None:
    drawn = [draw(read_space("vrae"), 0, number) for number in range(3)]
    trials = [Trial(number, one, 11.3912 + number, 12345, 1.0) for number, one in enumerate(drawn)]
    trials.append(Trial(3, drawn[0], math.inf, 7, 1.0, "the loss is nan"))
    vrae = Task("vrae", "small", read_space("vrae"), 0)
    shown = io.StringIO()
    Console(file=shown, width=80).print(short_table_of(vrae, trials).rich())
    words = [line.split() for line in shown.getvalue().splitlines()]
    assert ["trial", "validation", "loss", "steps"] in words
    assert ["000", "11.3912", "12345"] in words
    assert ["003", "diverged", "7"] in words
    for key, value in drawn[0].items():
        assert [key, "=", str(value)] in words
    assert table_of(vrae, trials).header[3:] == [key.rpartition(".")[2] for key in sorted(drawn[0])]


def test_the_picture_shows_every_trial_at_its_value() -> None:
    losses = np.array([3.0, 1.0, math.inf, 2.0])
    values = {"a": ["x", "y", "y", "x"], "b": ["1", "1", "2", "none"]}
    order = {"a": ["x", "y", "z"], "b": ["1", "2", "none"]}
    figure = draw_search(losses, values, order, "validation loss")
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["a", "b"]
    assert panels[0].get_ylabel() == "validation loss"
    for axes, (name, medians) in zip(panels, [("a", {0: 2.5, 1: 1.0}), ("b", {0: 2.0, 2: 2.0})], strict=True):
        assert [text.get_text() for text in axes.get_xticklabels()] == order[name]
        dots, crosses, line, best = (np.array(drawn.get_data()) for drawn in axes.lines)
        places = [order[name].index(value) for value in values[name]]
        np.testing.assert_array_equal(np.round(dots[0]), np.array(places)[[0, 1, 3]])
        np.testing.assert_array_equal(dots[1], losses[[0, 1, 3]])
        np.testing.assert_array_equal(np.round(crosses), [[places[2]], [3.0]])  # at the top of the others
        assert dict(zip(*line, strict=True)) == medians
        np.testing.assert_array_equal(best[:, 0], dots[:, 1])


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "long"), [(signal.SIGINT, 200), (signal.SIGKILL, 1500)])
def test_a_search_that_was_stopped_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], sent: signal.Signals, long: int
) -> None:
    folder = tmp_path / "search"
    (tmp_path / "space.toml").write_text(f"[train]\nsteps = [4, {long}]\n")
    seed = seed_of({"train.steps": [4, long]}, [long, 4])
    settings = [part for one in SMALL for part in ("--set", one)]
    command = [
        sys.executable, "-m", "vidpred", "search", "fdrnn", "--preset", "tiny", "--trials", "2",
        "--workers", "1", "--seed", str(seed), "--space", str(tmp_path / "space.toml"),
        "--out", str(folder), *settings,
    ]  # fmt: skip
    first = subprocess.Popen(command, start_new_session=True)
    while not list(folder.glob("trial-000/checkpoints/last")):
        time.sleep(0.1)
    os.kill(first.pid, sent)
    first.wait(timeout=120)
    assert first.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    assert read_trials(folder) == []
    assert subprocess.run(command, check=False).returncode == 0  # at once: the trial of the first saves still
    assert [(trial.number, trial.step) for trial in read_trials(folder)] == [(0, long), (1, 4)]
    for number in (0, 1):
        steps = [line["step"] for line in runs.read_metrics(trial_path(folder, number))]
        assert steps == sorted(steps)
    assert "Traceback" not in capfd.readouterr().err
