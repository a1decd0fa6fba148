import json
import re
import shlex

import numpy as np
import pytest

from vidpred.cli.main import run as vidpred
from vidpred.data import FrameDataset, open_dataset
from vidpred.data.something import (
    Classes,
    SomethingSpec,
    class_of,
    generate_ssv2,
    read_classes,
    sample_frames,
)
from vidpred.data.video import read_video
from vidpred.errors import ConfigError, DataError

pytest.importorskip("av")

TEMPLATES = (
    "Holding [something] next to [something]",
    "Pushing [something] from left to right",
    "Tearing [something] into two pieces",
)
SPEC = SomethingSpec(frames=4, size=(8, 12), channels=1)


class Tree:
    """A folder of videos of 16x24 pixels and one of labels, as they are published."""

    def __init__(self, folder, make_video, prefix="something-something-v2-"):
        self.videos, self.labels, self.prefix = folder / "videos", folder / "labels", prefix
        self.labels.mkdir()
        self._make_video = make_video
        self.write("labels", {class_of(template): str(n) for n, template in enumerate(TEMPLATES)})

    def path(self, number):
        return self.videos / f"{number}.webm"

    def write(self, part, content):
        text = content if isinstance(content, str) else json.dumps(content)
        (self.labels / f"{self.prefix}{part}.json").write_text(text)

    def add(self, part, kinds, first, frames=6):
        """A list of videos, numbered from `first`, of the classes `kinds`."""
        entries = []
        for number, kind in enumerate(kinds, start=first):
            noise = np.random.default_rng(number).integers(0, 256, (frames, 16, 24), np.uint8)
            self._make_video(self.path(number), noise, rate=12)
            entries.append({"id": str(number), "label": "a label", "template": TEMPLATES[kind]})
        self.write(part, entries)
        return entries


@pytest.fixture
def tree(tmp_path, make_video):
    made = Tree(tmp_path, make_video)
    made.training = made.add("train", [0, 1, 2, 1, 0, 2, 2, 1], first=100)
    made.validation = made.add("validation", [2, 0, 1], first=500)
    return made


def generate(tree, out, spec=SPEC, **options):
    return generate_ssv2(out, tree.videos, tree.labels, spec, quiet=True, **options)


def ids(file, split):
    with open_dataset(file) as opened:
        return opened[split].object_ids[:, 0].tolist()


# Frames


@pytest.mark.parametrize(
    ("count", "frames", "expected"),
    [
        (6, 6, [0, 1, 2, 3, 4, 5]),
        (8, 4, [1, 3, 5, 7]),
        (9, 3, [1, 4, 7]),
        (45, 5, [4, 13, 22, 31, 40]),
        (3, 6, [0, 0, 1, 1, 2, 2]),
        (2, 5, [0, 0, 1, 1, 1]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_frames_are_the_middles_of_equal_parts(count, frames, expected):
    assert sample_frames(count, frames).tolist() == expected


def test_a_sequence_is_of_the_sampled_frames_of_its_video(tree, tmp_path):
    generate(tree, tmp_path / "x.h5", val=2)
    for split in ("train", "val", "test"):
        dataset = FrameDataset(tmp_path / "x.h5", split, with_labels=True)
        for index, number in enumerate(ids(tmp_path / "x.h5", split)):
            frames = np.stack(list(read_video(tree.path(number), channels=1, size=(8, 12))))
            np.testing.assert_array_equal(dataset[index]["frames"], frames[[0, 2, 3, 5]])
            [entry] = [e for e in tree.training + tree.validation if e["id"] == str(number)]
            assert dataset[index]["labels"].tolist() == [TEMPLATES.index(entry["template"])]


def test_short_videos_repeat_frames_and_are_counted(tree, tmp_path):
    made = generate(tree, tmp_path / "x.h5", SomethingSpec(9, (16, 24), 3), val=0)
    assert {split: counts.repeating for split, counts in made.splits.items()} == {"train": 8, "test": 3}
    with open_dataset(tmp_path / "x.h5") as file:
        first = file["train"].frames[0]
    frames = np.stack(list(read_video(tree.path(100), channels=3)))
    np.testing.assert_array_equal(first, frames[[0, 1, 1, 2, 3, 3, 4, 5, 5]])
    assert generate(tree, tmp_path / "y.h5", SomethingSpec(6, (16, 24), 3)).splits["test"].repeating == 0


# Splits


def test_validation_becomes_test_and_a_part_of_training_is_held_out(tree, tmp_path):
    made = generate(tree, tmp_path / "x.h5", val=0.25)
    assert {split: counts.sequences for split, counts in made.splits.items()} == {
        "train": 6,
        "val": 2,
        "test": 3,
    }
    train, val, test = (ids(tmp_path / "x.h5", split) for split in ("train", "val", "test"))
    assert sorted(train + val) == list(range(100, 108))
    assert test == [500, 501, 502]
    assert train == sorted(train)


def test_fewer_are_drawn_by_the_seed(tree, tmp_path):
    drawn = set()
    for seed in range(6):
        generate(tree, tmp_path / "x.h5", train=3, val=1, test=2, seed=seed)
        drawn.add(tuple(tuple(ids(tmp_path / "x.h5", split)) for split in ("train", "val", "test")))
    assert len(drawn) == 6
    assert all(list(map(len, splits)) == [3, 1, 2] for splits in drawn)
    assert not any(set(train) & set(val) for train, val, _ in drawn)


def test_no_split_is_made_of_nothing(tree, tmp_path):
    generate(tree, tmp_path / "x.h5", train=0, val=0, test=2)
    with open_dataset(tmp_path / "x.h5") as file:
        assert list(file) == ["test"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"val": 9}, r"9 videos were asked for as the split 'val', but there are 8"),
        ({"train": 8, "val": 1}, r"8 videos were asked for as the split 'train', but there are 7"),
        ({"test": 4}, r"4 videos were asked for as the split 'test', but there are 3"),
        ({"test": -1}, r"split 'test' must not be negative, got -1"),
    ],
)
def test_more_videos_than_there_are_cannot_be_had(tree, tmp_path, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        generate(tree, tmp_path / "x.h5", **options)
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_both_namings_of_the_lists_are_read(tmp_path, make_video, prefix):
    tree = Tree(tmp_path, make_video, prefix)
    tree.add("train", [0, 1], first=1)
    tree.add("validation", [2], first=7)
    made = generate(tree, tmp_path / "x.h5", val=1)
    assert {split: counts.sequences for split, counts in made.splits.items()} == {
        "train": 1,
        "val": 1,
        "test": 1,
    }


# Classes


def test_classes_are_in_the_order_of_their_numbers(tree):
    tree.write("labels", {"B something": "1", "A something": 2, "C something": "0"})
    assert read_classes(tree.labels) == Classes(("C something", "B something", "A something"))


def test_a_list_chooses_classes_and_their_order_and_groups(tree, tmp_path):
    listed = tmp_path / "classes.txt"
    listed.write_text(f"{TEMPLATES[2]}\tTearing\n\n{class_of(TEMPLATES[0])}\tHolding\n")
    made = generate(tree, tmp_path / "x.h5", classes=listed, val=0)
    assert made.of_other_classes == 3 + 1
    assert made.splits["train"].classes == {0, 1}
    with open_dataset(tmp_path / "x.h5") as file:
        assert file.attributes["classes"] == [class_of(TEMPLATES[2]), class_of(TEMPLATES[0])]
        assert file.attributes["groups"] == ["Tearing", "Holding"]
        assert file["train"].labels[:, 0].tolist() == [1, 0, 1, 0, 0]
        assert file["test"].labels[:, 0].tolist() == [0, 1]


def test_without_groups_the_file_has_none(tree, tmp_path):
    (tmp_path / "classes.txt").write_text("\n".join(TEMPLATES[1:]))
    generate(tree, tmp_path / "x.h5", classes=tmp_path / "classes.txt")
    with open_dataset(tmp_path / "x.h5") as file:
        assert "groups" not in file.attributes


@pytest.mark.parametrize(
    ("lines", "error", "sentence"),
    [
        ("Holdin something next to something", ConfigError, r"class in line 1 of .*did you mean 'Holding"),
        (f"{TEMPLATES[0]}\n{class_of(TEMPLATES[0])}", DataError, r"line 2 .* for the second time"),
        (f"{TEMPLATES[0]}\ta\n{TEMPLATES[1]}", DataError, r"groups for 1 of its 2 classes, expected all"),
        ("\n \n", DataError, r"classes\.txt is empty"),
    ],
)
def test_wrong_lists_of_classes(tree, tmp_path, lines, error, sentence):
    (tmp_path / "classes.txt").write_text(lines)
    with pytest.raises(error, match=sentence):
        read_classes(tree.labels, tmp_path / "classes.txt")


def test_a_list_of_classes_that_cannot_be_read(tree, tmp_path):
    with pytest.raises(DataError, match=r"none\.txt cannot be read: No such file"):
        read_classes(tree.labels, tmp_path / "none.txt")
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"x\.txt cannot be read: not text"):
        read_classes(tree.labels, tmp_path / "x.txt")


# Bad input


@pytest.mark.parametrize("part", ["labels", "train", "validation"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no something-something-v2-{part}.json or {part}.json in"),
        ("{", "{part}.json is not valid JSON: "),
        ('"words"', "{part}.json holds a str, expected a"),
    ],
)
def test_lists_that_are_missing_or_damaged(tree, tmp_path, part, content, sentence):
    if content is None:
        (tree.labels / f"{tree.prefix}{part}.json").unlink()
    else:
        tree.write(part, content)
    with pytest.raises(DataError, match=sentence.format(part=part)):
        generate(tree, tmp_path / "x.h5", on_error="skip")
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize("numbers", [("0", "1", "1"), ("1", "2", "3"), ("0", "one", "2")])
def test_classes_that_are_not_numbered(tree, numbers):
    tree.write("labels", dict(zip(map(class_of, TEMPLATES), numbers, strict=True)))
    with pytest.raises(DataError, match="does not number its 3 classes from 0 on"):
        read_classes(tree.labels)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            {"id": "100", "template": "Eating [something]"},
            r"entry 9 of .* \(video 100\) is of the class 'Eating something', which is not in .*labels\.json",
        ),
        ({"template": TEMPLATES[0]}, r"entry 9 of .* has no id that is a number and a template"),
        ({"id": "../1", "template": TEMPLATES[0]}, r"entry 9 of .* has no id"),
        ({"id": "7"}, r"entry 9 of .* has no id that is a number and a template"),
        ("words", r"entry 9 of .* has no id that is a number and a template"),
    ],
)
def test_a_wrong_entry_stops_or_is_skipped(tree, tmp_path, entry, sentence):
    tree.write("train", [*tree.training, entry])
    with pytest.raises(DataError, match=sentence):
        generate(tree, tmp_path / "x.h5")
    made = generate(tree, tmp_path / "x.h5", val=0, on_error="skip")
    assert made.splits["train"].sequences == 8
    assert len(made.skipped) == 1
    assert re.search(sentence, made.skipped[0])


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_video_cannot_be_listed_twice(tree, tmp_path, part):
    tree.write(part, [*{"train": tree.training, "validation": tree.validation}[part], tree.training[2]])
    with pytest.raises(DataError, match="names the video 102 more than once"):
        generate(tree, tmp_path / "x.h5", on_error="skip")


def test_missing_videos_are_named(tree, tmp_path):
    for number in (101, 104):
        tree.path(number).unlink()
    sentence = r"2 of 8 videos are missing in .*videos: 101\.webm, 104\.webm"
    with pytest.raises(DataError, match=sentence):
        generate(tree, tmp_path / "x.h5", val=0)
    made = generate(tree, tmp_path / "x.h5", val=0, on_error="skip")
    assert re.search(sentence, made.skipped[0])
    assert ids(tmp_path / "x.h5", "train") == [100, 102, 103, 105, 106, 107]


def test_a_wrong_folder_of_videos_is_told_even_if_errors_are_skipped(tree, tmp_path):
    tree.videos = tmp_path
    with pytest.raises(DataError, match=r"none of 8 videos is in .*: expected files such as 100\.webm"):
        generate(tree, tmp_path / "x.h5", val=0, on_error="skip")


@pytest.mark.parametrize("damage", ["cut", "rubbish"])
def test_a_damaged_video_among_others_is_skipped_and_the_file_is_whole(tree, tmp_path, damage):
    for number in (103, 501):
        content = tree.path(number).read_bytes()
        tree.path(number).write_bytes(content[: len(content) // 2] if damage == "cut" else b"rubbish")
    with pytest.raises(DataError, match=r"103\.webm"):
        generate(tree, tmp_path / "x.h5", val=0)
    assert not (tmp_path / "x.h5").exists()
    made = generate(tree, tmp_path / "x.h5", val=0, on_error="skip")
    assert [re.search(r"(\d+)\.webm", sentence)[1] for sentence in made.skipped] == ["103", "501"]
    assert (made.splits["train"].sequences, made.splits["test"].sequences) == (7, 2)
    with open_dataset(tmp_path / "x.h5") as file:
        assert file["train"].frames.shape == (7, 4, 1, 8, 12)
        assert file["train"].labels.shape == (7, 1)
        assert file["train"].object_ids[:, 0].tolist() == [100, 101, 102, 104, 105, 106, 107]
        assert file["train"].labels[:, 0].tolist() == [0, 1, 2, 0, 2, 2, 1]
    clean = Tree.__new__(Tree)
    clean.__dict__.update(tree.__dict__)
    clean.write("train", [entry for entry in tree.training if entry["id"] != "103"])
    clean.write("validation", [entry for entry in tree.validation if entry["id"] != "501"])
    generate(clean, tmp_path / "y.h5", val=0)
    with open_dataset(tmp_path / "x.h5") as skipped, open_dataset(tmp_path / "y.h5") as expected:
        assert skipped.attributes["sha256"] == expected.attributes["sha256"]


def test_a_split_of_damaged_videos_alone_is_refused(tree, tmp_path):
    for entry in tree.validation:
        tree.path(entry["id"]).write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"none of the 3 videos of the split 'test' in .* can be read"):
        generate(tree, tmp_path / "x.h5", on_error="skip")
    assert not (tmp_path / "x.h5").exists()


# Files


def test_the_bytes_do_not_depend_on_the_workers(tree, tmp_path):
    tree.path(103).write_bytes(b"rubbish")
    for workers in (1, 2, 5):
        generate(tree, tmp_path / f"{workers}.h5", on_error="skip", workers=workers)
    contents = {(tmp_path / f"{workers}.h5").read_bytes() for workers in (1, 2, 5)}
    assert len(contents) == 1


def test_another_video_gives_another_digest(tree, tmp_path):
    digests = []
    for seed in (1, 2):
        generate(tree, tmp_path / "x.h5")
        with open_dataset(tmp_path / "x.h5") as file:
            digests.append(file.attributes["sources"])
        tree._make_video(tree.path(500), np.full((6, 16, 24), seed, np.uint8), rate=12)
    assert digests[0].keys() == {
        "videos",
        *(f"something-something-v2-{part}.json" for part in ("labels", "train", "validation")),
    }
    assert [name for name in digests[0] if digests[0][name] != digests[1][name]] == ["videos"]


def test_the_command_line_makes_the_same_file_again(tree, tmp_path, capsys):
    listed = tmp_path / "classes.txt"
    listed.write_text(f"{TEMPLATES[2]}\tTearing\n{TEMPLATES[1]}\tPushing\n")
    out, again = tmp_path / "x.h5", tmp_path / "y.h5"
    options = ["--frames=8", "--size=8x12", "--grey", "--train=3", "--val=1", "--test=1", "--seed=3"]
    arguments = ["gen-data", "ssv2", str(tree.videos), f"--labels={tree.labels}", f"--classes={listed}"]
    tree.path(106).write_bytes(b"rubbish")
    assert vidpred([*arguments, *options, f"--out={out}", "--on-error=skip", "--workers=1"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^skipped: .*106\.webm", printed, re.MULTILINE)
    assert "left out: 3 videos of other classes\n" in printed
    assert re.search(
        r"^train: \d sequences of 8 frames, of [12] classes; \d videos are shorter", printed, re.MULTILINE
    )
    assert printed.endswith(f"wrote {out}, without what was skipped\n")
    with open_dataset(out) as file:
        program, *words = shlex.split(file.attributes["command"])
        assert file["test"].frames.shape == (1, 8, 1, 8, 12)
    assert program == "vidpred"
    assert vidpred([*words, f"--out={again}"]) == 0
    assert out.read_bytes() == again.read_bytes()


def test_defaults_are_forty_frames_in_colour(tree, tmp_path, capsys):
    arguments = [
        "gen-data",
        "ssv2",
        str(tree.videos),
        f"--labels={tree.labels}",
        f"--out={tmp_path / 'x.h5'}",
    ]
    assert vidpred([*arguments, "--val=0"]) == 0
    assert "there is no validation split" in capsys.readouterr().out
    with open_dataset(tmp_path / "x.h5") as file:
        assert file["train"].frames.shape == (8, 40, 3, 64, 64)


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        (2, ["--frames=0"]),
        (2, ["--size=big"]),
        (2, ["--val=most"]),
        (2, ["--val=1.5"]),
        (2, ["--train=99"]),
        (2, ["--test=99"]),
        (2, ["--on-error=ignore"]),
        (1, ["--classes=none.txt"]),
        (1, ["--labels=none"]),
        (1, ["--out=/proc/nowhere/x.h5"]),
    ],
)
def test_mistakes_are_told_in_a_sentence(tree, tmp_path, capsys, code, changed):
    given = {"--labels": tree.labels, "--out": tmp_path / "x.h5"}
    given |= dict(option.split("=") for option in changed)
    options = [f"{name}={value}" for name, value in given.items()]
    assert vidpred(["gen-data", "ssv2", str(tree.videos), *options]) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.strip()
    assert not (tmp_path / "x.h5").exists()
