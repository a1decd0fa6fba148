import numpy as np
import pytest
import torch

from vidpred.errors import ConfigError, DataError
from vidpred.evaluation import Contestant, evaluate, with_baselines
from vidpred.metrics import METRICS
from vidpred.models.baselines import Copy


def by_definition(pred, truth):
    """Each metric of one frame (H, W) in float64, SSIM by scikit-image."""
    similarity = pytest.importorskip("skimage.metrics").structural_similarity
    pred, truth = np.float64(pred), np.float64(truth)
    error = pred - truth
    clipped = pred.clip(1e-7, 1 - 1e-7)
    return {
        "mse": (error**2).mean(),
        "mse_frame": (error**2).sum(),
        "mae": abs(error).mean(),
        "mae_frame": abs(error).sum(),
        "bce_frame": -(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)).sum(),
        "psnr": -10 * np.log10((error**2).mean()),
        "ssim": similarity(
            pred, truth, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
        ),
    }


def all_at_once(futures, truth):
    """futures (S, N, T, 1, H, W), truth (N, T, 1, H, W) -> metric -> (S, N, T)."""
    scores = {name: np.empty(futures.shape[:3]) for name in METRICS}
    for sample, n, t in np.ndindex(futures.shape[:3]):
        for name, value in by_definition(futures[sample, n, t, 0], truth[n, t, 0]).items():
            scores[name][sample, n, t] = value
    return scores


def assert_row(row, values):
    """values: metric -> (N, T)."""
    assert list(row.scores) == list(METRICS)
    for name, score in row.scores.items():
        count = len(values[name])
        error = values[name].std(axis=0, ddof=1) / np.sqrt(count)
        np.testing.assert_allclose(score.per_frame, values[name].mean(axis=0), rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(score.per_frame_standard_error, error, rtol=1e-4, err_msg=name)
        over_frames = values[name].mean(axis=1)
        assert score.mean == pytest.approx(over_frames.mean(), rel=1e-5)
        assert score.standard_error == pytest.approx(over_frames.std(ddof=1) / np.sqrt(count), rel=1e-4)


@pytest.mark.parametrize("batch", [1, 4, 11])
def test_batches_give_what_all_sequences_at_once_would(sequences, frames, futures, lookup, batch):
    model = lookup(futures)
    rows = evaluate(
        [Contestant("a", model, "lookup", "tiny")], sequences, 11, 3, 4, samples=3, batch=batch, quiet=True
    )
    assert model.largest_batch == batch
    assert [(row.name, row.reduction, row.samples) for row in rows] == [
        ("a", "average", 3),
        ("a", "best", 3),
        ("a", "mean frame", 3),
    ]
    truth = frames[:, 3:] / 255
    values = all_at_once(futures.numpy(), truth)
    average, best, mean_frame = rows
    assert_row(average, {name: value.mean(axis=0) for name, value in values.items()})
    of_mean_frame = all_at_once(futures.mean(dim=0, keepdim=True).numpy(), truth)
    assert_row(mean_frame, {name: value[0] for name, value in of_mean_frame.items()})
    chosen = {}
    for name, value in values.items():
        over_horizon = value.mean(axis=-1)
        pick = over_horizon.argmax(0) if METRICS[name].higher_is_better else over_horizon.argmin(0)
        chosen[name] = np.stack([value[sample, n] for n, sample in enumerate(pick)])
    assert_row(best, chosen)


def test_one_sample_gives_one_row(sequences, futures, lookup):
    rows = evaluate([Contestant("a", lookup(futures), "lookup", "tiny")], sequences, 5, 3, 2, quiet=True)
    assert [(row.reduction, row.samples) for row in rows] == [("single", 1)]
    assert rows[0].scores["mse"].per_frame.shape == (2,)


def test_the_baselines_are_scored_beside(sequences, frames):
    mean_frame = torch.full((1, 12, 13), 0.25)
    rows = evaluate(with_baselines([], sequences, mean_frame), sequences, 11, 3, 4, samples=5, quiet=True)
    assert [(row.name, row.reduction, row.is_baseline) for row in rows] == [
        ("copy", "single", True),
        ("mean", "single", True),
    ]
    truth = frames[:, 3:] / 255
    copied = np.broadcast_to(frames[:, 2:3] / 255, truth.shape)
    assert_row(rows[0], {name: value[0] for name, value in all_at_once(copied[None], truth).items()})
    np.testing.assert_allclose(
        rows[1].scores["mse_frame"].per_frame, ((truth - 0.25) ** 2).sum((2, 3, 4)).mean(0), rtol=1e-5
    )


def test_a_perfect_prediction_beats_the_baselines_in_every_metric(sequences, frames, lookup):
    perfect = lookup(torch.from_numpy(frames[None, :, 3:] / 255).float())
    contestants = with_baselines([Contestant("a", perfect, "lookup", "tiny")], sequences, None)
    model, *baselines = evaluate(contestants, sequences, 11, 3, 4, quiet=True)
    assert model.scores["mse"].mean == pytest.approx(0, abs=1e-12)
    assert model.scores["ssim"].mean == pytest.approx(1)
    for name, metric in METRICS.items():
        for baseline in baselines:
            better = model.scores[name].mean > baseline.scores[name].mean
            assert better is metric.higher_is_better


def test_only_the_wanted_sequences_are_scored(sequences, frames):
    (row, _) = evaluate(with_baselines([], sequences, None), sequences, 2, 3, 1, quiet=True)
    error = (frames[:2, 2] / 255 - frames[:2, 3] / 255) ** 2
    assert row.scores["mse"].mean == pytest.approx(error.mean(), rel=1e-5)


def test_a_single_sequence_has_no_standard_error(sequences):
    row, _ = evaluate(with_baselines([], sequences, None), sequences, 1, 3, 2, quiet=True)
    assert row.scores["mse"].standard_error is None
    assert row.scores["mse"].at(2) == (row.scores["mse"].per_frame[1], None)


def test_what_cannot_be_evaluated_is_refused(sequences):
    contestants = with_baselines([], sequences, None)
    with pytest.raises(DataError, match="a context of 5 and a horizon of 3 frames do not fit"):
        evaluate(contestants, sequences, 1, 5, 3, quiet=True)
    with pytest.raises(DataError, match="sequence 11 was asked for"):
        evaluate(contestants, sequences, 12, 3, 4, quiet=True)
    with pytest.raises(DataError, match="wide expects frames of 1 channel, 12x14"):
        evaluate([Contestant("wide", Copy(1, (12, 14)), "copy", None)], sequences, 1, 3, 4, quiet=True)
    for wrong in ({"count": 0}, {"context": 0}, {"horizon": -1}):
        with pytest.raises(ConfigError, match="must be at least 1"):
            evaluate(contestants, sequences, **{"count": 1, "context": 1, "horizon": 1} | wrong, quiet=True)
