"""Fast dropout against masks that are really drawn, and the recurrent net against torch.nn.RNN."""

import pytest
import torch
import torch.nn.functional as F

from vidpred.errors import ConfigError
from vidpred.nn.fast_dropout import TRANSFERS, FastDropoutLinear, FastDropoutRNN, Moments
from vidpred.ops import ShapeError


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=draws(seed))


def net(inputs: int = 5, hidden: int = 8, **options: object) -> FastDropoutRNN:
    torch.manual_seed(0)
    made = FastDropoutRNN(inputs, hidden, **options)
    torch.nn.init.normal_(made.of_input.bias)
    return made


@pytest.mark.parametrize("trainable", [False, True])
def test_a_layer_has_the_moments_of_masks_drawn_at_random(trainable: bool) -> None:
    layer = FastDropoutLinear(6, 3, rate=0.3, trainable=trainable)
    if trainable:
        torch.nn.init.uniform_(layer.rate_logits, -2, 1, generator=draws(1))
    torch.nn.init.normal_(layer.bias, generator=draws(2))
    mean, var = normal(6, seed=3), normal(6, seed=4).square()
    n = 400_000
    inputs = mean + var.sqrt() * normal(n, 6, seed=5)
    kept = torch.rand(n, 6, generator=draws(6)) >= layer.rate
    with torch.no_grad():
        drawn = F.linear(inputs * kept, layer.weight, layer.bias)
        got = layer(Moments(mean, var))
    torch.testing.assert_close(got.mean, drawn.mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close(got.var, drawn.var(0), rtol=0.02, atol=0)


def test_data_and_moments_without_variance_are_the_same() -> None:
    layer, x = FastDropoutLinear(6, 3, rate=0.3), normal(4, 6)
    for of_data, of_moments in zip(layer(x), layer(Moments.of(x)), strict=True):
        torch.testing.assert_close(of_data, of_moments)
    certain = FastDropoutLinear(6, 3, rate=0)
    assert torch.equal(certain(x).mean, F.linear(x, certain.weight, certain.bias))
    assert torch.equal(certain(x).var, torch.zeros(4, 3))


def test_two_steps_have_about_the_moments_of_masks_drawn_at_random() -> None:
    model = net(10, 12, rate_in=0.2, rate_hidden=0.2, weight_std_in=0.3, incoming=None)
    x, n = normal(2, 10, seed=7), 200_000
    hidden = torch.zeros(n, 12)
    with torch.no_grad():
        for number, step in enumerate(x):
            of_input = step * (torch.rand(n, 10, generator=draws(number)) >= 0.2)
            of_state = hidden * (torch.rand(n, 12, generator=draws(number + 10)) >= 0.2)
            hidden = torch.tanh(
                F.linear(of_input, model.of_input.weight, model.of_input.bias)
                + F.linear(of_state, model.of_state.weight)
            )
        got = model(x.unsqueeze(1))
    mean, var = got.mean[-1, 0], got.var[-1, 0]
    torch.testing.assert_close(mean, hidden.mean(0), rtol=0, atol=0.02)
    assert (var - hidden.var(0)).abs().max() < 0.25 * hidden.var(0).max()


@pytest.mark.parametrize("backwards", [False, True])
def test_without_dropout_it_is_the_recurrent_net_of_torch(backwards: bool) -> None:
    model = net(rate_in=0, rate_hidden=0, backwards=backwards)
    twin = torch.nn.RNN(5, 8)
    weights = (model.of_input.weight, model.of_state.weight, model.of_input.bias, torch.zeros(8))
    for parameter, value in zip(twin.parameters(), weights, strict=True):
        parameter.data.copy_(value.detach())
    x = normal(9, 4, 5)
    expected = twin(x.flip(0))[0].flip(0) if backwards else twin(x)[0]
    got = model(x)
    torch.testing.assert_close(got.mean, expected)
    assert torch.equal(got.var, torch.zeros(9, 4, 8))
    got.mean.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(model.of_state.weight.grad, twin.weight_hh_l0.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_sequence_is_its_steps_one_by_one_and_so_is_its_gradient(trainable: bool, backwards: bool) -> None:
    model = net(trainable=trainable, backwards=backwards).double()
    x = normal(6, 3, 5).double().requires_grad_()
    by_sequence = model(x)
    state, states = model.initial(3, x), []
    for step in x.unbind()[:: -1 if backwards else 1]:
        state = model.step(step, state)
        states.append(state)
    by_step = Moments(*(torch.stack(part[:: -1 if backwards else 1]) for part in zip(*states, strict=True)))
    weights = [x, *model.parameters()]
    noise = normal(2, 6, 3, 8, seed=9).double()
    gradients = [
        torch.autograd.grad((noise[0] * got.mean + noise[1] * got.var).sum(), weights)
        for got in (by_sequence, by_step)
    ]
    torch.testing.assert_close(by_sequence, by_step)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_gradients_are_those_of_finite_differences(transfer: str) -> None:
    model = net(2, 3, transfer=transfer, trainable=True, incoming=None).double()
    names, values = zip(*model.named_parameters(), strict=True)
    valid = torch.tensor([[True, False], [True, True], [True, True]])

    def run(x: torch.Tensor, *parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x, valid)))

    assert torch.autograd.gradcheck(run, (normal(3, 2, 2).double().requires_grad_(), *values))


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("backwards", [False, True])
def test_padding_changes_nothing(rate: float, backwards: bool) -> None:
    model = net(rate_in=rate, rate_hidden=rate, backwards=backwards)
    x, padding = normal(6, 2, 5), normal(4, 2, 5, seed=1)
    whole = model(x)
    real, empty = torch.ones(6, 2, dtype=torch.bool), torch.zeros(4, 2, dtype=torch.bool)
    # A net that runs backwards meets the end first.
    at_front = not backwards
    order = [padding, x] if at_front else [x, padding]
    valid = torch.cat([empty, real] if at_front else [real, empty])
    padded = model(torch.cat(order), valid)
    for part, of_whole in zip(padded, whole, strict=True):
        assert torch.equal(part[valid], of_whole.flatten(0, 1))
        assert not part[~valid].any()


def test_each_sequence_of_a_batch_may_have_its_own_padding() -> None:
    model, x = net(), normal(7, 3, 5)
    valid = torch.arange(7)[:, None] >= torch.tensor([0, 2, 5])
    got = model(x, valid)
    for n, start in enumerate((0, 2, 5)):
        alone = model(x[start:, n : n + 1])
        torch.testing.assert_close(got.mean[start:, n], alone.mean[:, 0])
        torch.testing.assert_close(got.var[start:, n], alone.var[:, 0])


def test_learned_rates_stay_finite_whatever_their_logits() -> None:
    model = net(trainable=True)
    with torch.no_grad():
        model.of_input.rate_logits.copy_(torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4]))
    got = model(normal(4, 2, 5))
    (got.mean.sum() + got.var.sum()).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_rates_of_a_layer_learn() -> None:
    # The smallest variance is that without dropout, so the rates must fall.
    layer = FastDropoutLinear(4, 2, rate=0.3, trainable=True)
    layer(normal(8, 4)).var.sum().backward()
    assert (layer.rate_logits.grad > 0).all()
    assert torch.allclose(layer.rate, torch.full((4,), 0.3))


def test_inference_and_autocast_give_the_values_of_training() -> None:
    model, x = net(), normal(4, 2, 5)
    expected = model(x)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(x), expected)


def test_the_recurrent_weights_are_sparse_and_have_their_spectral_radius() -> None:
    torch.manual_seed(0)
    model = FastDropoutRNN(5, 40, spectral_radius=0.9, incoming=7, weight_std_in=0.2)
    weight = model.of_state.weight.detach()
    assert ((weight != 0).sum(1) <= 7).all()
    assert torch.linalg.eigvals(weight).abs().max().item() == pytest.approx(0.9, rel=1e-4)
    assert model.of_input.weight.std().item() == pytest.approx(0.2, rel=0.15)
    free = FastDropoutRNN(5, 40, spectral_radius=None, incoming=None, weight_std_rec=0.01)
    assert free.of_state.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match=r"0 <= rate < 1, got 1"):
        FastDropoutLinear(2, 2, rate=1)
    with pytest.raises(ConfigError, match=r"0 < rate < 1 where rates are learned, got 0"):
        FastDropoutLinear(2, 2, rate=0, trainable=True)
    with pytest.raises(ConfigError, match="did you mean 'tanh'"):
        FastDropoutRNN(2, 2, transfer="tan")
    with pytest.raises(ShapeError, match=r"\(T, N, 5\), got \(3, 5\)"):
        net()(torch.zeros(3, 5))
    with pytest.raises(ShapeError, match="at least one step"):
        net()(torch.zeros(0, 3, 5))
    with pytest.raises(ShapeError, match=r"valid must have shape \(4, 3\), got \(3, 4\)"):
        net()(torch.zeros(4, 3, 5), torch.ones(3, 4, dtype=torch.bool))
