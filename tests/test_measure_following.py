"""Units followed from model to model, and arithmetic that leaves the process as it was."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
import xarray as xr

from any_models import SMALL, build
from measure_made import measured, saved, state, tokenizer
from relusparsity import arithmetic
from relusparsity.errors import UserError
from relusparsity.measure import following, load, measure

pytest_plugins = ("measure_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("undrawn")


# Units of two models


def _counts(count: np.ndarray, **model: Any) -> xr.Dataset:
    facts = {"model": model, "text": {"sha256": "a", "seq_len": 16}, "layers": ["0", "1"]}
    data = xr.Dataset({"final_firing_count": (("seed", "layer", "unit"), count[None])})
    return data.assign_attrs(provenance=json.dumps(facts))


def test_units_are_followed_where_their_order_tells_of_one_training() -> None:
    rng = np.random.default_rng(0)
    count = rng.integers(0, 5, (2, 64)) * rng.integers(0, 1000, (2, 64))  # many silent, all at once
    near, apart = count + rng.integers(0, 99, count.shape), rng.permuted(count, axis=1)
    assert following.whether(_counts(count), _counts(near))[0] == ""
    assert "paired by their number" in following.whether(_counts(count), _counts(near))[1]
    assert "no more in which units fire often" in following.whether(_counts(count), _counts(apart))[0]
    assert following.whether(_counts(count, run="a"), _counts(apart, run="a")) == ("", "")
    assert following.whether(_counts(count, run="a"), _counts(apart, run="b"))[0]
    same = np.full_like(count, 7)
    assert following.whether(_counts(same), _counts(same))[0], "equal counts have no order, not even that of numbers"
    assert "different shapes" in following.whether(_counts(count), _counts(count[:, :9]))[0]


def test_models_trained_apart_agree_by_chance_only() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        count = rng.poisson(rng.gamma(0.3, 40, (3, 50)))
        agreement, chance = following._agreement(count, rng.permuted(count, axis=1))
        found.append(agreement / chance)
    assert abs(np.mean(found)) < 0.2 and 0.85 < np.std(found) < 1.15 and max(found) < following.CHANCE


PROGRAM = """
import os, sys, torch
flag = torch.backends.cuda.matmul.allow_tf32
from relusparsity import arithmetic, train
from relusparsity.train import evaluate
from relusparsity.measure import command
assert torch.backends.cuda.matmul.allow_tf32 is flag

def state():
    asked = []
    for ask in (torch.get_float32_matmul_precision, lambda: torch.backends.cuda.matmul.allow_tf32):
        try:
            asked.append(ask())
        except RuntimeError:  # the old way and the new one disagree
            asked.append(None)
    parts = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.mkldnn.matmul, torch.backends
    modes = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    return [part.fp32_precision for part in parts], asked, modes, os.environ.get(arithmetic.WORKSPACE)

def blocks(set_before):
    exec(set_before)
    before = state()
    for products in ("ieee", "tf32"):
        with arithmetic.float32(products):
            assert torch.backends.cuda.matmul.fp32_precision == products
        assert state() == before, (set_before, products, before, state())
    for wanted in (False, True):
        with arithmetic.deterministic(wanted):
            assert torch.are_deterministic_algorithms_enabled() == wanted
        assert state() == before, (set_before, before, state())
    if "matmul" not in set_before:  # what was not said of products in particular still follows what is said of all
        torch.backends.fp32_precision = "tf32"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"

for set_before in sys.argv[1:]:
    if not (child := os.fork()):  # each in a process of its own
        blocks(set_before)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_arithmetic_is_as_meant_inside_and_as_it_was_afterwards() -> None:
    starts = [
        "",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch.set_float32_matmul_precision('medium')",
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
        "torch.backends.fp32_precision = 'tf32'",
        "torch.backends.fp32_precision = 'ieee'",
        "torch.backends.cudnn.allow_tf32 = False",
        "torch.use_deterministic_algorithms(True, warn_only=True)",
    ]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, *starts], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_measuring_leaves_the_process_as_it_was(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(build("llama_relu"), tmp_path / "model")
    before, read, inside = state(), load.logits, []

    def seen(model: Any, ids: Any) -> Any:
        inside.append(torch.backends.cuda.matmul.fp32_precision)  # type: ignore[attr-defined]
        return read(model, ids)

    monkeypatch.setattr(load, "logits", seen)
    with arithmetic.float32("tf32"):
        measured(folder, words, tmp_path / "out", "--rule", "cett=0.3")
    assert set(inside) == {"ieee"} and state() == before


def test_sequences_that_a_model_cannot_read_are_said_before_any_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = t.MptForCausalLM(t.MptConfig(vocab_size=99, d_model=16, n_layers=1, n_heads=2, max_seq_len=8)).eval()
    assert load.positions(model) == 8
    monkeypatch.setattr(load, "positions", lambda model: None)  # as where a configuration does not tell
    with pytest.raises(UserError, match=r"cannot read a sequence of 16 tokens .*--seq_len"):
        measure.measure(model, tokenizer(), np.full((40, 16), 7), measure.Options(tokens=64), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_layer_that_runs_twice_in_a_call_counts_every_time(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = t.AlbertForMaskedLM(t.AlbertConfig(**SMALL, embedding_size=16)).eval()
    ids = np.random.default_rng(0).integers(3, 99, (40, 16))
    data = measure.measure(model, tokenizer(), ids, measure.Options(tokens=512, loss_tokens=64))
    assert data.attrs["final_sample_tokens"] == 2 * 512
    assert np.isfinite(data["token_selectivity"]).any() and float(data["token_selectivity"].max()) <= 1
