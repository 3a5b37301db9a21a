"""Checkpoints of four kinds, measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as t
import xarray as xr
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from any_models import build
from relusparsity.__main__ import main
from relusparsity.store import results

WORDS = ["the", "unit", "fires", "here", "never", "again", "while", "tokens", "pass", "by", "and", "some", "are", "new"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models of four kinds, each with a tokenizer, and a text."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    documents = [" ".join(rng.choice(WORDS, size=40, p=np.arange(1, 15) / 105)) for _ in range(60)]
    (folder / "my.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in documents))
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(documents, trainers.BpeTrainer(vocab_size=99, special_tokens=["<eos>"]))
    tokenizer = t.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")
    for kind in ("opt", "llama", "t5", "bert"):
        build(kind, folder / kind)
        tokenizer.save_pretrained(folder / kind)
    later = build("opt")  # as after some more steps
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in later.parameters():
            parameter += 0.3 * parameter.std() * torch.randn(parameter.shape, generator=generator)
    later.save_pretrained(folder / "later")
    tokenizer.save_pretrained(folder / "later")
    return folder


def options(place: Path, kind: str, out: Path, *more: str) -> list[str]:
    base = ["measure", str(place / kind), "--text", str(place / "my.jsonl"), "--tokens", "1024", "--seq_len", "16"]
    return [*base, "--full", "--out", str(out), *more]


def measured(place: Path, kind: str, out: Path, *more: str) -> xr.Dataset:
    assert main(options(place, kind, out, *more)) == 0
    return results.load(out / "dataset.nc")
