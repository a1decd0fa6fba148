"""Devices by name."""

import pytest
import torch

from vidpred.device import find_device
from vidpred.errors import ConfigError


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "", "meta", "tpu"])
def test_a_device_that_is_not_there_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no device '{name}'"):
        find_device(name)


def test_the_processor_is_a_device() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
