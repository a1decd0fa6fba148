"""RMSProp with Nesterov's accelerated gradient (seed 003, "Details on Learning")."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from vidpred.errors import ConfigError


class NesterovRMSprop(torch.optim.Optimizer):
    """RMSProp with a momentum whose gradient is taken where the momentum leads.

    Sutskever 2013, ch. 7, with Tieleman & Hinton's 2012 running mean of squared gradients.

    With the step rate λ, the momentum μ and the decay ρ, from weights θ and a velocity v::

        g = ∇f(θ + μ v)
        r' = ρ r + (1 - ρ) g²
        v' = μ v - λ g / (√r' + ε)
        θ' = θ + v'

    What the parameters hold is not θ but the look-ahead Θ = θ + μ v, so that the gradient at hand is the one
    that is needed; in these terms the last line reads ``Θ' = Θ + μ v' - λ g / (√r' + ε)``, as in
    `torch.optim.SGD` with ``nesterov=True``. So a model is also validated and saved at Θ, the weights that
    the training loss is about; Θ and θ meet as the velocity dies down with the step rate.

    λ stands inside the velocity, so Θ = θ + μ v holds whatever schedule λ follows. At μ = 0 this is
    `torch.optim.RMSprop`, r starts at 0 as there.

    Args:
        parameters: as for every optimiser of torch.
        lr: λ.
        alpha: ρ, the decay of the running mean of squared gradients.
        momentum: μ.
        eps: ε, added outside the square root.

    Raises:
        ConfigError: a number out of range.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        *,
        alpha: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-8,
    ) -> None:
        if lr < 0 or eps <= 0:
            raise ConfigError(f"RMSProp needs lr >= 0 and eps > 0, got {lr} and {eps}")
        if not (0 <= alpha < 1 and 0 <= momentum < 1):
            raise ConfigError(f"RMSProp needs 0 <= alpha, momentum < 1, got {alpha} and {momentum}")
        super().__init__(parameters, {"lr": lr, "alpha": alpha, "momentum": momentum, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; a `closure` computes the loss and its gradient anew, and its value is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: nn.Parameter, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["square_mean"] = torch.zeros_like(parameter)
            state["velocity"] = torch.zeros_like(parameter)
        square_mean, velocity = state["square_mean"], state["velocity"]
        square_mean.mul_(group["alpha"]).addcmul_(gradient, gradient, value=1 - group["alpha"])
        root = square_mean.sqrt().add_(group["eps"])
        velocity.mul_(group["momentum"]).addcdiv_(gradient, root, value=-group["lr"])
        parameter.addcdiv_(gradient, root, value=-group["lr"]).add_(velocity, alpha=group["momentum"])
