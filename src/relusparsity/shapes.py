"""The shapes of our models: their size, the text that fits it, how long they train and how closely they are measured.

How a model is trained is its recipe: see `recipes`. A shape with a recipe is a run: see `scales.base`.
"""

from .config import CorpusConfig, MeasureConfig, ModelConfig, RunConfig, TrainConfig
from .encoder_decoder_config import EncoderDecoderConfig
from .pictures_config import PicturesConfig
from .span_config import SpanConfig, SpanCorpusConfig
from .vit_config import VitConfig

ENGLISH = CorpusConfig(source="hf", name="allenai/c4", subset="en", max_bytes=400_000_000, vocab_size=32_768)

SHAPES: dict[str, RunConfig] = {
    "smoke": RunConfig(
        ModelConfig(d_model=16, d_ff=64, n_heads=2, seq_len=32, vocab_size=512),
        CorpusConfig(vocab_size=512, tokenizer_bytes=1_000_000),
        TrainConfig(tokens=12_800, batch_tokens=256, warmup=1_280, dead_after=2_560, resume_every=2_560, snapshots=2),
        MeasureConfig(points=8, sets=1, final_sets=4, set_tokens=1024, history_units=16, histories=6),
    ),
    "laptop": RunConfig(),
    "mid": RunConfig(
        ModelConfig(d_model=512, d_ff=8192, n_heads=8, seq_len=512, vocab_size=32_768),
        ENGLISH,
        TrainConfig(
            tokens=49_152_000,
            batch_tokens=8192,
            warmup=2_457_600,
            precision="bf16",
            compile=True,
            dead_after=1_048_576,
            resume_every=0,  # two minutes: beginning again costs less than writing states does
            snapshots=0,
        ),
        MeasureConfig(final_sets=128, history_units=256),
    ),
    "wide": RunConfig(
        ModelConfig(d_model=1024, d_ff=32_768, n_heads=16, seq_len=512, vocab_size=32_768),
        ENGLISH,
        TrainConfig(
            tokens=131_072_000,
            batch_tokens=8192,
            warmup=8_192_000,
            precision="bf16",
            compile=True,
            dead_after=1_048_576,
            resume_every=32_768_000,  # every quarter of the training; a state takes 5.5 GB, two are kept
            snapshots=0,
        ),
        MeasureConfig(final_sets=128),
    ),
}
"""Seconds (smoke), minutes on two cores (laptop, 6 × 1,024 units), or one data-centre GPU (mid, 6 × 8,192 units; wide,
6 × 32,768 as the source has). A residual stream of another size is said with the shape."""

PICTURES: dict[str, RunConfig] = {
    "smoke": RunConfig(
        VitConfig(n_layers=2, d_model=16, d_ff=64, n_heads=2, patch_size=16),
        PicturesConfig(),
        TrainConfig(
            tokens=12_800,
            batch_tokens=256,
            lr=2e-3,
            schedule="cosine",
            warmup=1_280,
            dead_after=2_560,
            resume_every=0,
            snapshots=0,
        ),
        MeasureConfig(points=4, sets=1, final_sets=2, set_tokens=1024, history_units=8, histories=2),
    ),
    "digits": RunConfig(
        VitConfig(patch_size=8),
        PicturesConfig(),
        TrainConfig(
            tokens=614_400,  # 600 steps of 64 pictures: 10 epochs
            batch_tokens=1024,
            lr=2e-3,
            schedule="cosine",
            warmup=30_720,
            dead_after=131_072,
            resume_every=0,
            snapshots=0,
        ),
        MeasureConfig(points=20, sets=1, final_sets=1, history_units=64, histories=2),
    ),
    "fashion": RunConfig(
        VitConfig(d_model=192, d_ff=768, n_heads=3),
        PicturesConfig(source="fashion"),
        TrainConfig(
            tokens=65_536_000,  # 2,000 steps of 512 pictures: nearly 20 epochs
            batch_tokens=32_768,
            lr=1e-3,
            schedule="cosine",
            warmup=3_276_800,
            weight_decay=0.05,
            compile=True,
            dead_after=4_194_304,  # 128 steps, in which every picture is shown
            resume_every=0,
            snapshots=0,
        ),
        MeasureConfig(sets=16, final_sets=64, history_units=64, histories=2),
    ),
}
"""The same of vision Transformers, which read pictures: seconds, a minute on two cores, or minutes on a GPU."""

SPANS: dict[str, RunConfig] = {
    "smoke": RunConfig(
        EncoderDecoderConfig(2, 2, d_model=16, d_ff=64, n_heads=2, seq_len=32, target_len=8, vocab_size=517),
        SpanCorpusConfig(CorpusConfig(vocab_size=512, tokenizer_bytes=1_000_000), SpanConfig(sentinels=4), seq_len=32),
        TrainConfig(
            tokens=12_800,
            batch_tokens=256,
            schedule="cosine",
            warmup=1_280,
            dead_after=2_560,
            resume_every=0,
            snapshots=0,
        ),
        MeasureConfig(points=4, sets=1, final_sets=2, set_tokens=1024, history_units=8, histories=2),
    ),
    "spans": RunConfig(
        EncoderDecoderConfig(vocab_size=SpanCorpusConfig(ENGLISH).vocab_size),
        SpanCorpusConfig(ENGLISH),
        TrainConfig(
            tokens=209_715_200,  # 12,800 steps of 32 sequences; what the decoder predicts comes on top, 114 a sequence
            batch_tokens=16_384,
            lr=1e-3,
            schedule="cosine",
            warmup=10_485_760,
            precision="bf16",
            compile=True,
            dead_after=2_097_152,
            resume_every=0,
            snapshots=0,
        ),
        MeasureConfig(sets=8, final_sets=128, history_units=64, histories=2),
    ),
}
"""The same of encoder-decoders, which read text with spans cut out: seconds, or minutes on a GPU. Tokens are those that
the encoder reads."""

TABLES = {"text for a decoder": SHAPES, "pictures": PICTURES, "text with spans cut out": SPANS}
"""What models read → the shapes of those that read it; *smoke* is in each."""


def title(scale: str) -> str:
    """What readers call a shape: Wide, Mid, Laptop, Digits, Fashion, Spans; any other name as it is."""
    return scale.capitalize() if any(scale in shapes for shapes in TABLES.values()) else scale
