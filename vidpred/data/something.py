"""Something-Something V2: short videos of people doing something with something, each of one class.

The videos are ``<id>.webm``. The labels are JSON files, under the names they were published with first
(``something-something-v2-train.json``, ...) or later (``train.json``, ...)::

    train, validation    [{"id": "78687", "template": "Holding [something] next to [something]", ...}, ...]
    labels               {"Holding something next to something": "33", ...}

The class of a video is its template without the brackets. The published test videos have no public labels,
so here the published validation videos are the test split, as in the papers that report on them (E3D-LSTM,
Wang et al. 2019; Conv-TT-LSTM, Su et al. 2020), and the validation split is a part of the training videos.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred.data.decoding import DecodedVideo, VideoSource, decode_in_order
from vidpred.data.hdf5 import create_dataset
from vidpred.data.randomness import SPLITS, uniforms
from vidpred.data.video_files import OnError, Share
from vidpred.errors import ConfigError, DataError, unknown_name
from vidpred.files import require_writable
from vidpred.progress import progress_bar

_PREFIXES = ("something-something-v2-", "")
_SHOWN = 10
"""Names that a message lists."""


@dataclass(frozen=True)
class Classes:
    """The classes in the order of their labels, and the group of each, or no groups."""

    names: tuple[str, ...]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clips:
    """Which videos are to be read: id and label of each, (n,) int32."""

    ids: NDArray[np.int32]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, chosen: NDArray[Any]) -> Clips:
        return Clips(self.ids[chosen], self.labels[chosen])


@dataclass(frozen=True)
class SomethingSpec:
    """What is made of a video: `frames` frames, (H, W) = `size`, of 1 or 3 `channels`."""

    frames: int = 40
    size: tuple[int, int] = (64, 64)
    channels: int = 3


@dataclass
class SplitCounts:
    """What is in a split."""

    sequences: int = 0
    classes: set[int] = field(default_factory=set)
    """Labels that occur."""
    repeating: int = 0
    """Sequences of videos with fewer frames than a sequence, some of which are therefore repeated."""


@dataclass
class Outcome:
    """What was made, how many videos are of other classes, and a sentence for whatever was skipped."""

    splits: dict[str, SplitCounts] = field(default_factory=dict)
    of_other_classes: int = 0
    skipped: list[str] = field(default_factory=list)


def sample_frames(count: int, frames: int) -> NDArray[np.int64]:
    """Which of `count` frames stand for a video of `frames` frames: those in the middle of equal parts.

    So the front quarter of the result is from the front quarter of the video. Where the video has fewer
    frames than wanted, the nearest one is repeated. Returns (frames,) rising numbers from 0 to count - 1.
    """
    return (2 * np.arange(frames) + 1) * count // (2 * frames)


def read_classes(labels: Path, chosen: Path | None = None) -> Classes:
    """The classes of ``labels.json`` in the folder `labels`, or those of them that are chosen.

    Args:
        chosen: a text file with a class or template a line, and after a tab perhaps its group; the order is
            that of the labels.

    Raises:
        DataError: a file that is missing or damaged, a class that is given twice, or groups for some only.
        ConfigError: a class that is not among those of ``labels.json``.
    """
    file = find_labels(labels, "labels")
    content = _read_json(file, dict)
    numbers = [int(number) if str(number).isdecimal() else -1 for number in content.values()]
    if not content or sorted(numbers) != list(range(len(content))):
        raise DataError(f"{file} does not number its {len(content)} classes from 0 on")
    names = tuple(sorted(content, key=lambda name: int(content[name])))
    return Classes(names) if chosen is None else _read_list(chosen, names)


def _read_list(file: Path, names: Sequence[str]) -> Classes:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise DataError(f"the list of classes {file} cannot be read: {reason}") from error
    groups: dict[str, str] = {}
    known = set(names)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, group = (part.strip() for part in line.partition("\t"))
        name = class_of(name)
        if name not in known:
            raise unknown_name(f"class in line {number} of {file}", name, names)
        if name in groups:
            raise DataError(f"line {number} of {file} gives the class '{name}' for the second time")
        groups[name] = group
    if not groups:
        raise DataError(f"the list of classes {file} is empty")
    with_group = sum(map(bool, groups.values()))
    if with_group not in (0, len(groups)):
        raise DataError(
            f"{file} gives groups for {with_group} of its {len(groups)} classes, expected all or none"
        )
    return Classes(tuple(groups), tuple(groups.values()) if with_group else ())


def class_of(template: str) -> str:
    """``Holding [something]`` -> ``Holding something``."""
    return template.replace("[", "").replace("]", "")


def find_labels(folder: Path, part: str) -> Path:
    """The JSON file of that part. Raises `DataError` if `folder` has none."""
    for prefix in _PREFIXES:
        if (folder / f"{prefix}{part}.json").is_file():
            return folder / f"{prefix}{part}.json"
    names = " or ".join(f"{prefix}{part}.json" for prefix in _PREFIXES)
    raise DataError(f"there is no {names} in {folder}")


def read_clips(
    file: Path, all_classes: Classes, classes: Classes, outcome: Outcome, on_error: OnError
) -> Clips:
    """The videos of `classes` that a label file names, in its order.

    Args:
        all_classes: those of ``labels.json``; videos of such that are not in `classes` are counted.
        on_error: what to do about an entry without a number or with another class: ``stop``, or ``skip`` it.

    Raises:
        DataError: what `on_error` says, a damaged file, or a video that is named twice.
    """
    known, labels = set(all_classes.names), {name: label for label, name in enumerate(classes.names)}
    ids: list[int] = []
    chosen: list[int] = []
    for number, entry in enumerate(_read_json(file, list), start=1):
        where = f"entry {number} of {file}"
        template = entry.get("template") if isinstance(entry, dict) else None
        if not isinstance(template, str) or not str(entry.get("id")).isdecimal():
            _leave_out(f"{where} has no id that is a number and a template", outcome, on_error)
        elif class_of(template) not in known:
            _leave_out(
                f"{where} (video {entry['id']}) is of the class '{class_of(template)}', which is not in "
                f"{find_labels(file.parent, 'labels').name}",
                outcome,
                on_error,
            )
        elif class_of(template) not in labels:
            outcome.of_other_classes += 1
        else:
            ids.append(int(entry["id"]))
            chosen.append(labels[class_of(template)])
    found = Clips(np.array(ids, np.int32), np.array(chosen, np.int32))
    _require_once(found.ids, str(file))
    return found


def _require_once(ids: NDArray[np.int32], where: str) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{where} names the video {values[counts > 1][0]} more than once")


def _read_json(file: Path, kind: type) -> Any:
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(content, kind):
        raise DataError(f"{file} holds a {type(content).__name__}, expected a {kind.__name__}")
    return content


def generate_ssv2(
    path: Path,
    videos: Path,
    labels: Path,
    spec: SomethingSpec,
    *,
    classes: Path | None = None,
    train: int | None = None,
    val: Share = 0.05,
    test: int | None = None,
    seed: int = 0,
    on_error: OnError = "stop",
    workers: int = 0,
    quiet: bool = False,
) -> Outcome:
    """Writes a data file. It does not depend on `workers`; memory grows by some bytes a video.

    The labels of a sequence are its class, (1,), and the ``object_ids`` the number of its video, (1,).

    Args:
        videos: the folder of ``<id>.webm``.
        labels: the folder of the JSON files.
        classes: a list of classes, see `read_classes`; None takes all.
        val: how many of the published training videos of these classes, drawn with `seed`, are for
            validation, or which fraction of them.
        train: how many of the other training videos, drawn too; None: all.
        test: how many of the published validation videos, drawn too; None: all.
        on_error: what to do about a video that is missing or damaged, and about a wrong entry in a list:
            ``stop``, or ``skip`` it. Nothing takes the place of what is skipped.
        workers: threads that decode; 0 takes one per core.
        quiet: no progress bar.

    Raises:
        ConfigError: more videos than there are, or an unknown class.
        DataError: what `on_error` says, damaged lists, or a split of which nothing is left.
        OutputError: the file cannot be written.
    """
    require_writable(path)
    outcome = Outcome()
    files = [find_labels(labels, part) for part in ("labels", "train", "validation")]
    all_classes, chosen = read_classes(labels), read_classes(labels, classes)
    training, validation = (read_clips(file, all_classes, chosen, outcome, on_error) for file in files[1:])
    _require_once(np.concatenate([training.ids, validation.ids]), " and ".join(map(str, files[1:])))
    splits = {
        split: _present(clips, videos, outcome, on_error)
        for split, clips in _divided(training, validation, train, val, test, seed).items()
    }
    sources = {file.name: _sha256(file) for file in (*files, *([classes] if classes else []))}
    with (
        progress_bar(quiet=quiet) as bar,
        create_dataset(
            path,
            command=_command(videos, labels, spec, classes, train, val, test, seed, on_error),
            config=asdict(spec) | {"train": train, "val": val, "test": test, "on_error": on_error},
            seed=seed,
            sources=sources,
            classes=chosen.names,
            groups=chosen.groups,
        ) as file,
    ):
        digest = hashlib.sha256()  # one for all: a digest for each would be megabytes of attributes
        for split, clips in splits.items():
            task = bar.add_task(split, total=len(clips), note="")
            wanted = (VideoSource(f"{number}.webm", videos / f"{number}.webm") for number in clips.ids)
            counts = outcome.splits[split] = SplitCounts()
            with (
                closing(
                    decode_in_order(wanted, channels=spec.channels, size=spec.size, workers=workers)
                ) as decoded,
                file.split(split, None, (spec.frames, spec.channels, *spec.size)) as writer,
            ):
                for number, label, video in zip(clips.ids, clips.labels, decoded, strict=True):
                    if isinstance(video, DecodedVideo):
                        writer.append(
                            _sampled(video, spec.frames),
                            labels=label.reshape(1, 1),
                            object_ids=number.reshape(1, 1),
                        )
                        digest.update(f"{video.source.name} {video.sha256}\n".encode())
                        counts.repeating += video.count < spec.frames
                        counts.classes.add(int(label))
                    elif on_error == "stop":
                        raise video
                    else:
                        outcome.skipped.append(str(video))
                    bar.advance(task)
                if not len(writer):
                    raise DataError(
                        f"none of the {len(clips)} videos of the split '{split}' in {videos} can be read"
                    )
                counts.sequences = len(writer)
        sources["videos"] = digest.hexdigest()
    return outcome


def _sampled(video: DecodedVideo, frames: int) -> NDArray[np.uint8]:
    """The frames that stand for a video, (1, frames, C, H, W); only these are in memory."""
    numbers = sample_frames(video.count, frames).tolist()
    return np.concatenate([piece for n in numbers for piece in video.frames(n, n + 1)])[None]


def _divided(
    training: Clips, validation: Clips, train: int | None, val: Share, test: int | None, seed: int
) -> dict[str, Clips]:
    """The splits that have videos; in each the videos keep the order of their list."""
    for split, asked in (("train", train), ("val", val), ("test", test)):
        if asked is not None and asked < 0:
            raise ConfigError(
                f"the number of videos of the split '{split}' must not be negative, got {asked}"
            )
    held_out = int(val * len(training) + 0.5) if isinstance(val, float) else val
    rest = len(training) - held_out
    wanted = {"train": rest if train is None else train, "val": held_out}
    wanted["test"] = len(validation) if test is None else test
    given = {"train": max(rest, 0), "val": len(training), "test": len(validation)}
    for split in ("val", "train", "test"):
        if wanted[split] > given[split]:
            raise ConfigError(
                f"{wanted[split]} videos were asked for as the split '{split}', but there are {given[split]}"
            )
    drawn = _shuffled(len(training), seed, "train")
    numbers = {"val": drawn[:held_out], "train": drawn[held_out:][: wanted["train"]]}
    numbers["test"] = _shuffled(len(validation), seed, "test")[: wanted["test"]]
    made = {split: (validation if split == "test" else training)[np.sort(numbers[split])] for split in SPLITS}
    if not any(map(len, made.values())):
        raise DataError("there is no video of the classes that were asked for")
    return {split: clips for split, clips in made.items() if len(clips)}


def _shuffled(count: int, seed: int, split: str) -> NDArray[np.int64]:
    return np.argsort(uniforms(seed, split, np.arange(count), 1)[:, 0], kind="stable")


def _present(clips: Clips, folder: Path, outcome: Outcome, on_error: OnError) -> Clips:
    """The videos that are in the folder."""
    there = np.array([(folder / f"{number}.webm").is_file() for number in clips.ids.tolist()])
    missing = [f"{number}.webm" for number in clips.ids[~there].tolist()]
    if len(missing) == len(clips):
        raise DataError(f"none of {len(clips)} videos is in {folder}: expected files such as {missing[0]}")
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        names = ", ".join(missing[:_SHOWN]) + more
        sentence = f"{len(missing)} of {len(clips)} videos are missing in {folder}: {names}"
        _leave_out(sentence, outcome, on_error)
    return clips[there]


def _leave_out(sentence: str, outcome: Outcome, on_error: OnError) -> None:
    if on_error == "stop":
        raise DataError(sentence)
    outcome.skipped.append(sentence)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _command(
    videos: Path,
    labels: Path,
    spec: SomethingSpec,
    classes: Path | None,
    train: int | None,
    val: Share,
    test: int | None,
    seed: int,
    on_error: OnError,
) -> str:
    """The command line that makes the same file again."""
    settings: Mapping[str, Any] = {
        "labels": labels, "classes": classes, "frames": spec.frames, "size": f"{spec.size[0]}x{spec.size[1]}",
        "train": train, "val": val, "test": test, "seed": seed, "on-error": on_error,
    }  # fmt: skip
    words = ["vidpred", "gen-data", "ssv2", str(videos), "--grey" if spec.channels == 1 else "--color"]
    for name, value in settings.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
