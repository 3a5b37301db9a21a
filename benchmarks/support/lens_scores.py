"""Prefix-matching scores by TransformerLens' cache of attention patterns; run by its own Python, prints JSON.

_build/transformer-lens/bin/python benchmarks/support/lens_scores.py FOLDER IDS.json PERIOD BEGIN
"""

import json
import sys
from pathlib import Path

import torch
import transformers as t
from transformer_lens import model_bridge


def main(folder: str, ids: str, period: int, begin: int) -> None:
    model = t.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    tokenizer = t.AutoTokenizer.from_pretrained(folder)
    lens = model_bridge.TransformerBridge.boot_transformers(folder, hf_model=model, tokenizer=tokenizer)
    layers = model.config.num_hidden_layers
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(layers)]
    scores = []
    with torch.no_grad():
        for row in json.loads(Path(ids).read_text()):
            cache = lens.run_with_cache(torch.tensor([row]), names_filter=names)[1]
            patterns = [cache[name][0].double() for name in names]  # (head, query, key)
            # of the tokens that come again, attention to the one after their first occurrence: a diagonal
            again = [each.diagonal(1 - period, dim1=1, dim2=2)[:, begin + 1 :] for each in patterns]
            scores.append([each.mean(1).tolist() for each in again])
    print(json.dumps(scores))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
