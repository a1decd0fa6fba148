"""The tables of the thesis from known scores: what each number is made of, and whose it is."""

import json

import numpy as np
import pytest

from vidpred.evaluation import (
    NEW,
    SEEN,
    Evaluated,
    Gallery,
    Report,
    Row,
    Score,
    Study,
    Values,
    writing_values,
)
from vidpred.evaluation.running_mean import RunningMean
from vidpred.evaluation.study import METRIC

NAMES = {"mine": "convlstm", "other": "vpn", "copy": "copy"}


def evaluated(path, errors):
    """errors: name -> (sequences, horizon)."""
    rows = []
    with writing_values(path) as values:
        for number, (name, of_name) in enumerate(errors.items()):
            mean = RunningMean()
            mean.add(np.concatenate([of_name, of_name.mean(axis=1, keepdims=True)], axis=1))
            preset = None if name == "copy" else "tiny"
            row = Row(name, NAMES[name], preset, "single", 1, {METRIC: Score.of(mean)})
            for part in np.array_split(of_name, 3):  # batch by batch
                values.append(number, "single", {METRIC: part})
            values.describe(number, row)
            rows.append(row)
    sequences, horizon = next(iter(errors.values())).shape
    runs = [
        {"name": name, "model": model, "preset": "tiny", "parameters": 1234 + len(name)}
        for name, model in NAMES.items()
        if name != "copy"
    ]
    facts = {"sequences": sequences, "horizon": horizon, "context": 2, "source": "x", "runs": runs}
    gallery = Gallery([1], context=2)
    frames = np.random.default_rng(0).integers(0, 256, (5 + horizon, 1, 8, 8), np.uint8)
    gallery.context[1], gallery.truth[1] = frames[:2], frames[2 : 2 + horizon]
    gallery.predicted[1] = dict.fromkeys(NAMES, frames[3 : 3 + horizon])
    return Evaluated(Report(facts, rows), Values(path), gallery)


@pytest.fixture
def errors():
    random = np.random.default_rng(3)
    return {digits: {name: random.uniform(100, 300, (20, 4)) for name in NAMES} for digits in (SEEN, NEW)}


@pytest.fixture
def study(tmp_path, errors):
    return Study({digits: evaluated(tmp_path / f"{n}.h5", errors[digits]) for n, digits in enumerate(errors)})


def by_rank(one, other):
    """Spearman's coefficient where there are no ties: 1 - 6 sum d^2 / (n (n^2 - 1))."""
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    n = len(one)
    return 1 - 6 * ((ranks[0] - ranks[1]) ** 2).sum() / (n * (n**2 - 1))


def test_mean_first_and_last_frame_beside_those_of_the_thesis(study, errors):
    table = study.tables()[0]
    mine, other, copy = table.rows
    for row, name in ((mine, "mine"), (other, "other"), (copy, "copy")):
        of_name = errors[SEEN][name]
        expected = [of_name.mean(), of_name[:, 0].mean(), of_name[:, 3].mean()]
        assert row[:4] == [name, *(f"{value:.1f}" for value in expected)]
    # Table 4.1 of the thesis: results, first and tenth frame, expected.
    assert mine[4:] == ["361.6", "219.7", "457.0", "367.2"]
    assert other[4:] == ["170.3", "119.8", "216.1", "87.6"]
    assert copy[4:] == ["", "", "", ""]


def test_sizes_over_fitting_and_correlation(study, errors):
    _, sizes, over_fitting, correlation = study.tables()
    assert sizes.rows == [["mine", "1,238", "3.7e+06"], ["other", "1,239", "3.8e+07"]]
    seen, new = (errors[digits]["other"].mean() for digits in (SEEN, NEW))
    row = next(row for row in over_fitting.rows if row[0] == "other")
    assert row[1:4] == [f"{seen:.1f}", f"{new:.1f}", f"{new - seen:+.1f}"]
    assert row[4:] == ["170.3, 205.5", "+35.2"]
    [pair] = correlation.rows
    expected = by_rank(errors[NEW]["mine"].mean(axis=1), errors[NEW]["other"].mean(axis=1))
    assert pair == ["mine and other", f"{expected:.3f}", "0.574"]


def test_everything_is_written(study, tmp_path, errors):
    written = study.write(tmp_path / "out")
    names = {path.name for path in written}
    boxes = {"errors-mean.png", "errors-first.png", "errors-last.png"}
    assert names == {"tables.md", "study.json", "sequence-1.png", *boxes}
    assert all(path.stat().st_size < 300_000 for path in written)
    content = json.loads((tmp_path / "out" / "study.json").read_text())
    assert content["errors"][SEEN]["mine"]["first"] == pytest.approx(
        errors[SEEN]["mine"][:, 0].mean(), rel=1e-6
    )
    assert (tmp_path / "out" / "tables.md").read_text().count("## ") == 4


def test_without_sequences_of_seen_digits_there_is_no_table_of_over_fitting(study):
    alone = Study({NEW: study.on[NEW]})
    assert [table.title.split(":")[0] for table in alone.tables()][1:] == [
        "Parameters",
        "Do networks find the same sequences hard? Spearman's correlation of their errors",
    ]
