import numpy as np
import pytest

from vidpred.data.midi import read_midi, write_midi
from vidpred.errors import ConfigError, DataError, OutputError

mido = pytest.importorskip("mido")
C4 = 60 - 21


def saved(path, *tracks, ticks_per_beat=100, **header):
    """Each track is a list of (ticks after the one before, message, channel, note, velocity)."""
    file = mido.MidiFile(ticks_per_beat=ticks_per_beat, **header)
    for events in tracks:
        track = mido.MidiTrack()
        for time, kind, channel, note, velocity in events:
            track.append(mido.Message(kind, channel=channel, note=note, velocity=velocity, time=time))
        file.tracks.append(track)
    file.save(path)
    return path


def steps_of(roll):
    """Key -> the steps in which it sounds."""
    return {int(key): np.flatnonzero(roll[:, key]).tolist() for key in np.flatnonzero(roll.any(axis=0))}


@pytest.mark.parametrize("steps_per_beat", [1, 3, 4, 480, 1000])
def test_what_is_written_is_read_back(tmp_path, steps_per_beat):
    roll = np.random.default_rng(0).random((40, 88)) < 0.2
    roll[[0, 7, 38, 39]] = False  # silence at the start, inside and at the end
    roll[10:20, 3] = True
    write_midi(tmp_path / "a.mid", roll, steps_per_beat=steps_per_beat, tempo=97)
    found, strange = read_midi(tmp_path / "a.mid", steps_per_beat=steps_per_beat)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, roll)
    assert strange == {}


def test_repeated_notes_are_one_long_note_at_the_asked_tempo(tmp_path):
    roll = np.zeros((6, 88), np.uint8)
    roll[1:4, C4] = 1
    roll[4:, C4 + 2] = 1
    write_midi(tmp_path / "a.mid", roll, steps_per_beat=2, tempo=60)
    file = mido.MidiFile(tmp_path / "a.mid")
    now, events = 0.0, []
    for message in file:  # mido gives the time in seconds
        now += message.time
        if message.type in ("note_on", "note_off"):
            events.append((now, message.type, message.note))
    assert events == [
        (0.5, "note_on", 60),
        (2.0, "note_off", 60),
        (2.0, "note_on", 62),
        (3.0, "note_off", 62),
    ]
    assert file.length == 3.0


def test_the_same_roll_gives_the_same_bytes(tmp_path):
    roll = np.random.default_rng(0).random((9, 88)) < 0.2
    for name in "ab":
        write_midi(tmp_path / name, roll)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_times_are_rounded_to_steps_and_no_note_is_lost(tmp_path):
    # At 4 steps of 25 ticks: 12 ticks round to step 0, 13 to step 1; a note of 2 ticks keeps a step.
    path = saved(
        tmp_path / "a.mid",
        [
            (12, "note_on", 0, 60, 64),
            (1, "note_on", 0, 62, 64),
            (2, "note_off", 0, 62, 0),
            (47, "note_on", 0, 60, 0),  # the other way to end a note
        ],
    )
    roll, _ = read_midi(path)
    assert steps_of(roll) == {C4: [0, 1], C4 + 2: [1]}
    assert len(roll) == 2
    assert steps_of(read_midi(path, steps_per_beat=100)[0]) == {C4: [*range(12, 62)], C4 + 2: [13, 14]}


def test_channels_and_tracks_are_joined_without_percussion(tmp_path):
    path = saved(
        tmp_path / "a.mid",
        [(0, "note_on", 0, 60, 64), (0, "note_on", 9, 40, 64), (100, "note_off", 0, 60, 0)],
        [(100, "note_on", 3, 60, 64), (0, "note_on", 4, 21, 64), (50, "note_off", 3, 60, 0)],
    )
    # Note 21 never ends: it sounds to the end of the file.
    assert steps_of(read_midi(path, steps_per_beat=2)[0]) == {0: [2], C4: [0, 1, 2]}


def test_a_note_struck_twice_on_two_channels_sounds_until_both_end(tmp_path):
    path = saved(
        tmp_path / "a.mid",
        [
            (0, "note_on", 0, 60, 64),
            (100, "note_on", 1, 60, 64),
            (100, "note_off", 0, 60, 0),
            (100, "note_off", 1, 60, 0),
        ],
    )
    assert steps_of(read_midi(path, steps_per_beat=1)[0]) == {C4: [0, 1, 2]}


def test_a_note_struck_again_before_its_end_ends_there(tmp_path):
    path = saved(
        tmp_path / "a.mid",
        [
            (0, "note_on", 0, 60, 64),
            (100, "note_on", 0, 60, 64),
            (100, "note_off", 0, 60, 0),
            (400, "note_on", 0, 64, 64),
            (100, "note_off", 0, 64, 0),
            (100, "note_on", 0, 60, 64),
            (100, "note_off", 0, 60, 0),
            (400, "note_on", 0, 67, 64),
            (100, "note_off", 0, 67, 0),
        ],
    )
    roll, _ = read_midi(path, steps_per_beat=1)
    assert steps_of(roll) == {C4: [0, 1, 8], C4 + 4: [6], C4 + 7: [13]}
    assert len(roll) == 14


def test_an_end_written_after_the_next_stroke_of_the_note_leaves_that_stroke(tmp_path):
    path = saved(
        tmp_path / "a.mid",
        [
            (0, "note_on", 0, 60, 64),
            (100, "note_on", 0, 60, 64),
            (0, "note_off", 0, 60, 0),
            (300, "note_off", 0, 60, 0),
            (100, "note_on", 0, 62, 64),
            (0, "note_off", 0, 62, 0),
            (200, "note_on", 0, 64, 64),
            (100, "note_off", 0, 64, 0),
        ],
    )
    found = steps_of(read_midi(path, steps_per_beat=1)[0])
    assert found == {C4: [0, 1, 2, 3], C4 + 2: [5], C4 + 4: [7]}


def test_each_track_ends_its_own_notes_on_a_shared_channel(tmp_path):
    path = saved(
        tmp_path / "a.mid",
        [(0, "note_on", 0, 60, 64), (400, "note_off", 0, 60, 0)],
        [(100, "note_on", 0, 60, 64), (100, "note_off", 0, 60, 0)],
    )
    assert steps_of(read_midi(path, steps_per_beat=1)[0]) == {C4: [0, 1, 2, 3]}


def chunk(name, content, order="big"):
    return name + len(content).to_bytes(4, order) + content


HEADER = chunk(b"MThd", bytes.fromhex("0000 0001 0064"))  # type 0, one track, 100 ticks of a beat
TRACK = chunk(b"MTrk", bytes.fromhex("00 90 3c 40  64 80 3c 00  00 ff 2f 00"))  # middle C for 100 ticks


@pytest.mark.parametrize(
    "content",
    [
        HEADER + TRACK,
        HEADER + chunk(b"XFIH", b"odd") + TRACK,
        HEADER + TRACK + chunk(b"XFKM", b""),
        HEADER + chunk(b"JUNK", TRACK) + TRACK + b"end",
    ],
    ids=["none", "before the track", "after it", "a track within"],
)
def test_chunks_of_unknown_types_are_passed_over_and_a_wrapper_taken_off(content):
    odd = chunk(b"DISP", b"odd", "little") + b"\0"  # chunks of RIFF are filled up to even sizes
    wrapped = chunk(b"RIFF", b"RMID" + odd + chunk(b"data", content, "little"), "little")
    for given in (content, wrapped):
        assert steps_of(read_midi("a.mid", steps_per_beat=2, content=given)[0]) == {C4: [0, 1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (chunk(b"RIFF", b"WAVE" + chunk(b"data", HEADER + TRACK, "little"), "little"), "MThd not found"),
        (chunk(b"RIFF", b"RMID" + chunk(b"INFO", b"", "little"), "little"), "MThd not found"),
        (chunk(b"XFIH", b"") + HEADER + TRACK, "MThd not found"),
        (HEADER + chunk(b"XFIH", TRACK), "it ends early"),
        (HEADER + chunk(b"XFIH", b"odd")[:-1], "it ends early"),
    ],
    ids=["sound", "no data", "before the header", "no track", "cut off"],
)
def test_other_chunks_alone_are_no_music(content, message):
    with pytest.raises(DataError, match=rf"a\.mid cannot be read as a MIDI file: {message}"):
        read_midi("a.mid", content=content)


def test_notes_that_a_piano_does_not_have_are_counted(tmp_path):
    events = [(0, "note_on", 0, note, 64) for note in (20, 21, 108, 109, 109, 127)]
    roll, strange = read_midi(saved(tmp_path / "a.mid", [*events, (100, "note_off", 0, 21, 0)]))
    assert steps_of(roll) == {0: [0, 1, 2, 3], 87: [0, 1, 2, 3]}
    assert strange == {20: 1, 109: 2, 127: 1}


def test_tempo_plays_no_part(tmp_path):
    path = saved(tmp_path / "a.mid", [(0, "note_on", 0, 60, 64), (300, "note_off", 0, 60, 0)])
    file = mido.MidiFile(path)
    file.tracks[0].insert(0, mido.MetaMessage("set_tempo", tempo=100_000))
    file.save(tmp_path / "b.mid")
    np.testing.assert_array_equal(read_midi(path)[0], read_midi(tmp_path / "b.mid")[0])
    assert len(read_midi(path)[0]) == 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.unlink(), "cannot be read as a MIDI file: No such file"),
        (lambda path: path.write_bytes(b""), "cannot be read as a MIDI file"),
        (lambda path: path.write_bytes(b"rubbish" * 30), "cannot be read as a MIDI file"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-3]),
            "cannot be read as a MIDI file: it ends early",
        ),
        (lambda path: saved(path), "has no tracks, expected notes of a piano, 21 to 108"),
        (lambda path: saved(path, []), "has no notes, expected notes of a piano"),
        (lambda path: saved(path, [(0, "note_on", 9, 60, 9)]), "has only percussion, expected notes"),
        (
            lambda path: saved(path, [(0, "note_on", 0, 7, 9), (0, "note_on", 9, 60, 9)]),
            "has no other notes than 7, expected notes of a piano, 21 to 108",
        ),
        (lambda path: saved(path, [(0, "note_on", 0, 60, 9)], type=2), "is a MIDI file of type 2"),
        (
            lambda path: saved(path, [(0, "note_on", 0, 60, 9)], ticks_per_beat=-6360),
            "counts time in seconds, expected ticks",
        ),
        (
            lambda path: saved(path, [(0, "note_on", 0, 60, 9)], ticks_per_beat=0),
            "states 0 ticks of a beat, expected at least 1",
        ),
        (
            lambda path: saved(path, [(0, "note_on", 0, 60, 9), (2**27, "note_off", 0, 60, 9)]),
            "lasts 5368709 steps, expected at most 1000000: "
            "it may be damaged, or --steps-per-beat 4 too large",
        ),
    ],
)
def test_files_that_cannot_be_read_are_told(tmp_path, make, message):
    path = saved(tmp_path / "a.mid", [(0, "note_on", 0, 60, 64), (100, "note_off", 0, 60, 0)])
    make(path)
    with pytest.raises(DataError, match=rf"a\.mid {message}"):
        read_midi(path)


def test_damage_anywhere_is_told_or_still_reads(tmp_path):
    roll = np.random.default_rng(0).random((20, 88)) < 0.1
    write_midi(tmp_path / "a.mid", roll)
    content = bytearray((tmp_path / "a.mid").read_bytes())
    for place in range(len(content)):
        damaged = bytes(content[:place]) + bytes([content[place] ^ 0xFF]) + bytes(content[place + 1 :])
        try:
            found, _ = read_midi("a.mid", content=damaged)
        except DataError:
            continue
        assert found.shape[1] == 88


@pytest.mark.parametrize(
    ("notes", "options", "message"),
    [
        (np.zeros((4, 87)), {}, r"a piano roll must be \(T, 88\), got \(4, 87\)"),
        (np.zeros((4, 1, 88)), {}, r"got \(4, 1, 88\)"),
        (np.zeros((4, 88)), {"steps_per_beat": 0}, "steps of a beat must be 1 to 32767, got 0"),
        (np.zeros((4, 88)), {"tempo": 0}, "a tempo must be 4 to 10000 beats a minute, got 0"),
        (np.zeros((4, 88)), {"tempo": float("nan")}, "got nan"),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path, notes, options, message):
    with pytest.raises(ConfigError, match=message):
        write_midi(tmp_path / "a.mid", notes, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_midi(tmp_path / "file" / "a.mid", np.zeros((4, 88)))


def test_a_missing_mido_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mido", None)
    with pytest.raises(ConfigError, match=r"pip install 'vidpred\[music\]'"):
        write_midi(tmp_path / "a.mid", np.zeros((4, 88)))
