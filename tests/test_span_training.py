"""The encoder-decoder on spans cut out of a text: it learns what there is to learn, and nothing leaks to it."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fixtures_core import VOCABULARY, made_up_text
from relusparsity.corpora import spans
from relusparsity.encoder_decoder_config import EncoderDecoderConfig
from relusparsity.models import build, checked
from relusparsity.span_config import SpanConfig
from relusparsity.train.step import Objective

CONFIG = SpanConfig(sentinels=8)
LENGTHS = CONFIG.lengths(32)
IDS = spans.Ids(types=VOCABULARY, eos=0, sentinels=CONFIG.sentinels)


def batch(found: spans.Batch) -> list[torch.Tensor]:
    return [torch.from_numpy(part) for part in found]


def loss_of_what_was_cut_out(train: np.ndarray, heldout: np.ndarray, random: bool = False) -> float:
    """Cross-entropy of held-out tokens of text, in nats, after 80 steps."""
    model = build(
        EncoderDecoderConfig(
            n_encoder_layers=1,
            n_decoder_layers=1,
            d_model=32,
            d_ff=64,
            n_heads=4,
            seq_len=LENGTHS.inputs,
            target_len=LENGTHS.targets,
            vocab_size=IDS.vocabulary,
        ),
        seed=0,
    )
    checked.check(model, *batch(spans.batch(train, LENGTHS, IDS, 2, 0, 0)))
    objective = Objective(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(80):
        loss, *_ = objective(*batch(spans.batch(train, LENGTHS, IDS, 32, 0, step, random=random)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        logits, targets = model.predict(*batch(spans.heldout(heldout, LENGTHS, IDS, random)))
    cut = (targets > IDS.eos) & (targets < IDS.types)
    return float(F.cross_entropy(logits[cut], targets[cut]))


def test_what_a_text_has_of_order_is_learned(one_thread: None) -> None:
    assert loss_of_what_was_cut_out(made_up_text(50_000, 0), made_up_text(8_000, 1)) < math.log(VOCABULARY) - 1


def test_what_follows_from_nothing_is_not_known(one_thread: None) -> None:
    """Independent tokens, each equally likely: whoever does better than that has seen them."""
    drawn = np.random.default_rng(0).integers(1, VOCABULARY, 58_000).astype(np.uint16)
    loss = loss_of_what_was_cut_out(drawn[:50_000], drawn[50_000:])
    assert loss == pytest.approx(math.log(VOCABULARY - 1), abs=0.25) and loss > math.log(VOCABULARY - 1) - 0.02


def test_of_random_targets_nothing_is_learned_though_the_text_has_order(one_thread: None) -> None:
    loss = loss_of_what_was_cut_out(made_up_text(50_000, 0), made_up_text(8_000, 1), random=True)
    assert loss == pytest.approx(math.log(VOCABULARY), abs=0.25) and loss > math.log(VOCABULARY) - 0.02
