"""Options of every model that cannot be."""

from __future__ import annotations

import pytest
from torch._subclasses.fake_tensor import FakeTensorMode

from vidpred import create_model
from vidpred.errors import ConfigError
from vidpred.models.registry import MODELS

STRANGE = (0, -1, 4, (), (4,), (-1, 3), "x")
OPTIONS = [(name, option) for name in MODELS for option in MODELS[name].Options.model_fields]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_an_option_builds_a_model_or_is_refused(name: str, option: str) -> None:
    """Never another error, which a user would see as a traceback."""
    for value in STRANGE:
        try:
            with FakeTensorMode():
                create_model(name, "tiny", size=(32, 32), **{option: value})
        except ConfigError:
            pass


@pytest.mark.parametrize(
    ("widths", "kernels"), [([], []), ([8], [4]), ([8], [3, 3]), ([8, 8], [3]), ([8, 0], [3, 3])]
)
def test_frames_are_encoded_by_odd_kernels_one_for_every_width(widths: list[int], kernels: list[int]) -> None:
    with pytest.raises(ConfigError, match="a positive width and an odd kernel for every layer"):
        create_model("vrnn", "tiny", size=(32, 32), widths=widths, kernels=kernels)
