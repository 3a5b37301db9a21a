"""`track` against TransformerLens' cache, on small random models of every kind that both know.

Not in the lock, because it brings some twenty packages along: pip install transformer-lens==4.3.0 pytest -e '.[models]'
into an environment of its own, and there: pytest tests/test_transformer_lens.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from tokenizers import Tokenizer, models

import relusparsity
from any_models import GATED, KINDS, SMOOTH, build, inputs, names, stored
from track_made import assert_counts

bridge = pytest.importorskip(
    "transformer_lens.model_bridge", reason="TransformerLens is not installed: pip install transformer-lens==4.3.0"
)
READ_BY_BOTH = [kind for kind in KINDS if kind != "vit"]  # its bridge reads token ids only
NEAR_ZERO = 1e-5  # two ways to compute a pre-activation of this size may disagree on its sign


def lens(kind: str, folder: Path) -> Any:
    """The same weights, as TransformerLens wraps them; the tokenizer is there because it wants one."""
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(99)}, unk_token="w0"))
    special = {f"{name}_token": f"w{i}" for i, name in enumerate(("pad", "bos", "eos"))}
    t.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    model = build(kind, folder)
    tokenizer = t.AutoTokenizer.from_pretrained(folder)
    return bridge.TransformerBridge.boot_transformers(str(folder), hf_model=model, tokenizer=tokenizer)


def cached(wrapped: Any, kind: str) -> Any:
    """TransformerLens' cache of the inputs."""
    given = inputs(kind)
    more = {"decoder_input": given["decoder_input_ids"]} if kind.startswith("t5") else {}  # its word for it
    return wrapped.run_with_cache(given["input_ids"], **more)[1]


def points(kind: str, of: str) -> list[str]:
    """TransformerLens' hook points of the layers, in order."""
    stacks = ("encoder_blocks", "decoder_blocks") if kind.startswith("t5") else ("blocks",)
    return [f"{stack}.{layer}.mlp.{of}" for stack in stacks for layer in range(2)]


@pytest.mark.parametrize("kind", READ_BY_BOTH)
def test_the_same_tensors_give_the_same_counts(kind: str, tmp_path: Path) -> None:
    """One forward pass, cached and counted at once: what the layer after the units reads."""
    wrapped, hooks = lens(kind, tmp_path), points(kind, "out.hook_in")
    tracked = relusparsity.track(wrapped.original_model, lambda _, module: getattr(module, "name", "") in hooks)
    assert [getattr(place.module, "name", "") for place in tracked.places] == hooks
    with tracked as use, torch.no_grad():
        cache = cached(wrapped, kind)
    for layer, name in zip(use.counts(), points(kind, "hook_post"), strict=True):
        assert_counts(layer, cache[name].numpy() > 0)


@pytest.mark.parametrize("kind", [kind for kind in READ_BY_BOTH if kind not in SMOOTH | GATED])
def test_separate_passes_differ_only_next_to_zero(kind: str, tmp_path: Path) -> None:
    """The model as it is, tracked; TransformerLens' own forward pass, cached."""
    model, wrapped = build(kind), lens(kind, tmp_path)
    with stored(model, names(kind)) as kept, relusparsity.track(model) as use, torch.no_grad():
        model(**inputs(kind))
        cache = cached(wrapped, kind)
    for at, layer in enumerate(use.counts()):
        ours = np.concatenate([a.reshape(3, -1, a.shape[-1]) for a in kept[at]]) > 0
        theirs = cache[points(kind, "hook_post")[at]].numpy() > 0
        before = cache[points(kind, "hook_pre")[at]].numpy()
        differ = ours != theirs.reshape(ours.shape)
        assert np.abs(before.reshape(ours.shape)[differ]).max(initial=0) <= NEAR_ZERO
        np.testing.assert_array_less(
            np.abs(layer.unit_tokens.numpy() - theirs.reshape(-1, layer.units).sum(0)),
            differ.reshape(-1, layer.units).sum(0) + 1,
        )
        assert layer.tokens == theirs.size // layer.units and 0 < theirs.mean() < 1
