import pytest
import torch

from vidpred.benchmarking import hardware
from vidpred.errors import ConfigError


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_an_error_that_names_it(name):
    with pytest.raises(ConfigError, match=f"no device '{name}'"):
        hardware.find_device(name)


def test_the_processor_is_a_device():
    assert hardware.find_device("cpu") == torch.device("cpu")


def test_without_a_compiler_there_is_no_compiler_line(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert hardware.compiler() is None
