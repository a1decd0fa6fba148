"""Optimisers and learning rates as the configuration asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from vidpred import schedules
from vidpred.config import OptimConfig
from vidpred.errors import ConfigError
from vidpred.training.nesterov_rmsprop import NesterovRMSprop


def make_optimizer(parameters: Iterable[nn.Parameter], settings: OptimConfig) -> torch.optim.Optimizer:
    """RMSProp, plain or with Nesterov's momentum, or Adam.

    RMSProp's epsilon stands inside the square root in TensorFlow and outside in torch; for the 1e-10 of
    the paper's preset the difference is below rounding except for gradients that vanish altogether.
    """
    if settings.name == "rmsprop":
        return torch.optim.RMSprop(
            parameters,
            lr=settings.learning_rate,
            alpha=settings.decay,
            momentum=settings.momentum,
            eps=settings.epsilon,
        )
    if settings.name == "nesterov_rmsprop":
        return NesterovRMSprop(
            parameters,
            settings.learning_rate,
            alpha=settings.decay,
            momentum=settings.momentum,
            eps=settings.epsilon,
        )
    return torch.optim.Adam(parameters, lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon)


def learning_rate(
    settings: OptimConfig,
    step: int,
    last_step: int | None,
    epoch: int = 0,
    validations: Sequence[tuple[int, float]] = (),
) -> float:
    """The learning rate of a step (the first is 0) in a training of `last_step` steps.

    Args:
        epoch: whole epochs that are over.
        validations: after how many epochs there was a validation, and its loss; in order.

    Raises:
        ConfigError: the cosine schedule is asked for and the number of steps is not known.
    """
    factor = schedules.warmup(step, settings.warmup)
    if settings.schedule == "cosine":
        if last_step is None:
            raise ConfigError(
                "optim.schedule 'cosine' needs to know when training ends: set train.steps or train.epochs"
            )
        factor *= schedules.cosine(step, last_step, settings.floor)
    elif settings.schedule == "step":
        factor *= schedules.staircase(step, settings.step_every, settings.step_factor)
    elif settings.schedule == "stall":
        since = schedules.stalled(validations, settings.stall_epochs, settings.stalls)
        if since is not None:
            factor *= schedules.staircase(epoch - since, settings.stall_every, settings.step_factor)
    return settings.learning_rate * factor
