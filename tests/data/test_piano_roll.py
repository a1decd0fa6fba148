import hashlib
import json

import numpy as np
import pytest
from scipy.io import savemat

from vidpred.data.hdf5 import open_dataset
from vidpred.data.midi import write_midi
from vidpred.data.piano_roll import MidiSpec, generate_from_rolls
from vidpred.errors import ConfigError, DataError

SEQUENCES = {"train": [[[60, 64], [], [60]], [[21]]], "valid": [[[108, 21, 60]]], "test": [[[43], [43]]]}
NAMES = {"train": "train", "valid": "val", "test": "test"}


def rendered(steps):
    roll = np.zeros((len(steps), 88), np.uint8)
    for row, notes in zip(roll, steps, strict=True):
        row[[note - 21 for note in notes]] = 1
    return roll


def cells(rolls):
    """A cell array: as the published files have them."""
    array = np.empty((1, len(rolls)), object)
    array[0, :] = rolls
    return array


def write_json(path, content=SEQUENCES):
    path.write_text(json.dumps(content))
    return path


def write_mat(path, **changes):
    content = {
        f"{name}data": cells([rendered(steps) for steps in sequences])
        for name, sequences in SEQUENCES.items()
    }
    savemat(path, content | changes)
    return path


def sequences_of(path):
    with open_dataset(path) as file:
        return {
            split: [file[split].sequence(n)[:, 0, 0] // 255 for n in range(len(file[split]))]
            for split in file
        }


@pytest.mark.parametrize("write", [write_json, write_mat])
def test_published_files_keep_their_splits(tmp_path, write):
    name = "music.json" if write is write_json else "music.mat"
    source = write(tmp_path / name)
    made = generate_from_rolls(tmp_path / "a.h5", [source], quiet=True)
    assert made.sequences == {"train": 2, "val": 1, "test": 1}
    assert made.steps == {"train": 4, "val": 1, "test": 2}
    found = sequences_of(tmp_path / "a.h5")
    for name, sequences in SEQUENCES.items():
        for roll, steps in zip(found[NAMES[name]], sequences, strict=True):
            np.testing.assert_array_equal(roll, rendered(steps))
    with open_dataset(tmp_path / "a.h5") as file:
        sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        assert file.attributes["sources"] == {source.name: sha256}
        assert file.attributes["command"].startswith(f"vidpred gen-data piano-roll {source}")


def test_whole_numbers_may_be_written_with_a_point_and_rests_as_minus_one(tmp_path):
    source = write_json(tmp_path / "a.json", {"train": [[[60.0, -1], [-1, -1]]]})
    generate_from_rolls(tmp_path / "a.h5", [source], quiet=True)
    (roll,) = sequences_of(tmp_path / "a.h5")["train"]
    np.testing.assert_array_equal(roll, rendered([[60], []]))


def test_several_sources_are_joined(tmp_path):
    sources = [write_json(tmp_path / "a.json"), write_mat(tmp_path / "b.mat")]
    made = generate_from_rolls(tmp_path / "a.h5", sources, quiet=True)
    assert made.sequences == {"train": 4, "val": 2, "test": 2}
    found = sequences_of(tmp_path / "a.h5")["train"]
    np.testing.assert_array_equal(found[0], found[2])


@pytest.fixture
def folder(tmp_path):
    """Forty MIDI files; file n has the one note 21 + n, for n + 1 steps of a sixteenth."""
    pytest.importorskip("mido")
    for n in range(40):
        place = tmp_path / "midi" / ("early" if n < 20 else "late")
        place.mkdir(parents=True, exist_ok=True)
        roll = np.zeros((n + 1, 88), np.uint8)
        roll[:, n] = 1
        write_midi(place / f"{n}.{'mid' if n % 2 else 'MIDI'}", roll)
    (tmp_path / "midi" / "readme.txt").write_text("not music")
    return tmp_path / "midi"


def keys_by_split(path):
    return {split: [int(roll[0].argmax()) for roll in rolls] for split, rolls in sequences_of(path).items()}


def test_midi_files_of_a_folder_are_split_file_by_file(tmp_path, folder):
    made = generate_from_rolls(tmp_path / "a.h5", [folder], MidiSpec(val=0.2, test=0.3), quiet=True)
    keys = keys_by_split(tmp_path / "a.h5")
    assert sorted(key for mine in keys.values() for key in mine) == list(range(40))
    assert made.steps == {split: sum(n + 1 for n in mine) for split, mine in keys.items()}
    assert all(mine == sorted(mine) for mine in keys.values())  # in natural order of the names
    assert 3 <= len(keys["val"]) <= 14
    assert 5 <= len(keys["test"]) <= 20
    with open_dataset(tmp_path / "a.h5") as file:
        assert len(file.attributes["sources"]) == 40
        assert "midi/early/0.MIDI" in file.attributes["sources"]
        assert file.attributes["config"]["steps_per_beat"] == 4


def test_the_split_of_a_file_depends_on_its_content_and_the_seed_alone(tmp_path, folder):
    spec = MidiSpec(val=0.2, test=0.3, seed=5)
    generate_from_rolls(tmp_path / "a.h5", [folder], spec, quiet=True)
    whole = keys_by_split(tmp_path / "a.h5")
    (folder / "late" / "30.MIDI").rename(folder / "x.mid")
    for n in range(1, 20, 2):
        (folder / "early" / f"{n}.mid").unlink()
    generate_from_rolls(tmp_path / "b.h5", [folder], spec, quiet=True)
    left = keys_by_split(tmp_path / "b.h5")
    assert sum(map(len, left.values())) == 30
    for split, keys in left.items():
        assert set(keys) <= set(whole[split])
    generate_from_rolls(tmp_path / "c.h5", [folder], MidiSpec(val=0.2, test=0.3, seed=6), quiet=True)
    assert keys_by_split(tmp_path / "c.h5") != left


def test_the_same_sources_give_the_same_bytes(tmp_path, folder):
    for name in "ab":
        sources = [folder, write_json(tmp_path / "x.json")]
        generate_from_rolls(tmp_path / name, sources, MidiSpec(4), quiet=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_finer_grid_has_more_steps(tmp_path, folder):
    one = folder / "late" / "39.mid"
    for steps, expected in ((4, 40), (8, 80), (1, 10)):
        spec = MidiSpec(steps, val=0, test=0)
        assert generate_from_rolls(tmp_path / "a.h5", [one], spec, quiet=True).steps == {"train": expected}


def test_damaged_files_stop_or_are_skipped_and_named(tmp_path, folder):
    (folder / "late" / "39.mid").write_bytes(b"MThd")
    with pytest.raises(DataError, match=r"39\.mid cannot be read as a MIDI file"):
        generate_from_rolls(tmp_path / "a.h5", [folder], quiet=True)
    assert not (tmp_path / "a.h5").exists()
    made = generate_from_rolls(tmp_path / "a.h5", [folder], on_error="skip", quiet=True)
    assert sum(made.sequences.values()) == 39
    assert len(made.skipped) == 1
    assert "39.mid" in made.skipped[0]
    for path in folder.glob("*/*"):
        path.write_bytes(b"")
    reason = r"none of the 40 files gave a piano roll: 40 could not be read, the first for this: .*0\.MIDI "
    with pytest.raises(DataError, match=reason):
        generate_from_rolls(tmp_path / "b.h5", [folder], on_error="skip", quiet=True)


def test_a_setting_that_makes_every_file_fail_is_named(tmp_path, folder):
    with pytest.raises(DataError, match=r"0\.MIDI lasts .* or --steps-per-beat 9000000 too large"):
        generate_from_rolls(tmp_path / "b.h5", [folder], MidiSpec(9_000_000), on_error="skip", quiet=True)


def test_of_one_file_that_is_skipped_the_reason_alone_is_told(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"^\S*a\.json cannot be read as JSON"):
        generate_from_rolls(tmp_path / "a.h5", [tmp_path / "a.json"], on_error="skip", quiet=True)


def test_notes_that_a_piano_does_not_have_are_counted_over_all_files(tmp_path):
    mido = pytest.importorskip("mido")
    for name in "ab":
        track = mido.MidiTrack([mido.Message("note_on", note=note, time=0) for note in (5, 60, 120)])
        mido.MidiFile(tracks=[track]).save(tmp_path / f"{name}.mid")
    made = generate_from_rolls(tmp_path / "x.h5", [tmp_path / "a.mid", tmp_path / "b.mid"], quiet=True)
    assert made.outside == {5: 2, 120: 2}


@pytest.mark.parametrize("ending", ["pickle", "pkl", "P"])
def test_a_pickle_is_refused_and_never_opened(tmp_path, ending):
    path = tmp_path / f"JSB.{ending}"
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(DataError, match=r"is a pickle, which can run any program .* expected the \.mat or"):
        generate_from_rolls(tmp_path / "a.h5", [path], on_error="skip", quiet=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "is not an object of the lists train, valid, test"),
        ('{"training": []}', "is not an object of the lists train, valid, test"),
        ('{"train": 5}', r"train of .* is not a list"),
        ('{"train": [5]}', r"sequence 1 of train of .* is not a list"),
        ('{"train": [[]]}', r"sequence 1 of train of .* is empty"),
        ('{"train": [[[60], 61]]}', r"step 2 of sequence 1 of train of .* is not a list"),
        *(
            (
                f'{{"valid": [[[60]], [[60, {note}]]]}}',
                rf"step 1 of sequence 2 of valid of .* holds {shown}, expected",
            )
            for note, shown in (("20", 20), ("109", 109), ("60.5", 60.5), ("true", True), ('"60"', "'60'"))
        ),
        ('{"train": [[[NaN]]]}', "holds nan, expected MIDI notes 21 to 108"),
        ('{"train": [[[null]]]}', "holds None, expected"),
        ('{"train": [[[[60]]]]}', r"holds \[60\], expected"),
        ('{"train": []}', r"there is no sequence in .*a\.json$"),
    ],
)
def test_json_of_another_kind_is_told(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=message):
        generate_from_rolls(tmp_path / "a.h5", [tmp_path / "a.json"], quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traindata": np.zeros((4, 88))}, "traindata of .* is not a cell array"),
        (
            {"validdata": cells([np.zeros((3, 88)), np.zeros((3, 87))])},
            r"sequence 2 of validdata .* got \(3, 87\)",
        ),
        (
            {"validdata": cells([np.full((3, 88), 2.0)])},
            "sequence 1 of validdata .* other numbers than 0 and 1",
        ),
        ({"validdata": cells([np.full((3, 88), np.nan)])}, "other numbers than 0 and 1"),
        ({"testdata": cells([np.zeros((0, 88))])}, "sequence 1 of testdata .* got"),
        ({"testdata": cells(["words"])}, "sequence 1 of testdata .* does not hold numbers"),
    ],
)
def test_matlab_files_of_another_kind_are_told(tmp_path, changes, message):
    source = write_mat(tmp_path / "a.mat", **changes)
    with pytest.raises(DataError, match=message):
        generate_from_rolls(tmp_path / "a.h5", [source], quiet=True)


def test_damaged_matlab_files_are_told_wherever_they_are_cut(tmp_path):
    content = write_mat(tmp_path / "a.mat").read_bytes()
    for left in (0, 50, 127, 128, 200, len(content) // 2, len(content) - 9):
        (tmp_path / "a.mat").write_bytes(content[:left])
        with pytest.raises(
            DataError, match=r"a\.mat (cannot be read as a MATLAB file|has none of the variables)"
        ):
            generate_from_rolls(tmp_path / "a.h5", [tmp_path / "a.mat"], quiet=True)


def test_inputs_of_another_kind_are_told(tmp_path):
    (tmp_path / "a.txt").touch()
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("none.mid", "does not exist"),
        ("a.txt", "is of an unknown kind: expected a .mat or .json file"),
        ("empty", "there is no MIDI file in"),
    ):
        with pytest.raises(DataError, match=message):
            generate_from_rolls(tmp_path / "a.h5", [tmp_path / name], on_error="skip", quiet=True)


def test_settings_that_nothing_comes_of_are_refused(tmp_path):
    source = write_json(tmp_path / "a.json")
    for spec, name in ((MidiSpec(val=0.1), "val"), (MidiSpec(seed=0), "seed")):
        with pytest.raises(ConfigError, match=f"--{name} is for MIDI files, but there are none"):
            generate_from_rolls(tmp_path / "a.h5", [source], spec, quiet=True)
    for wrong, message in (
        ({"val": 1.0}, "--val must be a fraction of the MIDI files from 0 to below 1, got 1"),
        ({"test": -0.1}, "--test"),
        ({"val": float("nan")}, "--val"),
        ({"val": 0.5, "test": 0.5}, "--val and --test together"),
        ({"seed": 2**64}, r"the seed must be from 0 to 2\*\*64 - 1, got 18446744073709551616"),
        ({"steps_per_beat": 0}, "at least 1 step in a beat, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            MidiSpec(**wrong)


def test_the_steps_of_a_beat_of_published_files_are_noted_and_change_no_step(tmp_path):
    source = write_json(tmp_path / "a.json")
    for name, spec, noted in (("a", MidiSpec(2), 2), ("b", MidiSpec(), None)):
        generate_from_rolls(tmp_path / name, [source], spec, quiet=True)
        with open_dataset(tmp_path / name) as file:
            assert file.attributes["config"].get("steps_per_beat") == noted
            assert ("--steps-per-beat 2" in file.attributes["command"]) == (noted == 2)
    for first, second in zip(*(sequences_of(tmp_path / name)["train"] for name in "ab"), strict=True):
        np.testing.assert_array_equal(first, second)


def test_midi_and_published_files_together_need_one_number_of_steps_of_a_beat(tmp_path, folder):
    sources = [folder / "late" / "39.mid", write_json(tmp_path / "x.json")]
    with pytest.raises(ConfigError, match=r"x\.json does not say .*: state it with --steps-per-beat"):
        generate_from_rolls(tmp_path / "a.h5", sources, quiet=True)
    made = generate_from_rolls(tmp_path / "a.h5", sources, MidiSpec(1, val=0, test=0), quiet=True)
    assert made.steps == {"train": 10 + 4, "val": 1, "test": 2}
    with open_dataset(tmp_path / "a.h5") as file:
        assert file.attributes["config"]["steps_per_beat"] == 1


@pytest.fixture
def published(shared_data):
    if not (shared_data / "pianorolls").is_dir():
        pytest.skip(f"no piano rolls at {shared_data / 'pianorolls'}")
    return shared_data / "pianorolls"


@pytest.mark.parametrize(
    ("name", "sequences", "steps"),
    [
        ("JSB_Chorales", (229, 76, 77), (13_807, 4_602, 4_725)),
        ("Nottingham", (694, 173, 170), (176_561, 45_513, 44_463)),
        ("Piano_midi", (87, 12, 25), (75_911, 8_540, 19_036)),
    ],
)
def test_the_published_files_have_the_published_counts(tmp_path, published, name, sequences, steps):
    made = generate_from_rolls(tmp_path / "a.h5", [published / "boulanger_mat" / f"{name}.mat"], quiet=True)
    assert made.sequences == dict(zip(("train", "val", "test"), sequences, strict=True))
    assert made.steps == dict(zip(("train", "val", "test"), steps, strict=True))


def test_the_chorales_are_the_same_in_both_publications(tmp_path, published):
    digests = []
    for source in ("boulanger_mat/JSB_Chorales.mat", "jsb_json/jsb-chorales-quarter.json"):
        generate_from_rolls(tmp_path / "a.h5", [published / source], quiet=True)
        with open_dataset(tmp_path / "a.h5") as file:
            digests.append(file.attributes["sha256"])
    assert len(digests[0]) == 6
    assert digests[0] == digests[1]


def test_finer_grids_of_the_chorales_are_read_too(tmp_path, published):
    made = [
        generate_from_rolls(
            tmp_path / "a.h5", [published / "jsb_json" / f"jsb-chorales-{grid}.json"], quiet=True
        )
        for grid in ("8th", "16th")
    ]
    assert made[0].sequences == made[1].sequences == {"train": 229, "val": 76, "test": 77}
    assert 1.9 < made[1].steps["train"] / made[0].steps["train"] < 2.1
