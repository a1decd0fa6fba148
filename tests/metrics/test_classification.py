import numpy as np
import pytest

from vidpred.errors import ConfigError
from vidpred.metrics.classification import (
    accuracy,
    class_accuracy,
    confusion_matrix,
    group_accuracy,
    group_confusion,
)

GROUPS = ("a", "b", "a", "c", "b")


@pytest.fixture
def named():
    """True and named classes of 300 sequences; class 3 never occurs."""
    random = np.random.default_rng(0)
    truth = random.choice([0, 1, 2, 4], 300)
    return truth, np.where(random.random(300) < 0.4, truth, random.integers(0, 5, 300))


def test_counts_against_brute_force(named):
    truth, taken = named
    expected = [
        [sum((t, n) == (i, j) for t, n in zip(*named, strict=True)) for j in range(5)] for i in range(5)
    ]
    np.testing.assert_array_equal(confusion_matrix(truth, taken, 5), expected)


def test_counts_against_scikit_learn(named):
    metrics = pytest.importorskip("sklearn.metrics")
    confusion = confusion_matrix(*named, 5)
    np.testing.assert_array_equal(confusion, metrics.confusion_matrix(*named, labels=range(5)))
    assert accuracy(confusion) == pytest.approx(metrics.accuracy_score(*named))
    recall = metrics.recall_score(*named, labels=range(5), average=None, zero_division=np.nan)
    np.testing.assert_allclose(class_accuracy(confusion), recall)


def test_groups_against_brute_force(named):
    truth, taken = named
    confusion = confusion_matrix(truth, taken, 5)
    group_of = np.array(GROUPS)
    found = group_accuracy(confusion, GROUPS)
    assert list(found) == ["a", "b", "c"]
    for group in "ab":
        mine = group_of[truth] == group
        assert found[group] == pytest.approx((truth == taken)[mine].mean())
    assert np.isnan(found["c"])
    expected = [[((group_of[truth] == i) & (group_of[taken] == j)).sum() for j in "abc"] for i in "abc"]
    np.testing.assert_array_equal(group_confusion(confusion, GROUPS), expected)


def test_nothing_has_no_accuracy():
    confusion = confusion_matrix(np.array([], int), np.array([], int), 2)
    assert np.isnan(accuracy(confusion))
    assert np.isnan(class_accuracy(confusion)).all()


@pytest.mark.parametrize("labels", [np.uint8, np.int32])
def test_many_classes_do_not_overflow_small_types(labels):
    found = confusion_matrix(np.array([173], labels), np.array([172], labels), 174)
    assert found[173, 172] == found.sum() == 1


@pytest.mark.parametrize(
    ("truth", "taken", "sentence"),
    [
        ([0, 1], [0], r"as many true as named classes, got \(2,\) and \(1,\)"),
        ([0, 2], [0, 1], "classes from 0 to 1, got 0 to 2"),
        ([0, 1], [-1, 1], "classes from 0 to 1, got -1 to 1"),
    ],
)
def test_wrong_classes_are_refused(truth, taken, sentence):
    with pytest.raises(ConfigError, match=sentence):
        confusion_matrix(np.array(truth), np.array(taken), 2)


def test_groups_must_be_those_of_the_classes():
    with pytest.raises(ConfigError, match="groups of 2 classes, got 3"):
        group_accuracy(np.eye(2, dtype=int), ["a", "b", "c"])
