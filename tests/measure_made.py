"""Checkpoints saved with tokenizers, and texts, for `measure`."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
import xarray as xr
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from relusparsity.__main__ import main
from relusparsity.store import results

SENTENCE = "the unit fires here and never again while tokens pass by "


VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


VISION |= {"image_size": 16, "patch_size": 8}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "my.jsonl"
    path.write_text(
        "".join(json.dumps({"text": f"{i * 7919 % 1013} {SENTENCE * (1 + i % 3)}"}) + "\n" for i in range(60))
    )
    return path


def tokenizer(first: str = "", last: str = "", space: str = "bytes") -> Any:
    """A BPE of 96 types whose calls put `first` before a text and `last` after it."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    if space == "bytes":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    made.train_from_iterator([SENTENCE * 5, "0123456789"], trainers.BpeTrainer(vocab_size=96, special_tokens=special))
    template = " ".join(filter(None, (first, "$A", last)))
    numbers = [(each, special.index(each)) for each in dict.fromkeys((first, last)) if each]
    if numbers:
        made.post_processor = processors.TemplateProcessing(single=template, special_tokens=numbers)
    return t.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def saved(model: Any, folder: Path, read: Any = None) -> Path:
    model.save_pretrained(folder)
    (read or tokenizer()).save_pretrained(folder)
    return folder


def measured(model: Path, words: Path, out: Path, *more: str) -> xr.Dataset:
    command = ["measure", str(model), "--text", str(words), "--tokens", "1024", "--seq_len", "16", "--out", str(out)]
    assert main([*command, *more]) == 0
    return results.load(out / "dataset.nc")


# The process around it


def state() -> dict[str, Any]:
    """What belongs to the whole process, as the program that calls us set it."""
    backends: Any = torch.backends
    return {
        "products": [backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision],
        "old": [torch.get_float32_matmul_precision(), backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "only warns": torch.is_deterministic_algorithms_warn_only_enabled(),
        "environment": dict(os.environ),
        "drawn": torch.get_rng_state().tolist(),
        "divide": np.geterr(),
    }
