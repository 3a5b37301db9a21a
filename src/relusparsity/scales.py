"""A shape trained by a recipe, as a run; the value of the notebooks' parameter `scale` is a shape."""

import os
from glob import escape, glob
from pathlib import Path
from typing import Annotated

from .checks import Only, shown
from .config import CorpusConfig, RunConfig, replace
from .errors import UserError
from .recipes import FROZEN, RECIPES
from .shapes import ENGLISH, SHAPES
from .store.renamed import WORDS

Scale = Annotated[str, Only(SHAPES.__contains__, f"one of {', '.join(SHAPES)}")]
"""The hint of a field that holds the name of a shape."""

Named = Annotated[str, Only(RECIPES.__contains__, f"one of {', '.join(RECIPES)}")]
"""The hint of a field that holds the name of a recipe."""


def names(scale: str, recipe: str | None = None) -> tuple[str, str]:
    """A shape and a recipe, by today's words: the shape's own recipe where none is named, old words translated.

    Raises
    ------
    UserError
        For a shape or a recipe that does not exist.
    """
    if isinstance(scale, str) and scale in WORDS:
        scale, of_word = WORDS[scale]
        recipe = of_word if recipe is None else recipe
    if not isinstance(scale, str) or scale not in SHAPES:
        raise UserError(f"there is no scale {shown(scale)}; choose one of {', '.join(SHAPES)}.")
    recipe = FROZEN[scale] if recipe is None else recipe
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
    scale, recipe = names(scale, recipe)
    config, how = SHAPES[scale], RECIPES[recipe]
    batch = config.train.batch_tokens
    lengths = {f"train.{name}": getattr(config.train, name) for name in ("tokens", "resume_every")}
    longer = {name: int(how.longer * tokens) // batch * batch for name, tokens in lengths.items()}
    config = replace(config, seed=seed, **longer, **how.changes)
    folder = os.environ.get("RELUSPARSITY_TEXT")
    return replace(config, corpus=_local_english(Path(folder))) if folder and config.corpus == ENGLISH else config


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
