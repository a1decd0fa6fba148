"""impute on small networks, against brute force."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from rolls import experiment, results, tried

from vidpred.experiments import impute as impute_module
from vidpred.runs import load_run


def test_a_trained_vrae_fills_a_gap_better_than_its_ends_tell(trained):
    assert experiment("impute", trained["vrae"], "--gap=3", "--iterations=5") == 0
    found = results(trained["vrae"], "impute")["results"]
    scores = found["scores"]
    for baseline in ("random values", "step before the gap", "marginals of training"):
        assert scores["vrae"]["f1"] > scores[baseline]["f1"] + 0.1
    assert scores["random values"]["log_likelihood"] == pytest.approx(-3 * 88 * math.log(2) / 3)
    inferred = scores["vrae, inferred"]
    for baseline in ("random values", "step before the gap", "marginals of training"):
        assert inferred["f1"] > scores[baseline]["f1"] + 0.1
        assert inferred["log_likelihood"] > scores[baseline]["log_likelihood"]
    assert len(found["f1_by_iteration"]["vrae"]) == 5
    assert found["f1_by_iteration"]["vrae"][-1] == scores["vrae"]["f1"]
    folder = trained["vrae"] / "experiments" / "impute"
    for name in ("iterations.png", "sequence-0.png", "sequence-1.png"):
        with Image.open(folder / name) as picture:
            picture.verify()
    assert "## F1 after so many iterations" in (folder / "table.md").read_text()


def test_vosp_infers_a_gap_and_a_prior_without_steps_does_not(trained, fresh):
    assert experiment("impute", trained["vosp"], "--gap=3", "--iterations=2", "--samples=100") == 0
    found = results(trained["vosp"], "impute")["results"]
    scores, inferred = found["scores"], found["scores"]["vosp, inferred"]
    for baseline in ("random values", "step before the gap", "marginals of training"):
        assert inferred["f1"] > scores[baseline]["f1"] + 0.1
        assert inferred["log_likelihood"] > scores[baseline]["log_likelihood"]
    white = fresh("vosp", "model.prior=white")
    assert experiment("impute", white, "--gap=3", "--iterations=2") == 0
    assert "vosp, inferred" not in results(white, "impute")["results"]["scores"]


def test_scores_of_a_gap_by_brute_force(trained):
    assert experiment("impute", trained["vrae"], "--gap=4", "--iterations=3", "--seed=5", "--batch=5") == 0
    found = results(trained["vrae"], "impute")["results"]
    model = load_run(trained["vrae"]).model
    hits, held, total, straight = 0, 0, 0, 0
    said = dict.fromkeys(("vrae", "before", "line"), 0)
    for number, truth in enumerate(tried()):
        noise = np.random.default_rng([5, number])
        first = int(noise.integers(1, len(truth) - 4))
        assert found["first_lost_step"][number] == first
        gap = slice(first, first + 4)
        filled = truth.copy()
        filled[gap] = noise.random(filled[gap].shape, np.float32)
        for _ in range(3):
            better = model.reconstruct(torch.from_numpy(filled)[None])[0].numpy()
            filled[gap] = better[gap] >= 0.5
        before = np.repeat(truth[first - 1][None], 4, axis=0)
        after = truth[first + 4]
        line = np.stack([before[0], before[0], after, after])  # the nearer end
        total += truth[gap].sum()
        hits, held, straight = (
            of + (guess * truth[gap]).sum()
            for of, guess in ((hits, filled[gap]), (held, before), (straight, line))
        )
        for name, guess in (("vrae", filled[gap]), ("before", before), ("line", line)):
            said[name] += guess.sum()
    scores = found["scores"]
    assert scores["vrae"]["f1"] == pytest.approx(2 * hits / (said["vrae"] + total), rel=1e-3)
    assert scores["step before the gap"]["f1"] == pytest.approx(2 * held / (said["before"] + total))
    assert scores["linear interpolation"]["f1"] == pytest.approx(2 * straight / (said["line"] + total))


def test_what_is_known_stays_as_it_is(trained, monkeypatch):
    seen = []
    inner = impute_module.reconstructed

    def watched(model, sequences, *rest):
        seen.append([sequence.copy() for sequence in sequences])
        return inner(model, sequences, *rest)

    monkeypatch.setattr(impute_module, "reconstructed", watched)
    assert experiment("impute", trained["vrae"], "--gap=2", "--iterations=3", "--count=1", "--seed=9") == 0
    truth, [first] = tried()[0], results(trained["vrae"], "impute")["results"]["first_lost_step"]
    known = np.ones(len(truth), bool)
    known[first : first + 2] = False
    assert len(seen) == 3
    for [given] in seen:
        assert (given[known] == truth[known]).all()
    assert not np.isin(seen[0][0][~known], (0, 1)).any()
    assert np.isin(seen[1][0], (0, 1)).all()
