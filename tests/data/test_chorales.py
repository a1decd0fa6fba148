import numpy as np
import pytest

from vidpred.data.chorales import chorale, generate_chorales
from vidpred.data.hdf5 import open_dataset
from vidpred.errors import ConfigError

# From a textbook, not from the code: lowest and highest notes that each voice may be asked for.
SINGABLE = {"bass": (40, 60), "tenor": (48, 67), "alto": (55, 74), "soprano": (60, 79)}
MAJOR = {0, 2, 4, 5, 7, 9, 11}
MINOR = {0, 2, 3, 5, 7, 8, 10}
LEADING_TONE = 11


@pytest.fixture(scope="module")
def pieces():
    return [chorale(0, split, index) for split in ("train", "test") for index in range(60)]


def test_voices_stay_in_their_ranges_and_never_cross(pieces):
    for piece in pieces:
        assert (np.diff(piece.voices, axis=1) > 0).all()
        for (low, high), notes in zip(SINGABLE.values(), piece.voices.T, strict=True):
            assert low <= notes.min()
            assert notes.max() <= high


def test_all_notes_belong_to_the_key_and_the_leading_tone_to_the_dominant(pieces):
    for piece in pieces:
        above = (piece.voices - piece.tonic) % 12
        scale = MAJOR if piece.mode == "major" else MINOR
        for chord in above:
            strange = set(chord.tolist()) - scale
            assert strange <= {LEADING_TONE}
            if strange:  # a chord on the fifth or the seventh degree, or one with a passing note in it
                assert chord[0] in (7, 11) or {2, 5, 7} & set(chord.tolist())


def test_a_chorale_ends_with_dominant_and_tonic(pieces):
    for piece in pieces:
        above = (piece.voices - piece.tonic) % 12
        third = 4 if piece.mode == "major" else 3
        assert set(above[-1].tolist()) == set(above[-2].tolist()) == {0, third, 7}
        assert above[-1, 0] == 0
        assert above[-3, 0] == 7
        assert sum(note in (7, 11, 2) for note in above[-3]) >= 3  # and perhaps a passing note


def test_most_steps_are_triads_over_their_root(pieces):
    kinds = {(0, 4, 7), (0, 3, 7), (0, 3, 6)}
    found = [
        tuple(sorted({int(note - chord[0]) % 12 for note in chord})) in kinds
        for piece in pieces
        for chord in piece.voices
    ]
    assert 0.75 < np.mean(found) < 1  # the others have passing notes


def test_upper_voices_move_less_than_by_chance(pieces):
    upper = [piece.voices[:, 1:] for piece in pieces]
    moves = np.concatenate([np.abs(np.diff(voices, axis=0)) for voices in upper])
    shuffled = [np.random.default_rng(0).permutation(voices) for voices in upper]
    chance = np.concatenate([np.abs(np.diff(voices, axis=0)) for voices in shuffled])
    assert moves.mean() < 0.5 * chance.mean()
    assert moves.mean() < 1.5


def test_pieces_differ_in_length_key_and_mode(pieces):
    lengths = [len(piece.voices) for piece in pieces]
    assert min(lengths) >= 32
    assert max(lengths) <= 112
    assert len(set(lengths)) > 10
    assert {piece.tonic for piece in pieces} == set(range(12))
    assert {piece.mode for piece in pieces} == {"major", "minor"}
    assert len({piece.voices.tobytes() for piece in pieces}) == len(pieces)


def test_a_roll_has_the_notes_of_the_voices(pieces):
    roll = pieces[0].roll()
    assert roll.dtype == np.uint8
    assert (roll.sum(axis=1) == 4).all()
    for step, notes in enumerate(pieces[0].voices):
        assert (np.flatnonzero(roll[step]) + 21).tolist() == notes.tolist()


def test_the_file_is_a_function_of_counts_and_seed(tmp_path):
    counts = {"train": 4, "val": 0, "test": 2}
    steps = generate_chorales(tmp_path / "a.h5", counts, seed=3, quiet=True)
    generate_chorales(tmp_path / "b.h5", counts, seed=3, quiet=True)
    generate_chorales(tmp_path / "c.h5", counts, seed=4, quiet=True)
    first, second, other = ((tmp_path / f"{name}.h5").read_bytes() for name in "abc")
    assert first == second != other
    with open_dataset(tmp_path / "a.h5") as file:
        assert list(file) == ["train", "test"]
        assert steps == {split: len(file[split].frames) for split in file}
        for split, index in (("train", 3), ("test", 1)):
            frames = 255 * chorale(3, split, index).roll()
            np.testing.assert_array_equal(file[split].sequence(index)[:, 0, 0], frames)
        assert file.attributes["command"] == "vidpred gen-data piano-roll --train 4 --val 0 --test 2 --seed 3"
        assert file.attributes["config"]["steps_per_beat"] == 1


def test_every_split_has_a_progress_bar_unless_quiet(tmp_path, capsys):
    generate_chorales(tmp_path / "a.h5", {"train": 3, "val": 2}, quiet=True)
    assert capsys.readouterr().err == ""
    generate_chorales(tmp_path / "a.h5", {"train": 3, "val": 2})
    shown = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in shown] == ["train", "val"]
    assert ["3/3" in shown[0], "2/2" in shown[1]] == [True, True]


def test_wrong_counts_and_seeds_are_refused(tmp_path):
    for counts, seed, message in (
        ({"train": -1}, 0, "must not be negative, got -1"),
        ({"val": 0}, 0, "nothing to generate"),
        ({"val": 1}, 2**64, r"the seed must be from 0 to 2\*\*64 - 1, got 18446744073709551616"),
        ({"val": 1}, -1, r"the seed must be from 0 to 2\*\*64 - 1, got -1"),
    ):
        with pytest.raises(ConfigError, match=message):
            generate_chorales(tmp_path / "a.h5", counts, seed=seed)
    assert list(tmp_path.iterdir()) == []
    generate_chorales(tmp_path / "a.h5", {"val": 1}, seed=2**64 - 1, quiet=True)
