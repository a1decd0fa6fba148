"""Sparse normal weights and the spectral radius, by counting and by numpy's eigenvalues."""

import numpy as np
import pytest
import torch

from vidpred.errors import ConfigError
from vidpred.nn.initialization import scale_spectral_radius_, sparse_normal_


def test_each_unit_keeps_its_share_of_connections():
    weight = sparse_normal_(torch.empty(300, 200), 0.3, 15, torch.Generator().manual_seed(0))
    kept = weight != 0
    assert (kept.sum(dim=1) == 15).all()
    assert kept.any(dim=0).all()  # chosen anew for each unit
    assert weight[kept].std().item() == pytest.approx(0.3, rel=0.05)
    assert abs(weight[kept].mean().item()) < 0.02


@pytest.mark.parametrize("incoming", [None, 20, 50])
def test_all_connections_stay_where_as_many_are_allowed(incoming):
    assert (sparse_normal_(torch.empty(30, 20), 1.0, incoming) != 0).all()


@pytest.mark.parametrize(
    ("radius", "dtype", "rel"), [(1.1, torch.float32, 1e-5), (0.5, torch.float64, 1e-10)]
)
def test_the_spectral_radius_is_the_one_asked_for(radius, dtype, rel):
    weight = sparse_normal_(torch.empty(100, 100, dtype=dtype), 0.1, 15, torch.Generator().manual_seed(1))
    scaled = scale_spectral_radius_(weight.clone(), radius)
    assert abs(np.linalg.eigvals(scaled.double().numpy())).max() == pytest.approx(radius, rel=rel)
    ratio = (scaled / weight)[weight != 0]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))  # a scale, nothing else


def nilpotent() -> torch.Tensor:
    return torch.ones(5, 5).triu(1)


@pytest.mark.parametrize("weight", [torch.zeros(3, 3), nilpotent()])
def test_a_matrix_without_eigenvalues_is_refused(weight):
    before = weight.clone()
    with pytest.raises(ConfigError, match="all eigenvalues are 0"):
        scale_spectral_radius_(weight, 1.0)
    assert torch.equal(weight, before)


def test_bad_numbers_are_refused():
    with pytest.raises(ConfigError, match="got -1"):
        sparse_normal_(torch.empty(2, 2), -1)
    with pytest.raises(ConfigError, match="got 0"):
        sparse_normal_(torch.empty(2, 2), 1, 0)
    with pytest.raises(ConfigError, match="got 0"):
        scale_spectral_radius_(torch.eye(2), 0)


def test_a_model_without_memory_can_be_built():
    with torch.device("meta"):
        weight = sparse_normal_(torch.empty(4, 4), 1.0, 2)
        assert scale_spectral_radius_(weight, 1.0).is_meta
