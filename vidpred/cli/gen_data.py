"""``vidpred gen-data``: makes data files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from vidpred.cli import parse
from vidpred.cli.options import Seed
from vidpred.errors import ConfigError

gen_data_app = typer.Typer(
    name="gen-data",
    help="Make a data file: generated sequences, your own videos, KTH, Something-Something V2, or music.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option("--out", help="The HDF5 file to write.")]
Train = Annotated[int, typer.Option("--train", min=0, help="Sequences in the training split.")]
Val = Annotated[int, typer.Option("--val", min=0, help="Sequences in the validation split.")]
Test = Annotated[int, typer.Option("--test", min=0, help="Sequences in the test split.")]
Workers = Annotated[
    int,
    typer.Option("--workers", min=0, help="Threads that draw; 0 picks one per core."),
]
Frames = Annotated[int, typer.Option("--frames", min=1, help="Frames of a sequence.")]
Objects = Annotated[int, typer.Option("--objects", min=1, max=4, help="Objects in a sequence.")]
Motion = Annotated[
    str, typer.Option("--motion", help="Published motion to follow: razali, srivastava, openstl or svg.")
]
Size = Annotated[int, typer.Option("--size", min=2, help="Side of a frame in pixels.")]
ObjectSize = Annotated[
    int | None,
    typer.Option(
        "--digit-size",
        min=1,
        help="Side of an object in pixels.",
        show_default="28, or 32 with --motion svg, as published",
    ),
]
Acceleration = Annotated[
    float, typer.Option("--acceleration", min=0, help="Constant acceleration, pixels per frame per frame.")
]


@gen_data_app.command("mmnist")
def mmnist(
    out: Out,
    train: Train = 10_000,
    val: Val = 1_000,
    test: Test = 1_000,
    seed: Seed = 0,
    workers: Workers = 0,
    frames: Frames = 20,
    objects: Objects = 2,
    motion: Motion = "razali",
    digits: Annotated[
        str,
        typer.Option("--digits", help="auto, mnist, emnist, fashion, kmnist, or an IDX or npz file."),
    ] = "auto",
    size: Size = 64,
    digit_size: ObjectSize = None,
    overlap: Annotated[
        str, typer.Option("--overlap", help="Where digits overlap: max, the brighter; add, the clipped sum.")
    ] = "max",
    acceleration: Acceleration = 0.0,
) -> None:
    """Moving MNIST: digits that bounce inside the frame. The test split has digits of its own."""
    _generate(
        out,
        {"train": train, "val": val, "test": test},
        seed,
        workers,
        kind="mmnist",
        frames=frames,
        objects=objects,
        motion=motion,
        digits=digits,
        size=size,
        digit_size=digit_size,
        overlap=overlap,
        acceleration=acceleration,
    )


@gen_data_app.command("shapes")
def shapes(
    out: Out,
    train: Train = 10_000,
    val: Val = 1_000,
    test: Test = 1_000,
    seed: Seed = 0,
    workers: Workers = 0,
    frames: Frames = 20,
    objects: Objects = 2,
    motion: Motion = "razali",
    size: Size = 64,
    digit_size: ObjectSize = None,
    acceleration: Acceleration = 0.0,
) -> None:
    """Moving shapes: squares, circles and triangles in colour, the later ones in front."""
    _generate(
        out,
        {"train": train, "val": val, "test": test},
        seed,
        workers,
        kind="shapes",
        frames=frames,
        objects=objects,
        motion=motion,
        size=size,
        digit_size=digit_size,
        acceleration=acceleration,
    )


OnErrorOption = Annotated[
    str, typer.Option("--on-error", help="What a damaged or missing video does: stop, or skip it.")
]
Decoders = Annotated[int, typer.Option("--workers", min=0, help="Threads that decode; 0 picks one per core.")]


@gen_data_app.command("video")
def video(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT", help="mp4, avi, webm and gif files, folders of them, and folders of pictures."
        ),
    ],
    out: Out,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="N|HxW",
            help="Height and width of a frame; videos are stretched to it.",
            show_default="that of the videos",
        ),
    ] = None,
    grey: Annotated[bool, typer.Option("--grey/--color", help="One channel, or three.")] = False,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", min=1, help="Cut videos into clips of so many frames.", show_default="whole videos"
        ),
    ] = None,
    stride: Annotated[
        int,
        typer.Option(
            "--stride",
            min=0,
            help="Frames from the start of a clip, or of a window cut from a whole video, to the next; "
            "0: no overlap.",
        ),
    ] = 0,
    val: Annotated[str, typer.Option("--val", help="Videos for validation: a number or a fraction.")] = "0.1",
    test: Annotated[str, typer.Option("--test", help="Videos for testing: a number or a fraction.")] = "0.1",
    seed: Seed = 0,
    on_error: OnErrorOption = "stop",
    workers: Decoders = 0,
) -> None:
    """Your own videos, split video by video."""
    from vidpred.data.video_files import VideoSpec, generate_from_videos

    spec = VideoSpec(parse.size(size) if size else None, 1 if grey else 3, frames, stride)
    made = generate_from_videos(
        out,
        inputs,
        spec,
        val=parse.share("--val", val),
        test=parse.share("--test", test),
        seed=seed,
        on_error=parse.on_error(on_error),
        workers=workers,
    )
    for sentence in made.skipped:
        typer.echo(f"skipped: {sentence}")
    if made.too_short:
        typer.echo(
            f"{len(made.too_short)} videos have fewer than {frames} frames: {', '.join(made.too_short)}"
        )
    parts = [f"{count} {split} ({made.frames[split]} frames)" for split, count in made.sequences.items()]
    typer.echo(f"wrote {out}: {' + '.join(parts)} sequences{_without(made.skipped)}")
    _say_if_no_validation(made.sequences, "--val")


@gen_data_app.command("kth")
def kth(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="With the six official zip files, or the avi files in them."),
    ],
    out: Out,
    size: Annotated[
        str, typer.Option("--size", metavar="N|HxW", help="Height and width; videos are stretched to it.")
    ] = "64",
    split: Annotated[
        str | None,
        typer.Option(
            help="Who is in which split: official, predrnn or svg.",
            show_default="official, unless --train-persons or --test-persons",
        ),
    ] = None,
    train_persons: Annotated[str, typer.Option(help="Persons to train on, such as 1-16 or 1,5,7-9.")] = "",
    val_persons: Annotated[
        str, typer.Option(help="Persons to validate on; taken out of the training part of predrnn and svg.")
    ] = "",
    test_persons: Annotated[str, typer.Option(help="Persons to test on.")] = "",
    clips: Annotated[
        str,
        typer.Option(
            "--clips",
            help="How windows are cut when the file is read: every (one from each frame on), apart "
            "(no overlap), convtt (every in training, else apart) or predrnn (from the end, no overlap, "
            "but every 3 frames for jogging and running).",
        ),
    ] = "convtt",
    frames: Annotated[
        int,
        typer.Option("--frames", min=1, help="Length of the windows that are counted; any can be cut later."),
    ] = 20,
    sequences: Annotated[
        Path | None,
        typer.Option("--sequences", help="The list of frames, 00sequences.txt.", show_default="in FOLDER"),
    ] = None,
    on_error: OnErrorOption = "stop",
    workers: Decoders = 0,
) -> None:
    """The KTH human actions, from the official files."""
    from vidpred.data.kth import choose_persons, generate_kth

    own = {
        name: parse.persons(f"--{name}-persons", text)
        for name, text in (("train", train_persons), ("val", val_persons), ("test", test_persons))
    }
    made = generate_kth(
        out,
        folder,
        size=parse.size(size),
        persons=choose_persons(split, own),
        clips=clips,
        window=frames,
        sequences=sequences,
        on_error=parse.on_error(on_error),
        workers=workers,
    )
    for sentence in made.skipped:
        typer.echo(f"skipped: {sentence}")
    for name, counts in made.splits.items():
        short = f" ({counts.too_short} sequences are shorter)" if counts.too_short else ""
        typer.echo(
            f"{name}: persons {', '.join(map(str, counts.persons))}: {counts.videos} videos, "
            f"{counts.sequences} sequences, {counts.frames} frames; "
            f"{counts.windows} windows of {frames} frames{short}"
        )
    typer.echo(f"wrote {out}{_without(made.skipped)}")
    _say_if_no_validation((name for name, counts in made.splits.items() if counts.sequences), "--val-persons")


@gen_data_app.command("ssv2")
def ssv2(
    videos: Annotated[Path, typer.Argument(metavar="VIDEOS", help="The folder of the <id>.webm files.")],
    labels: Annotated[
        Path,
        typer.Option(
            "--labels", help="The folder of the train, validation and labels json files, by either name."
        ),
    ],
    out: Out,
    classes: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            help="A text file: a class or template a line, and after a tab perhaps its group.",
            show_default="all classes",
        ),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", min=1, help="Frames of a sequence, spread evenly over the video.")
    ] = 40,
    size: Annotated[
        str, typer.Option("--size", metavar="N|HxW", help="Height and width; videos are stretched to it.")
    ] = "64",
    grey: Annotated[bool, typer.Option("--grey/--color", help="One channel, or three.")] = False,
    train: Annotated[
        int | None,
        typer.Option("--train", min=0, help="Videos to train on.", show_default="all the others"),
    ] = None,
    val: Annotated[
        str,
        typer.Option(
            "--val", help="Of the published training videos, for validation: a number or a fraction."
        ),
    ] = "0.05",
    test: Annotated[
        int | None,
        typer.Option("--test", min=0, help="Of the published validation videos.", show_default="all"),
    ] = None,
    seed: Seed = 0,
    on_error: OnErrorOption = "stop",
    workers: Decoders = 0,
) -> None:
    """Something-Something V2. Its validation videos become the test split: its test labels are not public."""
    from vidpred.data.something import SomethingSpec, generate_ssv2

    made = generate_ssv2(
        out,
        videos,
        labels,
        SomethingSpec(frames, parse.size(size), 1 if grey else 3),
        classes=classes,
        train=train,
        val=parse.share("--val", val),
        test=test,
        seed=seed,
        on_error=parse.on_error(on_error),
        workers=workers,
    )
    for sentence in made.skipped:
        typer.echo(f"skipped: {sentence}")
    if made.of_other_classes:
        typer.echo(f"left out: {made.of_other_classes} videos of other classes")
    for name, counts in made.splits.items():
        short = f"; {counts.repeating} videos are shorter and repeat frames" if counts.repeating else ""
        typer.echo(
            f"{name}: {counts.sequences} sequences of {frames} frames, "
            f"of {len(counts.classes)} classes{short}"
        )
    typer.echo(f"wrote {out}{_without(made.skipped)}")
    _say_if_no_validation(made.splits, "--val")


@gen_data_app.command("piano-roll")
def piano_roll(
    out: Out,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help=".mat files of Boulanger-Lewandowski, .json files, MIDI files and folders of them.",
            show_default="chorales made by rules",
        ),
    ] = None,
    train: Annotated[
        int | None,
        typer.Option("--train", min=0, help="Chorales to make for training.", show_default="229"),
    ] = None,
    val: Annotated[
        str | None,
        typer.Option(
            "--val",
            metavar="N|FRACTION",
            help="For validation: chorales to make, or a fraction of the MIDI files.",
            show_default="76, or 0.1",
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            "--test",
            metavar="N|FRACTION",
            help="For testing: chorales to make, or a fraction of the MIDI files.",
            show_default="77, or 0.1",
        ),
    ] = None,
    steps_per_beat: Annotated[
        int | None,
        typer.Option(
            "--steps-per-beat",
            min=1,
            help="Steps of a beat: MIDI files are read so; of .mat and .json files, whose steps stay as they "
            "are, it is noted, for rollout --out x.mid to go by.",
            show_default="4, sixteenth notes, of MIDI files; of others a step is taken for a beat",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="Seed of chorales, and of the split of MIDI files.", show_default="0"
        ),
    ] = None,
    on_error: Annotated[
        str | None,
        typer.Option("--on-error", help="What a damaged file does: stop, or skip it.", show_default="stop"),
    ] = None,
) -> None:
    """Music as piano rolls of 88 keys; without a SOURCE, small chorales made by rules."""
    if not sources:
        _generate_chorales(out, train, val, test, seed, steps_per_beat=steps_per_beat, on_error=on_error)
        return
    from vidpred.data.piano_roll import MidiSpec, generate_from_rolls

    if train is not None:
        raise ConfigError("--train is for chorales made by rules: leave it out where there is a SOURCE")
    midi = MidiSpec(steps_per_beat, parse.fraction("--val", val), parse.fraction("--test", test), seed)
    made = generate_from_rolls(out, sources, midi, on_error=parse.on_error(on_error or "stop"))
    for sentence in made.skipped:
        typer.echo(f"skipped: {sentence}")
    if made.outside:
        notes = ", ".join(f"{note} ({_number(n, 'time')})" for note, n in sorted(made.outside.items()))
        count = sum(made.outside.values())
        typer.echo(f"left out {_number(count, 'note')} that a piano does not have: {notes}")
    _say_rolls(out, made.sequences, made.steps, _without(made.skipped))
    if "val" not in made.sequences:
        typer.echo(_why_no_validation(made.midi_files, midi.shares["val"]))


def _generate_chorales(
    out: Path, train: int | None, val: str | None, test: str | None, seed: int | None, **of_files: object
) -> None:
    from vidpred.data.chorales import PUBLISHED_COUNTS, generate_chorales

    for name, value in of_files.items():
        if value is not None:
            raise ConfigError(f"--{name.replace('_', '-')} is for files: say which SOURCE to read")
    counts = dict(PUBLISHED_COUNTS)
    counts |= {} if train is None else {"train": train}
    for split, text in (("val", val), ("test", test)):
        if text is not None:
            if not (text.isascii() and text.isdecimal()):
                raise ConfigError(f"--{split} expects a number of chorales without a SOURCE, got '{text}'")
            counts[split] = int(text)
    steps = generate_chorales(out, counts, seed=seed or 0)
    _say_rolls(out, {split: counts[split] for split in steps}, steps)
    _say_if_no_validation(steps, "--val")


def _say_rolls(out: Path, sequences: Mapping[str, int], steps: Mapping[str, int], but: str = "") -> None:
    parts = [f"{count} {split} ({steps[split]} steps)" for split, count in sequences.items()]
    typer.echo(f"wrote {out}: {' + '.join(parts)} sequences{but}")


def _why_no_validation(midi_files: int, share: float) -> str:
    if not midi_files:
        return "there is no validation split, which training needs, as no SOURCE has one: add one that does"
    if not share:
        return "there is no validation split, which training needs: ask for one with --val"
    return (
        f"of {_number(midi_files, 'MIDI file')} none fell into the validation split, which training needs: "
        "give more files, a larger --val, or another --seed"
    )


def _number(count: int, of: str) -> str:
    return f"{count} {of}{'s' * (count != 1)}"


def _say_if_no_validation(splits: Iterable[str], option: str) -> None:
    if "val" not in splits:
        typer.echo(f"there is no validation split, which training needs: ask for one with {option}")


def _without(skipped: list[str]) -> str:
    return ", without what was skipped" if skipped else ""


def _generate(out: Path, counts: dict[str, int], seed: int, workers: int, **settings: object) -> None:
    from vidpred.data.generate import generate
    from vidpred.data.moving_objects import MovingSpec

    given = {name: value for name, value in settings.items() if value is not None}
    generate(out, MovingSpec(**given), counts, seed=seed, workers=workers)
    made = " + ".join(f"{count} {split}" for split, count in counts.items() if count)
    typer.echo(f"wrote {out}: {made} sequences")
