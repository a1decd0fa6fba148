"""``vidpred import-weights`` against the foreign network itself, written out here from its description."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vidpred import load_run, runs
from vidpred.cli.main import run as vidpred

HIDDEN = (3, 4, 5, 2)


class TTCell(nn.Module):
    """As Su et al. publish it: a ring of the last M states, gates i, f, o, g, x and V in one convolution."""

    def __init__(self, inputs: int, hidden: int, order: int, steps: int, rank: int, kernel: int, flat: bool):
        super().__init__()
        self.hidden, self.order, self.steps, self.flat = hidden, order, steps, flat
        self.lags, pad = steps - order + 1, kernel // 2
        self.layers = nn.ModuleList(
            nn.Conv2d(rank, rank, kernel, padding=pad)
            if n < order - 1
            else nn.Conv2d(inputs + rank, 4 * hidden, kernel, padding=pad)
            for n in range(order)
        )
        self.layers_ = nn.ModuleList(
            nn.Conv2d(self.lags * hidden, rank, kernel, padding=pad)
            if flat
            else nn.Conv3d(hidden, rank, (kernel, kernel, self.lags), padding=(pad, pad, 0))
            for _ in range(order)
        )

    def start(self, x: Tensor) -> None:
        zeros = x.new_zeros(len(x), self.hidden, *x.shape[2:])
        self.past, self.c = [zeros] * self.steps, zeros  # oldest first

    def forward(self, x: Tensor) -> Tensor:
        v = x.new_zeros(())
        for n in range(self.order):
            window = self.past[n : n + self.lags]
            if self.flat:
                reduced = self.layers_[n](torch.cat(window, dim=1))
            else:
                reduced = self.layers_[n](torch.stack(window, dim=-1)).squeeze(-1)
            v = reduced if n == 0 else reduced + self.layers[n - 1](v)
        i, f, o, g = self.layers[-1](torch.cat([x, v], dim=1)).chunk(4, dim=1)
        self.c = f.sigmoid() * self.c + i.sigmoid() * g.tanh()
        self.past = [*self.past[1:], o.sigmoid() * self.c.tanh()]
        return self.past[-1]


class PlainCell(nn.Module):
    """The baseline."""

    def __init__(self, inputs: int, hidden: int, kernel: int):
        super().__init__()
        self.hidden = hidden
        self.conv = nn.Conv2d(inputs + hidden, 4 * hidden, kernel, padding=kernel // 2)

    def start(self, x: Tensor) -> None:
        self.h = self.c = x.new_zeros(len(x), self.hidden, *x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        i, f, o, g = self.conv(torch.cat([x, self.h], dim=1)).chunk(4, dim=1)
        self.c = f.sigmoid() * self.c + i.sigmoid() * g.tanh()
        self.h = o.sigmoid() * self.c.tanh()
        return self.h


class Network(nn.Module):
    """Blocks of cells; from the third on a block's output is joined with that of two blocks before."""

    def __init__(self, make: Any, channels: int = 1, hidden: tuple[int, ...] = HIDDEN, layers: int = 2):
        super().__init__()
        torch.manual_seed(0)
        self.blocks, self.per_block = len(hidden), layers
        self.layers = nn.ModuleDict()
        inputs = channels
        for b, width in enumerate(hidden):
            for n in range(layers):
                self.layers[f"b{b}l{n}"] = make(inputs, width)
                inputs = width
            inputs += hidden[b - 2] if b >= 2 else 0
        self.layers["output"] = nn.Conv2d(inputs, channels, 1)
        for weights in self.parameters():
            weights.data.mul_(3)  # so that what is far away or long ago matters
        self.layers["output"].weight.data.mul_(0.6)  # and little is clipped
        self.layers["output"].bias.data.fill_(0.5)

    def see(self, x: Tensor, first: bool) -> Tensor:
        queue: list[Tensor] = []
        for b in range(self.blocks):
            for n in range(self.per_block):
                cell = self.layers[f"b{b}l{n}"]
                if first:
                    cell.start(x)
                x = cell(x)
            queue.append(x)
            if b >= 2:
                x = torch.cat([x, queue.pop(0)], dim=1)
        return self.layers["output"](x)

    @torch.no_grad()
    def predict(self, context: Tensor, horizon: int, sigmoid: bool = False) -> Tensor:
        predicted: list[Tensor] = []
        for t in range(context.shape[1] + horizon - 1):
            x = context[:, t] if t < context.shape[1] else predicted[-1]
            x = self.see(x, first=t == 0)
            predicted.append(x.sigmoid() if sigmoid else x)
        return torch.stack(predicted[-horizon:], dim=1).clamp(0, 1)


def conv_tt(order: int = 3, steps: int = 3, rank: int = 2, kernel: int = 3, flat: bool = False, **sizes: Any):
    return Network(lambda i, h: TTCell(i, h, order, steps, rank, kernel, flat), **sizes)


def baseline(kernel: int = 3, **sizes: Any) -> Network:
    return Network(lambda i, h: PlainCell(i, h, kernel), **sizes)


@pytest.fixture
def imported(tmp_path: Path):
    """imported(what to save, *options) -> the exit code; the run is at tmp_path / "run"."""

    def run(content: Any, *options: str) -> int:
        torch.save(content, tmp_path / "theirs.pt")
        where = ["--from", "conv-tt-lstm", "--run", str(tmp_path / "run")]
        return vidpred(["import-weights", str(tmp_path / "theirs.pt"), *where, *options])

    return run


def require_same_predictions(theirs: Network, path: Path, channels: int = 1, sigmoid: bool = False) -> None:
    model = load_run(path).model.double()
    context = torch.rand(2, 4, channels, 7, 9, dtype=torch.float64)
    expected = theirs.double().predict(context, 5, sigmoid)
    assert expected.std() > 0.01
    assert ((expected > 0) & (expected < 1)).double().mean() > 0.25
    torch.testing.assert_close(model.predict(context, 5), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("order", "steps", "rank", "kernel"),
    [(1, 1, 2, 3), (1, 3, 2, 3), (2, 2, 3, 3), (3, 3, 2, 5), (3, 5, 2, 3), (2, 4, 9, 1), (3, 3, 3, 3)],
)
def test_predictions_of_both_layouts_are_those_of_their_network(
    flat: bool, order: int, steps: int, rank: int, kernel: int, imported: Any, tmp_path: Path
) -> None:
    theirs = conv_tt(order, steps, rank, kernel, flat)
    assert imported(theirs.state_dict(), "--size=7x9") == 0
    config = load_run(tmp_path / "run").config
    assert config.name == "convttlstm"
    told = config.model.model_dump(include={"order", "steps", "rank", "kernel_size", "hidden", "layers"})
    assert told == {
        "order": order,
        "steps": steps,
        "rank": rank,
        "kernel_size": kernel,
        "hidden": HIDDEN,
        "layers": 2,
    }
    require_same_predictions(theirs, tmp_path / "run")


@pytest.mark.parametrize("sizes", [{}, {"kernel": 5, "layers": 1}, {"hidden": (3, 2)}, {"hidden": (2, 3, 2)}])
def test_predictions_of_the_baseline_are_those_of_their_network(
    sizes: dict[str, Any], imported: Any, tmp_path: Path
) -> None:
    theirs = baseline(**sizes)
    assert imported(theirs.state_dict(), "--size=7x9") == 0
    assert load_run(tmp_path / "run").config.name == "convlstm12"
    require_same_predictions(theirs, tmp_path / "run")


def test_color_a_sigmoid_and_what_wraps_a_state_dict(imported: Any, tmp_path: Path) -> None:
    theirs = conv_tt(channels=3)
    weights = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    checkpoint = {"epoch": 400, "state_dict": weights, "optimizer": {"lr": 1e-3}}
    assert imported(checkpoint, "--size=7x9", "--sigmoid") == 0
    assert load_run(tmp_path / "run").config.channels == 3
    require_same_predictions(theirs, tmp_path / "run", channels=3, sigmoid=True)


@pytest.mark.parametrize("order", [1, 3])
def test_what_lists_and_convolutions_are_called_does_not_matter(
    order: int, imported: Any, tmp_path: Path
) -> None:
    theirs = conv_tt(order, order, flat=True)
    renamed = {
        name.replace(".layers_.", ".a.").replace(".layers.", ".z.").replace("output.", "output.0."): value
        for name, value in reversed(theirs.state_dict().items())
    }
    assert imported(renamed, "--size=7x9") == 0
    require_same_predictions(theirs, tmp_path / "run")


def test_a_double_precision_file_is_rounded(imported: Any, tmp_path: Path) -> None:
    theirs = baseline().double()
    assert imported(theirs.state_dict(), "--size=7x9") == 0
    weight = load_run(tmp_path / "run").model.state_dict()["output.weight"]
    torch.testing.assert_close(weight, theirs.layers["output"].weight.detach().float(), rtol=0, atol=0)


def test_the_run_is_rolled_out_evaluated_and_trained_on(imported: Any, tmp_path: Path, capsys: Any) -> None:
    assert imported(conv_tt(layers=1).state_dict(), "--size=32") == 0
    assert "imported a convttlstm (1 channels, " in capsys.readouterr().out
    path = tmp_path / "run"
    values = path.joinpath("config.toml").read_text()
    for line in ("rank = 2  # the imported weights", "size = [32, 32]  # the command line"):
        assert line in values
    digest = hashlib.sha256((tmp_path / "theirs.pt").read_bytes()).hexdigest()
    for kind in ("best", "last"):
        origin = runs.load_training_state(path, kind)["imported"]
        assert origin == {"project": "conv-tt-lstm", "file": "theirs.pt", "sha256": digest}
    assert runs.best_step(path) is None
    few = ["--device=cpu", "--context=2", "--horizon=2"]
    assert vidpred(["rollout", str(path), *few, "--out", str(tmp_path / "out.npy")]) == 0
    assert vidpred(["evaluate", str(path), *few, "--count=2", "--conventions=strict"]) == 0
    before = load_run(path).model.state_dict()["output.weight"]
    for setting in ("train = 8", "val = 4", "frames = 4", "context = 2"):
        name = setting.split()[0]
        text = path.joinpath("config.toml").read_text().splitlines()
        text = [setting if line.startswith(f"{name} = ") else line for line in text]
        path.joinpath("config.toml").write_text("\n".join(text))
    assert vidpred(["train", "--resume", str(path), "--set=train.steps=1", "--device=cpu"]) == 0
    after = load_run(path).model.state_dict()["output.weight"]
    assert 0 < (after - before).abs().max() < 2e-3  # a step of Adam from there


class Touch:
    """Runs code when it is unpickled without care."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_code_in_a_file_does_not_run(imported: Any, tmp_path: Path, capsys: Any) -> None:
    trap = tmp_path / "trap"
    pickle.loads(pickle.dumps(Touch(trap)))
    assert trap.exists(), "the trap does not work"
    trap.unlink()
    assert imported({**baseline().state_dict(), "code": Touch(trap)}) == 1
    said = capsys.readouterr().err
    assert "holds other things than tensors by name, which are not opened because they can run code" in said
    assert said.count("\n") == 1
    assert not trap.exists()
    assert not (tmp_path / "run").exists()


WEIGHT = "layers.b1l0.layers_.1.weight"
CORE = "layers.b0l1.layers.2.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {WEIGHT: torch.zeros(2, 4, 3, 3, 2)},
            f"'{WEIGHT}' should have shape (2, 4, 3, 3, 1), got (2, 4, 3, 3, 2)",
        ),
        ({CORE: torch.zeros(12, 6, 3, 3)}, f"'{CORE}' should have shape (12, 5, 3, 3), got (12, 6, 3, 3)"),
        ({CORE: torch.zeros(12, 5, 3, 5)}, f"'{CORE}' should have shape (12, 5, 3, 3), got (12, 5, 3, 5)"),
        ({"layers.output.bias": torch.zeros(2)}, "'layers.output.bias' should have shape (1,), got (2,)"),
        ({"layers.b2l0.layers.0.weight": torch.zeros(3)}, "should have 4 or 5 dimensions"),
        ({"layers.b2l0.layers.0.bias": None}, "'layers.b2l0.layers.0.bias' is missing"),
        ({"layers.b2l0.layers.0.weight": None}, "'layers.b2l0.layers.0.weight' is missing"),
        (
            {"layers.output.weight": None, "layers.output.bias": None},
            "'layers.output' should be one convolution",
        ),
        (
            {"layers.b4l0.c.weight": torch.zeros(8, 9, 3, 3), "layers.b4l0.c.bias": torch.zeros(8)},
            "'layers.b4l1' is",
        ),
        ({"head.weight": torch.zeros(2, 2)}, "'head.weight' is no tensor of one"),
        ({"layers.b0l0.steps": torch.zeros(2)}, "'layers.b0l0.steps' is no tensor of one"),
        ({"epoch": 3}, "must hold tensors by name, got a int at 'epoch'"),
        ({"count": torch.zeros(2, dtype=torch.int64)}, "must be a dense tensor of floats, got int64 strided"),
    ],
)
def test_what_does_not_fit_is_named(
    change: dict[str, Any], message: str, imported: Any, tmp_path: Path, capsys: Any
) -> None:
    weights = {k: v for k, v in ({**conv_tt().state_dict(), **change}).items() if v is not None}
    assert imported(weights) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert str(tmp_path / "theirs.pt") in said
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.pt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: nn.Conv2d(1, 1, 3).state_dict(), "'weight' is no tensor of one"),
        (
            lambda: baseline(kernel=4).state_dict(),
            "'layers.b0l0.conv.weight' should have a kernel of odd size",
        ),
        (dict, "must hold tensors by name, got an empty dict"),
        (lambda: [torch.zeros(3)], "must hold tensors by name, got a list"),
        (lambda: torch.zeros(3), "must hold tensors by name, got a Tensor"),
        (lambda: nn.Conv2d(1, 1, 3), "holds other things than tensors"),
    ],
)
def test_another_file_is_refused(
    content: Any, message: str, imported: Any, tmp_path: Path, capsys: Any
) -> None:
    assert imported(content()) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_lists_with_gaps_and_cells_unlike_the_first_are_refused(imported: Any, capsys: Any) -> None:
    whole = conv_tt().state_dict()
    gap = {name: value for name, value in whole.items() if ".b0l0.layers.1." not in name}
    assert imported(gap) == 1
    assert "number 1 is missing beside 'layers.b0l0.layers.0'" in capsys.readouterr().err
    short = {name: value for name, value in whole.items() if ".b1l0.layers_.2." not in name}
    assert imported(short) == 1
    assert "two lists of as many for preprocessing and cores, got 3 and 2" in capsys.readouterr().err
    mixed = {name: value for name, value in whole.items() if ".b3l1." not in name}
    mixed |= {name: value for name, value in baseline().state_dict().items() if ".b3l1." in name}
    assert imported(mixed) == 1
    assert "the cell of 'layers.b3l1.conv' should have 6 convolutions, got 1" in capsys.readouterr().err


@pytest.mark.parametrize("left", [0, 5, 100, 2000, -1])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused(
    left: int, zipped: bool, imported: Any, tmp_path: Path, capsys: Any
) -> None:
    file, part = tmp_path / "whole.pt", tmp_path / "part.pt"
    torch.save(baseline().state_dict(), file, _use_new_zipfile_serialization=zipped)
    part.write_bytes(file.read_bytes()[:left])
    place = ["--from=conv-tt-lstm", "--run", str(tmp_path / "run")]
    assert vidpred(["import-weights", str(file), *place[:1], "--run", str(tmp_path / "good")]) == 0
    capsys.readouterr()
    assert vidpred(["import-weights", str(part), *place]) == 1
    said = capsys.readouterr().err
    assert f"cannot read {part}" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_damaged_weight_is_noticed(tmp_path: Path, capsys: Any) -> None:
    file, weights = tmp_path / "theirs.pt", baseline().state_dict()
    torch.save(weights, file)
    content = file.read_bytes()
    data = weights["layers.b1l0.conv.weight"].numpy().tobytes()
    assert content.count(data) == 1
    at = content.index(data) + 50
    file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert vidpred(["import-weights", str(file), "--from=conv-tt-lstm", "--run", str(tmp_path / "run")]) == 1
    assert f"cannot read {file}: the file is damaged, the checksum of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.pt", "--from=conv-tt-lstm", "--run=new"], 1, "cannot read none.pt: there is no such file"),
        (["folder", "--from=conv-tt-lstm", "--run=new"], 1, "cannot read folder: there is no such file"),
        (["good.pt", "--from=conv-tt-lsmt", "--run=new"], 2, "did you mean 'conv-tt-lstm'?"),
        (
            ["good.pt", "--from=conv-tt-lstm", "--run=folder"],
            1,
            "folder exists already: choose another --run",
        ),
        (["good.pt", "--from=conv-tt-lstm", "--run=good.pt"], 1, "good.pt exists already"),
        (["good.pt", "--from=conv-tt-lstm", "--run=good.pt/new"], 1, "cannot write"),
        (["good.pt", "--from=conv-tt-lstm", "--run=new", "--size=64y"], 2, "--size expects a side"),
        (["good.pt", "--run=new"], 2, "--from"),
        (["good.pt", "--from=conv-tt-lstm"], 2, "--run"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(baseline().state_dict(), "good.pt")
    Path("folder").mkdir()
    Path("folder", "something").touch()
    assert vidpred(["import-weights", *arguments]) == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["folder", "good.pt"]
