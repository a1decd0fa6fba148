import torch

from vidpred.evaluation.reductions import over_samples

SCORES = torch.tensor(
    [
        [[1.0, 5.0], [9.0, 1.0]],  # sample 1: means over the horizon 3 and 5
        [[2.0, 2.0], [4.0, 8.0]],  # sample 2: 2 and 6
        [[0.0, 7.0], [6.0, 6.0]],  # sample 3: 3.5 and 6
    ]
)


def test_the_best_sample_is_chosen_for_each_sequence_by_its_mean_over_the_horizon():
    lowest = over_samples(SCORES, higher_is_better=False)["best"]
    assert lowest.tolist() == [[2.0, 2.0], [9.0, 1.0]]
    highest = over_samples(SCORES, higher_is_better=True)["best"]
    assert highest.tolist() == [[0.0, 7.0], [4.0, 8.0]]


def test_the_average_is_over_samples():
    average = over_samples(SCORES, higher_is_better=True)["average"]
    torch.testing.assert_close(average, torch.tensor([[1.0, 14 / 3], [19 / 3, 5.0]]))


def test_a_single_sample_is_its_own_reading():
    readings = over_samples(SCORES[:1], higher_is_better=True)
    assert list(readings) == ["single"]
    assert readings["single"].tolist() == SCORES[0].tolist()
