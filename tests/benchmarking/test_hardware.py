"""The facts about a machine that need no benchmark."""

import pytest

from vidpred.benchmarking import hardware


def test_without_a_compiler_there_is_no_compiler_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert hardware.compiler() is None
