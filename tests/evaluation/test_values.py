import numpy as np
import pytest

from vidpred.errors import DataError
from vidpred.evaluation import Contestant, Gallery, Values, evaluate, writing_values
from vidpred.models.baselines import Copy


def test_an_evaluation_keeps_scores_and_frames_of_the_sequences_asked_for(
    tmp_path, sequences, frames, futures, lookup
):
    gallery = Gallery([9, 0], context=3)
    contestants = [
        Contestant("a", lookup(futures), "lookup", "tiny"),
        Contestant("copy", Copy(1, (12, 13)), "copy", None),
    ]
    with writing_values(tmp_path / "v.h5") as writer:
        rows = evaluate(
            contestants, sequences, 11, 3, 4, samples=3, batch=4, values=writer, gallery=gallery, quiet=True
        )
    values = Values(tmp_path / "v.h5")
    for row in rows:
        kept = values.of(row.name, "mae", row.reduction)
        assert kept.shape == (11, 4)
        np.testing.assert_allclose(kept.mean(axis=0), row.scores["mae"].per_frame, rtol=1e-5)
    # One sequence by hand.
    expected = abs(frames[9, 2, 0] / 255 - frames[9, 3:, 0] / 255).mean(axis=(1, 2))
    np.testing.assert_allclose(values.of("copy", "mae")[9], expected, rtol=1e-5)

    assert gallery.numbers == [0, 9]
    np.testing.assert_array_equal(gallery.context[9], frames[9, :3])
    np.testing.assert_array_equal(gallery.truth[9], frames[9, 3:])
    np.testing.assert_array_equal(gallery.predicted[9]["copy"], frames[9, [2] * 4])
    first_sample = (futures[0, 9] * 255).round().byte().numpy()
    np.testing.assert_array_equal(gallery.predicted[9]["a"], first_sample)


def test_a_file_without_the_row_or_of_another_kind_is_named(tmp_path):
    with writing_values(tmp_path / "v.h5"):
        pass
    with pytest.raises(DataError, match=r"v\.h5 has no scores of 'a'"):
        Values(tmp_path / "v.h5").of("a", "mse")
    (tmp_path / "w.h5").write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"w\.h5 cannot be read as scores"):
        Values(tmp_path / "w.h5").of("a", "mse")


def test_nothing_is_left_of_an_interrupted_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), writing_values(tmp_path / "v.h5"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
