"""Prefix-matching scores of SmolLM2's heads by `track_heads`, against TransformerLens' cache of attention patterns.

    python benchmarks/scores_against_lens.py        # 2 minutes on a core; needs `make models ONLY=smollm2`

The same repeated random tokens and weights, in float32; each library runs its own forward pass. Ours reads queries and
keys as PyTorch's fused attention is given them and makes the weights in float64; theirs keeps those of the plain one.
TransformerLens comes from an environment of its own; where that cannot be made, the script says so.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from support import machine
from support.lens import LENS, lens_python

from relusparsity import anymodel
from relusparsity.attention import induction
from relusparsity.measure import load, text

SCRIPT = Path(__file__).parent / "support" / "lens_scores.py"


def main() -> None:
    python, why_not = lens_python()
    if python is None:
        raise SystemExit(f"{LENS} is missing: {why_not}")
    here = machine.describe("torch", "numpy", "transformers")
    here["versions"]["transformer-lens"] = LENS.partition("==")[2]
    ready = load.load("smollm2", "cpu")
    how = text.reader(ready.tokenizer)
    first = torch.tensor(how.first or how.last)
    types = induction.usual(load.vocabulary(ready.model), set(how.special))
    rows, ours = induction.repeated(types, first), []
    for row in rows.split(1):
        track = anymodel.track_heads(ready.model, period=induction.PERIOD, begin=len(first))
        with track, torch.no_grad():
            ready.model(input_ids=row, use_cache=False)
        ours.append(np.stack(track.prefix_matching()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready.model.save_pretrained(folder)
        ready.tokenizer.save_pretrained(folder)
        (folder / "ids.json").write_text(json.dumps(rows.tolist()))
        arguments = [folder, folder / "ids.json", induction.PERIOD, len(first)]
        done = subprocess.run([python, SCRIPT, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"TransformerLens could not: {done.stderr.strip().splitlines()[-1]}")
    theirs = np.array(json.loads(done.stdout.splitlines()[-1]))
    apart, highest = float(np.abs(np.stack(ours) - theirs).max()), float(np.mean(ours, 0).max())
    mean_apart = float(np.abs(np.mean(ours, 0) - theirs.mean(0)).max())
    told = (
        f"{theirs[0].size} heads, {len(rows)} draws: scores differ by at most {apart:.1e}, means over draws by "
        f"{mean_apart:.1e}; the highest mean is {highest:.3f}."
    )
    result = {"draws": len(rows), "heads": theirs[0].size, "largest_difference": apart, "of_means": mean_apart}
    machine.publish("scores_against_lens", here, result, told)


if __name__ == "__main__":
    main()
