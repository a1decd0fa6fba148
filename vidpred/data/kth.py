"""The KTH human actions: which frames of which videos make which sequences (Schuldt, Laptev, Caputo, 2004).

Six actions by 25 persons under four conditions, 160x120 pixels at 25 frames a second, in files such as
``person15_handwaving_d1_uncomp.avi`` (one of the 600 was never published). ``00sequences.txt`` says which
frames of each show the action, mostly in four stretches; each is a sequence here.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vidpred.data.decoding import DecodedVideo, VideoSource
from vidpred.data.hdf5 import LongSplitWriter, create_dataset
from vidpred.data.randomness import SPLITS
from vidpred.data.video_files import OnError, decoded
from vidpred.data.windows import cut_windows
from vidpred.errors import ConfigError, DataError, unknown_name
from vidpred.files import require_writable
from vidpred.progress import progress_bar

ACTIONS = ("walking", "jogging", "running", "boxing", "handwaving", "handclapping")
"""The classes, in the order of the official page; the number of a label is its place here."""
PERSONS = range(1, 26)
SEQUENCES_FILE = "00sequences.txt"

PERSON_SPLITS: dict[str, dict[str, tuple[int, ...]]] = {
    "official": {
        "train": tuple(range(11, 19)),
        "val": (19, 20, 21, 23, 24, 25, 1, 4),
        "test": (22, 2, 3, 5, 6, 7, 8, 9, 10),
    },
    "predrnn": {"train": tuple(range(1, 17)), "test": tuple(range(17, 26))},
    "svg": {"train": tuple(range(1, 21)), "test": tuple(range(21, 26))},
}
"""Who is in which split: the head of ``00sequences.txt``; PredRNN, E3D-LSTM and OpenSTL; SVG and SRVP.

Conv-TT-LSTM did not publish its persons. Only the official split has a part for validation.
"""

CLIP_RULES = ("convtt", "every", "apart", "predrnn")
"""How windows are laid out in a sequence.

- ``every``: one from each frame on; ``apart``: from the start, without overlap;
- ``convtt``: ``every`` for training, ``apart`` for the others, as Conv-TT-LSTM;
- ``predrnn``: backwards from the end, without overlap, but every 3 frames for jogging and running. (Its own
  code knows only the numbers of frames, so that its windows also cross from one stretch into the next
  where the two adjoin. Here they do not.)

SVG draws clips at random while it trains, which is no rule for windows.
"""

Range = tuple[int, int]
"""First and last frame, counted from 1, both included."""

_VIDEO_NAME = re.compile(r"person(\d\d)_([a-z]+)_d(\d)")
_FILE_NAME = re.compile(r"person\d\d_[a-z]+_d\d_uncomp\.avi")


@dataclass(frozen=True, order=True)
class VideoName:
    """Which of the 600 videos."""

    person: int
    action: int
    """Number of the class."""
    condition: int
    """1 outdoors, 2 outdoors at changing scale, 3 outdoors in other clothes, 4 indoors."""

    def __str__(self) -> str:
        return f"person{self.person:02}_{ACTIONS[self.action]}_d{self.condition}"


@dataclass
class SplitCounts:
    """What is in a split; `windows` are those of the length that was asked for."""

    persons: tuple[int, ...]
    videos: int = 0
    sequences: int = 0
    frames: int = 0
    windows: int = 0
    too_short: int = 0
    """Sequences that are shorter than a window."""


@dataclass
class Outcome:
    """What was made, and a sentence for everything that was left out because it was missing or damaged."""

    splits: dict[str, SplitCounts] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def read_ranges(path: Path) -> dict[VideoName, list[Range]]:
    """The stretches of every video by ``00sequences.txt``, in its order; a video called missing has none.

    Lines that do not begin with the name of a video are its head. Raises `DataError` for a line that does
    not read as a name, the word frames and ranges.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise DataError(f"{path} cannot be read: {reason}") from error
    ranges: dict[VideoName, list[Range]] = {}
    for number, line in enumerate(lines, start=1):
        found = re.fullmatch(rf"\s*{_VIDEO_NAME.pattern}\s+(.*?)\s*", line)
        if found is None:
            continue
        where = f"line {number} of {path}"
        name = _video_name(found, where)
        if name in ranges:
            raise DataError(f"{where} names {name} for the second time")
        ranges[name] = [] if found[4] == "*missing*" else list(_ranges(found[4], where))
    if not ranges:
        raise DataError(f"{path} has no line such as 'person01_boxing_d1  frames  1-95, 96-185'")
    return ranges


def _ranges(text: str, where: str) -> Iterator[Range]:
    if not re.fullmatch(r"frames\s+\d+\s*-\s*\d+(\s*,\s*\d+\s*-\s*\d+)*\s*,?", text):
        raise DataError(f"{where} has '{text}', expected ranges such as 'frames 1-95, 96-185'")
    for first, last in re.findall(r"(\d+)\s*-\s*(\d+)", text):
        if not 1 <= int(first) <= int(last):
            raise DataError(f"{where} has the range {first}-{last}, expected one that rises, from 1 on")
        yield int(first), int(last)


def _video_name(found: re.Match[str], where: str) -> VideoName:
    person, action, condition = int(found[1]), found[2], int(found[3])
    if action not in ACTIONS or person not in PERSONS or not 1 <= condition <= 4:
        raise DataError(
            f"{where} names person{found[1]}_{action}_d{condition}, expected a person from 01 to 25, "
            f"a condition from d1 to d4 and one of {', '.join(ACTIONS)}"
        )
    return VideoName(person, ACTIONS.index(action), condition)


def find_kth_videos(folder: Path) -> dict[VideoName, VideoSource]:
    """The videos in a folder and the folders and zip files in it; a file goes before a member of a zip."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder: expected one with the six zip files of KTH or their avi files"
        )
    sources = [VideoSource(path.name, path) for path in sorted(folder.rglob("*.avi"))]
    for path in sorted(folder.rglob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                members = sorted(archive.namelist())
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a zip file that can be read: {error}") from error
        sources += [VideoSource(member.rpartition("/")[2], path, member) for member in members]
    videos: dict[VideoName, VideoSource] = {}
    for source in sources:
        found = _VIDEO_NAME.match(source.name)
        if found and _FILE_NAME.fullmatch(source.name):
            videos.setdefault(_video_name(found, str(source.place)), source)
    if not videos:
        raise DataError(
            f"there is no video such as person01_boxing_d1_uncomp.avi in {folder} or its zip files"
        )
    return videos


def choose_persons(
    split: str | None, own: Mapping[str, Sequence[int]] | None = None
) -> dict[str, tuple[int, ...]]:
    """Who is in which split.

    Args:
        split: one of `PERSON_SPLITS`; None: the official one, unless `own` names training or test persons.
        own: persons for train, val and test. With a published split only val may be given, which takes
            these persons out of its training part.

    Raises:
        ConfigError: an unknown split, a person who does not exist or would be in two splits, or lists that
            do not go together.
    """
    given = {name: tuple(persons) for name, persons in (own or {}).items() if persons}
    for name, persons in given.items():
        for person in persons:
            if person not in PERSONS:
                raise ConfigError(f"--{name}-persons must be from 1 to 25, got {person}")
    if split is None and given.keys() - {"val"}:
        chosen = given
    else:
        if split is not None and split not in PERSON_SPLITS:
            raise unknown_name("split of KTH", split, PERSON_SPLITS)
        chosen = dict(PERSON_SPLITS[split or "official"])
        if given.keys() - {"val"}:
            raise ConfigError(f"--train-persons and --test-persons do not go with --split {split}")
        if "val" in given:
            if "val" in chosen:
                raise ConfigError(f"the {split or 'official'} split has validation persons of its own")
            strange = sorted(set(given["val"]) - set(chosen["train"]))
            if strange:
                raise ConfigError(f"person {strange[0]} is not in the training part of the {split} split")
            chosen["train"] = tuple(p for p in chosen["train"] if p not in given["val"])
            chosen["val"] = given["val"]
    seen: dict[int, str] = {}
    for name, persons in chosen.items():
        for person in persons:
            if person in seen:
                raise ConfigError(f"person {person} is in both {seen[person]} and {name}")
            seen[person] = name
    return {name: chosen[name] for name in SPLITS if chosen.get(name)}


def clip_rule(rule: str, split: str, action: str) -> tuple[int, str]:
    """The stride of the windows of a sequence (0: no overlap), and where they are laid out from.

    Raises `ConfigError` for a rule that is not one of `CLIP_RULES`.
    """
    if rule == "convtt":
        rule = "every" if split == "train" else "apart"
    match rule:
        case "every":
            return 1, "start"
        case "apart":
            return 0, "start"
        case "predrnn":
            return 3 if action in ("jogging", "running") else 0, "end"
        case "svg":
            raise ConfigError(
                "SVG draws its clips at random while it trains, so there is no --clips svg (choices: "
                f"{', '.join(CLIP_RULES)})"
            )
    raise unknown_name("rule for clips", rule, CLIP_RULES)


def generate_kth(
    path: Path,
    folder: Path,
    *,
    size: tuple[int, int],
    persons: Mapping[str, Sequence[int]],
    clips: str = "convtt",
    window: int = 20,
    sequences: Path | None = None,
    on_error: OnError = "stop",
    workers: int = 0,
    quiet: bool = False,
) -> Outcome:
    """Writes a data file of the KTH actions: grey, each stretch a sequence, its label the action.

    Args:
        folder: with the zip files, or the avi files, also in folders of its own.
        size: (H, W) to resize to, without regard to the 4:3 of the videos.
        persons: split -> persons; see `choose_persons`.
        clips: one of `CLIP_RULES`. Any length of windows can be cut from the file later.
        window: the length for which windows are counted.
        sequences: ``00sequences.txt``; None looks for it in `folder`.
        on_error: what to do about a video that is missing, damaged or not in the list, and about a range
            that the video does not have: ``stop``, or ``skip`` it.
        workers: threads that decode; 0 takes one per core.
        quiet: no progress bar.

    Raises:
        ConfigError: an unknown rule.
        DataError: what `on_error` says, or nothing is left.
        OutputError: the file cannot be written.
    """
    clip_rule(clips, "train", ACTIONS[0])
    require_writable(path, [sequences])
    videos = find_kth_videos(folder)
    listed = sequences or _find_sequences(folder)
    ranges = read_ranges(listed)
    wanted = {person for mine in persons.values() for person in mine}
    outcome = Outcome()
    for sentence in _unmatched(videos, ranges, wanted, folder, listed):
        _leave_out(sentence, outcome.skipped, on_error)
    digests = {listed.name: hashlib.sha256(listed.read_bytes()).hexdigest()}
    with (
        progress_bar(quiet=quiet) as bar,
        create_dataset(
            path,
            command=_command(folder, size, persons, clips, window, sequences, on_error),
            config={
                "size": size,
                "clips": clips,
                "persons": {split: list(mine) for split, mine in persons.items()},
                "on_error": on_error,
            },
            seed=0,
            sources=digests,
            classes=ACTIONS,
        ) as file,
    ):
        for split, mine in persons.items():
            names = {
                videos[name]: name for name in sorted(videos) if name.person in mine and ranges.get(name)
            }
            if not names:
                continue
            windows_from = clip_rule(clips, split, ACTIONS[0])[1]
            counts = outcome.splits[split] = SplitCounts(tuple(mine))
            stream = decoded(
                list(names),
                split,
                bar,
                outcome.skipped,
                1,
                size,
                on_error=on_error,
                workers=workers,
            )
            with closing(stream), file.long_split(split, (1, *size), windows_from) as writer:
                for video in stream:
                    name = names[video.source]
                    digests[video.source.name] = video.sha256
                    stride = clip_rule(clips, split, ACTIONS[name.action])[0]
                    for sentence in _write(writer, video, name, ranges[name], stride):
                        _leave_out(sentence, outcome.skipped, on_error)
                    counts.videos += 1
                counts.sequences, counts.frames = len(writer), int(writer.lengths.sum())
                counts.windows = len(cut_windows(writer.lengths, writer.strides, window, windows_from)[0])
                counts.too_short = int((writer.lengths < window).sum())
        if not any(counts.sequences for counts in outcome.splits.values()):
            who = ", ".join(map(str, sorted(wanted)))
            raise DataError(f"{folder} holds no sequence of the persons that were asked for ({who})")
    return outcome


def _write(
    writer: LongSplitWriter, video: DecodedVideo, name: VideoName, ranges: Iterable[Range], stride: int
) -> Iterator[str]:
    """Adds the stretches of a video; yields a sentence for each that it does not have."""
    label = np.array([name.action], np.uint8)
    for first, last in ranges:
        if last > video.count:
            yield f"frames {first}-{last} of {name} reach beyond the {video.count} of {video.source.place}"
        else:
            writer.append(video.frames(first - 1, last), stride=stride, labels=label)


def _unmatched(
    videos: Mapping[VideoName, VideoSource],
    ranges: Mapping[VideoName, Sequence[Range]],
    persons: set[int],
    folder: Path,
    listed: Path,
) -> Iterator[str]:
    """Sentences about videos without ranges and ranges without videos, of the `persons`."""
    expected = sorted(name for name, mine in ranges.items() if mine and name.person in persons)
    missing = [str(name) for name in expected if name not in videos]
    if missing:
        yield f"{len(missing)} of {len(expected)} videos are missing in {folder}: {_some(missing)}"
    unlisted = [str(name) for name in sorted(videos) if name.person in persons and not ranges.get(name)]
    if unlisted:
        yield f"{listed} gives no frames for {len(unlisted)} of the videos in {folder}: {_some(unlisted)}"


def _some(names: Sequence[str], shown: int = 10) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _leave_out(sentence: str, skipped: list[str], on_error: OnError) -> None:
    if on_error == "stop":
        raise DataError(sentence)
    skipped.append(sentence)


def _find_sequences(folder: Path) -> Path:
    found = sorted(folder.rglob(SEQUENCES_FILE))
    if not found:
        raise DataError(f"there is no {SEQUENCES_FILE} in {folder}: say where it is with --sequences")
    return found[0]


def _command(
    folder: Path,
    size: tuple[int, int],
    persons: Mapping[str, Sequence[int]],
    clips: str,
    window: int,
    sequences: Path | None,
    on_error: OnError,
) -> str:
    """The command line that makes the same file again."""
    words = ["vidpred", "gen-data", "kth", str(folder), "--size", f"{size[0]}x{size[1]}"]
    for split, mine in persons.items():
        words += [f"--{split}-persons", ",".join(map(str, mine))]
    words += ["--sequences", str(sequences)] if sequences else []
    return shlex.join([*words, "--clips", clips, "--frames", str(window), "--on-error", on_error])
