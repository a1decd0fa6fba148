"""VRAE, VOSP and the RNN they are compared with (seed 003)."""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

from vidpred import create_model
from vidpred.errors import ConfigError, DataError
from vidpred.models.fdrnn import FDRNN
from vidpred.models.latent_sequence import LatentSequenceModel
from vidpred.models.vosp import VOSP, tempered_weights
from vidpred.models.vrae import VRAE
from vidpred.nn.distributions import Gaussian
from vidpred.nn.fast_dropout import Moments

LATENT = ("vrae", "vosp")
ALL = (*LATENT, "fdrnn")


def model(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    as_printed = {} if name == "fdrnn" else {"posterior": "independent", "spread": "dropout"}
    made = create_model(name, "tiny", size=(1, 12), **({"hidden": 7} | as_printed | options))
    return made.double().eval()


def rolls(batch: int = 3, steps: int = 6, seed: int = 0) -> Tensor:
    drawn = torch.rand(batch, steps, 1, 1, 12, generator=torch.Generator().manual_seed(seed))
    return (drawn < 0.3).double()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "options",
    [{}, {"output": "gaussian"}, {"dropout": 0.0, "learn_dropout": False}, {"posterior": "chain"}],
)
def test_padding_in_front_changes_nothing_and_costs_nothing(name: str, options: dict[str, Any]) -> None:
    if name == "fdrnn":
        options = {key: options[key] for key in options.keys() & {"output", "dropout"}}
    elif not options.get("dropout", 1):
        options = options | {"spread": "head"}
    net = model(name, **options)
    frames = rolls()
    padding = rolls(steps=4, seed=1)  # whatever stands there
    padded = torch.cat([padding, frames], dim=1)
    lengths = torch.full((3,), 6)
    whole, cut = total(net, frames, None), total(net, padded, lengths)
    torch.testing.assert_close(cut, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_the_loss_of_a_batch_is_the_mean_over_its_steps(name: str) -> None:
    net = model(name)
    frames = rolls()
    lengths = torch.tensor([6, 2, 5])
    together = deterministic_loss(net, frames, lengths)
    apart = [
        deterministic_loss(net, frames[n : n + 1, 6 - k :], None) * k for n, k in enumerate(lengths.tolist())
    ]
    torch.testing.assert_close(together, sum(apart, torch.zeros(())) / lengths.sum(), check_dtype=False)


def total(net: Any, frames: Tensor, lengths: Tensor | None) -> Tensor:
    """Of every sequence, with nothing random."""
    if isinstance(net, FDRNN):
        return net.negative_log_likelihood(frames, lengths=lengths)
    with no_noise():
        return net.bound(frames, lengths=lengths).one


def deterministic_loss(net: Any, frames: Tensor, lengths: Tensor | None) -> Tensor:
    with no_noise(), torch.no_grad():
        return net.loss(frames, lengths=lengths)["loss"]


def no_noise() -> Any:
    return patch("torch.randn", lambda shape, **rest: torch.zeros(shape, dtype=rest.get("dtype")))


@pytest.mark.parametrize("name", ["vosp", "fdrnn"])
@pytest.mark.parametrize("step", [0, 3, 5])
def test_one_step_predictions_flow_only_from_the_past(name: str, step: int) -> None:
    net: VOSP | FDRNN = model(name)
    frames = rolls()
    changed = frames.clone()
    changed[:, step] = 1 - changed[:, step]
    before, after = net.one_step(frames), net.one_step(changed)
    assert torch.equal(before[:, : step + 1], after[:, : step + 1])
    if step < 5:
        assert (before[:, step + 1] != after[:, step + 1]).any()


@pytest.mark.parametrize("step", [0, 3, 5])
def test_vosp_cleans_a_step_from_itself_and_the_past(step: int) -> None:
    net = model("vosp")
    frames = rolls()
    changed = frames.clone()
    changed[:, step] = 1 - changed[:, step]
    before, after = net.reconstruct(frames), net.reconstruct(changed)
    assert torch.equal(before[:, :step], after[:, :step])
    assert (before[:, step] != after[:, step]).any()


@pytest.mark.parametrize("posterior", ["chain", "independent"])
def test_a_filter_is_one_step_prediction_corrected_by_what_is_seen(posterior: str) -> None:
    """With a correction that trusts the frame it predicts what `one_step` does; padding changes nothing."""
    net = model("vosp", posterior=posterior, spread="head")
    frames, told = rolls(), []

    def trust(expected: Tensor, frame: Tensor) -> Tensor:
        told.append(expected)
        return frame

    with patch.object(net.prior, "continue_from", lambda past, *_: past[-1:]):  # the mean for the draw
        assert torch.equal(net.filter(frames, trust), frames)
    torch.testing.assert_close(torch.stack(told, dim=1), net.one_step(frames))

    def half(expected: Tensor, frame: Tensor) -> Tensor:
        return (expected + frame) / 2

    with patch.object(net.prior, "continue_from", lambda past, *_: past[-1:]):
        cleaned = net.filter(frames, half)
        padded = torch.cat([rolls(steps=4, seed=1), frames], dim=1)
        again = net.filter(padded, half, lengths=torch.full((3,), 6))[:, 4:]
    torch.testing.assert_close(again, cleaned)
    assert (cleaned != (net.one_step(frames) + frames) / 2).any()  # it goes on from what it has cleaned


@pytest.mark.parametrize("name", LATENT)
@pytest.mark.parametrize("posterior", ["independent", "chain"])
def test_what_stands_in_a_gap_does_not_matter(name: str, posterior: str) -> None:
    net = model(name, posterior=posterior)
    frames, gap = rolls(batch=1)[0], slice(2, 4)
    filled = net.fill(frames, gap, 5, generator=torch.Generator().manual_seed(3))
    assert filled.shape == (2, 1, 1, 12)
    frames[gap] = float("nan")
    again = net.fill(frames, gap, 5, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(again, filled, rtol=0, atol=0)
    for wrong in (slice(0, 2), slice(4, 6), slice(3, 3)):
        with pytest.raises(DataError, match="a gap needs a known step before and after it"):
            net.fill(frames, wrong, 5)
    with pytest.raises(ConfigError, match="filling a gap needs the prior 'wiener', got 'white'"):
        model(name, prior="white").fill(frames, gap, 5)


@pytest.mark.parametrize(("posterior", "std"), [("independent", 3.0), ("chain", 5.0)])
def test_vosp_fills_a_gap_as_all_ways_through_it_say(posterior: str, std: float) -> None:
    """Where z has no influence, Bayes' rule over all 16 ways through two steps of two values."""
    torch.manual_seed(0)
    options = {"latent": 1, "posterior": posterior, "spread": "head", "posterior_std": std}
    net = create_model("vosp", "tiny", size=(1, 2), hidden=7, weight_std_in=2.0, **options).double().eval()
    for weight in (net.of_latent.weight, net.posterior.linear.weight, net.posterior.spread.weight):
        torch.nn.init.zeros_(weight)
    frames = torch.tensor([[1, 0], [0, 0], [0, 0], [0, 0], [1, 1], [0, 1]]).double().view(6, 1, 1, 2)
    ways = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double().view(16, 2, 1, 1, 2)
    memory, evidence = net.memory.initial(16, frames), torch.zeros(16, 2).double()
    for t, frame in enumerate(frames):
        x = ways[:, t - 2] if t in (2, 3) else frame.expand(16, 1, 1, 2)
        nats = net.output.log_prob(net.generate(torch.zeros(16, 1).double(), memory), x)
        evidence[:, int(t > 3)] += nats
        memory = net.memory.step(x.flatten(1), memory)
    blind, expected = (
        torch.tensordot(weights.softmax(0), ways, dims=1) for weights in (evidence[:, 0], evidence.sum(1))
    )
    assert (blind - expected).abs().max() > 0.1
    with patch("vidpred.models.vosp.tempered_weights", lambda evidence: evidence.softmax(0)):
        filled = net.fill(frames, slice(2, 4), 100_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(filled, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("posterior", ["independent", "chain"])
def test_vosp_fills_a_gap_as_all_z_say(posterior: str) -> None:
    """One step is known before and one after a lost one: 4 ways and a grid of z, by Bayes' rule."""
    torch.manual_seed(0)
    options = {"latent": 1, "posterior": posterior, "spread": "head", "posterior_std": 2.0}
    net = create_model("vosp", "tiny", size=(1, 2), hidden=7, weight_std_in=2.0, **options).double().eval()
    frames = torch.tensor([[1, 0], [0, 0], [1, 1]]).double().view(3, 1, 1, 2)
    ways = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2))).double().view(4, 1, 1, 2)
    grid = torch.linspace(-9, 9, 361).double()[:, None]
    one = net.memory.step(frames[:1].flatten(1), net.memory.initial(1, frames))
    before = net.follow(torch.zeros(1, 1).double(), net.posterior(one))
    lost = Gaussian(before.mean, (before.std.square() + 1).sqrt()).log_prob(grid)[:, 0]  # log p(z_2)
    moved = Gaussian(grid.T, torch.ones(1, 1).double()).log_prob(grid).T  # (z_2, z_3), log p(z_3 | z_2)
    evidence = []
    for way in ways:
        x = way.expand(len(grid), 1, 1, 2)
        nats = net.output.log_prob(net.generate(grid, Moments(*(m.expand(len(grid), -1) for m in one))), x)
        two = net.memory.step(way.flatten(1)[None, 0].view(1, 2), one)
        seen = Moments(*(m.expand(len(grid), -1) for m in two))
        after = net.output.log_prob(net.generate(grid, seen), frames[2].expand_as(x))
        evidence.append((lost + nats + (moved + after).logsumexp(dim=1)).logsumexp(dim=0))
    expected = torch.tensordot(torch.stack(evidence).softmax(0), ways, dims=1)
    with patch("vidpred.models.vosp.tempered_weights", lambda evidence: evidence.softmax(0)):
        filled = net.fill(frames, slice(1, 2), 100_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(filled[0], expected.detach(), rtol=0, atol=0.018)


def test_a_single_way_through_a_gap_counts_as_much_as_what_was_predicted() -> None:
    net = model("vosp", posterior="chain", latent=1)
    torch.nn.init.zeros_(net.of_latent.weight)
    frames = rolls(batch=1)[0]
    hidden = net.memory(frames[:2].flatten(1)[:, None])
    last = Moments(*(moment[-1] for moment in hidden))
    predicted = net.output.expected(net.generate(torch.zeros(1, 1).double(), last))
    drawn = 2 * net.fill(frames, slice(2, 3), 1, generator=torch.Generator().manual_seed(0)) - predicted
    torch.testing.assert_close(drawn, drawn.round(), rtol=0, atol=1e-12)
    assert drawn.detach().unique().tolist() == [0, 1]


def test_sixteen_steps_after_a_gap_tell_what_stood_in_it() -> None:
    net = model("vosp", posterior="chain")
    frames = rolls(batch=1, steps=20)[0]

    def filled(changed: int | None) -> Tensor:
        other = frames.clone()
        if changed is not None:
            other[changed] = 1 - other[changed]
        return net.fill(other, slice(2, 3), 5, generator=torch.Generator().manual_seed(0))

    assert torch.equal(filled(19), filled(None))
    assert not torch.equal(filled(18), filled(None))


def test_vrae_fills_a_gap_from_z_half_way() -> None:
    """A lost step is generated from the mean of both z beside it and noise of variance 1/2."""
    net = model("vrae", latent=2, weight_std_in=1.0)
    frames, samples = rolls(batch=1, steps=5)[0], 20_000
    generator = torch.Generator().manual_seed(1)

    def noise(steps: int) -> Tensor:
        return torch.randn(steps, samples, 2, generator=generator, dtype=torch.float64)

    sides = []
    for part in (frames[:3], frames[4:]):
        x = part.flatten(1)[:, None]
        both = [net.recognise_forwards(x), net.recognise_backwards(x)]
        told = net.posterior(Moments(*(torch.cat(pair, dim=-1) for pair in zip(*both, strict=True))))
        sides.append(told.mean + told.std * noise(len(part)))
    half_way = (sides[0][-1:] + sides[1][:1]) / 2 + 0.5**0.5 * noise(1)
    given = net.generate(torch.cat([sides[0], half_way, sides[1]]), None, None)
    expected = net.output.expected(given)[3].mean(dim=0)
    filled = net.fill(frames, slice(3, 4), samples, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(filled[0], expected.detach(), rtol=0, atol=0.01)


def test_weights_are_those_of_bayes_unless_too_few_draws_would_decide() -> None:
    evidence = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(tempered_weights(evidence), evidence.softmax(0))
    tempered = tempered_weights(30 * evidence)
    assert 0.1 <= 1 / tempered.square().sum().item() / 400 < 0.105
    exponent = (tempered.log() - tempered.log().mean()) / (30 * (evidence - evidence.mean()))
    assert exponent.std() < 1e-9  # a power of the likelihood
    torch.testing.assert_close(tempered_weights(torch.full((5,), -1e9)), torch.full((5,), 0.2))


def test_vrae_sees_the_whole_sequence() -> None:
    net = model("vrae")
    frames = rolls()
    changed = frames.clone()
    changed[:, -1] = 1 - changed[:, -1]
    assert (net.reconstruct(frames)[:, 0] != net.reconstruct(changed)[:, 0]).any()


def test_vosp_is_the_formulas_of_section_3_2() -> None:
    """Without dropout a plain tanh network, written out in NumPy; the noise is zero."""
    net = model("vosp", dropout=0.0, learn_dropout=False, spread="head", latent=2)
    frames = rolls(batch=1, steps=3)
    weights = {name: value.detach().numpy() for name, value in net.named_parameters()}
    h, mu_before, sigma_before, nats = np.zeros(7), np.zeros(2), np.zeros(2), 0.0
    for x in frames[0].flatten(1).numpy():
        h_before = h
        h = np.tanh(
            weights["memory.of_input.weight"] @ x
            + weights["memory.of_input.bias"]
            + weights["memory.of_state.weight"] @ h
        )
        mu = weights["posterior.linear.weight"] @ h + weights["posterior.linear.bias"]
        sigma = (
            np.log1p(np.exp(weights["posterior.spread.weight"] @ h + weights["posterior.spread.bias"])) + 1e-4
        )
        mixed = np.tanh(
            weights["of_memory.weight"] @ h_before
            + weights["of_memory.bias"]
            + weights["of_latent.weight"] @ mu
        )
        logits = weights["output.linear.weight"] @ mixed + weights["output.linear.bias"]
        p = 1 / (1 + np.exp(-logits))
        nats -= (x * np.log(p) + (1 - x) * np.log(1 - p)).sum()
        nats += (0.5 * ((mu - mu_before) ** 2 + sigma**2 + sigma_before**2 - 1) - np.log(sigma)).sum()
        mu_before, sigma_before = mu, sigma
    assert total(net, frames, None).item() == pytest.approx(nats, rel=1e-9)


@pytest.mark.parametrize("name", LATENT)
@pytest.mark.parametrize("latent_dropout", [None, 0.0])
def test_z_has_a_dropout_rate_of_its_own(name: str, latent_dropout: float | None) -> None:
    """In the first step nothing but z comes in: without dropout of z the hidden layer is certain."""
    net = model(name, dropout=0.3, latent_dropout=latent_dropout, latent=2)
    seen_by_output: list[Any] = []
    net.output.register_forward_pre_hook(lambda _, given: seen_by_output.append(given[0]))
    nothing = net.memory.initial(3) if name == "vosp" else None
    net.generate(torch.ones(1, 3, 2, dtype=torch.float64), nothing, None)
    [hidden] = seen_by_output
    assert (hidden.var.max().item() < 1e-15) == (latent_dropout == 0)


def test_vrae_is_two_networks_in_both_directions() -> None:
    """Against torch's own bidirectional RNN."""
    net: VRAE = model("vrae", dropout=0.0, learn_dropout=False, spread="head", latent=2)
    frames = rolls()
    x = frames.flatten(2)
    posterior, _ = net.recognise(frames.transpose(0, 1), torch.ones(6, 3, dtype=torch.bool))
    hidden = in_both_directions(net.recognise_forwards, net.recognise_backwards, x)
    expected = hidden @ net.posterior.linear.weight.t() + net.posterior.linear.bias
    torch.testing.assert_close(posterior.mean.transpose(0, 1), expected)
    hidden = in_both_directions(net.generate_forwards, net.generate_backwards, expected)
    logits = hidden @ net.output.linear.weight.t() + net.output.linear.bias
    torch.testing.assert_close(net.reconstruct(frames).flatten(2), logits.sigmoid())


def in_both_directions(forwards: Any, backwards: Any, x: Tensor) -> Tensor:
    network = torch.nn.RNN(x.shape[-1], 7, bidirectional=True, batch_first=True).double()
    with torch.no_grad():
        for end, part in (("", forwards), ("_reverse", backwards)):
            getattr(network, f"weight_ih_l0{end}").copy_(part.of_input.weight)
            getattr(network, f"weight_hh_l0{end}").copy_(part.of_state.weight)
            getattr(network, f"bias_ih_l0{end}").copy_(part.of_input.bias)
            getattr(network, f"bias_hh_l0{end}").zero_()
    hidden: Tensor = network(x)[0]
    return hidden


@pytest.mark.parametrize("posterior", ["independent", "chain"])
@pytest.mark.parametrize("name", LATENT)
def test_more_samples_tighten_the_weighted_bound(name: str, posterior: str) -> None:
    net: LatentSequenceModel = model(name, posterior=posterior, spread="head")
    frames = rolls(batch=40)
    few, many = (net.bound(frames, k, generator=torch.Generator().manual_seed(1)) for k in (2, 200))
    assert many.weighted.mean() < few.weighted.mean() < few.one.mean() + 0.1
    assert abs(few.one.mean() - many.one.mean()) < 0.5


@pytest.mark.parametrize("name", LATENT)
def test_the_weighted_bound_of_one_step_approaches_the_likelihood(name: str) -> None:
    """With one latent dimension and one step, -log of the integral over z can be had by quadrature."""
    net: LatentSequenceModel = model(name, latent=1, prior="white", spread="head")
    frames = rolls(batch=4, steps=1)
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    time_first = frames.transpose(0, 1)
    valid = torch.ones(1, 4, dtype=torch.bool)
    with torch.no_grad():
        _, seen = net.recognise(time_first, valid)
        each = [
            net.output.log_prob(
                net.generate(torch.full((1, 4, 1), value, dtype=torch.float64), seen, valid), time_first
            )
            for value in z.tolist()
        ]
    density = torch.stack(each)[:, 0].exp() * torch.from_numpy(weight / weight.sum())[:, None]
    found = net.bound(frames, 5000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.weighted, -density.sum(dim=0).log(), atol=0.07, rtol=0)
    assert (found.one > found.weighted).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("decoding", ["mean", "sample"])
def test_predictions_go_on_from_the_context(name: str, decoding: str) -> None:
    net = model(name, decoding=decoding)
    future = net.predict(rolls(), 4, generator=torch.Generator().manual_seed(0))
    assert future.shape == (3, 4, 1, 1, 12)
    assert (future >= 0).all()
    assert (future <= 1).all()
    assert (future.unique().tolist() == [0, 1]) == (decoding == "sample")
    again = net.predict(rolls(), 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(future, again)
    certain = net.predict(rolls(), 4, sample=False)
    assert torch.equal(net.predict(rolls(), 4, sample=False), certain)
    assert net.stochastic == (name != "fdrnn" or decoding == "sample")
    made = net.synthesise(2, 5, torch.Generator().manual_seed(0))
    assert made.shape == (2, 5, 1, 1, 12)


@pytest.mark.parametrize("name", ALL)
def test_frames_go_through_the_encoder_and_decoder_of_the_vrnn(name: str) -> None:
    net = create_model(name, "tiny", size=16, widths=(4, 8), kernels=(3, 3))
    frames = torch.rand(2, 5, 1, 16, 16)
    net.loss(frames)["loss"].backward()
    for key, value in net.named_parameters():
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key
        assert value.grad.any() or "rate" in key, key
    assert net.predict(frames, 3).shape == (2, 3, 1, 16, 16)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("coder", [{}, {"widths": (4, 8), "kernels": (3, 3)}])
def test_fresh_values_are_as_likely_as_the_output_bias_says(name: str, coder: dict[str, Any]) -> None:
    """Whatever the scale of the weights; behind a decoder the layers before it still learn."""
    net = create_model(name, "tiny", size=16, weight_std_in=0.01, output_bias=-2.0, **coder)
    frames = torch.rand(2, 5, 1, 16, 16)
    expected = net.predict(frames, 3)
    assert expected.logit().mean().item() == pytest.approx(-2, abs=0.3)
    net.loss(frames)["loss"].backward()
    assert net.output.linear.weight.grad.any()


def test_a_process_is_as_smooth_as_its_length_says() -> None:
    near, far = (
        model("vosp", prior="rbf", prior_length=length, prior_jitter=0.01, latent=4).prior.covariance(5)
        for length in (1.0, 20.0)
    )
    torch.testing.assert_close(near.diagonal(), torch.full((5,), 1.01, dtype=torch.float64))
    assert near[0, 4] < 0.01 < 0.9 < far[0, 4]


@pytest.mark.parametrize("name", LATENT)
def test_half_precision_leaves_the_divergence_its_own(name: str) -> None:
    """1 - v and v of the chain cancel: rounded to bfloat16, z would tell for nothing."""
    net = create_model(name, "tiny", size=(1, 12), hidden=7, posterior="chain", spread="head").eval()
    with torch.no_grad():
        net.posterior.spread.bias.fill_(20.0)
    frames = rolls().float()
    expected = net.loss(frames)["kl"]
    with torch.autocast("cpu", torch.bfloat16):
        found = net.loss(frames)["kl"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("name", ALL)
def test_training_learns_a_repeating_chord(name: str) -> None:
    net = create_model(name, "tiny", size=(1, 12))
    frames = torch.zeros(8, 12, 1, 1, 12)
    for start in range(8):
        for step in range(12):
            frames[start, step, 0, 0, (start + step) % 4 * 3] = 1
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    first = net.loss(frames)["loss"].item()
    for _ in range(150):
        optimiser.zero_grad()
        loss = net.loss(frames)["loss"]
        loss.backward()
        optimiser.step()
    assert loss.item() < first / 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vrae", {"output": "poisson"}, "output"),
        ("vosp", {"prior": "brownian"}, "prior"),
        ("vosp", {"prior": "rbf"}, "'chain' needs the prior 'wiener', got 'rbf'"),
        ("fdrnn", {"dropout": 1.0}, "dropout"),
        ("vrae", {"dropout": 0.0}, "learn"),
        ("vosp", {"dropout": 0.0, "learn_dropout": False, "spread": "dropout"}, "model.spread=head"),
        ("vosp", {"posterior_std": 0.1, "spread": "dropout"}, "model.spread=head"),
        ("vrae", {"prior_length": 3.0}, "'wiener' has no length, got model.prior_length=3"),
        ("vrae", {"prior_jitter": 0.1}, "'wiener' has no jitter, got model.prior_jitter=0.1"),
        (
            "vrae",
            {"prior": "white", "posterior": "independent", "prior_length": 3.0},
            "'white' has no length",
        ),
    ],
)
def test_what_does_not_fit_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_model(name, "tiny", size=(1, 12), **options)
