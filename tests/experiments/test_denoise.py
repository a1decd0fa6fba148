"""denoise on small networks, against brute force."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from rolls import experiment, results, tried

from vidpred.experiments import denoise as denoise_module
from vidpred.experiments.denoise import NoisyChannel
from vidpred.experiments.whole_sequences import (
    reconstructed,
)
from vidpred.runs import load_run


def test_a_trained_vosp_cleans_better_than_what_looks_at_one_value(trained):
    assert experiment("denoise", *trained.values()) == 0
    found = results(trained["vosp"], "denoise")["results"]
    scores, online = found["scores"], found["online"]
    assert online == {"vosp": "yes", "vrae": "no"}
    assert scores["vosp, filter"]["f1"] > scores["vosp"]["f1"]
    assert scores["vosp, filter"]["log_likelihood"] > scores["one noisy value alone"]["log_likelihood"]
    for run in ("vosp", "vrae"):
        assert scores[run]["f1"] > scores["noisy input"]["f1"] + 0.1
        for baseline in ("noisy input", "previous noisy step", "marginals of training"):
            assert scores[run]["log_likelihood"] > scores[baseline]["log_likelihood"]
    alone = scores["one noisy value alone"]
    assert alone["log_likelihood"] > scores["noisy input"]["log_likelihood"]
    with Image.open(trained["vosp"] / "experiments" / "denoise" / "sequence-0.png") as picture:
        picture.verify()


def test_scores_of_denoising_by_brute_force(trained):
    assert experiment("denoise", trained["vosp"], "--seed=7", "--batch=5") == 0
    scores = results(trained["vosp"], "denoise")["results"]["scores"]
    channel = NoisyChannel("flip", 0.05)
    model = load_run(trained["vosp"]).model
    kept = []
    for number, clean in enumerate(tried()):
        noisy = channel.corrupt(clean, 7, number)
        cleaned = model.reconstruct(torch.from_numpy(noisy)[None])[0].double().numpy()
        kept.append((clean.ravel(), noisy.ravel(), cleaned.ravel(), len(clean)))
    clean, noisy, cleaned = (np.concatenate(values) for values in list(zip(*kept, strict=True))[:3])
    steps = sum(length for *_, length in kept)

    def f1(said):
        return 2 * (said * clean).sum() / (said.sum() + clean.sum())

    assert scores["noisy input"]["f1"] == pytest.approx(f1(noisy))
    assert scores["vosp"]["f1"] == pytest.approx(f1(cleaned >= 0.5), rel=1e-3)
    cleaned = cleaned.clip(1e-7, 1 - 1e-7)
    nats = np.log(np.where(clean > 0, cleaned, 1 - cleaned)).sum() / steps
    assert scores["vosp"]["log_likelihood"] == pytest.approx(nats, rel=1e-3)
    wrong = (clean != noisy).sum()
    known = wrong * math.log(0.05) + (clean.size - wrong) * math.log(0.95)
    assert scores["noisy input"]["log_likelihood"] == pytest.approx(known / steps)


@pytest.mark.parametrize(("model", "online"), [("vosp", True), ("vrae", False)])
@pytest.mark.parametrize("posterior", ["independent", "chain"])
def test_later_noise_changes_nothing_before_it_online(fresh, model, online, posterior):
    network = load_run(fresh(model, f"model.posterior={posterior}", "model.weight_std_in=0.7")).model
    clean = tried()[0]
    early = NoisyChannel("flip", 0.05).corrupt(clean, 0, 0)
    late = early.copy()
    late[6:] = NoisyChannel("flip", 0.5).corrupt(clean, 1, 0)[6:]
    one, other = (reconstructed(network, [noisy], torch.device("cpu"))[0] for noisy in (early, late))
    assert np.allclose(one[:6], other[:6], rtol=0, atol=1e-6) == online
    assert not np.allclose(one[6:], other[6:], atol=1e-3)


def test_notes_that_are_turned_on_leave_every_note(trained):
    assert experiment("denoise", trained["vosp"], "--noise=on") == 0
    scores = results(trained["vosp"], "denoise")["results"]["scores"]
    assert scores["noisy input"]["recall"] == 1
    assert scores["noisy input"]["precision"] < 0.6
    assert math.isfinite(scores["one noisy value alone"]["log_likelihood"])


def test_without_noise_the_input_is_right(trained):
    assert experiment("denoise", trained["vosp"], "--rate=0") == 0
    scores = results(trained["vosp"], "denoise")["results"]["scores"]
    assert scores["noisy input"]["f1"] == scores["one noisy value alone"]["f1"] == 1
    assert scores["noisy input"]["log_likelihood"] == 0


def test_the_same_seed_gives_the_same_numbers_and_finished_parts_stay(trained, monkeypatch, tmp_path):
    out = tmp_path / "out"

    def numbers(*options):
        assert experiment("denoise", trained["vosp"], "--count=5", f"--out={out}", *options) == 0
        return json.loads((out / "results.json").read_text())["results"]["scores"]

    asked = []
    clean = denoise_module._clean
    monkeypatch.setattr(denoise_module, "_clean", lambda *given: asked.append(1) or clean(*given))
    first = numbers()
    assert numbers() == first
    assert len(asked) == 1
    assert numbers("--seed=1") != first
    assert len(asked) == 2
    assert numbers() == first  # whose part gave way, and was made anew
    assert len(asked) == 3
    with_noise = numbers("--rate=0.1")
    assert with_noise["noisy input"]["f1"] < first["noisy input"]["f1"]
