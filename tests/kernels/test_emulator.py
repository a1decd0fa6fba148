"""What the emulator of CUDA must catch: missing and divergent barriers, accesses out of bounds."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

PLANTED = Path(__file__).parents[2] / "csrc" / "tests" / "planted" / "planted.cu"
ORDERS = [("forward", 0), ("reverse", 0), ("shuffled", 1), ("shuffled", 2)]


@pytest.fixture(params=ORDERS, ids=str)
def thread_order(request, kernels):
    kernels.set_order(*request.param)
    yield
    kernels.set_order("forward")


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def random_image(size):
    """Of small whole numbers, whose sums are exact."""
    return np.random.default_rng(0).integers(1, 100, size).astype(np.float32)


def box_sum(image):
    """The sum over each pixel and its neighbours, zero beyond the edges."""
    padded = np.pad(image, 1)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).sum(axis=(2, 3))


@pytest.mark.usefixtures("thread_order")
@given(size=sizes)
def test_a_kernel_with_its_barrier_is_right_in_every_order(kernels, size):
    image = random_image(size)
    np.testing.assert_array_equal(kernels.planted_box_sum(image, with_barrier=True), box_sum(image))


@pytest.mark.usefixtures("thread_order")
@given(size=sizes.filter(lambda size: min(size) > 1))
def test_a_missing_barrier_shows_in_every_order(kernels, size):
    image = random_image(size)
    assert not np.array_equal(kernels.planted_box_sum(image, with_barrier=False), box_sum(image))


def test_an_unknown_order_is_refused(kernels):
    with pytest.raises(ValueError, match="no order backwards"):
        kernels.set_order("backwards")


@pytest.fixture(scope="session")
def planted(build):
    """planted(kernel, [bug]) -> how the process ended that ran it under sanitizers."""
    program = build("planted_sanitized") / "planted_sanitized"

    def run(*arguments):
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)

    return run


def line_of(comment):
    lines = PLANTED.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(f"// planted: {comment}"))


@pytest.mark.parametrize("kernel", ["store", "overrun", "barrier"])
def test_the_planted_kernels_are_right_without_their_bugs(planted, kernel):
    assert (planted(kernel).returncode, planted(kernel).stderr) == (0, "")


@pytest.mark.parametrize("kernel", ["store", "overrun"])
def test_an_access_out_of_bounds_is_reported_at_its_line(planted, kernel):
    """The store is one element beyond the array; the overrun one byte beyond the dynamic shared memory."""
    caught = planted(kernel, "bug")
    assert caught.returncode != 0
    first = re.search(r"heap-buffer-overflow.*?\n\s+#0 .*?(\w+\.cu:\d+)", caught.stderr, re.DOTALL)
    assert first is not None, caught.stderr
    assert first[1] == f"planted.cu:{line_of(kernel)}"


def test_a_barrier_that_not_all_reach_aborts_with_a_message(planted):
    caught = planted("barrier", "bug")
    assert caught.returncode < 0
    assert "some threads wait at a barrier that others never reach" in caught.stderr
