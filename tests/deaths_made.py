"""Small models in loops whose firings are kept."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import relusparsity


def assert_same(state: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(state) == list(other)
    for name, value in state.items():
        same = torch.equal(value, other[name]) if isinstance(value, Tensor) else value == other[name]
        assert same, name


def masks(seed: int, steps: int, sequences: int = 8, positions: int = 3) -> list[np.ndarray]:
    """Firing masks of `Two`, step by step: (layer, sequence, position, unit)."""
    rng = np.random.default_rng(seed)
    return [rng.random((2, sequences, positions, 6)) < rng.random(6) ** 3 * 0.3 for _ in range(steps)]


@pytest.fixture
def no_tracker_is_left_running() -> Iterator[None]:
    yield
    assert relusparsity.anymodel.watch.EAGER.watches == 0
