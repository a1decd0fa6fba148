import json
import sys

import h5py
import numpy
import pytest
import torch

import vidpred
from vidpred import ops
from vidpred.cli.info import info
from vidpred.cli.main import run as program
from vidpred.models.registry import MODELS


@pytest.fixture
def printed(capsys):
    def run(**options):
        info(**options)
        return capsys.readouterr().out

    return run


def test_shows_versions_backend_devices_digits_cache_and_allocator(printed, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setenv("VIDPRED_MALLOC", "system")
    output = printed()
    lines = dict(line.split(maxsplit=1) for line in output.splitlines() if not line.startswith(" "))
    assert lines["vidpred"].strip() == vidpred.__version__
    assert lines["torch"].strip() == torch.__version__
    assert lines["numpy"].strip() == numpy.__version__
    assert lines["h5py"].strip() == h5py.__version__
    assert lines["backend"].startswith(ops.backend())
    assert lines["devices"].startswith("cpu: ")
    assert lines["cache"].startswith("/somewhere/vidpred")
    assert "VIDPRED_MALLOC=system" in lines["allocator"]
    for name in ("python", "accelerate", "instruction set", "cuda architectures", "compiler", "digits"):
        assert f"\n{name}" in output


def test_says_why_there_are_no_kernels(printed, monkeypatch):
    facts = {"native": False, "reason": "no compiler", "cuda_architectures": [], "cpu_capability": "none"}
    monkeypatch.setattr(ops, "build_info", lambda: facts | {"compiler": None})
    monkeypatch.setattr(ops, "backend", lambda: "reference")
    assert "reference (no compiler)" in printed()


def test_several_devices_take_a_line_each(printed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    lines = printed().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("devices"))
    column = lines[first].index("cpu: ")
    assert [line[column:] for line in lines[first + 1 : first + 3]] == ["cuda:0: GPU 0", "cuda:1: GPU 1"]
    assert lines[first + 1][:column].isspace()


def test_a_broken_part_does_not_hide_the_others(printed, monkeypatch):
    monkeypatch.setitem(sys.modules, "vidpred.data", None)
    monkeypatch.setattr(ops, "build_info", dict)
    output = printed()
    assert "data" in output
    assert output.count("not available") == 2
    assert "cpu: " in output
    assert torch.__version__ in output


def test_writes_everything_to_a_file(printed, tmp_path):
    printed(json=tmp_path / "info.json")
    content = json.loads((tmp_path / "info.json").read_text())
    assert content["vidpred"] == vidpred.__version__
    assert content["devices"][0].startswith("cpu: ")


def test_a_model_s_complexity_as_table_and_json(tmp_path, capsys):
    file = tmp_path / "model.json"
    assert program(["info", "convttlstm", "--size", "120x60", "--channels=3", "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    for part in ("2,693,843", "3x120x60", "10.78 MB", "1e9", "Su et al. 2020"):
        assert part in shown
    content = json.loads(file.read_text())
    (row,) = content["models"]
    assert row["parameters"] == 2_693_843
    assert (row["channels"], row["height"], row["width"]) == (3, 120, 60)
    assert row["multiply_adds_per_frame"] == (2_693_843 - 2_403) * 120 * 60
    assert row["flops_per_frame"] == 2 * row["multiply_adds_per_frame"]


def test_frames_are_those_of_the_preset_s_data_and_options_can_be_set(tmp_path):
    file = tmp_path / "model.json"
    assert program(["info", "rnn", "--preset=tiny", "--json", str(file)]) == 0
    (plain,) = json.loads(file.read_text())["models"]
    assert (plain["height"], plain["width"]) == (32, 32)
    assert program(["info", "rnn", "--preset=tiny", "--set=model.hidden=7", "--json", str(file)]) == 0
    (narrow,) = json.loads(file.read_text())["models"]
    assert narrow["parameters"] < plain["parameters"]


def test_all_models_are_listed_and_those_that_do_not_fit_are_named(tmp_path, capsys):
    file = tmp_path / "models.json"
    assert program(["info", "all", "--preset=tiny", "--size=20", "--json", str(file)]) == 0
    content = json.loads(file.read_text())
    assert {row["model"] for row in content["models"]} | set(content["skipped"]) == set(MODELS)
    assert set(content["skipped"]) == {"rnn", "vrnn"}
    assert "left out rnn: frame size must be a multiple of 8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vrn"], "unknown model 'vrn'; did you mean 'vrnn'?"),
        (["vrnn", "--preset=papre"], "did you mean 'paper'?"),
        (["all", "--preset=papre"], "no model can be as asked for: unknown preset of activity 'papre'"),
        (["vrnn", "--size=60"], "multiple of 16 on both sides, got 60x60"),
        (["vrnn", "--size=64x"], "--size expects a side such as 64, or height x width such as 120x160"),
        (["vrnn", "--size=0"], "got '0'"),
        (["vrnn", "--size=1x2x3"], "got '1x2x3'"),
        (["vrnn", "--channels=0"], "--channels"),
        (["vrnn", "--set=train.batch=3"], "--set changes options of the model here"),
        (["vrnn", "--set=model.hiden=3"], "did you mean 'model.hidden'?"),
        (["vrnn", "--set=model.hidden=0"], "model.hidden: input should be greater than 0, got 0"),
        (["vpn", "--set=model.decoding=sample"], "model.decoding=blank"),
        (["--preset=tiny"], "--preset is about a model: say which"),
        (["--size=64"], "--size is about a model: say which"),
        (["--channels=1"], "--channels is about a model: say which"),
        (["--set=model.hidden=3"], "--set is about a model: say which"),
    ],
)
def test_a_mistake_about_a_model_is_one_sentence(arguments, message, capsys):
    assert program(["info", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
