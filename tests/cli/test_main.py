"""The program as a whole: help, errors, exit codes."""

import subprocess
import sys

import pytest

from vidpred.cli.main import app
from vidpred.cli.main import run as vidpred
from vidpred.errors import CheckpointError


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    program = (
        "import sys; from vidpred.cli.main import run; code = run(['--help']);"
        "heavy = ('torch', 'numpy', 'h5py', 'matplotlib', 'pydantic');"
        "print([name for name in heavy if name in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for command in app.registered_commands:
        assert command.callback is not None
        assert (command.name or command.callback.__name__) in done.stdout
    assert done.stdout.endswith("[]\n")


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert vidpred(["predict"]) == 2
    assert "No such command 'predict'" in capsys.readouterr().err


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert vidpred([]) == 2
    assert "Usage: vidpred" in "".join(capsys.readouterr())


def test_debug_shows_the_traceback_of_its_own_call_only() -> None:
    with pytest.raises(CheckpointError, match="there is no training run"):
        vidpred(["--debug", "train", "--resume", "nowhere"])
    assert vidpred(["train", "--resume", "nowhere"]) == 1


def test_an_interruption_has_its_own_code_and_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vidpred.training.resolve_settings", interrupted)
    assert vidpred(["train", "vrnn"]) == 130
    assert capsys.readouterr().err == "vidpred: interrupted\n"
