"""Each experiment on small runs that have learnt nothing, against its numbers computed by hand."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import Normal, kl_divergence

from vidpred import runs
from vidpred.data.moving import MovingDataset
from vidpred.errors import ConfigError, DataError
from vidpred.experiments import digit_count as digit_count_module
from vidpred.experiments import long_term as long_term_module
from vidpred.experiments.digit_count import digit_count
from vidpred.experiments.diversity import diversity
from vidpred.experiments.latent import latent
from vidpred.experiments.long_term import long_term
from vidpred.experiments.moving import moving_sequences, trained_spec
from vidpred.experiments.new_glyphs import new_glyphs
from vidpred.experiments.out_of_domain import out_of_domain
from vidpred.metrics.objects import object_counts
from vidpred.rollout import rollout


def frames_of(run, glyphs, *, count, length, **changes):
    """(count, length, 1, 32, 32) in [0, 1], from the data set itself."""
    spec = runs.moving_spec(run.config.data).model_copy(
        update={"frames": length, "digits": str(glyphs), **changes}
    )
    data = MovingDataset(spec, "test", count, seed=0)
    return torch.stack([data[i] for i in range(count)]).float() / 255


def cross_entropy(predicted, truth):
    """(..., C, H, W) -> (...), by the formula, in float64."""
    predicted = predicted.double().clamp(1e-7, 1 - 1e-7)
    truth = truth.double()
    return -(truth * predicted.log() + (1 - truth) * (1 - predicted).log()).sum(dim=(-3, -2, -1)).numpy()


def results(workspace):
    return json.loads((workspace.folder / "results.json").read_text())["results"]


def pictures(workspace):
    found = {}
    for file in workspace.folder.glob("*.png"):
        with Image.open(file) as picture:
            found[file.name] = picture.size
    return found


def test_digit_count_scores_one_to_four_objects(workspace, glyphs):
    made = workspace("digit-count", "rnn")
    [table] = digit_count(made)
    run = made.runs[0]
    for column, number in enumerate((1, 2, 3, 4)):
        frames = frames_of(run, glyphs, count=3, length=5, objects=number)
        given, truth = frames[:, :2], frames[:, 2:]
        predictions = {"rnn": run.model.predict(given, 3), "copy": given[:, -1:].expand(truth.shape)}
        for name, predicted in predictions.items():
            errors = cross_entropy(predicted, truth).mean(axis=1)
            row = results(made)["names"].index(name)
            assert results(made)["mean"][row][column] == pytest.approx(errors.mean(), rel=1e-5)
            standard_error = errors.std(ddof=1) / np.sqrt(3)
            assert results(made)["standard_error"][row][column] == pytest.approx(standard_error, rel=1e-2)
    assert [row[0] for row in table.rows] == ["rnn", "copy", "mean"]
    assert set(pictures(made)) == {"errors.png", "most-objects.png"}


def test_an_interrupted_experiment_goes_on_where_it_was(workspace, monkeypatch):
    compare, seen = digit_count_module.compare, []

    def stop_at_the_third(*arguments, **options):
        seen.append(arguments[1].source)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return compare(*arguments, **options)

    monkeypatch.setattr(digit_count_module, "compare", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        digit_count(workspace("digit-count", "rnn"))
    digit_count(workspace("digit-count", "rnn"))
    assert [source[0] for source in seen] == ["1", "2", "3", "3", "4"]


def test_new_glyphs_are_scored_beside_those_of_training(workspace, glyphs):
    made = workspace("new-glyphs", "rnn", glyphs="letters")
    new_glyphs(made, "letters")
    run = made.runs[0]
    for kind, source in (("known", glyphs), ("new", "letters")):
        frames = frames_of(run, source, count=3, length=5, objects=1)
        errors = cross_entropy(run.model.predict(frames[:, :2], 3), frames[:, 2:]).mean(axis=1)
        np.testing.assert_allclose(results(made)[kind][0], errors, rtol=1e-5)
    assert set(pictures(made)) == {"errors.png", "new-glyph.png"}


class Certain:
    """In the place of the digit classifier: as sure as a frame is bright."""

    accuracy = 0.75

    def confidence(self, frames, threshold):
        assert threshold == long_term_module.THRESHOLD
        return frames.mean(dim=(-3, -2, -1)).double().cpu().numpy()


def test_long_term_measures_errors_objects_and_confidence(workspace, glyphs, monkeypatch):
    monkeypatch.setattr(long_term_module, "train_classifier", lambda *_, **__: Certain())
    made = workspace("long-term", "rnn", horizon=4)
    tables = long_term(made)
    run = made.runs[0]
    frames = frames_of(run, glyphs, count=3, length=6)
    truth = frames[:, 2:]
    predicted = run.model.predict(frames[:, :2], 4)
    curves = results(made)["curves"]
    np.testing.assert_allclose(
        curves["rnn"]["bce_frame"], cross_entropy(predicted, truth).mean(axis=0), rtol=1e-5
    )
    np.testing.assert_allclose(
        curves["copy"]["mse_frame"],
        (frames[:, 1:2] - truth).double().square().sum(dim=(2, 3, 4)).mean(dim=0),
        rtol=1e-5,
    )
    counts = object_counts(truth.numpy(), long_term_module.THRESHOLD).mean(axis=0)
    np.testing.assert_allclose(curves["truth"]["objects"], counts)
    np.testing.assert_allclose(curves["truth"]["distance"], 0)
    np.testing.assert_allclose(
        curves["rnn"]["confidence"], predicted.mean(dim=(0, 2, 3, 4)).double(), rtol=1e-5
    )
    assert results(made)["classifier_accuracy"] == 0.75
    assert "75.0%" in tables[-1].note
    assert set(pictures(made)) == {"curves.png", "sequence-0.png", "sequence-1.png"}


def test_out_of_domain_counts_the_objects_a_run_goes_on_with(workspace, glyphs):
    made = workspace("out-of-domain", "rnn", "vrnn")
    out_of_domain(made)
    for number in (1, 3):
        frames = frames_of(made.runs[0], glyphs, count=3, length=5, objects=number)
        truth = frames[:, 2:]
        part = results(made)[str(number)]
        expected = object_counts(truth.numpy(), long_term_module.THRESHOLD).mean(axis=0)
        np.testing.assert_allclose(part["counts"][0], expected)
        predicted = made.runs[0].model.predict(frames[:, :2], 3)
        np.testing.assert_allclose(part["errors"][0], cross_entropy(predicted, truth).mean(axis=0), rtol=1e-5)
    assert set(pictures(made)) == {"1-objects.png", "3-objects.png", "counts.png"}


def test_diversity_of_samples(workspace, glyphs):
    made = workspace("diversity", "vrnn", "rnn", count=2, samples=3)
    diversity(made)
    run = made.runs[0]
    frames = frames_of(run, glyphs, count=2, length=5)
    given, truth = frames[:, :2], frames[:, 2:]
    samples = rollout(run.model, given, 3, samples=3, seed=0).double().numpy()  # (3, 2, 3, 1, 32, 32)
    found = results(made)["vrnn"]
    mean = samples.mean(axis=0)
    variance = sum((sample - mean) ** 2 for sample in samples) / 2
    np.testing.assert_allclose(found["deviation"], np.sqrt(variance.mean(axis=(0, 2, 3, 4))), rtol=1e-3)
    distances = [
        np.sqrt(((one - other) ** 2).sum(axis=(2, 3, 4))).mean(axis=0)
        for one, other in combinations(samples, 2)
    ]
    np.testing.assert_allclose(found["distance"], np.mean(distances, axis=0), rtol=1e-3)
    errors = np.array([cross_entropy(torch.from_numpy(one), truth).mean(axis=1) for one in samples])
    best = [min(errors[:k, 0]) / 2 + min(errors[:k, 1]) / 2 for k in (1, 2, 3)]
    np.testing.assert_allclose(found["best_of"], best, rtol=1e-4)
    assert results(made)["rnn"]["deviation"] == [0, 0, 0]
    assert len(set(results(made)["rnn"]["best_of"])) == 1
    assert set(pictures(made)) == {"curves.png", "variance.png", "samples-0.png", "samples-1.png"}


def test_diversity_needs_two_samples(workspace):
    with pytest.raises(ConfigError, match="at least 2 samples, got 1"):
        diversity(workspace("diversity", "vrnn", samples=1))


def test_latent_measures_divergence_and_interpolates(workspace, glyphs):
    made = workspace("latent", "vrnn", count=4, context=3)
    [table] = latent(made)
    model = made.runs[0].model
    frames = frames_of(made.runs[0], glyphs, count=4, length=3)
    with torch.no_grad():
        seen, _ = model._observe(
            frames.transpose(0, 1), model._start(frames.transpose(0, 1)), torch.zeros(4, 0), sample=False
        )
        prior = model.prior(seen.hidden)
    expected = kl_divergence(Normal(*seen.posterior), Normal(*prior)).mean(dim=1)
    np.testing.assert_allclose(results(made)["vrnn"]["kl"], expected, rtol=1e-3, atol=1e-6)
    change = results(made)["vrnn"]["change"]
    assert change[0] == 0
    assert change[10] > change[1] > 0
    assert float(table.rows[0][1]) == pytest.approx(expected.sum(dim=1).mean().item(), abs=1e-3)
    assert set(pictures(made)) == {"interpolation-0.png", "kl-steps.png", "kl-dimensions.png"}


def test_a_collapsed_posterior_is_called_so(workspace, make_run, glyphs):
    run = runs.load_run(make_run("vrnn", "vrnn", f"data.digits={glyphs}"))
    for name, weights in run.model.state_dict().items():
        if name.startswith(("prior.", "posterior.")):
            weights.zero_()
    runs.save_checkpoint(run.path, "last", run.model, {})
    made = workspace("latent", "vrnn", count=4)
    [table] = latent(made)
    assert "vrnn: the posterior has collapsed onto the prior" in table.note
    assert float(table.rows[0][1]) == 0
    assert table.rows[0][4].startswith("0 of ")


def test_a_model_without_latents_is_refused(workspace):
    with pytest.raises(ConfigError, match="rnn is a rnn, which has no latents: expected a vrnn"):
        latent(workspace("latent", "rnn"))


def test_sequences_are_like_those_of_a_data_file(tmp_path, make_run, glyphs):
    from vidpred.cli.main import run as vidpred

    options = [
        "--size=32",
        "--digit-size=12",
        "--train=4",
        "--val=2",
        "--test=2",
        "--frames=6",
        "--objects=3",
    ]
    data = tmp_path / "data.h5"
    assert vidpred(["gen-data", "mmnist", f"--out={data}", f"--digits={glyphs}", *options]) == 0
    run = runs.load_run(make_run("a", "rnn", f"data.file={data}"))
    assert trained_spec(run.config.data).digit_size == 12
    assert moving_sequences([run], frames=9, count=2, seed=0).frame_shape == (9, 1, 32, 32)


def test_a_run_on_something_else_is_refused(tmp_path, make_run):
    from vidpred.cli.main import run as vidpred

    np.save(tmp_path / "clips.npy", np.zeros((6, 5, 32, 32), np.uint8))
    data = tmp_path / "data.h5"
    assert vidpred(["convert", str(tmp_path / "clips.npy"), str(data), "--split=train"]) == 0
    run = runs.load_run(make_run("a", "rnn", f"data.file={data}"))
    with pytest.raises(DataError, match="needs a run on moving digits or shapes"):
        trained_spec(run.config.data)
