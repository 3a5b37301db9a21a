"""What `measure` takes for one and the same model, tokenizer and text."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
import xarray as xr
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from any_models import build, in_the_sixth_batch, interrupt
from measure_made import SENTENCE, measured, saved, tokenizer
from relusparsity.__main__ import main
from relusparsity.measure import identity, load, measure, reading, text
from relusparsity.store import results

pytest_plugins = ("measure_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("undrawn")


# What a model is


def test_a_fingerprint_knows_every_bit_and_the_configuration() -> None:
    seen = {"as it is": load.fingerprint(build("llama_relu"))}

    def changed(name: str, change: Any) -> None:
        model = build("llama_relu")
        with torch.no_grad():
            change(model)
        seen[name] = load.fingerprint(model)

    def bit(model: Any) -> None:
        weight = model.model.layers[1].mlp.down_proj.weight
        weight.view(torch.int32)[3, 5] ^= 1

    changed("rows in another order", lambda m: m.model.layers[0].mlp.gate_proj.weight.copy_(
        m.model.layers[0].mlp.gate_proj.weight.flip(0).clone()))  # fmt: skip
    changed("one bit", bit)
    changed("two matrices swapped", lambda m: _swap(m.model.layers[0].mlp.gate_proj, m.model.layers[0].mlp.up_proj))
    changed(
        "configuration", lambda m: setattr(m.config, "rope_parameters", {"rope_type": "default", "rope_theta": 7.0})
    )
    changed("activation", lambda m: setattr(m.model.layers[1].mlp, "act_fn", nn.GELU()))
    changed("buffer", lambda m: m.model.rotary_emb.inv_freq.mul_(2))
    changed("precision", lambda m: m.to(torch.bfloat16))
    assert len(set(seen.values())) == len(seen), seen


def _swap(one: nn.Linear, other: nn.Linear) -> None:
    one.weight, other.weight = other.weight, one.weight


def test_a_fingerprint_is_that_of_a_copy_elsewhere_with_any_number_of_threads(tmp_path: Path) -> None:
    model = build("opt")
    assert load.fingerprint(model) == load.fingerprint(build("opt"))
    for name in ("here", "there"):
        model.save_pretrained(tmp_path / name)
    found = []
    for name, threads in (("here", 1), ("there", 2)):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        found.append(load.fingerprint(t.OPTForCausalLM.from_pretrained(tmp_path / name).eval()))
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_a_checksum_is_of_names_shapes_types_and_bytes() -> None:
    value = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    same = {"a": value, "b": value}
    assert identity.checksum(same) == identity.checksum({"a": value.clone(), "b": value.clone()})
    strided = torch.arange(12, dtype=torch.float32).reshape(2, 3, 2)[..., 0] / 2
    assert identity.checksum({"a": strided, "b": strided}) == identity.checksum(same)
    others = [
        {"a": value, "c": value},
        {"a": value},
        {"a": value.reshape(3, 2), "b": value},
        {"a": value.to(torch.bfloat16), "b": value},
        {"a": value.view(torch.int32), "b": value},
        {"a": value.flip(0), "b": value},
        {"a": (value, None), "b": value},
    ]
    sums = [identity.checksum(each) for each in [same, *others]]
    assert len(set(sums)) == len(sums)


def test_what_was_set_apart_counts_as_text_too(tmp_path: Path) -> None:
    """Thresholds and the loss without units come from it."""
    model, ids = build("opt"), np.random.default_rng(0).integers(3, 99, (40, 16))
    other = ids.copy()
    other[-1, 3] += 1
    options = measure.Options(tokens=512, loss_tokens=128)
    names = [
        results.provenance(measure.measure(model, tokenizer(), given, options, tmp_path))["measurement"]
        for given in (ids, other, ids[:, ::-1].copy(), ids.reshape(80, 8))
    ]
    assert len(set(names)) == 4


def test_a_measurement_read_back_has_the_name_that_the_model_has_now(words: Path, tmp_path: Path) -> None:
    one = measured(saved(build("opt"), tmp_path / "one"), words, tmp_path / "out")
    shutil.move(tmp_path / "one", tmp_path / "renamed")
    again = measured(tmp_path / "renamed", words, tmp_path / "out")
    xr.testing.assert_equal(one, again)
    assert results.provenance(one)["wall_seconds"] == results.provenance(again)["wall_seconds"], "it was read back"
    assert again.attrs["name"].endswith("renamed") and "renamed" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("changed", ["what is special", "how tokens are written"])
def test_of_another_tokenizer_what_was_measured_before_is_not_taken(changed: str, words: Path, tmp_path: Path) -> None:
    folder = saved(build("llama_relu"), tmp_path / "model")
    left_out = ("--special_tokens", "left_out")
    before = measured(folder, words, tmp_path / "out", *left_out)
    if changed == "what is special":  # the ids of the text stay the same
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(config | {"mask_token": "t"}))
    else:
        made = json.loads((folder / "tokenizer.json").read_text())
        made["decoder"] = {"type": "Fuse"}
        (folder / "tokenizer.json").write_text(json.dumps(made))
    again = measured(folder, words, tmp_path / "out", *left_out)
    fresh = measured(folder, words, tmp_path / "fresh", *left_out)
    xr.testing.assert_equal(again, fresh)
    assert not again.equals(before)


def test_a_tokenizers_fingerprint_is_that_of_a_copy_whatever_it_was_asked_last(tmp_path: Path) -> None:
    made = tokenizer("<s>")
    known = text.fingerprint(made)
    made([SENTENCE, "the"], truncation=True, max_length=3)
    made.save_pretrained(tmp_path)
    assert text.fingerprint(t.AutoTokenizer.from_pretrained(tmp_path)) == text.fingerprint(made) == known
    assert text.fingerprint(tokenizer("<s>", "</s>")) != known
    plain = made.backend_tokenizer
    before = text.fingerprint(plain)
    plain.encode_special_tokens = True  # as the tokenizers of runs have it
    assert text.fingerprint(plain) != before

    class Slow:
        eos_token_id, words = 1, {"a": 0, "b": 1}

        def get_vocab(self) -> dict[str, int]:
            return self.words

    one, other = Slow(), Slow()
    assert text.fingerprint(one) == text.fingerprint(other)
    other.words = {"a": 1, "b": 0}
    assert text.fingerprint(one) != text.fingerprint(other)
    other.words, other.eos_token_id = one.words, 0
    assert text.fingerprint(one) != text.fingerprint(other)


def test_a_damaged_state_is_not_gone_on_from(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(build("opt"), tmp_path / "opt")
    whole = measured(folder, words, tmp_path / "whole", "--batch_size", "4")
    monkeypatch.setattr(reading, "SAVE_EVERY", 0.0)
    calls = in_the_sixth_batch(interrupt, monkeypatch)
    words_ = ["--text", str(words), "--tokens", "1024", "--seq_len", "16", "--batch_size", "4"]
    assert main(["measure", str(folder), *words_, "--out", str(tmp_path / "cut")]) == 130
    state = tmp_path / "cut" / "state.safetensors"
    with safe_open(state, "pt") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["use.0.unit_tokens"][0] += 1
    save_file(tensors, state, told)
    xr.testing.assert_equal(whole, measured(folder, words, tmp_path / "cut", "--batch_size", "4"))
    assert sum(calls) == 6 * 4 + whole.attrs["final_sample_tokens"] // 16, "all was read again"
