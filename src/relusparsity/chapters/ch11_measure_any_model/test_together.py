"""Checkpoints of any depth and width go into one dataset, and into its tables."""

from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models
from torch import nn

from relusparsity.measure import measure
from relusparsity.store import results

from . import encoders, public, public_tables

ABOUT = {"package": "some 1.0", "licence": "MIT"}


def test_layers_of_two_models_become_rows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(40)}, "w0"))
    small = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40, "sequence_len": 64, "num_classes": 2}
    given: dict[str, nn.Module] = {public.SMOLLM2: transformers.LlamaForCausalLM(config).eval()}
    given[public.NANOGUARD] = encoders.NanoGuard(small).eval()
    ids = np.random.default_rng(0).integers(0, 40, (160, 64))
    parts = {
        name: measure.measure(model, tokenizer, ids, measure.Options(8192, 64), name=name, about=ABOUT)
        for name, model in given.items()
    }
    whole = public.together(parts, {"gguf": "1"})
    assert whole["model"].values.tolist() == [public.SMOLLM2] * 3 + [public.NANOGUARD] * 2
    assert whole["layer"].values.tolist() == [0, 1, 2, 0, 1] and whole["units"].values.tolist() == [24] * 3 + [64] * 2
    rows = [values for part in parts.values() for values in part["final_window_use"].values[0]]
    np.testing.assert_array_equal(whole["final_window_use"].values, rows)
    assert set(whole["example_model"].values) == set(given)
    facts = results.provenance(whole)
    assert facts["read_with"] == {"gguf": "1"} and set(facts["packages"]) == set(public.PACKAGES)
    results.save(whole, tmp_path / "whole.nc")
    again = results.load(tmp_path / "whole.nc")
    assert public_tables.use(again).loc[public.SMOLLM2, "of"] == 72
    assert public_tables.about(again).loc[public.NANOGUARD, "layers × units"] == "2 × 64"
    assert (public_tables.costs(again).loc["0 %"] == 0).all()
