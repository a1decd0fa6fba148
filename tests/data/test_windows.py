import numpy as np
import pytest

from vidpred.data.windows import cut_chunks, cut_windows

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies


def by_trying_all(lengths, strides, window, windows_from):
    """Every place where a window could start is looked at, one after the other."""
    found = []
    for sequence, (length, stride) in enumerate(zip(lengths, strides, strict=True)):
        places = range(length - window + 1) if windows_from == "start" else range(length - window, -1, -1)
        wait, mine = 0, []
        for place in places:
            if wait == 0:
                mine.append((sequence, place))
                wait = stride or window
            wait -= 1
        found += sorted(mine)
    return found


@hypothesis.settings(max_examples=200)
@hypothesis.given(
    sequences=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=8),
    window=st.integers(1, 15),
    windows_from=st.sampled_from(["start", "end"]),
)
def test_windows_are_those_found_by_trying_every_place(sequences, window, windows_from):
    lengths, strides = [list(values) for values in zip(*sequences, strict=True)] or [[], []]
    sequence, start = cut_windows(np.array(lengths, int), np.array(strides, int), window, windows_from)
    assert list(zip(sequence, start, strict=True)) == by_trying_all(lengths, strides, window, windows_from)


def test_the_three_published_ways():
    def starts(length, stride, windows_from):
        return cut_windows([length], [stride], 5, windows_from)[1].tolist()

    assert starts(8, 1, "start") == [0, 1, 2, 3]
    assert starts(17, 0, "start") == [0, 5, 10]
    assert starts(17, 0, "end") == [2, 7, 12]
    assert starts(12, 3, "end") == [1, 4, 7]
    assert starts(4, 1, "start") == []


@hypothesis.given(lengths=st.lists(st.integers(0, 40), max_size=8), most=st.integers(1, 15))
def test_chunks_are_whole_until_a_sequence_ends_and_leave_nothing_out(lengths, most):
    expected = [
        (sequence, start, min(most, length - start))
        for sequence, length in enumerate(lengths)
        for start in range(0, length, most)
    ]
    found = cut_chunks(np.array(lengths, int), most)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected
    assert found[2].sum() == sum(lengths)
