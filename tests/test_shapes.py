"""The shapes written in the signatures are executed: a whole run under beartype, and wrong shapes refused."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import relusparsity

PROGRAM = """
import jaxtyping

hooked = [f"relusparsity.{name}" for name in ("models", "counting.deaths", "counting.metrics", "counting.use")]
with jaxtyping.install_import_hook(hooked, "beartype.beartype"):
    from relusparsity import counting, models
    from relusparsity.counting import metrics

import numpy as np
import torch
from fixtures_core import tiny_corpus, tiny_model, tiny_run
from relusparsity.encoder_decoder_config import EncoderDecoderConfig
from relusparsity.train import evaluate
from relusparsity import train

torch.set_num_threads(1)
run = train.run(tiny_run(**{"train.tokens": 256, "measure.points": 2}), tiny_corpus())
text = np.zeros((5, 9), dtype=np.int64)
for changes in ({}, {"positions": "learned", "norm": "rmsnorm"}, {"positions": "sinusoidal", "norm_place": "post"}):
    built = models.build(tiny_model(**changes), 0)
    evaluate.firing_counts(built, text, 2)
    evaluate.token_type_counts(built, text, 1, 2)
shape = {"n_encoder_layers": 1, "n_decoder_layers": 1, "d_model": 8, "d_ff": 16, "n_heads": 2, "vocab_size": 64}
pair = models.build(EncoderDecoderConfig(**shape, seq_len=8, target_len=4), 0)
pair.predict(*(torch.zeros(2, length, dtype=torch.long) for length in (8, 4, 4)))


def refused(what, call, *arguments):
    try:
        call(*arguments)
    except jaxtyping.TypeCheckError:
        return
    raise SystemExit(f"accepted: {what}")


built, use = run.model(), counting.UseTracker([3], 4)
deaths = counting.DeathTracker([3, 3], 4)
tokens, mask = torch.zeros(2, 8, dtype=torch.long), torch.zeros(2, 4, 3, dtype=torch.bool)
counts, one = torch.zeros(6, dtype=torch.int32), torch.zeros(2, dtype=torch.int64)
refused("tokens without sequences", built, tokens[0])
refused("tokens that are not integers", built, tokens.float())
refused("an activation without units", metrics.fires, torch.zeros(2, 3))
refused("an activation of integers", metrics.fires, mask.int())
refused("a mask that is not bool", metrics.firing_counts, mask.int())
refused("a histogram of floats", metrics.histogram, torch.zeros(3), 2)
refused("a layer of one sequence", use.update, 0, mask[0])
refused("a mask of integers", use.update, 0, mask.int())
refused("layers that differ in number", deaths.update, counts, one[:1], one, 8)
refused("counts in rows", deaths.update, counts.view(2, 3), one, one, 8)
refused("an MLP that gets tokens", built.mlps()[0], tokens)
refused("attention that gets one sequence", built.blocks[0].attention, torch.zeros(8, 8))
refused("a decoder that is given no ids", pair, tokens, tokens[:, :4].float())
refused("attention to another batch", pair.blocks[1].cross, torch.zeros(2, 4, 8), torch.zeros(3, 8, 8))

deaths.update(counts, one, one, 8)
print("checked")
"""


def test_annotated_shapes_hold_and_are_enforced(tmp_path: Path) -> None:
    """In a process of its own: the modules must be imported under the hook."""
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"RELUSPARSITY_RUNS": str(tmp_path), "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout == "checked\n"


COUNTING = ["counting/deaths", "counting/layer", "counting/metrics", "counting/use"]
MODULES = [*COUNTING, "models/decoder", "models/encoder_decoder", "models/feedforward"]


@pytest.mark.parametrize("module", MODULES)
def test_no_public_function_takes_a_tensor_of_unsaid_shape(module: str) -> None:
    tree = ast.parse((Path(relusparsity.__file__).parent / f"{module}.py").read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    functions = [node for owner in (tree, *classes) for node in owner.body if isinstance(node, ast.FunctionDef)]
    assert functions
    bare = [
        f"{function.name}({argument.arg})"
        for function in functions
        for argument in function.args.args
        if not function.name.startswith("_") and argument.annotation and ast.unparse(argument.annotation) == "Tensor"
    ]
    assert bare == []
