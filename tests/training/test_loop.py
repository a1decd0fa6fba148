"""The training loop: what it minimises, when it stops, and that a killed training loses nothing."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vidpred import runs, training
from vidpred.errors import TrainingError
from vidpred.models.registry import build
from vidpred.training.batches import ShuffledBatches, seeded

MakeRun = Callable[..., Path]


def weights(path: Path, kind: str = "last") -> dict[str, torch.Tensor]:
    return load_file(path / "checkpoints" / kind / "model.safetensors")


def assert_same_weights(a: Path, b: Path) -> None:
    for name, value in weights(a).items():
        assert torch.equal(value, weights(b)[name]), name


def test_steps_are_those_of_a_plain_loop(make_run: MakeRun) -> None:
    path = make_run("run", "train.steps=8", "optim.clip=0.5", "optim.schedule=cosine", "optim.floor=0")
    training.train(path, device="cpu", quiet=True)

    settings = runs.read_config(path).config
    torch.manual_seed(settings.train.seed)
    model = build(settings)
    optimizer = torch.optim.Adam(model.parameters())
    data = runs.open_split(settings.data, "train")
    for step in range(8):
        epoch, batch = divmod(step, 6)
        order = list(ShuffledBatches(24, 4, seed=0, epoch=epoch))[batch]
        frames = torch.stack([data[i] for i in order]).float() / 255
        for group in optimizer.param_groups:
            group["lr"] = settings.optim.learning_rate * 0.5 * (1 + math.cos(math.pi * step / 8))
        optimizer.zero_grad()
        model.loss(frames, generator=seeded(0, step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights(path)[name], value)


def test_rmsprop_is_the_published_update() -> None:
    from vidpred.config import OptimConfig
    from vidpred.training.optim import make_optimizer

    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = make_optimizer([parameter], OptimConfig(name="rmsprop", learning_rate=0.1, decay=0.9))
    square, value = torch.zeros(2, dtype=torch.float64), parameter.detach().clone()
    for gradient in ([0.5, 1.0], [-0.2, 0.3]):
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        square = 0.9 * square + 0.1 * parameter.grad**2
        value = value - 0.1 * parameter.grad / square.sqrt()
    torch.testing.assert_close(parameter.detach(), value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "optimizer"), [("vrnn", "adam"), ("rnn", "adam"), ("rnn", "nesterov_rmsprop")]
)
def test_a_resumed_training_is_the_one_never_stopped(make_run: MakeRun, model: str, optimizer: str) -> None:
    options = [f"optim.name={optimizer}", "optim.momentum=0.9"]
    # 6 batches an epoch: the stop at step 8 is in the middle of the second one.
    whole = make_run("whole", "train.steps=13", *options, model=model)
    training.train(whole, device="cpu", quiet=True)
    parts = make_run("parts", "train.steps=8", *options, model=model)
    training.train(parts, device="cpu", quiet=True)
    training.change_limits(parts, ["train.steps=13"])
    outcome = training.train(parts, resume=True, device="cpu", quiet=True)
    assert outcome.step == 13
    assert_same_weights(whole, parts)
    losses = [
        [line["loss"] for line in runs.read_metrics(path) if line["split"] == "train"]
        for path in (whole, parts)
    ]
    assert len(losses[0]) == 13
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_a_training_killed_with_sigkill_and_resumed_is_the_one_never_killed(make_run: MakeRun) -> None:
    whole = make_run("whole", "train.steps=400", "train.epochs=1000")
    training.train(whole, device="cpu", quiet=True)
    killed = make_run("killed", "train.steps=400", "train.epochs=1000")
    resume = "import sys; from vidpred.cli import main; main(sys.argv[1:])"
    start = (
        "import sys; from pathlib import Path; from vidpred import training;training.train(Path(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", start, str(killed)], stderr=subprocess.DEVNULL)
    while not runs.read_metrics(killed) or runs.read_metrics(killed)[-1]["step"] < 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert runs.read_metrics(killed)[-1]["step"] < 400
    subprocess.run([sys.executable, "-c", resume, "train", "--resume", str(killed)], check=True)
    assert_same_weights(whole, killed)
    steps = [line["step"] for line in runs.read_metrics(killed) if line["split"] == "train"]
    assert steps == list(range(1, 401))


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_resume(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run("run", "train.epochs=100000")
    # A first sitting of two steps makes the checkpoint that --resume needs.
    training.change_limits(path, ["train.steps=2"])
    training.train(path, device="cpu", quiet=True)
    training.change_limits(path, ["train.steps=100000"])
    program = "import sys; from vidpred.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "train", "--resume", str(path)], stderr=subprocess.PIPE, text=True
    )
    while runs.read_metrics(path)[-1]["step"] < 10:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    step = runs.load_training_state(path, "last")["progress"]["step"]
    assert f"stopped at step {step}; continue with: vidpred train --resume {path}" in errors
    assert step >= 10


def test_a_batch_in_pieces_gives_the_same_step(make_run: MakeRun) -> None:
    whole = make_run("whole", "train.steps=2", model="rnn")
    pieces = make_run("pieces", "train.steps=2", "train.accumulate=3", model="rnn")
    for path in (whole, pieces):
        training.train(path, device="cpu", quiet=True)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(pieces)[name], value, rtol=1e-4, atol=1e-5)


def test_one_process_can_train_in_several_precisions(make_run: MakeRun) -> None:
    for precision in ("no", "bf16", "no"):
        path = make_run(
            f"run-{precision}-{time.monotonic_ns()}", "train.steps=2", f"train.precision={precision}"
        )
        assert training.train(path, device="cpu", quiet=True).step == 2
        assert all(value.dtype == torch.float32 for value in weights(path).values())


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_term(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidpred.models.vrnn import VRNN

    path = make_run("run", "train.steps=9")
    loss = VRNN.loss

    def broken(self: VRNN, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        terms = loss(self, *args, **kwargs)  # type: ignore[arg-type]
        broken.calls += 1  # type: ignore[attr-defined]
        return terms | {"kl": torch.tensor(math.inf)} if broken.calls == 4 else terms  # type: ignore[attr-defined]

    broken.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(VRNN, "loss", broken)
    with pytest.raises(TrainingError, match=r"stopped at step 4: kl is inf; the last checkpoint is whole"):
        training.train(path, device="cpu", quiet=True)
    assert runs.load_training_state(path, "last")["progress"]["step"] == 2


def test_the_best_checkpoint_is_the_one_with_the_lowest_validation_loss(make_run: MakeRun) -> None:
    path = make_run("run", "train.epochs=4", "optim.learning_rate=0.2")
    outcome = training.train(path, device="cpu", quiet=True)
    validation = [line for line in runs.read_metrics(path) if line["split"] == "val"]
    assert len(validation) == 4
    best = min(validation, key=lambda line: line["loss"])
    assert outcome.best == best["loss"]
    assert runs.load_training_state(path, "best")["progress"]["step"] == best["step"]


def test_validation_is_the_mean_over_the_validation_split(make_run: MakeRun) -> None:
    path = make_run("run", "train.epochs=1", "data.val=7", model="rnn")  # 7 = a batch of 4 and one of 3
    training.train(path, device="cpu", quiet=True)
    run = runs.load_run(path)
    data = runs.open_split(run.config.data, "val")
    frames = torch.stack([data[i] for i in range(7)]).float() / 255
    with torch.no_grad():
        expected = run.model.loss(frames)["loss"].item()
    assert run.metrics[-1]["loss"] == pytest.approx(expected, rel=1e-5)


def test_training_ends_by_the_clock(make_run: MakeRun) -> None:
    path = make_run("run", "train.minutes=0.01")
    training.change_limits(path, ["train.epochs=100000"])
    outcome = training.train(path, device="cpu", quiet=True)
    assert runs.load_training_state(path, "last")["progress"]["seconds"] >= 0.6
    assert 0 < outcome.step < 100_000


def test_sample_pictures_are_drawn(make_run: MakeRun) -> None:
    path = make_run("run", "train.epochs=2", "train.sample_every=1")
    training.train(path, device="cpu", quiet=True)
    assert sorted(os.listdir(path / "samples")) == ["step-0000006.png", "step-0000012.png"]


def test_batches_cover_an_epoch_once_and_share_themselves_out() -> None:
    one = list(ShuffledBatches(10, 3, seed=1, epoch=2))
    assert [len(batch) for batch in one] == [3, 3, 3]
    assert len({i for batch in one for i in batch}) == 9
    assert one != list(ShuffledBatches(10, 3, seed=1, epoch=3))
    assert list(ShuffledBatches(10, 3, seed=1, epoch=2, skip=1)) == one[1:]
    shares = [list(ShuffledBatches(10, 3, seed=1, epoch=2, process=(rank, 2))) for rank in (0, 1)]
    for whole, left, right in zip(one, *shares, strict=True):
        assert sorted(left + right) == sorted(whole)
    assert len(next(iter(ShuffledBatches(2, 32, seed=0, epoch=0)))) == 2
