"""Random search over settings: many short trainings; the one with the lowest validation loss is best.

DIR/search.json      what is searched: model, preset, settings, space, seed
DIR/trials.jsonl     a line for every trial that is over
DIR/trial-007/       its run
DIR/table.md, results.json, search.png

What a trial draws depends on the seed and its number alone, so a search that was stopped goes on where it
was, and one of more trials begins with those of fewer. Bergstra & Bengio 2012; seed 003, section 4.1.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from vidpred import config, runs, training
from vidpred.config import Layer, flatten
from vidpred.errors import ConfigError, TrainingError, VidpredError
from vidpred.files import replacing, without_nan
from vidpred.progress import progress_bar
from vidpred.training.interrupt import stop_request
from vidpred.viz.search import write_search
from vidpred.viz.table import Table

Space = Mapping[str, Sequence[Any]]
"""Of every setting that varies, keyed like ``optim.learning_rate``, the values it can take."""
NONE = "none"
"""In a space: the setting is left out, as TOML has no null."""


@dataclass(frozen=True)
class Task:
    """What is searched.

    Attributes:
        model: a name in the registry.
        assignments: ``a.b=v`` strings that hold for every trial.
        data: a data file, or None.
    """

    model: str
    preset: str
    space: Space
    seed: int
    assignments: tuple[str, ...] = ()
    data: Path | None = None


@dataclass(frozen=True)
class Trial:
    """A trial that is over. Where training diverged, `best` is infinite and `error` says how."""

    number: int
    settings: Mapping[str, Any]
    best: float
    step: int
    seconds: float
    error: str = ""


def read_space(model: str, file: Path | None = None, assignments: Sequence[str] = ()) -> Space:
    """The space of a TOML file of lists, or the one that comes with the model.

    Args:
        assignments: ``a.b=v`` strings; what they set is not searched.

    Raises:
        ConfigError: there is none, a value is no list, or nothing is left to search.
    """
    if file is None:
        known = resources.files("vidpred") / "presets" / "search" / f"{model}.toml"
        if not known.is_file():
            raise ConfigError(f"no search space comes with {model}: give one with --space FILE.toml")
        file = Path(str(known))
    given = config.set_layer(assignments).values
    space = {key: values for key, values in config.file_layer(file).values.items() if key not in given}
    for key, values in space.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{file}: expected a list of values for {key}, got {values!r}")
    if not space:
        raise ConfigError(f"{file} names no setting to search over that is not given with --set")
    return space


def draw(space: Space, seed: int, trial: int) -> dict[str, Any]:
    """The settings of a trial: of each an independent draw, all values equally likely."""
    rng = np.random.default_rng([seed, trial])
    return {key: values[int(rng.integers(len(values)))] for key, values in sorted(space.items())}


def search(
    task: Task, folder: Path, trials: int, *, workers: int = 0, quiet: bool = False
) -> tuple[list[Trial], bool]:
    """Runs the trials that are not over yet, several at a time, a thread each, and writes what came of them.

    Args:
        trials: how many there shall be in all.
        workers: trials at a time; 0: one per core.

    Returns:
        The trials that are over, the best first, and whether the search was interrupted.

    Raises:
        ConfigError: settings that do not fit the model or data, or `folder` holds another search.
    """
    _require_same(task, folder)
    done = {trial.number: trial for trial in read_trials(folder)}
    left = [number for number in range(trials) if number not in done]
    for number in left:  # whatever is wrong with a setting is said before the first training
        _settings(task, number)
    with replacing(folder / "search.json") as temporary:
        temporary.write_text(json.dumps(_described(task), indent=1) + "\n", "utf-8")
    interrupted = False
    with progress_bar(quiet=quiet) as bar:
        shown = bar.add_task("trials", total=trials, completed=trials - len(left), note=_note(done))
        for trial in _run_all(task, folder, left, workers or os.cpu_count() or 1):
            if trial is None:
                interrupted = True
                continue
            done[trial.number] = trial
            _append(folder, trial)
            bar.update(shown, advance=1, note=_note(done))
    ordered = sorted(done.values(), key=lambda trial: (trial.best, trial.number))
    if ordered:
        _write(task, folder, ordered)
    return ordered, interrupted


def table_of(task: Task, trials: Sequence[Trial]) -> Table:
    """The losses of trials, in their order, and what each drew."""
    keys = sorted(task.space)
    rows = [
        [
            f"{trial.number:03d}",
            "diverged" if trial.error else f"{trial.best:.4f}",
            str(trial.step),
            *(str(trial.settings[key]) for key in keys),
        ]
        for trial in trials
    ]
    names = [key.rpartition(".")[2] for key in keys]
    title = f"Random search of {task.model}, {len(trials)} trials"
    return Table(title, ["trial", "validation loss", "steps", *names], rows)


def _write(task: Task, folder: Path, trials: Sequence[Trial]) -> None:
    with replacing(folder / "table.md") as temporary:
        temporary.write_text(table_of(task, trials).markdown(), "utf-8")
    content = {"task": _described(task), "trials": [asdict(trial) for trial in trials]}
    with replacing(folder / "results.json") as temporary:
        temporary.write_text(json.dumps(without_nan(content), indent=1, allow_nan=False) + "\n", "utf-8")
    losses = np.array([trial.best for trial in trials])
    order = {key: [str(value) for value in choices] for key, choices in sorted(task.space.items())}
    values = {key: [str(trial.settings[key]) for trial in trials] for key in order}
    write_search(folder / "search.png", losses, values, order, "validation loss")


def read_trials(folder: Path) -> list[Trial]:
    """The trials that are over; a last line that a kill cut short is left out."""
    file = folder / "trials.jsonl"
    lines = file.read_text("utf-8").splitlines(keepends=True) if file.is_file() else []
    read = (json.loads(line) for line in lines if line.endswith("\n"))
    return [Trial(**(line | {"best": math.inf if line["best"] is None else line["best"]})) for line in read]


def trial_path(folder: Path, number: int) -> Path:
    """Where the run of a trial is."""
    return folder / f"trial-{number:03d}"


def _settings(task: Task, number: int) -> config.Resolved:
    drawn = draw(task.space, task.seed, number)
    values = {key: value for key, value in drawn.items() if value != NONE}
    return training.resolve_settings(
        task.model,
        task.preset,
        data=task.data,
        assignments=task.assignments,
        options=Layer("the search space", values | {"train.seed": task.seed + number}),
    )


def _run_all(task: Task, folder: Path, numbers: Sequence[int], workers: int) -> Iterator[Trial | None]:
    """Yields trials as they end, None for one that was interrupted."""
    processes, left = get_context("spawn"), deque(numbers)
    running: dict[Connection, BaseProcess] = {}
    told = False
    with stop_request() as stop:
        while running or (left and not stop):
            while left and len(running) < workers and not stop:
                ours, theirs = processes.Pipe(duplex=False)
                process: BaseProcess = processes.Process(
                    target=_run, args=(task, folder, left.popleft(), theirs)
                )
                process.start()
                theirs.close()
                running[ours] = process
            if stop and not told:
                told = True
                for process in running.values():
                    process.terminate()  # training saves and returns
            for ended in wait(list(running), timeout=0.5):
                assert isinstance(ended, Connection)
                yield _result(ended, running.pop(ended))


def _result(connection: Connection, process: BaseProcess) -> Trial | None:
    """What a process has sent. Raises the error it ended with."""
    try:
        sent: Trial | VidpredError | None = connection.recv()
    except EOFError:  # killed before it could send anything
        sent = None
    process.join()
    if isinstance(sent, VidpredError):
        raise sent
    if sent is None and process.exitcode not in (0, -signal.SIGTERM):
        raise TrainingError(f"a trial ended with exit code {process.exitcode}, see above")
    return sent


def _run(task: Task, folder: Path, number: int, connection: Connection) -> None:
    """Trains one trial in a process of its own; sends the `Trial`, None if interrupted, or an error."""
    import torch

    from vidpred.allocator import keep_freed_memory

    os.setsid()  # Ctrl-C in the terminal is for the parent, which tells its children to stop
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        connection.send(_train(task, folder, number))
    except VidpredError as error:
        connection.send(error)


def _train(task: Task, folder: Path, number: int) -> Trial | None:
    """Trains one trial, or goes on with it."""
    path, settings = trial_path(folder, number), draw(task.space, task.seed, number)
    begun = runs.has_checkpoint(path, "last")
    if not begun:
        shutil.rmtree(path, ignore_errors=True)  # of a process that was killed before the first checkpoint
        runs.create(path, _settings(task, number))
    try:
        outcome = training.train(path, resume=begun, quiet=True)
    except TrainingError as error:
        return Trial(number, settings, math.inf, 0, 0.0, str(error))
    if outcome.interrupted:
        return None
    return Trial(number, settings, outcome.best, outcome.step, runs.read_metrics(path)[-1]["seconds"])


def _require_same(task: Task, folder: Path) -> None:
    """Raises `ConfigError` where something else was searched, `OutputError` where something else is."""
    file = folder / "search.json"
    if not file.is_file():
        runs.require_free(folder)
        return
    theirs, ours = flatten(json.loads(file.read_text("utf-8"))), flatten(_described(task))
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            raise ConfigError(
                f"{folder} holds another search: its {key} is {theirs.get(key)}, got {ours.get(key)}"
            )


def _described(task: Task) -> dict[str, Any]:
    """As JSON reads it back."""
    fields = asdict(task) | {"data": task.data and str(task.data.resolve())}
    described: dict[str, Any] = json.loads(json.dumps(fields))
    return described


def _append(folder: Path, trial: Trial) -> None:
    with (folder / "trials.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(without_nan(asdict(trial)), allow_nan=False) + "\n")


def _note(done: Mapping[int, Trial]) -> str:
    best = min(done.values(), key=lambda trial: trial.best, default=None)
    return f"best {best.best:.4g} in trial {best.number}" if best else ""
