import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from vidpred.errors import ConfigError, OutputError
from vidpred.evaluation import Report, Row, Score
from vidpred.metrics import METRICS

FACTS = {"source": "clips", "sequences": 8, "context": 3, "horizon": 2, "seed": 5}


def score(value):
    return Score(value, 0.5, np.array([value - 1, value + 1]), np.array([0.25, 0.75]))


@pytest.fixture
def report():
    scores = {name: score(10.0 * n) for n, name in enumerate(METRICS, start=1)}
    alone = {name: Score(1.0, None, np.ones(2), None) for name in METRICS}
    return Report(
        FACTS,
        [
            Row("vrnn-1", "vrnn", "small", "best", 5, scores),
            Row("copy", "copy", None, "single", 1, alone),
        ],
    )


def printed(table):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_json_holds_every_number(report, tmp_path):
    report.write_json(tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    assert {key: content[key] for key in FACTS} == FACTS
    vrnn, copy = content["rows"]
    assert (vrnn["name"], vrnn["model"], vrnn["preset"]) == ("vrnn-1", "vrnn", "small")
    assert (vrnn["reduction"], vrnn["samples"]) == ("best", 5)
    assert list(vrnn["metrics"]) == list(METRICS)
    assert vrnn["metrics"]["mse_frame"] == {
        "mean": 20.0,
        "standard_error": 0.5,
        "per_frame": [19.0, 21.0],
        "per_frame_standard_error": [0.25, 0.75],
    }
    assert copy["preset"] is None
    assert copy["metrics"]["mse"]["per_frame_standard_error"] is None


def test_csv_has_a_line_for_each_row_and_frame_counted_from_one(report, tmp_path):
    report.write_csv(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["name"], line["frame"]) for line in lines] == [
        ("vrnn-1", "1"),
        ("vrnn-1", "2"),
        ("copy", "1"),
        ("copy", "2"),
    ]
    assert float(lines[1]["ssim"]) == 71.0
    assert float(lines[1]["ssim_standard_error"]) == 0.75
    assert lines[2]["ssim_standard_error"] == ""


def test_the_table_says_what_each_row_is_and_fits_into_eighty_columns(report):
    text = printed(report.table())
    assert "predicted frames 1 to 2, context 3, 8 sequences of clips" in text
    for word in ("vrnn-1", "vrnn small", "best", "of 5", "copy", "baseline", "SSIM", "nats"):
        assert word in text
    assert "…" not in text
    (values,) = (line.split() for line in text.splitlines() if "vrnn-1" in line)
    assert values == ["vrnn-1", "best", "10.0000", "20.0", "30.0000", "40.0", "50.0", "60.00", "70.000"]
    (errors,) = (line.split() for line in text.splitlines() if "vrnn small" in line)
    assert errors[-7:] == ["±0.5000", "±0.5", "±0.5000", "±0.5", "±0.5", "±0.50", "±0.500"]


def test_a_table_of_one_frame_counts_from_one(report):
    text = printed(report.table(frame=2))
    assert "predicted frame 2," in text
    (values,) = (line.split() for line in text.splitlines() if "vrnn-1" in line)
    assert values[2:] == ["11.0000", "21.0", "31.0000", "41.0", "51.0", "61.00", "71.000"]


@pytest.mark.parametrize("frame", [0, 3])
def test_a_frame_that_was_not_predicted_is_refused(report, frame):
    with pytest.raises(ConfigError, match=f"frame {frame} is not among the predicted frames 1 to 2"):
        report.table(frame)


def test_curves_are_drawn_with_the_baselines_dashed(report, tmp_path, monkeypatch):
    panels = []
    monkeypatch.setattr(
        "vidpred.evaluation.report.write_curves", lambda path, drawn, title: panels.extend(drawn)
    )
    report.write_curves(tmp_path / "x.png")
    assert [panel.label for panel in panels] == [
        "BCE (nats per frame)",
        "MSE (per frame)",
        "MAE (per frame)",
        "PSNR (dB)",
        "SSIM",
    ]
    assert [(curve.label, curve.dashed) for curve in panels[0].curves] == [
        ("vrnn-1: best of 5", False),
        ("copy", True),
    ]
    np.testing.assert_array_equal(panels[1].curves[0].values, [19.0, 21.0])


def test_curves_become_a_picture(report, tmp_path):
    report.write_curves(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("writer", ["write_json", "write_csv", "write_curves"])
def test_what_cannot_be_written_is_an_output_error(report, tmp_path, writer):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        getattr(report, writer)(tmp_path / "file" / "x")
