"""synthesis on small networks: pictures, MIDI, statistics by hand."""

import math

import numpy as np
import pytest
from rolls import experiment, results

from vidpred.data.midi import read_midi
from vidpred.experiments.synthesis import Statistics, pitch_classes
from vidpred.runs import checkpoint_digest


def test_samples_are_written_as_midi_and_drawn(fresh, tmp_path):
    paths = [fresh("vosp"), fresh("vrae"), fresh("fdrnn")]
    assert experiment("synthesis", *paths, "--steps=12", "--count=2") == 0
    folder = paths[0] / "experiments" / "synthesis"
    names = {file.name for file in folder.glob("*.*")}
    assert {f"sample-{run}-{sample}.mid" for run in range(3) for sample in range(2)} <= names
    assert {f"samples-{run}.png" for run in range(3)} <= names
    for number, path in enumerate(paths):
        part = np.load(folder / "parts" / f"run-{checkpoint_digest(path)[:12]}.npz")
        drawn = part["frames"]
        assert set(np.unique(drawn)) <= {0, 255}
        for sample in range(2):
            read, _ = read_midi(folder / f"sample-{number}-{sample}.mid", steps_per_beat=1)
            assert (read * 255 == drawn[sample].reshape(12, 88)[: len(read)]).all()
    statistics = results(paths[0], "synthesis")["results"]["statistics"]
    assert statistics["training split"]["on"] == 4
    assert statistics["training split"]["silent"] == 0
    assert experiment("synthesis", paths[0], "--steps=12", "--count=1", f"--out={folder}") == 0
    assert sorted(file.name for file in folder.glob("*.mid")) == ["sample-0-0.mid"]


def test_a_sample_depends_on_the_seed_and_its_number_alone(fresh, tmp_path):
    run = fresh("vosp")
    for name, options in (("a", ["--count=2"]), ("b", ["--count=3"]), ("c", ["--count=2", "--seed=1"])):
        assert experiment("synthesis", run, "--steps=9", f"--out={tmp_path / name}", *options) == 0

    def content(folder, number):
        return (tmp_path / folder / f"sample-0-{number}.mid").read_bytes()

    assert content("a", 0) == content("b", 0)
    assert content("a", 1) == content("b", 1)
    assert content("a", 0) != content("a", 1)
    assert content("a", 0) != content("c", 0)


def test_statistics_by_hand():
    roll = np.zeros((4, 1, 1, 88))
    roll[0, ..., [39, 43]] = 1  # C and E
    roll[1, ..., [39, 46]] = 1  # C held, G
    roll[3, ..., 51] = 1  # C, an octave higher
    found = Statistics.of([roll], rolls=True)
    assert found.on == pytest.approx((5 / 4, np.std([2, 2, 0, 1])))
    assert found.repeated == pytest.approx(1 / 3)
    assert found.silent == 1 / 4
    assert found.pitches == pytest.approx([3 / 5, 0, 0, 0, 1 / 5, 0, 0, 1 / 5, 0, 0, 0, 0])
    other = Statistics.of([roll[:1]], rolls=True)
    assert found.distance(other) == pytest.approx(0.5 * (0.1 + 0.3 + 0.2))
    assert found.distance(found) == 0
    assert math.isnan(Statistics.of([np.zeros((2, 1, 1, 88))], rolls=True).repeated)
    assert np.isnan(pitch_classes(np.zeros(88))).all()


def test_the_keys_have_their_pitch_classes():
    keys = np.zeros(88)
    keys[0] = 3  # A0, the lowest
    keys[87] = 1  # C8, the highest
    assert pitch_classes(keys)[[9, 0]] == pytest.approx([0.75, 0.25])
