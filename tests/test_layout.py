"""Sequences stay sequences in models with positions first, and padding does not count in PyTorch's own encoders."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from torch import nn

import relusparsity
from relusparsity.anymodel import calibrate
from relusparsity.errors import UserError
from track_made import assert_counts

SEQUENCES, POSITIONS, WIDTH = 3, 7, 8
X = torch.randn(SEQUENCES, POSITIONS, WIDTH, generator=torch.Generator().manual_seed(1))


def padding(left: bool) -> torch.Tensor:
    """(sequence, position): true at padding, as PyTorch has it."""
    at = torch.arange(POSITIONS).expand(SEQUENCES, -1)
    return at < torch.tensor([[3], [0], [1]]) if left else at >= torch.tensor([[4], [7], [6]])


@pytest.mark.parametrize(("first", "train", "nested"), list(itertools.product([True, False], repeat=3)))
def test_an_encoder_in_either_layout_with_and_without_padding(first: bool, train: bool, nested: bool) -> None:
    """The reference: every sequence read by itself, without its padding."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).train(train)
    for mask in (
        None,
        padding(left=False),
        padding(left=True),
        torch.zeros(3, 7).masked_fill(padding(True), -torch.inf),
    ):
        real = torch.ones(3, 7).bool() if mask is None else ~mask if mask.dtype == torch.bool else mask == 0
        seen: list[list[np.ndarray]] = [[], []]
        handles = [
            each.linear2.register_forward_pre_hook(
                lambda _, x, to=seen[at]: to.append(x[0].detach().reshape(-1, 16) != 0)
            )
            for at, each in enumerate(model.layers)
        ]
        with torch.no_grad():
            for row, here in zip(X, real, strict=True):
                model(row[here])
        for handle in handles:
            handle.remove()
        with relusparsity.track(model, "layers.*.linear2", of="input") as use, torch.set_grad_enabled(train):
            model(X if first else X.transpose(0, 1), src_key_padding_mask=mask)
        for counted, rows in zip(use.counts(), seen, strict=True):
            whole = np.zeros((SEQUENCES, POSITIONS, 16), dtype=bool)
            for to, here, row in zip(whole, real.numpy(), rows, strict=True):
                to[here] = row
            assert_counts(counted, whole, real.numpy())
    with relusparsity.track(model, "layers.*.linear2", of="input") as use, torch.no_grad():
        model(X[0])  # one sequence without its dimension
    assert [(each.sequences, each.tokens) for each in use.counts()] == [(1, 7)] * 2


def test_an_encoder_and_a_decoder_have_a_mask_each() -> None:
    model = nn.Transformer(WIDTH, 2, 1, 1, 16)
    source, target = X.transpose(0, 1), X.transpose(0, 1)[:5]
    hidden = padding(left=False)
    for masks, tokens in (
        ({}, [21, 15]),
        ({"src_key_padding_mask": hidden}, [17, 15]),
        ({"tgt_key_padding_mask": hidden[:, :5]}, [21, 14]),
    ):
        with relusparsity.track(model, "*.layers.*.linear2", of="input") as use:
            model(source, target, **masks)
        assert [each.tokens for each in use.counts()] == tokens and {each.sequences for each in use.counts()} == {3}


class Text(nn.Module):
    """A language model around PyTorch's own encoder."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, activation=nn.GELU(), batch_first=first)
        self.first, self.embed, self.head = first, nn.Embedding(99, WIDTH), nn.Linear(WIDTH, 99)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=first)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.embed(input_ids)
        y = self.encoder(x if self.first else x.transpose(0, 1), src_key_padding_mask=attention_mask == 0)
        return self.head(y if self.first else y.transpose(0, 1))


@pytest.mark.parametrize("rule", [calibrate.quantile, calibrate.cett, calibrate.cett_at_perplexity])
def test_thresholds_are_the_same_in_either_layout(rule: Any) -> None:
    ids = torch.randint(3, 99, (SEQUENCES, POSITIONS), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": (~padding(left=False)).long()}
    found = []
    for first in (True, False):
        torch.manual_seed(0)
        model = Text(first).eval()
        made = rule(model, [batch], 5.0 if rule is calibrate.cett_at_perplexity else 0.4)
        with relusparsity.track(model, rule=made) as use, torch.no_grad():
            model(**batch)
        found.append([made.facts, *(each.unit_tokens.tolist() for each in use.counts())])
        assert [(each.sequences, each.tokens) for each in use.counts()] == [(3, 17)] * 2
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4) and found[0][1:] == found[1][1:]


class Block(nn.Module):
    """A block around PyTorch's attention, which has positions first; some models turn what it reads, some do not."""

    def __init__(self, turns: bool) -> None:
        super().__init__()
        self.attn, self.turns = nn.MultiheadAttention(WIDTH, 2), turns
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.transpose(0, 1) if self.turns else x
        y = self.attn(y, y, y)[0]
        return self.mlp(x + (y.transpose(0, 1) if self.turns else y))


@pytest.mark.parametrize("turns", [True, False])
def test_a_block_around_attention_with_positions_first(turns: bool) -> None:
    model = nn.ModuleDict({"blocks": nn.ModuleList([Block(turns)])})
    model.forward = lambda x: model["blocks"][0](x)  # type: ignore[method-assign]
    kept: list[Any] = []
    model["blocks"][0].mlp[1].register_forward_hook(lambda _, __, out: kept.append(out.detach()))
    square = X[:, :SEQUENCES]
    with relusparsity.track(model, "blocks.0.mlp.1") as use, torch.no_grad():
        model(X if turns else X.transpose(0, 1))
        model(square if turns else square.transpose(0, 1))  # now it is known
    rows = [out if turns else out.transpose(0, 1) for out in kept]
    whole = np.concatenate([np.pad((row > 0).numpy(), ((0, 0), (0, 7 - row.shape[1]), (0, 0))) for row in rows])
    real = np.concatenate([np.ones((3, 7), dtype=bool), np.arange(7) < np.full((3, 1), 3)])
    assert_counts(use.counts()[0], whole, real)
    again = relusparsity.track(model, "blocks.0.mlp.1")
    with pytest.raises(UserError, match="sequences"), again, torch.no_grad():
        model(square)


def test_a_model_that_turns_its_input() -> None:
    """XLNet has positions first inside."""
    config = t.XLNetConfig(vocab_size=99, d_model=16, n_layer=2, n_head=2, d_inner=32)
    with relusparsity.track(t.XLNetModel(config).eval()) as use, torch.no_grad():
        use.model(input_ids=torch.randint(3, 99, (3, 7)))
    assert [(each.sequences, each.tokens) for each in use.counts()] == [(3, 21)] * 2
