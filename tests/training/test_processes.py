"""One training in several processes."""

import os
import subprocess
import sys

import pytest
import torch

from tests.experiments import rolls
from vidpred import runs
from vidpred.cli.main import run as vidpred


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path):
    """Of sequences of different lengths, whose steps are weighed alike, in two pieces a batch."""
    data = rolls.write_rolls(tmp_path / "x.h5", {name: rolls.rolls(name) for name in rolls.COUNTS})
    settings = [
        "train.steps=3",
        "train.batch=8",
        "train.accumulate=2",
        "train.log_every=1",
        "optim.learning_rate=0.01",
    ]
    given = ["train", "fdrnn", "--preset=tiny", f"--data={data}", "--device=cpu"]
    given += [f"--set={setting}" for setting in settings]
    assert vidpred([*given, f"--run={tmp_path / 'one'}"]) == 0
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes=2",
        "-m",
        "vidpred",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, *given, f"--run={tmp_path / 'two'}"], check=True, env=environment)
    one, two = (runs.load_run(tmp_path / name).model.state_dict() for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-5)
    norms = [
        [line["grad_norm"] for line in runs.read_metrics(tmp_path / name) if "grad_norm" in line]
        for name in ("one", "two")
    ]
    assert norms[0]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    again = subprocess.run(
        [*launch, *given, f"--run={tmp_path / 'two'}"], env=environment, capture_output=True, text=True
    )
    assert again.returncode
    assert "exists already" in again.stderr
