"""The live line, as a terminal of 80 columns shows it."""

import pytest

from vidpred.training.display import Display


def test_terms_speed_and_progress_fit_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with Display(10_000, 0, quiet=False) as display:
        values = {"loss": 101.6, "bce": 99.57, "kl": 2.153, "grad_norm": 40.0, "frames_per_s": 8119.2}
        display.update(4500, 3, values)
        display.say("epoch 3: validated")
    shown = capsys.readouterr().err
    for part in ("epoch 3", "4500/10000", "bce 99.57", "kl 2.153", "frames/s 8119", "epoch 3: validated"):
        assert part in shown


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(10, 0, quiet=True) as display:
        display.update(5, 1, {"bce": 1.0})
        display.say("hello")
    assert capsys.readouterr().err == ""
