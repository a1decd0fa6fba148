"""The backends and devices that the tests of the ops run on."""

import pytest

from vidpred import ops


@pytest.fixture(params=["native", "reference"])
def backend(request):
    if request.param == "native" and ops.backend() != "native":
        pytest.skip("the kernels are not built")
    with ops.use_backend(request.param):
        yield request.param


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def device(request):
    return request.param
