"""Layers of settings, their validation, and the file they are saved in."""

from pathlib import Path

import pytest

from vidpred import config
from vidpred.config import Layer, Section, resolve
from vidpred.errors import ConfigError
from vidpred.models.registry import MODELS
from vidpred.models.vrnn import VRNNOptions


def vrnn(*layers: Layer, preset: str = "tiny") -> config.Resolved:
    return resolve("vrnn", preset, VRNNOptions, layers)


def test_later_layers_win_and_are_named_as_the_source() -> None:
    resolved = vrnn(
        Layer("a file", {"train.batch": 7, "optim.clip": 3.0}), config.set_layer(["train.batch=9"])
    )
    assert (resolved.config.train.batch, resolved.config.optim.clip) == (9, 3.0)
    assert resolved.sources["train.batch"] == "--set"
    assert resolved.sources["optim.clip"] == "a file"
    assert resolved.sources["model.hidden"] == "preset tiny"
    assert "train.accumulate" not in resolved.sources


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("optim.learning_rate=1e-4", 1e-4),
        ("data.digits=emnist", "emnist"),
        ('data.digits="emnist"', "emnist"),
        ("model.widths=[1, 2]", [1, 2]),
    ],
)
def test_set_reads_toml_values_and_plain_words(assignment: str, expected: object) -> None:
    assert list(config.set_layer([assignment]).values.values()) == [expected]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.bacth=3", "unknown setting in --set 'train.bacth'; did you mean 'train.batch'?"),
        ("model.hiden=3", "did you mean 'model.hidden'?"),
        ("train.batch=-3", "train.batch: input should be greater than 0, got -3 (from --set)"),
        ("model.recurrence=chang", "model.recurrence: input should be 'paper' or 'chung', got 'chang'"),
        ("train.batch", "--set expects key=value such as optim.learning_rate=1e-3, got 'train.batch'"),
    ],
)
def test_a_wrong_setting_is_one_sentence(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        vrnn(config.set_layer([assignment]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_preset_names_the_choices() -> None:
    with pytest.raises(
        ConfigError, match=r"preset of vrnn 'papre'; did you mean 'paper'\? .*paper, small, tiny"
    ):
        vrnn(preset="papre")


def test_saving_and_loading_gives_the_same_settings_and_sources(tmp_path: Path) -> None:
    resolved = vrnn(Layer("--data", {"data.file": "a = b  # c.h5"}), config.set_layer(["optim.clip=2"]))
    config.save(resolved, tmp_path / "config.toml")
    loaded = config.load(tmp_path / "config.toml", VRNNOptions)
    assert loaded.config == resolved.config
    assert dict(loaded.sources) == dict(resolved.sources)


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("train = ")
    with pytest.raises(ConfigError, match=r"c\.toml is not valid TOML"):
        config.file_layer(tmp_path / "c.toml")
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*none\.toml: No such file"):
        config.file_layer(tmp_path / "none.toml")


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_its_three_presets(name: str) -> None:
    assert set(config.presets(name)) == {"paper", "small", "tiny"}
    for preset in config.presets(name):
        resolve(name, preset, MODELS[name].Options)


def test_the_paper_preset_holds_the_numbers_of_section_4() -> None:
    settings = vrnn(preset="paper").config
    assert (settings.data.size, settings.data.digit_size, settings.data.frames) == (64, 28, 20)
    assert (settings.data.train, settings.data.val) == (10_000, 1_000)
    optim = settings.optim
    assert (optim.name, optim.learning_rate, optim.decay, optim.momentum) == ("rmsprop", 1e-3, 0.9, 0)
    assert optim.clip is None
    assert (settings.train.batch, settings.train.epochs) == (50, 100)


def test_settings_are_frozen() -> None:
    class Any(Section):
        value: int = 0

    with pytest.raises(ValueError, match="frozen"):
        Any().value = 1  # type: ignore[misc]
