"""The run of each scale: smoke (seconds), laptop (minutes), factorial, paper and paper_first (one data-centre GPU)."""

import os
from glob import escape, glob
from pathlib import Path
from typing import Annotated

from .checks import Only, shown
from .config import CorpusConfig, MeasureConfig, ModelConfig, RunConfig, TrainConfig, replace
from .errors import UserError

SEARCH_SEEDS = {"factorial": (0, 1), "paper": (0, 1), "paper_first": (0, 1)}
"""Seeds with which the recipe of a scale was found (at the paper's width, 0 alone); fresh ones must judge it."""

SEEDS = {
    "smoke": (0, 1, 2),
    "laptop": (0, 1, 2),
    "factorial": (2, 3, 4, 5, 6),
    "paper": (2, 3, 4),
    "paper_first": (2, 3, 4),
}

FIRST = {"model.positions": "learned", "model.init": "xavier", "train.weight_decay": 1.0, "train.lr": 6e-4}
"""What the first frozen recipe changes of the defaults: when it was frozen, the nearest to the source's numbers by
`experiments.exploration.distance`, among the factorial's recipes and six beside it, all of scale factorial."""

NEAREST = {
    "train.lr": 3e-4,
    "train.weight_decay": 2.0,
    "train.tokens": 229_376_000,
    "train.resume_every": 57_344_000,  # a quarter again
}
"""What the recipe of scale paper changes of that: when it was frozen (2026-11-28), the nearest of the paper's shape by
the same rule, among the first recipe and eight others of one seed each, itself with seed 0 among them."""

REPLACED = ("paper_first",)
"""Scales that are another one with an earlier recipe. Their runs stay recorded; verdicts come from the later ones."""

_ENGLISH = CorpusConfig(source="hf", name="allenai/c4", subset="en", max_bytes=400_000_000, vocab_size=32_768)

_WIDE = replace(
    RunConfig(
        ModelConfig(d_model=1024, d_ff=32_768, n_heads=16, seq_len=512, vocab_size=32_768),
        _ENGLISH,
        TrainConfig(
            tokens=131_072_000,
            batch_tokens=8192,
            schedule="cosine",
            warmup=8_192_000,
            precision="bf16",
            compile=True,
            dead_after=1_048_576,
            resume_every=32_768_000,  # every quarter of the training; a state takes 5.5 GB, two are kept
            snapshots=0,
        ),
        MeasureConfig(final_sets=128),
    ),
    **FIRST,
)

SCALES: dict[str, RunConfig] = {
    "smoke": RunConfig(
        ModelConfig(d_model=16, d_ff=64, n_heads=2, seq_len=32, vocab_size=512),
        CorpusConfig(vocab_size=512, tokenizer_bytes=1_000_000),
        TrainConfig(tokens=12_800, batch_tokens=256, warmup=1_280, dead_after=2_560, resume_every=2_560, snapshots=2),
        MeasureConfig(points=8, sets=1, final_sets=4, set_tokens=1024, history_units=16, histories=6),
    ),
    "laptop": RunConfig(),
    "factorial": replace(
        RunConfig(
            ModelConfig(d_model=512, d_ff=8192, n_heads=8, seq_len=512, vocab_size=32_768),
            _ENGLISH,
            TrainConfig(
                tokens=49_152_000,
                batch_tokens=8192,
                schedule="cosine",
                warmup=2_457_600,
                precision="bf16",
                compile=True,
                dead_after=1_048_576,
                resume_every=0,  # two minutes: beginning again costs less than writing states does
                snapshots=0,
            ),
            MeasureConfig(final_sets=128, history_units=256),
        ),
        **FIRST,
    ),
    "paper": replace(_WIDE, **NEAREST),
    "paper_first": _WIDE,
}


Scale = Annotated[str, Only(SCALES.__contains__, f"one of {', '.join(SCALES)}")]
"""The hint of a field that holds the name of a scale."""


def base(scale: str, seed: int = 0) -> RunConfig:
    """The run that a scale starts from; every experiment changes it field by field.

    With $RELUSPARSITY_TEXT set to a folder of ``english-*.jsonl.xz`` files (and english-val, c4-eval), the GPU scales
    train on these instead of C4 from the Hugging Face hub.

    Raises
    ------
    UserError
        For a scale that does not exist.
    """
    if not isinstance(scale, str) or scale not in SCALES:
        raise UserError(f"there is no scale {shown(scale)}; choose one of {', '.join(SCALES)}.")
    config = replace(SCALES[scale], seed=seed)
    folder = os.environ.get("RELUSPARSITY_TEXT")
    return replace(config, corpus=_local_english(Path(folder))) if folder and config.corpus is _ENGLISH else config


def _local_english(folder: Path) -> CorpusConfig:
    shards = sorted(glob(str(Path(escape(str(folder)), "english-[0-9]*.jsonl.xz"))))
    held = [folder / "english-val.jsonl.xz", folder / "c4-eval.jsonl.xz"]
    # of a path that can be none, these say that there is no such file, where Path's own raise
    missing = [path.name for path in held if not os.path.isfile(path)] + ([] if shards else ["english-0.jsonl.xz"])
    if missing:
        raise UserError(
            f"RELUSPARSITY_TEXT = {shown(str(folder))} lacks {', '.join(missing)}; unset it to stream C4 instead."
        )
    tokenizer = folder / "tokenizer.json"
    return CorpusConfig(
        source="text",
        paths=tuple(shards),
        heldout_paths=tuple(map(str, held)),
        vocab_size=32_768,
        tokenizer=str(tokenizer) if tokenizer.is_file() else None,
        tokenizer_bytes=40_000_000,
    )


def live(scale: str) -> str:
    """The scale that a notebook's own run really has: $RELUSPARSITY_SCALE overrides it, and says so."""
    override = os.environ.get("RELUSPARSITY_SCALE")
    for name in filter(None, (scale, override)):
        base(name)
    if override and override != scale:
        print(f"RELUSPARSITY_SCALE asks for {override} instead of {scale}")
        return override
    return scale
