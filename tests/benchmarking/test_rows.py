import io
import json
from dataclasses import replace

from rich.console import Console

from vidpred.benchmarking.rows import Report, Row, Skipped, speedups, tables

ROW = Row(
    name="lstm_gates",
    stage="forward",
    shape=(4, 64, 64, 64),
    dtype="float32",
    device="cpu",
    variant="native",
    ms=1.2345,
    gb_per_s=23.78,
    fraction_of_roofline=0.875,
    speedup_vs_eager=2.5,
    max_error=2.4e-7,
    ms_low=1.2,
    ms_high=1.5,
    layer="convlstm paper, layer 2",
    memory_format="channels_last",
)


def _printed(rows):
    output = io.StringIO()
    Console(file=output, width=200).print(*tables(rows))
    return output.getvalue()


def test_the_file_has_the_documented_fields(tmp_path):
    Report({"cpu": "a cpu"}, [ROW], [Skipped("lstm_gates", "compile", "no compiler")]).write(
        tmp_path / "r.json"
    )
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["machine"] == {"cpu": "a cpu"}
    assert content["complete"] is True
    assert content["skipped"] == [{"name": "lstm_gates", "variant": "compile", "reason": "no compiler"}]
    assert content["rows"] == [
        {
            "name": "lstm_gates",
            "pass": "forward",
            "shape": [4, 64, 64, 64],
            "dtype": "float32",
            "device": "cpu",
            "variant": "native",
            "ms": 1.2345,
            "gb_per_s": 23.78,
            "gflop_per_s": None,
            "fraction_of_roofline": 0.875,
            "speedup_vs_eager": 2.5,
            "speedup_vs_naive": None,
            "max_error": 2.4e-7,
            "frames_per_s": None,
            "ms_low": 1.2,
            "ms_high": 1.5,
            "peak_mb": None,
            "layer": "convlstm paper, layer 2",
            "memory_format": "channels_last",
        }
    ]


def test_the_table_shows_ratio_fraction_and_error():
    printed = _printed([ROW])
    for expected in (
        "lstm_gates  float32  4x64x64x64  channels last  convlstm paper, layer 2",
        "± ms",
        "0.150",
        "forward",
        "native",
        "1.234",
        "23.8",
        "88%",
        "2.50x",
        "2.4e-07",
    ):
        assert expected in printed


def test_the_table_leaves_out_columns_without_numbers():
    printed = _printed([ROW])
    assert "vs eager" in printed
    assert "vs naive" not in printed
    assert "± ms" not in _printed([replace(ROW, ms_low=None, ms_high=None)])
    assert "frames/s" not in printed


def test_speedup_is_the_other_time_over_the_own():
    assert speedups({"native": 2.0, "eager": 5.0}, over="eager") == {"native": 2.5, "eager": 1.0}


def test_there_is_no_speedup_over_what_was_not_timed():
    assert speedups({"native": 2.0}, over="naive") == {"native": None}


def test_every_case_has_a_table_of_its_own():
    other = replace(ROW, shape=(32, 1024))
    assert len(list(tables([ROW, replace(ROW, variant="eager"), other]))) == 2
