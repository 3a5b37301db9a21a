"""Chapter 06: does reading text again empty layers? As many tokens, each text once or a quarter of it four times."""

import dataclasses
from collections.abc import Sequence

import xarray as xr

from .. import corpora
from ..config import replace
from ..identity import digest
from ..scales import base, names
from ..store import results
from . import factorial, shared, variants

PASSES = {"each text once": 1, "a quarter, four times": 4}
"""Name → passes over the text."""

STEPS = {"smoke": 50, "mid": 10_700}
"""Steps: at Mid, as many as one pass over the recorded runs' text takes."""

RECORDED = (("mid", None),)
"""Shapes whose dataset is committed."""


def config(scale: str) -> shared.Config:
    """The first recipe at a shape, for as many tokens as one pass takes: one run, for the whole text and for a part."""
    scale, _ = names(scale)
    run = base(scale, 0, "first")
    tokens = shared.setting(STEPS, scale, "number of steps for one pass over its text") * run.train.batch_tokens
    fewer = factorial.FEWER if scale == "mid" else {}
    return shared.Config(scale, "first", (replace(run, **fewer, **{"train.tokens": tokens}),))


def first_part(corpus: corpora.Corpus, passes: int, tokens: int) -> corpora.Corpus:
    """A corpus whose training text is so short that `tokens` tokens are that many passes; held-out text as it was."""
    kept = min(len(corpus.train), tokens // passes + 1)
    if kept == len(corpus.train):
        return corpus
    name, checksum = f"{corpus.name}, first {kept:,} tokens", digest(corpus.checksum, kept)
    return dataclasses.replace(corpus, name=name, train=corpus.train[:kept], checksum=checksum)


def own_texts(config: shared.Config) -> list[corpora.Corpus]:
    """What the configuration is run on, in the order of `PASSES`."""
    run = config.runs[0]
    corpus = corpora.load(run.corpus)
    return [first_part(corpus, passes, run.train.tokens) for passes in PASSES.values()]


def run(config: shared.Config) -> xr.Dataset:
    """Every measured variable by (recipe, seed, step, layer); `recipe` is how often the text is read. One seed."""

    def compute() -> xr.Dataset:
        return assemble([variants.measured(config.runs[0], part) for part in own_texts(config)], config.scale)

    return shared.cached("repetition", config, config.runs, __name__, compute)


def assemble(runs: Sequence[xr.Dataset], scale: str) -> xr.Dataset:
    """The dataset from those of the finished runs, in the order of `PASSES`."""
    dataset = variants.stack(runs, {name: {} for name in PASSES}, scale)
    facts = [results.provenance(run) for run in runs]
    said = [f"{f['config']['train']['tokens'] / f['corpus']['train_tokens']:.2f} passes" for f in facts]
    dataset.coords["changed"] = ("recipe", said, {"units": "1", "long_name": "passes over the training text"})
    return dataset
