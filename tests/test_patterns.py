"""Masks as data: each equals its plain definition, key by key, and so does attention under it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_made import assert_same, drawn, matrix, statistics
from relusparsity.attention import HeadUse, Scores
from relusparsity.attention.patterns import Pattern
from relusparsity.errors import UserError


def plainly(pattern: Pattern, i: int, j: int) -> bool:
    """The definition in words, for one query and one key."""
    if pattern.causal and j > i:
        return False
    parts = []
    if pattern.window is not None:
        offsets = [pattern.stride * step for step in range(pattern.window)]
        parts.append(abs(i - j) in offsets)
    if pattern.sinks:
        parts.append(j in range(pattern.sinks))
    if pattern.together:
        parts.append(i in pattern.together or j in pattern.together)
    if pattern.blocks is not None:
        row, column = i // pattern.block, j // pattern.block
        inside = row < len(pattern.blocks) and column < len(pattern.blocks[0])
        parts.append(inside and pattern.blocks[row][column])
    return any(parts) if parts else True


@st.composite
def patterns(draw: Any) -> Pattern:
    side = st.integers(1, 4)
    rows, columns = draw(side), draw(side)
    table = st.lists(st.lists(st.booleans(), min_size=columns, max_size=columns), min_size=rows, max_size=rows)
    window = draw(st.none() | side)
    return Pattern(
        causal=draw(st.booleans()),
        window=window,
        stride=1 if window is None else draw(st.integers(1, 3)),
        sinks=draw(st.integers(0, 3)),
        together=tuple(draw(st.lists(st.integers(0, 9), max_size=2))),
        blocks=draw(st.none() | table.map(lambda rows: tuple(map(tuple, rows)))),
        block=draw(side),
    )


@given(patterns(), st.integers(1, 10), st.integers(0, 4))
@settings(max_examples=120, deadline=None)
def test_masks_and_attention_under_them_equal_the_plain_definition(pattern: Pattern, queries: int, before: int) -> None:
    keys = queries + before
    whole = np.array([[plainly(pattern, i, j) for j in range(keys)] for i in range(before, keys)])
    q, k, v = drawn(2, 4, queries, 3), drawn(2, 2, keys, 3, seed=1), drawn(2, 2, keys, 5, seed=2)
    if not whole.any(1).all():
        first = before + int(np.flatnonzero(~whole.any(1))[0])
        with pytest.raises(UserError, match=f"empty row: query {first} of {keys} sees no key"):
            pattern.attend(q, k, v)
        return
    np.testing.assert_array_equal(pattern.matrix(queries, keys).numpy(), whole)
    q.requires_grad_()
    out = pattern.attend(q, k, v, scale=0.7)
    logits = 0.7 * q @ k.repeat_interleave(2, 1).mT
    plain = logits.masked_fill(~torch.from_numpy(whole), -torch.inf).softmax(-1) @ v.repeat_interleave(2, 1)
    torch.testing.assert_close(out, plain, rtol=0, atol=1e-5)
    (ours,) = torch.autograd.grad(out.square().sum(), q, retain_graph=True)
    (theirs,) = torch.autograd.grad(plain.square().sum(), q)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_statistics_under_a_mask() -> None:
    """Sinks that are kept beside a window take what the window leaves them."""
    q, k = drawn(1, 2, 12, 4), drawn(1, 2, 12, 4, seed=1)
    seen = Pattern(window=3, sinks=1).matrix(12)[None, None]
    scores = Scores(scale=0.5, causal=False, mask=seen)
    use = HeadUse(2)
    use.update(q, k, scores, block=30)
    assert_same(use, statistics([matrix(q[0], k[0], scores)], np.ones((1, 12), bool)), 1e-9)
    assert use.mean("first").min() > 0.1


def test_it_is_a_mask_for_flex_attention() -> None:
    from torch.nn.attention.flex_attention import create_block_mask

    pattern = Pattern(window=5, stride=2, sinks=2)
    made = create_block_mask(lambda b, h, i, j: pattern.sees(i, j), None, None, 256, 256, device="cpu")
    seen = pattern.matrix(256).view(2, 128, 2, 128).any(3).any(1)
    np.testing.assert_array_equal(made.to_dense()[0, 0].bool().numpy(), seen.numpy())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"window": 0}, "window = 0: expected a whole number, 1 or more."),
        ({"window": -3}, "window = -3"),
        ({"window": 2.5}, "window = 2.5"),
        ({"window": 2, "stride": 0}, "stride = 0"),
        ({"stride": 2}, "give a window too"),
        ({"sinks": -1}, "sinks = -1: expected a whole number, 0 or more."),
        ({"block": 0}, "block = 0"),
        ({"blocks": ()}, "a table of truths"),
        ({"blocks": ((True,), (True, False))}, "all of one length"),
    ],
)
def test_what_is_no_mask_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        Pattern(**fields)
    assert said in str(error.value) and "\n" not in str(error.value)
