"""A shape trained by a recipe, as a run; the value of the notebooks' parameter `scale` is a shape."""

import os
from collections.abc import Collection
from glob import escape, glob
from pathlib import Path
from typing import Annotated

from .checks import Only, shown
from .config import CorpusConfig, RunConfig, replace
from .errors import UserError
from .recipes import FROZEN, RECIPES
from .shapes import ENGLISH, SHAPES, TABLES
from .span_config import SpanCorpusConfig
from .store.renamed import WORDS

EVERY = SHAPES | {name: run for table in TABLES.values() for name, run in table.items() if name not in SHAPES}
"""Name → the run of a shape, whatever it reads; *smoke*, which all have, is the one of text for a decoder."""

Scale = Annotated[str, Only(EVERY.__contains__, f"one of {', '.join(EVERY)}")]
"""The hint of a field that holds the name of a shape."""

Named = Annotated[str, Only(RECIPES.__contains__, f"one of {', '.join(RECIPES)}")]
"""The hint of a field that holds the name of a recipe."""


def names(scale: str, recipe: str | None = None, known: Collection[str] = tuple(SHAPES)) -> tuple[str, str]:
    """A shape and a recipe, by today's words: the shape's own recipe where none is named, old words translated.

    Parameters
    ----------
    known
        Shapes to choose from; by default those of decoders.

    Raises
    ------
    UserError
        For a shape or a recipe that does not exist.
    """
    if isinstance(scale, str) and scale in WORDS:
        scale, of_word = WORDS[scale]
        recipe = of_word if recipe is None else recipe
    if isinstance(scale, str) and scale in EVERY and scale not in known:
        raise UserError(f"scale {scale} has no text for a decoder; those that have are {', '.join(known)}.")
    if not isinstance(scale, str) or scale not in known:
        raise UserError(f"there is no scale {shown(scale)}; choose one of {', '.join(known)}.")
    recipe = FROZEN.get(scale, "default") if recipe is None else recipe
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise UserError(f"there is no recipe {shown(recipe)}; choose one of {', '.join(RECIPES)}.")
    return scale, recipe


def base(scale: str, seed: int = 0, recipe: str | None = None) -> RunConfig:
    """The run of a shape, by its own recipe or another; every experiment changes it field by field.

    With $RELUSPARSITY_TEXT set to a folder of ``english-*.jsonl.xz`` files (and english-val, c4-eval), the shapes for
    GPUs train on these instead of C4 from the Hugging Face hub.

    Raises
    ------
    UserError
        For a shape or a recipe that does not exist.
    """
    scale, recipe = names(scale, recipe, EVERY)
    if scale not in SHAPES:
        if recipe != "default":
            raise UserError(
                f"scale {scale} has no text for a decoder, which recipe {recipe} is a way to train on; those that have "
                f"are {', '.join(SHAPES)}."
            )
        return _with_text(replace(EVERY[scale], seed=seed))
    config, how = SHAPES[scale], RECIPES[recipe]
    batch = config.train.batch_tokens
    lengths = {f"train.{name}": getattr(config.train, name) for name in ("tokens", "resume_every")}
    longer = {name: int(how.longer * tokens) // batch * batch for name, tokens in lengths.items()}
    return _with_text(replace(config, seed=seed, **longer, **how.changes))


def pictures(scale: str, seed: int = 0) -> RunConfig:
    """The run of a shape that reads pictures; a recipe is a way to train a decoder, so there is none to name.

    Raises
    ------
    UserError
        For a shape that does not exist, or reads none.
    """
    return _of("pictures", scale, seed)


def spans(scale: str, seed: int = 0) -> RunConfig:
    """The same of a shape that reads text with spans cut out; for $RELUSPARSITY_TEXT see `base`."""
    return _of("text with spans cut out", scale, seed)


def _of(read: str, scale: str, seed: int) -> RunConfig:
    scale, _ = names(scale, known=EVERY)
    if scale not in TABLES[read]:
        raise UserError(f"scale {scale} has no {read}; those that have are {', '.join(TABLES[read])}.")
    return _with_text(replace(TABLES[read][scale], seed=seed))


def _with_text(config: RunConfig) -> RunConfig:
    """With the English text of this machine, where there is one and the run reads English."""
    folder, field = os.environ.get("RELUSPARSITY_TEXT"), "corpus"
    text = config.corpus
    if isinstance(text, SpanCorpusConfig):
        field, text = "corpus.text", text.text
    return replace(config, **{field: _local_english(Path(folder))}) if folder and text == ENGLISH else config


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
    """The shape that a notebook's own run really has: $RELUSPARSITY_SCALE overrides it, and says so."""
    override = os.environ.get("RELUSPARSITY_SCALE")
    for name in filter(None, (scale, override)):
        names(name)
    if override and override != scale:
        print(f"RELUSPARSITY_SCALE asks for {override} instead of {scale}")
        return override
    return scale
