"""RMSProp with Nesterov's momentum against Sutskever's form worked by hand, and against torch's RMSProp."""

import math
from pathlib import Path

import pytest
import torch

from vidpred.config import OptimConfig
from vidpred.errors import ConfigError
from vidpred.training.nesterov_rmsprop import NesterovRMSprop
from vidpred.training.optim import make_optimizer

CURVATURE = (3.0, 0.5)  # of the quadratic ½ Σ c θ²


def quadratic(parameter: torch.Tensor) -> torch.Tensor:
    return 0.5 * (torch.tensor(CURVATURE, dtype=parameter.dtype) * parameter**2).sum()


def step(optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter) -> None:
    optimizer.zero_grad()
    quadratic(parameter).backward()
    optimizer.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.995])
def test_steps_are_those_of_the_thesis_under_a_changing_step_rate(momentum: float) -> None:
    settings = OptimConfig(
        name="nesterov_rmsprop", learning_rate=0.1, momentum=momentum, decay=0.8, epsilon=1e-3
    )
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = make_optimizer([parameter], settings)
    weights, velocity, square = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for number in range(30):
        rate = 0.1 / (1 + number)
        optimizer.param_groups[0]["lr"] = rate
        step(optimizer, parameter)
        for i, curvature in enumerate(CURVATURE):
            gradient = curvature * (weights[i] + momentum * velocity[i])
            square[i] = 0.8 * square[i] + 0.2 * gradient**2
            velocity[i] = momentum * velocity[i] - rate * gradient / (math.sqrt(square[i]) + 1e-3)
            weights[i] += velocity[i]
        ahead = [w + momentum * v for w, v in zip(weights, velocity, strict=True)]
        assert parameter.tolist() == pytest.approx(ahead, rel=1e-12, abs=1e-14)


def test_without_momentum_it_is_the_rmsprop_of_torch() -> None:
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    options = {"lr": 0.01, "alpha": 0.9, "momentum": 0.0, "eps": 1e-8}
    one, other = NesterovRMSprop([ours], **options), torch.optim.RMSprop([theirs], **options)
    for _ in range(20):
        step(one, ours)
        step(other, theirs)
        assert torch.equal(ours, theirs)


def test_it_is_faster_than_without_momentum_where_the_curvatures_differ() -> None:
    losses = []
    for momentum in (0.0, 0.9):
        parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = NesterovRMSprop([parameter], 1e-3, momentum=momentum)
        for _ in range(200):
            step(optimizer, parameter)
        losses.append(quadratic(parameter).item())
    assert losses[1] < 0.1 * losses[0]


def test_a_saved_state_goes_on_bit_for_bit(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = NesterovRMSprop([parameter], 0.01, momentum=0.95)
    for _ in range(5):
        step(optimizer, parameter)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    resumed = torch.nn.Parameter(parameter.detach().clone())
    other = NesterovRMSprop([resumed], 1.0)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(5):
        step(optimizer, parameter)
        step(other, resumed)
        assert torch.equal(parameter, resumed)


def test_what_has_no_gradient_stays() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = NesterovRMSprop([parameter])
    assert optimizer.step(lambda: 3.0) == 3.0
    assert torch.equal(parameter, torch.ones(2))


@pytest.mark.parametrize("options", [{"lr": -1}, {"eps": 0}, {"alpha": 1}, {"momentum": 1}])
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="RMSProp needs"):
        NesterovRMSprop([torch.nn.Parameter(torch.ones(1))], **options)
