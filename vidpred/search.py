"""Random search over settings: many short trainings; the one with the lowest validation loss is best.

DIR/search.json      what is searched: model, preset, settings, space, seed
DIR/trials.jsonl     a line for every trial that is over
DIR/trial-007/       its run
DIR/table.md, results.json, search.png

What a trial draws depends on the seed and its number alone, so a search that was stopped goes on where it
was, and one of more trials begins with those of fewer. Bergstra & Bengio 2012; seed 003, section 4.1.

The search and its trials hold a lock on DIR together, which the system takes from a process that dies. A
search begins when no other process holds it: where one was killed, its trials notice, save and end first.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import resources
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from vidpred import config, runs, training
from vidpred.config import Layer, flatten
from vidpred.errors import CheckpointError, ConfigError, TrainingError, VidpredError
from vidpred.files import cannot_write, replacing, without_nan
from vidpred.progress import progress_bar
from vidpred.training.interrupt import stop_request
from vidpred.viz.search import write_search
from vidpred.viz.table import Table

Space = Mapping[str, Sequence[Any]]
"""Of every setting that varies, keyed like ``optim.learning_rate``, the values it can take."""
NONE = "none"
"""In a space: the setting is left out, as TOML has no null."""
PATIENCE = 20.0
"""Seconds in which the trials of a search that was killed should have saved."""


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
        ConfigError: there is none, a value is no list, it sets the seed, or nothing is left to search.
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
    if "train.seed" in space or "train.seed" in given:
        raise ConfigError("train.seed of a trial is the seed of the search plus its number: give --seed")
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
        TrainingError: a trial died, all trials diverged, or another search is at work in `folder`.
        VidpredError: what a trial ended with. The others have stopped then, and what was found is kept.
    """
    for number in range(trials):  # whatever is wrong with a setting is said before the first training
        _settings(task, number)
    with _alone(folder):
        _require_same(task, folder)
        done = {trial.number: trial for trial in read_trials(folder)}
        left = [number for number in range(trials) if number not in done]
        with replacing(folder / "search.json") as temporary:
            temporary.write_text(json.dumps(_described(task), indent=1) + "\n", "utf-8")
        interrupted, error = False, None
        with (
            progress_bar(quiet=quiet) as bar,
            closing(_run_all(task, folder, left, workers or os.cpu_count() or 1)) as outcomes,
        ):
            shown = bar.add_task("trials", total=trials, completed=trials - len(left), note=_note(done))
            for outcome in outcomes:
                if isinstance(outcome, Trial):
                    done[outcome.number] = outcome
                    _keep(folder, done.values())
                    bar.update(shown, advance=1, note=_note(done))
                elif outcome is None:
                    interrupted = True
                else:
                    error = error or outcome
            ordered = sorted(done.values(), key=lambda trial: (trial.best, trial.number))
            if ordered:
                _write(task, folder, ordered)
            if error:
                raise error
            if len(ordered) == trials and not np.isfinite(ordered[0].best):
                raise TrainingError(f"every trial of {folder} diverged: search other settings, see table.md")
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


def short_table_of(task: Task, trials: Sequence[Trial]) -> Table:
    """For a terminal: the losses of trials, in their order, and what the first of them drew."""
    whole = table_of(task, trials)
    best = trials[0]
    drawn = [f"{key} = {best.settings[key]}" for key in sorted(task.space)]
    note = "\n".join([f"Settings of trial {best.number:03d}:", *drawn])
    return Table(whole.title, whole.header[:3], [row[:3] for row in whole.rows], note)


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
    """The trials that are over; a last line that was cut short is left out.

    Raises:
        CheckpointError: another line is damaged.
    """
    file = folder / "trials.jsonl"
    lines = file.read_bytes().splitlines(keepends=True) if file.is_file() else []
    known, found = TypeAdapter(Trial), []
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            fields = json.loads(line)
            loss = math.inf if fields["best"] is None else fields["best"]
            found.append(known.validate_python(fields | {"best": loss}))
        except (ValueError, TypeError, KeyError) as error:
            got = line.decode(errors="replace").strip()
            raise CheckpointError(
                f"{file} is damaged: expected a trial in line {number}, got {got!r:.60} "
                "(take the line out, and its trial is looked at again)"
            ) from error
    return found


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


def _run_all(
    task: Task, folder: Path, numbers: Sequence[int], workers: int
) -> Generator[Trial | VidpredError | None, None, None]:
    """Yields what trials come to as they end: None if interrupted, or an error, after which all stop."""
    processes, left = get_context("spawn"), deque(numbers)
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    failed = told = False
    try:
        with stop_request() as stop:
            while running or left:
                if (stop or failed) and not told:
                    told = True
                    left.clear()
                    _tell_to_stop(running.values())
                while left and len(running) < workers:
                    number = left.popleft()
                    ours, theirs = processes.Pipe(duplex=False)
                    process: BaseProcess = processes.Process(
                        target=_run, args=(task, folder, number, theirs), name=trial_path(folder, number).name
                    )
                    process.start()
                    theirs.close()
                    running[ours] = number, process
                for ended in wait(list(running), timeout=0.5):
                    assert isinstance(ended, Connection)
                    outcome = _outcome(ended, *running.pop(ended))
                    failed = failed or isinstance(outcome, VidpredError)
                    yield outcome
    finally:
        if not told:  # broken off
            _tell_to_stop(running.values())


def _tell_to_stop(running: Iterable[tuple[int, BaseProcess]]) -> None:
    for _, process in running:
        process.terminate()  # training saves and returns


def _outcome(connection: Connection, number: int, process: BaseProcess) -> Trial | VidpredError | None:
    """What a process has sent, or the error it ended with."""
    try:
        sent: Trial | VidpredError | None = connection.recv()
    except (EOFError, OSError):  # killed before it could send anything, or all
        sent = None
    process.join()
    if isinstance(sent, VidpredError):
        return type(sent)(f"trial {number}: {sent}; once that is mended, the same command goes on")
    if sent is None and process.exitcode not in (0, -signal.SIGTERM):
        how = f"exit code {process.exitcode}"
        if process.exitcode == -signal.SIGKILL:
            how += ", as if memory had been short: fewer --workers need less"
        return TrainingError(f"trial {number} broke off ({how}); the same command goes on with the search")
    return sent


def _run(task: Task, folder: Path, number: int, connection: Connection) -> None:
    """Trains one trial in a process of its own; sends the `Trial`, None if interrupted, or an error."""
    import torch

    from vidpred.allocator import keep_freed_memory

    os.setsid()  # Ctrl-C in the terminal is for the parent, which tells its children to stop
    parent = parent_process()
    assert parent is not None
    # The lock before the question: while the parent lives it holds the lock too, so nobody has both missed.
    held = _lock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)
    if not held or not parent.is_alive():
        return
    Thread(target=_stop_after, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()
    outcome: Trial | VidpredError | None
    try:
        outcome = _train(task, folder, number)
    except VidpredError as error:
        outcome = error
    with suppress(BrokenPipeError):  # the search was killed; the next one finds the run as it is
        connection.send(outcome)


def _stop_after(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)  # training saves and returns


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds `folder` for a search and its trials, when the trials of one that was killed have ended.

    Raises:
        TrainingError: after `PATIENCE` others still hold it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        until = time.monotonic() + PATIENCE
        while not (alone := _lock(place, fcntl.LOCK_EX)) and time.monotonic() < until:
            time.sleep(0.1)
        if not (alone and _lock(place, fcntl.LOCK_SH)):  # to be shared with the trials
            raise TrainingError(f"another search is at work in {folder}: wait for it, or stop it")
        yield
    finally:
        os.close(place)


def _lock(place: int, kind: int) -> bool:
    """Locks an open folder until it is closed, by the end of the process at the latest, if others let it."""
    try:
        fcntl.flock(place, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that locks no folders, such as NFS: then nobody can look after that
        return True
    return True


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
        last = _last_line(path)
        return Trial(number, settings, math.inf, last["step"], last["seconds"], str(error))
    if outcome.interrupted:
        return None
    return Trial(number, settings, outcome.best, outcome.step, _last_line(path)["seconds"])


def _last_line(path: Path) -> dict[str, Any]:
    """Of the metrics of a run."""
    return (runs.read_metrics(path) or [{"step": 0, "seconds": 0.0}])[-1]


def _require_same(task: Task, folder: Path) -> None:
    """Raises `ConfigError` where something else was searched, `OutputError` where something else is,
    `CheckpointError` where what was searched cannot be read.
    """
    file = folder / "search.json"
    if not file.is_file():
        runs.require_free(folder, "it holds no search, choose another --out")
        return
    try:
        theirs, ours = flatten(json.loads(file.read_bytes())), flatten(_described(task))
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{file} is damaged: expected what is searched, as JSON") from error
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            shown = "--set" if key == "assignments" else key
            raise ConfigError(
                f"{folder} holds another search: its {shown} is {theirs.get(key)}, got {ours.get(key)}"
            )


def _described(task: Task) -> dict[str, Any]:
    """As JSON reads it back."""
    fields = asdict(task) | {"data": task.data and str(task.data.resolve())}
    described: dict[str, Any] = json.loads(json.dumps(fields))
    return described


def _keep(folder: Path, trials: Iterable[Trial]) -> None:
    lines = (json.dumps(without_nan(asdict(trial)), allow_nan=False) + "\n" for trial in trials)
    with replacing(folder / "trials.jsonl") as temporary:
        temporary.write_text("".join(lines), "utf-8")


def _note(done: Mapping[int, Trial]) -> str:
    best = min(done.values(), key=lambda trial: trial.best, default=None)
    return f"best {best.best:.4g} in trial {best.number}" if best else ""
