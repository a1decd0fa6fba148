import pytest
import torch

from vidpred.errors import DataError
from vidpred.models.baselines import Copy, Mean


@pytest.fixture
def context():
    return torch.rand(3, 4, 2, 5, 6, generator=torch.Generator().manual_seed(0))


def test_copy_repeats_the_last_frame(context):
    future = Copy(2, (5, 6)).predict(context, horizon=7)
    assert future.shape == (3, 7, 2, 5, 6)
    assert all(torch.equal(future[:, t], context[:, 3]) for t in range(7))


def test_mean_repeats_the_training_mean_whatever_it_sees(context):
    frame = torch.rand(2, 5, 6)
    future = Mean(2, (5, 6), frame).predict(context, horizon=7)
    assert future.shape == (3, 7, 2, 5, 6)
    assert all(torch.equal(one, frame) for one in future.flatten(0, 1))


def test_mean_without_training_data_takes_each_sequences_own_context(context):
    future = Mean(2, (5, 6)).predict(context, horizon=2)
    expected = (context[:, 0] + context[:, 1] + context[:, 2] + context[:, 3]) / 4
    torch.testing.assert_close(future[:, 0], expected)
    torch.testing.assert_close(future[:, 1], expected)


@pytest.mark.parametrize("model", [Copy(1, (5, 6)), Mean(1, (5, 6))])
def test_frames_of_another_shape_are_refused(model, context):
    with pytest.raises(DataError, match=r"expects frames of shape \(N, T, 1, 5, 6\)"):
        model.predict(context, horizon=1)
