import hashlib
import zipfile

import h5py
import numpy as np
import pytest

from vidpred.data import FrameDataset
from vidpred.data.hdf5 import open_dataset
from vidpred.data.kth import (
    ACTIONS,
    PERSON_SPLITS,
    VideoName,
    choose_persons,
    clip_rule,
    generate_kth,
    read_ranges,
)
from vidpred.errors import ConfigError, DataError

pytest.importorskip("av")

LIST = """\r
Training:   person11, 12\r
Validation: person19 \r
person11_walking_d1\t\tframes\t1-8, 9-20\r
person11_running_d3   frames  15 - 26,1-12 ,13-14\r
\r
person12_handclapping_d3\t*missing*\r
person19_boxing_d2\tframes 3-20,\r
person02_jogging_d4\tframes\t1-20\r
"""
RANGES = {
    "person11_walking_d1": [(1, 8), (9, 20)],
    "person11_running_d3": [(15, 26), (1, 12), (13, 14)],
    "person19_boxing_d2": [(3, 20)],
    "person02_jogging_d4": [(1, 20)],
}
LENGTHS = {
    "person11_walking_d1": 22,
    "person11_running_d3": 26,
    "person19_boxing_d2": 20,
    "person02_jogging_d4": 20,
}


@pytest.fixture(scope="module")
def contents():
    random = np.random.default_rng(0)
    return {name: random.integers(0, 256, (length, 12, 16), np.uint8) for name, length in LENGTHS.items()}


@pytest.fixture
def folder(tmp_path, make_video, contents):
    """Four videos, each in a folder of its own, and the list."""
    for name, frames in contents.items():
        make_video(tmp_path / "kth" / name.split("_")[1] / f"{name}_uncomp.avi", frames)
    (tmp_path / "kth" / "00sequences.txt").write_bytes(LIST.encode())
    return tmp_path / "kth"


def generate(folder, name="data.h5", persons=None, **options):
    path = folder.parent / name
    options = {"size": (12, 16), "window": 6, "quiet": True} | options
    return path, generate_kth(path, folder, persons=persons or choose_persons("official"), **options)


def test_ranges_are_read_however_they_are_spaced(tmp_path):
    (tmp_path / "list.txt").write_bytes(LIST.encode())
    found = {str(name): ranges for name, ranges in read_ranges(tmp_path / "list.txt").items()}
    assert found == RANGES | {"person12_handclapping_d3": []}


def test_the_real_list_has_all_600_videos(shared_data):
    ranges = read_ranges(shared_data / "kth" / "00sequences.txt")
    assert len(ranges) == 600
    assert [str(name) for name, mine in ranges.items() if not mine] == ["person13_handclapping_d3"]
    assert sum(len(mine) for mine in ranges.values()) == 2391
    assert sorted(len(mine) for mine in ranges.values())[:6] == [0, 3, 3, 3, 3, 3]
    assert ranges[VideoName(7, ACTIONS.index("jogging"), 4)] == [(1, 64), (270, 332), (194, 264), (490, 570)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("person01_boxing_d1 frames 1-95, 90", "line 1 of .* has 'frames 1-95, 90', expected ranges"),
        ("person01_boxing_d1 1-95", "line 1 of .* has '1-95', expected ranges such as"),
        ("person01_boxing_d1 frames 95-1", "has the range 95-1, expected one that rises, from 1 on"),
        ("person01_boxing_d1 frames 0-9", "has the range 0-9, expected one that rises, from 1 on"),
        ("person26_boxing_d1 frames 1-9", "names person26_boxing_d1, expected a person from 01 to 25"),
        ("person01_dancing_d1 frames 1-9", "names person01_dancing_d1, expected"),
        ("person01_boxing_d1 frames 1-9\nperson01_boxing_d1 frames 1-9", "line 2 .* for the second time"),
        ("some other text", "has no line such as"),
    ],
)
def test_a_list_that_does_not_read_is_told_with_the_line(tmp_path, line, message):
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(DataError, match=message):
        read_ranges(tmp_path / "list.txt")


def test_the_published_splits_hold_every_person_once():
    for name, split in PERSON_SPLITS.items():
        everyone = sorted(person for persons in split.values() for person in persons)
        assert everyone == list(range(1, 26)), name
    assert choose_persons(None) == PERSON_SPLITS["official"]
    assert {split: len(persons) for split, persons in choose_persons("official").items()} == {
        "train": 8, "val": 8, "test": 9,
    }  # fmt: skip
    assert choose_persons("svg")["test"] == (21, 22, 23, 24, 25)


def test_persons_are_held_out_of_training_for_validation():
    chosen = choose_persons("predrnn", {"val": (15, 3), "train": (), "test": ()})
    assert chosen["train"] == (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16)
    assert chosen["val"] == (15, 3)
    assert chosen["test"] == tuple(range(17, 26))
    assert list(chosen) == ["train", "val", "test"]


def test_own_persons_may_be_few():
    assert choose_persons(None, {"train": (1, 2), "val": (), "test": (9,)}) == {"train": (1, 2), "test": (9,)}


@pytest.mark.parametrize(
    ("split", "own", "message"),
    [
        ("prednn", {}, "unknown split of KTH 'prednn'; did you mean 'predrnn'"),
        ("official", {"val": (1,)}, "the official split has validation persons of its own"),
        ("svg", {"val": (25,)}, "person 25 is not in the training part of the svg split"),
        ("svg", {"train": (1,)}, "do not go with --split svg"),
        (None, {"train": (1, 2), "test": (2,)}, "person 2 is in both train and test"),
        (None, {"train": (1, 26)}, "--train-persons must be from 1 to 25, got 26"),
    ],
)
def test_persons_that_do_not_go_together_are_told(split, own, message):
    with pytest.raises(ConfigError, match=message):
        choose_persons(split, own)


def test_every_stretch_is_a_sequence_labelled_with_its_action(folder, contents):
    path, made = generate(folder)
    with open_dataset(path) as file:
        assert file.attributes["classes"] == list(ACTIONS)
        expected = {
            "train": ["person11_walking_d1", "person11_running_d3"],
            "val": ["person19_boxing_d2"],
            "test": ["person02_jogging_d4"],
        }
        assert list(file) == list(expected)
        for split, names in expected.items():
            parts = [(name, first, last) for name in names for first, last in RANGES[name]]
            assert len(file[split]) == len(parts)
            for i, (name, first, last) in enumerate(parts):
                np.testing.assert_array_equal(file[split].sequence(i)[:, 0], contents[name][first - 1 : last])
                assert ACTIONS[file[split].labels[i, 0]] == name.split("_")[1]
        assert len(file.attributes["sources"]) == 4 + 1
    assert {split: (c.videos, c.sequences, c.frames) for split, c in made.splits.items()} == {
        "train": (2, 5, 20 + 26), "val": (1, 1, 18), "test": (1, 1, 20),
    }  # fmt: skip


def windows_one_by_one(length, window, rule, split, action):
    """The starts of the windows of a sequence, as the projects' own loops find them."""
    if rule == "convtt":
        rule = "every" if split == "train" else "apart"
    if rule == "every":
        return [start for start in range(length) if start + window <= length]
    if rule == "apart":
        return [start for start in range(0, length, window) if start + window <= length]
    found, index = [], length - 1
    while index >= window - 1:
        found.append(index - window + 1)
        index -= 3 if action in ("jogging", "running") else window
    return sorted(found)


@pytest.mark.parametrize("rule", ["convtt", "every", "apart", "predrnn"])
@pytest.mark.parametrize("window", [2, 6, 12])
def test_windows_are_those_of_the_rule(folder, contents, rule, window):
    path, made = generate(folder, clips=rule, window=window)
    for split, counts in made.splits.items():
        with open_dataset(path) as file:
            stored = [
                (file[split].sequence(i), ACTIONS[file[split].labels[i, 0]]) for i in range(len(file[split]))
            ]
        expected = [
            frames[start : start + window]
            for frames, action in stored
            for start in windows_one_by_one(len(frames), window, rule, split, action)
        ]
        dataset = FrameDataset(path, split, length=window)
        np.testing.assert_array_equal(np.stack(list(dataset)), expected)
        assert counts.windows == len(expected)
        assert counts.too_short == sum(len(frames) < window for frames, _ in stored)


def test_random_clips_and_unknown_rules_are_refused():
    with pytest.raises(ConfigError, match=r"SVG draws its clips at random .* no --clips svg"):
        clip_rule("svg", "train", "boxing")
    with pytest.raises(ConfigError, match="unknown rule for clips 'evry'; did you mean 'every'"):
        clip_rule("evry", "train", "boxing")


def test_zip_files_give_the_same_without_being_unpacked(folder):
    path, _ = generate(folder)
    zipped = folder.parent / "zips"
    zipped.mkdir()
    (folder / "00sequences.txt").rename(zipped / "00sequences.txt")
    for action in folder.iterdir():
        with zipfile.ZipFile(zipped / f"{action.name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for video in action.iterdir():
                archive.write(video, video.name)
    before = set(folder.parent.rglob("*"))
    other, _ = generate(zipped, name="zipped.h5")
    assert set(folder.parent.rglob("*")) - before == {other}
    with open_dataset(path) as one, open_dataset(other) as two:
        assert one.attributes["sha256"] == two.attributes["sha256"]
        assert one.attributes["sources"] == two.attributes["sources"]


def test_a_damaged_zip_file_is_told(folder):
    (folder / "boxing.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"boxing\.zip is not a zip file that can be read"):
        generate(folder)


def test_a_damaged_member_of_a_zip_file_is_skipped(folder):
    video = folder / "walking" / "person11_walking_d1_uncomp.avi"
    with zipfile.ZipFile(folder / "walking.zip", "w") as archive:
        archive.write(video, video.name)
    content = bytearray((folder / "walking.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "walking.zip").write_bytes(content)
    video.unlink()
    with pytest.raises(
        DataError, match=r"walking\.zip/person11_walking_d1_uncomp\.avi cannot be read from its zip"
    ):
        generate(folder)
    _, made = generate(folder, on_error="skip")
    assert made.splits["train"].videos == 1
    assert len(made.skipped) == 1


def shortened(folder, make_video, contents):
    name = "person11_running_d3"
    make_video(folder / "running" / f"{name}_uncomp.avi", contents[name][:14])
    return f"frames 15-26 of {name} reach beyond the 14 of "


def cut(folder, make_video, contents):
    path = folder / "running" / "person11_running_d3_uncomp.avi"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    return f"{path} (ends early|is damaged).*, expected 26"


def missing(folder, make_video, contents):
    (folder / "running" / "person11_running_d3_uncomp.avi").unlink()
    return "1 of 4 videos are missing in .*: person11_running_d3$"


def unlisted(folder, make_video, contents):
    make_video(folder / "person12_handclapping_d3_uncomp.avi", contents["person11_walking_d1"])
    return "gives no frames for 1 of the videos in .*: person12_handclapping_d3$"


@pytest.mark.parametrize(
    ("harm", "sequences"), [(shortened, 2 + 2), (cut, 2), (missing, 2), (unlisted, 2 + 3)]
)
def test_what_does_not_match_stops_or_is_skipped_and_named(folder, make_video, contents, harm, sequences):
    message = harm(folder, make_video, contents)
    path = folder.parent / "data.h5"
    h5py.File(path, "w").close()
    older, before = path.read_bytes(), set(folder.parent.rglob("*"))
    with pytest.raises(DataError, match=message):
        generate(folder)
    assert path.read_bytes() == older
    assert set(folder.parent.rglob("*")) == before
    path, made = generate(folder, on_error="skip")
    assert made.splits["train"].sequences == sequences
    with pytest.raises(DataError, match=message):
        raise DataError(*made.skipped)


def test_persons_of_no_split_are_not_missed(folder):
    _, made = generate(folder, persons={"train": (19,)})
    assert made.splits["train"].videos == 1
    with pytest.raises(DataError, match="holds no sequence of the persons that were asked for"):
        generate(folder, persons={"train": (25,)})


def test_a_folder_without_videos_or_list_is_told(folder):
    (folder / "00sequences.txt").unlink()
    with pytest.raises(DataError, match=r"there is no 00sequences\.txt in .*--sequences"):
        generate(folder)
    (folder.parent / "empty").mkdir()
    with pytest.raises(DataError, match="there is no video such as person01_boxing_d1"):
        generate(folder.parent / "empty")
    with pytest.raises(DataError, match="is not a folder"):
        generate(folder / "none")


def test_the_real_clip_gives_its_four_sequences(tmp_path, shared_data):
    """The digest is that of all frames as the ffmpeg 9.0.2 program decodes them (-pix_fmt gray)."""
    _, made = generate(
        shared_data / "kth", str(tmp_path / "data.h5"), size=(120, 160), on_error="skip", window=30
    )
    assert len(made.skipped) == 1
    assert "598 of 599 videos are missing" in made.skipped[0]
    with open_dataset(tmp_path / "data.h5") as file:
        split = file["train"]
        assert np.diff(split.offsets).tolist() == [136, 143, 161, 141]
        assert split.labels[()].tolist() == [[ACTIONS.index("handwaving")]] * 4
        digest = hashlib.sha256(split.frames[()].tobytes()).hexdigest()
    assert digest == "34d6b8fb54f688b55cef694d6a18f7855db12ac23048a7ffd1da848fb527d732"
    assert made.splits["train"].windows == sum(length - 29 for length in (136, 143, 161, 141))
