import json
import sys

import h5py
import numpy
import pytest
import torch

import vidpred
from vidpred import ops
from vidpred.cli.info import info


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
