"""The fused kernel against its plain definition: on a GPU, or by Triton's interpreter on small cases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relusparsity.counting import fused

kernel = pytest.mark.skipif(not fused.HAS_TRITON, reason="the kernel needs Triton, for Linux on x86-64")
AT, LARGE = ("cpu", (2, 9, 1100)) if fused.INTERPRETED else ("cuda", (16, 512, 8192))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 9), st.sampled_from((1, 3, 7, 8, 16)), st.integers(0, 99))
def test_the_definition_is_relu_and_its_firings(sequences: int, positions: int, units: int, seed: int) -> None:
    z = torch.randn(sequences, positions, units, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
    a, counts = fused.relu_and_count(z)
    assert all(map(torch.equal, (a, counts), fused.reference(z)))
    for s in range(sequences):
        for u in range(units):
            assert counts[s, u] == sum(float(z[s, t, u]) > 0 for t in range(positions))
    assert torch.equal(a, z.clamp(min=0)) and counts.dtype == torch.int32


def test_nan_stays_nan_and_does_not_fire() -> None:
    a, counts = fused.relu_and_count(torch.tensor([[[float("nan")], [1.0]]]))
    assert a.isnan().flatten().tolist() == [True, False] and counts.tolist() == [[1]]


@kernel
@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [LARGE, (3, 5, 7), (1, 1, 1), (2, 33, 300)])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_kernel_is_the_definition(dtype: torch.dtype, shape: tuple[int, int, int], compiled: bool) -> None:
    if compiled and fused.INTERPRETED:
        pytest.skip("what Triton interprets it does not compile: this needs an NVIDIA GPU")
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(AT, dtype)
    z[0, 0, 0] = float("nan")
    both = []
    for function in (fused.reference, torch.ops.relusparsity.relu_and_count):
        given = z.clone().requires_grad_()
        a, counts = (torch.compile(function) if compiled else function)(given)
        (a.nan_to_num() * torch.arange(a.numel(), device=AT).view(shape)).sum().backward()
        both.append((a, counts, given.grad))
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
