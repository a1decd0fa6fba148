import json

import numpy as np
import pytest
import torch

from vidpred import runs
from vidpred.data import digits
from vidpred.errors import ConfigError
from vidpred.experiments.workspace import require_alike
from vidpred.models.registry import build
from vidpred.viz.table import Table


class Counter:
    """Computes an array and counts how often it was asked to."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"values": np.arange(3) + self.calls}


@pytest.fixture
def counter():
    return Counter()


def test_a_finished_part_is_not_made_again(workspace, counter):
    for _ in range(2):
        part = workspace("any", "rnn").part("a", counter)
        np.testing.assert_array_equal(part["values"], [1, 2, 3])
    assert counter.calls == 1


@pytest.mark.parametrize("change", [{"count": 4}, {"horizon": 4}, {"seed": 1}, {"glyphs": "letters"}])
def test_other_settings_make_it_anew(workspace, counter, change):
    workspace("any", "rnn").part("a", counter)
    assert workspace("any", "rnn", **change).part("a", counter)["values"][0] == 2


def test_other_weights_make_it_anew(workspace, counter):
    first = workspace("any", "rnn")
    first.part("a", counter)
    torch.manual_seed(5)
    run = first.runs[0]
    runs.save_checkpoint(run.path, "last", build(run.config), {})
    assert workspace("any", "rnn").part("a", counter)["values"][0] == 2


def test_the_part_of_a_run_stays_when_another_joins_and_others_do_not(workspace, counter):
    alone, together = workspace("any", "rnn"), workspace("any", "rnn", "vrnn")
    for made in (alone, together):
        made.part("a", counter)
    assert counter.calls == 2
    for made in (alone, together):
        made.part_of(made.runs[0], counter)
    assert counter.calls == 3
    together.part_of(together.runs[1], counter)
    assert counter.calls == 4


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"PK\x03\x04rubbish"])
def test_a_damaged_part_is_made_anew(workspace, counter, damage):
    first = workspace("any", "rnn")
    first.part("a", counter)
    (first.folder / "parts" / "a.npz").write_bytes(damage)
    assert workspace("any", "rnn").part("a", counter)["values"][0] == 2


def test_a_part_that_fails_leaves_those_before_it(workspace, counter):
    first = workspace("any", "rnn")
    first.part("a", counter)

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.part("b", fail)
    assert [file.name for file in (first.folder / "parts").iterdir()] == ["a.npz"]


def test_results_say_what_they_were_made_with(workspace):
    made = workspace("any", "rnn", glyphs="letters")
    made.finish([Table("a title", ["", "x"], [["rnn", "1"]])], {"values": np.float32([0.5, 2])})
    content = json.loads((made.folder / "results.json").read_text())
    assert content["results"] == {"values": [0.5, 2.0]}
    assert content["options"] == {"glyphs": "letters"}
    assert content["runs"][0]["model"] == "rnn"
    assert (made.folder / "table.md").read_text().startswith("## a title\n")


def test_runs_on_other_frames_do_not_share_an_experiment(make_run):
    opened = [runs.load_run(make_run("a", "rnn")), runs.load_run(make_run("b", "rnn", "data.objects=1"))]
    with pytest.raises(ConfigError, match=r"their data differ in objects, 2 and 1"):
        require_alike(opened)


def test_pictures_of_an_earlier_experiment_in_the_folder_go_and_others_stay(workspace):
    first = workspace("any", "rnn")
    for name in ("a.png", "b.png"):
        first.folder.mkdir(parents=True, exist_ok=True)
        first.picture(name).write_bytes(b"old")
    (first.folder / "mine.png").write_bytes(b"mine")
    first.finish([], {})
    second = workspace("any", "rnn")
    second.picture("b.png").write_bytes(b"new")
    second.finish([], {})
    assert sorted(file.name for file in second.folder.glob("*.png")) == ["b.png", "mine.png"]


def test_another_content_of_the_glyphs_makes_it_anew(workspace, counter, glyphs):
    workspace("any", "rnn").part("a", counter)
    images = np.load(glyphs)["images"]
    np.savez(glyphs, images=images[:, ::-1], labels=np.arange(20, dtype=np.uint8) % 10)
    digits.load.cache_clear()  # as in a process of its own
    assert workspace("any", "rnn").part("a", counter)["values"][0] == 2
