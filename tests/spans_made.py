"""A run of an encoder-decoder on a small text with spans cut out, and what it is trained on."""

from typing import Any

from fixtures_core import VOCABULARY, tiny_corpus
from relusparsity import config
from relusparsity.corpora import SpanCorpus
from relusparsity.encoder_decoder_config import EncoderDecoderConfig
from relusparsity.span_config import SpanConfig, SpanCorpusConfig

SPANS = SpanCorpusConfig(
    config.CorpusConfig(source="text", paths=("tiny",), vocab_size=VOCABULARY), SpanConfig(sentinels=2), seq_len=16
)
"""Sequences of 16 tokens to read and 5 to predict, made of 17."""


def tiny_spans(**changes: Any) -> config.RunConfig:
    """40 steps of 8 sequences, 9 measurements, a state to resume from every 8 steps; units die and come back."""
    made = config.RunConfig(
        EncoderDecoderConfig(
            n_encoder_layers=1,
            n_decoder_layers=2,
            d_model=16,
            d_ff=32,
            n_heads=2,
            seq_len=16,
            target_len=5,
            vocab_size=SPANS.vocab_size,
        ),
        SPANS,
        config.TrainConfig(
            tokens=40 * 128,
            batch_tokens=128,
            lr=0.1,
            schedule="cosine",
            warmup=512,
            dead_after=128,
            resume_every=1024,
            snapshots=2,
        ),
        config.MeasureConfig(points=5, sets=2, final_sets=3, set_tokens=128, history_units=5, histories=3),
    )
    return config.replace(made, **changes)


def text(of: SpanCorpusConfig = SPANS) -> SpanCorpus:
    return SpanCorpus(of, tiny_corpus())
