"""Fast dropout (Wang & Manning 2013): layers that pass on the mean and variance that dropout would cause.

No mask is drawn. A sum of many inputs, each kept with probability d, is close to a normal variable, so two
numbers describe it, and the net is deterministic (seed 003, appendix "FD RNNs").
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from vidpred.errors import ConfigError, unknown_name
from vidpred.nn.initialization import scale_spectral_radius_, sparse_normal_
from vidpred.nn.transfer import TRANSFERS, Moments, Transfer, expected_sigmoid_logits
from vidpred.ops import ShapeError

__all__ = [
    "TRANSFERS",
    "FastDropoutLinear",
    "FastDropoutRNN",
    "Moments",
    "Transfer",
    "expected_sigmoid_logits",
]


class Factors(NamedTuple):
    """What a layer multiplies with: E = E[x] mean^T, V = (V[x] + rate E[x]²) var^T."""

    mean: Tensor  # (outputs, inputs), d W
    var: Tensor  # (outputs, inputs), d W²
    rate: Tensor | float  # (inputs,) or one for all, 1 - d


class FastDropoutLinear(nn.Module):
    """A linear layer whose inputs are dropped with a given probability, on moments::

        E = d E[x] W + b
        V = ((1 - d) d E[x]² + d V[x]) W²,        d = 1 - rate

    Means are not divided by d, in training or after it: the net is always the average over all masks.

    Args:
        inputs, outputs: units.
        rate: probability that an input is dropped, 0 <= rate < 1.
        trainable: learn the rates, one for each input, all `rate` at first (seed 003, "Details on Learning").
        bias: whether there is one.

    Attributes:
        weight: (outputs, inputs), Glorot uniform.
        bias: (outputs,), zeros; or None.
        rate_logits: (inputs,), the logits of the rates; or None where they are fixed.

    Raises:
        ConfigError: a rate out of range; 0 is, where rates are learned.
    """

    def __init__(
        self, inputs: int, outputs: int, *, rate: float = 0.1, trainable: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        if not 0 <= rate < 1 or (trainable and rate == 0):
            expected = "0 < rate < 1 where rates are learned" if trainable else "0 <= rate < 1"
            raise ConfigError(f"the dropout rate of a layer must fulfil {expected}, got {rate}")
        self.inputs, self.outputs = inputs, outputs
        self.fixed_rate = rate
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.xavier_uniform_(self.weight)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        logit = math.log(rate / (1 - rate)) if trainable else 0.0
        self.rate_logits = nn.Parameter(torch.full((inputs,), logit)) if trainable else None

    @property
    def rate(self) -> Tensor | float:
        """The probability that an input is dropped: (inputs,) where it is learned, else one number."""
        return self.fixed_rate if self.rate_logits is None else self.rate_logits.sigmoid()

    @property
    def certain(self) -> bool:
        """Whether no input is ever dropped."""
        return self.rate_logits is None and self.fixed_rate == 0

    def factors(self) -> Factors:
        """The matrices that the moments are multiplied with; to be asked for once where it is used often."""
        if self.rate_logits is None:
            keep: Tensor | float = 1 - self.fixed_rate
        else:
            keep = (-self.rate_logits).sigmoid()
        kept = self.weight * keep
        return Factors(kept, kept * self.weight, self.rate)

    def forward(self, x: Moments | Tensor) -> Moments:
        """(..., inputs) -> Moments of (..., outputs). A tensor is data without variance, which costs less.

        Raises:
            ShapeError: the last dimension is not `inputs`.
        """
        x = _prepared("FastDropoutLinear", x, self.weight)
        with torch.autocast(self.weight.device.type, enabled=False):
            return _linear(x, self.factors(), self.bias)

    def extra_repr(self) -> str:
        """What `print` shows."""
        rate = "trainable" if self.rate_logits is not None else self.fixed_rate
        return f"{self.inputs}, {self.outputs}, rate={rate}, bias={self.bias is not None}"


class FastDropoutRNN(nn.Module):
    """A simple recurrent net with fast dropout on its inputs and its state (seed 003, appendix), time first::

        E[a_t], V[a_t] = fast dropout of x_t W_in + h_{t-1} W_rec, plus b
        E[h_t], V[h_t] = moments of f(a_t) for normal a_t

    The products with W_in run once for all steps. At the rates 0, on data, it is `torch.nn.RNN`.

    Weights are drawn as Sutskever et al. 2013 do (seed 003, table 2): W_in from N(0, std²), W_rec from
    N(0, std²) with few connections to each unit, then scaled to its spectral radius.

    Args:
        inputs, hidden: units.
        transfer: f, a name in `TRANSFERS`.
        rate_in, rate_hidden: dropout rates of x and h.
        trainable: learn the rates, one for each unit.
        backwards: from the last step to the first.
        weight_std_in: standard deviation of W_in.
        weight_std_rec: that of W_rec; without effect where the spectral radius is set.
        spectral_radius: largest absolute eigenvalue of W_rec; None leaves it as drawn. The mean is also
            multiplied by d = 1 - rate_hidden.
        incoming: largest number of recurrent connections to a unit; None for all.

    Raises:
        ConfigError: an unknown transfer function, a rate, deviation, radius or number out of range.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        transfer: str = "tanh",
        rate_in: float = 0.1,
        rate_hidden: float = 0.1,
        trainable: bool = False,
        backwards: bool = False,
        weight_std_in: float = 0.1,
        weight_std_rec: float = 0.1,
        spectral_radius: float | None = 1.1,
        incoming: int | None = 15,
    ) -> None:
        super().__init__()
        if transfer not in TRANSFERS:
            raise unknown_name("transfer function", transfer, TRANSFERS)
        self.hidden = hidden
        self.transfer = transfer
        self.backwards = backwards
        self.of_input = FastDropoutLinear(inputs, hidden, rate=rate_in, trainable=trainable)
        self.of_state = FastDropoutLinear(hidden, hidden, rate=rate_hidden, trainable=trainable, bias=False)
        sparse_normal_(self.of_input.weight, weight_std_in)
        sparse_normal_(self.of_state.weight, weight_std_rec, incoming)
        if spectral_radius is not None:
            scale_spectral_radius_(self.of_state.weight, spectral_radius)

    def forward(self, x: Moments | Tensor, valid: Tensor | None = None) -> Moments:
        """All steps.

        Args:
            x: (T, N, inputs), T >= 1; a tensor is data without variance.
            valid: (T, N), False where a sequence is padded: there the state stays 0, so that padding before
                the first step (after the last one, for a net that runs backwards) changes nothing.

        Returns:
            Moments of (T, N, hidden), the state after every step.

        Raises:
            ShapeError: tensors of other shapes.
        """
        x = _prepared("FastDropoutRNN", x, self.of_input.weight, dims=3)
        steps = x.mean.shape[:2] if isinstance(x, Moments) else x.shape[:2]
        if valid is not None and valid.shape != steps:
            raise ShapeError(
                f"FastDropoutRNN: valid must have shape {tuple(steps)}, got {tuple(valid.shape)}"
            )
        with torch.autocast(self.of_input.weight.device.type, enabled=False):
            summed = _linear(x, self.of_input.factors(), self.of_input.bias)
            certain = isinstance(x, Tensor) and self.of_input.certain and self.of_state.certain
            padded = None if valid is None else ~valid
            if self.backwards:
                summed = _reversed(summed)
                padded = None if padded is None else padded.flip(0)
            states = self._certain_states(summed, padded) if certain else self._states(summed, padded)
            return _reversed(states) if self.backwards else states

    def step(self, x: Moments | Tensor, state: Moments) -> Moments:
        """One step: (N, inputs) and the state so far, (N, hidden), -> the next state.

        For a net that runs backwards the next state is that of the step before.
        """
        x = _prepared("FastDropoutRNN", x, self.of_input.weight, dims=2)
        with torch.autocast(self.of_input.weight.device.type, enabled=False):
            summed = _linear(x, self.of_input.factors(), self.of_input.bias)
            past = _linear(state, self.of_state.factors(), None)
            return TRANSFERS[self.transfer](Moments(summed.mean + past.mean, summed.var + past.var))

    def initial(self, batch: int, like: Tensor | None = None) -> Moments:
        """The state before the first step: zeros, (batch, hidden), of the dtype and device of `like`."""
        like = self.of_input.weight if like is None else like
        return Moments.of(like.new_zeros(batch, self.hidden))

    def _states(self, summed: Moments, padded: Tensor | None) -> Moments:
        """The states, from what the inputs contribute to each."""
        factors = self.of_state.factors()
        rate = torch.as_tensor(factors.rate, dtype=summed.mean.dtype, device=summed.mean.device)
        run = _Recurrence.apply if torch.is_grad_enabled() else _recur
        return Moments(*run(TRANSFERS[self.transfer], padded, *summed, factors.mean, factors.var, rate))

    def _certain_states(self, summed: Moments, padded: Tensor | None) -> Moments:
        """The same of a net where nothing varies, because nothing is dropped."""
        transfer, weight = TRANSFERS[self.transfer].plain, self.of_state.weight.t()
        state, states = summed.mean.new_zeros(summed.mean.shape[1:]), []
        for from_input, padding in zip(summed.mean.unbind(), _where_any(padded, summed.mean), strict=True):
            state = transfer(torch.addmm(from_input, state, weight))
            state = state if padding is None else state.masked_fill(padding, 0)
            states.append(state)
        return Moments.of(torch.stack(states))


class _Recurrence(Function):
    """`_recur` with the gradient of the weights in one product over all steps, not one for each.

    Autograd differentiates the loop with respect to the sums a_t alone; all else follows from that.
    """

    @staticmethod
    def forward(
        ctx: Any,
        transfer: Transfer,
        padded: Tensor | None,
        mean: Tensor,
        var: Tensor,
        weight_mean: Tensor,
        weight_var: Tensor,
        rate: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.summed = Moments(mean.detach().requires_grad_(), var.detach().requires_grad_())
        with torch.enable_grad():
            weights = (part.detach() for part in (weight_mean, weight_var, rate))
            ctx.states = Moments(*_recur(transfer, padded, *ctx.summed, *weights))
        ctx.save_for_backward(weight_var, rate)
        return ctx.states.mean.detach(), ctx.states.var.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_var: Tensor) -> tuple[Tensor | None, ...]:
        weight_var, rate = ctx.saved_tensors
        of_sums = torch.autograd.grad(ctx.states, ctx.summed, (of_mean, of_var), retain_graph=True)
        before = Moments(*(F.pad(part.detach()[:-1], (0, 0, 0, 0, 1, 0)) for part in ctx.states))
        squared = before.mean.square()
        spread = before.var + rate * squared
        means, variances = (part.flatten(0, 1) for part in of_sums)
        of_rate = None
        if ctx.needs_input_grad[6]:
            of_rate = ((variances @ weight_var) * squared.flatten(0, 1)).sum_to_size(rate.shape)
        return (
            None,
            None,
            *of_sums,
            means.t() @ before.mean.flatten(0, 1),
            variances.t() @ spread.flatten(0, 1),
            of_rate,
        )


def _recur(
    transfer: Transfer,
    padded: Tensor | None,
    mean: Tensor,
    var: Tensor,
    weight_mean: Tensor,
    weight_var: Tensor,
    rate: Tensor,
) -> Moments:
    """Sums from the inputs, (T, N, hidden), and the `Factors` of the state -> the states, (T, N, hidden)."""
    state = Moments.of(mean.new_zeros(mean.shape[1:]))
    states = []
    weight_mean, weight_var = weight_mean.t(), weight_var.t()
    for mean_in, var_in, padding in zip(mean.unbind(), var.unbind(), _where_any(padded, mean), strict=True):
        spread = torch.addcmul(state.var, state.mean, state.mean * rate)
        summed = Moments(
            torch.addmm(mean_in, state.mean, weight_mean), torch.addmm(var_in, spread, weight_var)
        )
        state = transfer(summed)
        if padding is not None:
            state = Moments(*(part.masked_fill(padding, 0) for part in state))
        states.append(state)
    means, variances = zip(*states, strict=True)
    return Moments(torch.stack(means), torch.stack(variances))


def _linear(x: Moments | Tensor, factors: Factors, bias: Tensor | None) -> Moments:
    if isinstance(x, Moments):
        spread: Tensor | None = x.var + factors.rate * x.mean.square()
    elif isinstance(factors.rate, Tensor) or factors.rate > 0:  # else nothing varies
        spread = factors.rate * x.square()
    else:
        spread = None
    mean = F.linear(x.mean if isinstance(x, Moments) else x, factors.mean, bias)
    return Moments.of(mean) if spread is None else Moments(mean, F.linear(spread, factors.var))


def _where_any(padded: Tensor | None, steps: Tensor) -> list[Tensor | None]:
    """For each of T steps the padded sequences, (N, 1), or None where there are none."""
    if padded is None:
        return [None] * len(steps)
    columns = padded.unsqueeze(-1).unbind()
    return [column if some else None for column, some in zip(columns, padded.any(1).tolist(), strict=True)]


def _reversed(x: Moments) -> Moments:
    return Moments(x.mean.flip(0), x.var.flip(0))


def _prepared(module: str, x: Moments | Tensor, weight: Tensor, dims: int | None = None) -> Moments | Tensor:
    """`x` in the precision of `weight`, once its shape is known to be right."""
    units = weight.shape[1]
    parts = x if isinstance(x, Moments) else (x,)
    for part in parts:
        if part.dim() == 0 or part.shape[-1] != units or (dims is not None and part.dim() != dims):
            expected = {None: "(..., {})", 2: "(N, {})", 3: "(T, N, {})"}[dims].format(units)
            raise ShapeError(f"{module}: x must have shape {expected}, got {tuple(part.shape)}")
    if dims == 3 and len(parts[0]) == 0:
        raise ShapeError(f"{module}: x must have at least one step, got {tuple(parts[0].shape)}")
    return Moments(*(part.to(weight.dtype) for part in x)) if isinstance(x, Moments) else x.to(weight.dtype)
