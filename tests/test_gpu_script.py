"""benchmarks/gpu.sh, behind `make gpu`, with stand-ins for everything that it runs."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.sh"

# Writes down how it was called and does what the test has put into $BEHAVIOUR.
STAND_IN = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >>"$CALLS"
eval "$BEHAVIOUR"
case "$*" in
    *get_device_capability*) echo 90 ;;
    *"bench --help"*) echo "kernels models data sampling" ;;
    "-m pip install --no-index --no-build-isolation"*) echo "for $VIDPRED_CUDA_ARCH" >>"$CALLS" ;;
esac
while [ $# -gt 0 ]; do
    case "$1" in --json | --plot | --out) mkdir -p "$(dirname "$2")" && touch "$2" ;; esac
    shift
done
"""

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("bash", "timeout", "tar")), reason="no bash, timeout or tar"
)


@pytest.fixture
def gpu(tmp_path):
    """gpu(behaviour, **environment) -> exit status, summary, calls, error output."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python3", "compute-sanitizer"):
        (programs / name).write_text(STAND_IN)
        (programs / name).chmod(0o755)

    def run(behaviour="", **environment):
        calls, out = tmp_path / "calls", tmp_path / "out"
        done = subprocess.run(
            ["bash", SCRIPT],
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "CALLS": str(calls),
                "BEHAVIOUR": behaviour,
                "OUT": str(out),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        summary = (out / "summary.txt").read_text().splitlines() if out.exists() else []
        return done.returncode, [line.rpartition(" (")[0] for line in summary], calls.read_text(), done.stderr

    return run


def test_everything_is_run_and_gathered_in_few_files(gpu, tmp_path):
    status, summary, calls, _ = gpu(STEPS="install tests sanitize bench train", WHEELS="wheels")
    assert status == 0
    assert [line.split()[1] for line in summary] == [
        "wheels", "build", "kernels-are-there", "streams", "tests",
        "info", "bench-kernels", "bench-models", "bench-sampling",
        "memcheck", "racecheck", "synccheck",
        "train-vrnn", "rollout-vrnn", "evaluate-vrnn", "train-rnn", "rollout-rnn", "evaluate-rnn",
    ]  # fmt: skip
    assert all(line.startswith("ok ") for line in summary)
    assert "pip install --no-index --no-deps wheels/*.whl" in calls
    assert "\nfor 90\n" in calls  # the GPU's own architecture
    for tool in ("memcheck", "racecheck", "synccheck"):
        assert f"compute-sanitizer --tool {tool} --error-exitcode 1 python3 -m pytest" in calls
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "info.json", "kernels.json", "kernels.png", "logs.tar.gz", "models.json", "sampling.json",
        "summary.txt", "training.tar.gz",
    ]  # fmt: skip
    with tarfile.open(tmp_path / "out" / "logs.tar.gz") as logs:
        assert "logs/bench-kernels.log" in logs.getnames()
    with tarfile.open(tmp_path / "out" / "training.tar.gz") as training:
        assert "runs/vrnn/rollout.gif" in training.getnames()


def test_steps_and_options_are_chosen_by_variables(gpu):
    _, summary, calls, _ = gpu(STEPS="bench", BENCH_OPTIONS="--quick --op lstm_gates")
    assert summary == [
        "ok        info",
        *(f"ok        bench-{name}" for name in ("kernels", "models", "sampling")),
    ]
    assert "-m pytest" not in calls
    assert "kernels.png --quick --op lstm_gates\n" in calls


def test_a_step_that_hangs_is_interrupted_and_the_rest_goes_without(gpu):
    hang = 'case "$*" in *"bench models"*) sleep 60 ;; esac'
    status, summary, _, _ = gpu(hang, STEPS="bench", LIMIT="3")
    assert status == 1
    assert summary[-3:] == ["ok        bench-kernels", "TIMED OUT bench-models", "NO TIME   bench-sampling"]


def test_a_failing_test_does_not_keep_the_rest_from_running(gpu):
    fail = 'case "$*" in *"not slow") echo "1 failed"; exit 1 ;; esac'
    status, summary, _, _ = gpu(fail, STEPS="tests bench")
    assert status == 1
    assert summary[:3] == ["ok        streams", "FAILED    tests", "ok        info"]


@pytest.mark.parametrize(
    ("broken", "steps", "last"),
    [("-e .", "install tests", "kernels-are-there"), ("stream or graph", "tests bench", "streams")],
)
def test_nothing_follows_a_failed_build_or_kernels_on_the_wrong_stream(gpu, broken, steps, last):
    status, summary, calls, _ = gpu(f'case "$*" in *"{broken}") exit 1 ;; esac', STEPS=steps)
    assert status == 1
    assert summary[-1].split()[-1] == last
    assert "bench" not in calls


def test_a_sanitizer_that_the_machine_refuses_is_told_from_a_finding(gpu):
    refused = 'case "$0" in *sanitizer) echo "Error: Device not supported"; exit 1 ;; esac'
    status, summary, _, _ = gpu(refused, STEPS="sanitize", SANITIZERS="memcheck")
    assert (status, summary) == (1, ["NOT HERE  memcheck"])


def test_without_a_gpu_it_says_so_and_leaves_nothing(gpu, tmp_path):
    status, summary, _, error = gpu('case "$*" in *is_available*) exit 1 ;; esac')
    assert (status, summary) == (1, [])
    assert error == "gpu.sh: there is no GPU that torch in python3 can use\n"
    assert not (tmp_path / "out").exists()


def test_an_unknown_step_is_refused(gpu, tmp_path):
    (tmp_path / "calls").touch()
    status, _, calls, error = gpu(STEPS="install benhc")
    assert (status, calls) == (2, "")
    assert error == "gpu.sh: unknown step 'benhc' (choices: install, tests, sanitize, bench, train)\n"
