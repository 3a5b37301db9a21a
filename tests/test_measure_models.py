"""What `measure` takes for a model and its text: nothing of another model, nothing drawn, nothing left out unsaid."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
import xarray as xr
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn

from any_models import KV, SMALL, build, in_the_sixth_batch, interrupt, stored
from relusparsity import arithmetic
from relusparsity.__main__ import main
from relusparsity.counting import metrics
from relusparsity.errors import UserError
from relusparsity.measure import following, identity, load, measure, reading, text
from relusparsity.store import results

SENTENCE = "the unit fires here and never again while tokens pass by "
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION |= {"image_size": 16, "patch_size": 8}
TEXT = KV | {"hidden_size": 16}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No drawings, which take seconds a page."""
    empty = {"drawings": {size: {"svg": "<svg></svg>"} for size in ("wide", "narrow")}}
    monkeypatch.setattr("relusparsity.plots.moves.figure", lambda chart: empty)


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


# Whole checkpoints


def test_a_weight_that_is_not_the_checkpoints_is_named(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved(build("llama_relu"), tmp_path / "whole")
    weights = load_file(folder / "model.safetensors")
    gate, down = "model.layers.1.mlp.gate_proj.weight", "model.layers.0.mlp.down_proj.weight"
    changes: dict[str, Any] = {
        "lacks": {k: v for k, v in weights.items() if k not in (gate, down)},
        "of other shapes": weights | {gate: torch.zeros(3, 3), down: torch.zeros(1)},
        "leaves out": weights | {gate.replace("1.mlp", "9.mlp"): torch.zeros(3, 3), f"{down[:-6]}bias": torch.zeros(3)},
    }
    for name, values in changes.items():
        save_file(values, folder / "model.safetensors", {"format": "pt"})
        assert main(["measure", str(folder), "--text", str(words), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert name in said and "layers.0.mlp.down_proj" in said and "mlp.gate_proj.weight" in said, said
    assert not (tmp_path / "out").exists()


def test_tied_weights_and_heads_that_go_unused_are_no_fault(words: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = t.BertConfig(**SMALL)
    folder = saved(t.BertForPreTraining(config), tmp_path / "bert")
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | {"architectures": ["BertForMaskedLM"]}))
    data = measured(folder, words, tmp_path / "out")
    (note,) = results.provenance(data)["model"]["notes"]
    assert "BertForMaskedLM has no use for" in note and "cls.seq_relationship" in note
    assert "cls.seq_relationship" in (tmp_path / "out" / "report.html").read_text()
    tied = t.GPT2LMHeadModel(t.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=99, n_positions=64))
    folder = saved(tied, tmp_path / "tied")
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert "notes" not in results.provenance(measured(folder, words, tmp_path / "tied-out"))["model"]


def text_and_image(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "llava":
        config = t.LlavaConfig(
            vision_config=t.CLIPVisionConfig(**VISION), text_config=t.LlamaConfig(**TEXT, hidden_act="relu")
        )
        return t.LlavaForConditionalGeneration(config).eval()
    reads = t.Gemma3TextConfig(**TEXT, head_dim=8, hidden_activation="relu")
    config = t.Gemma3Config(text_config=reads, vision_config=t.SiglipVisionConfig(**VISION), mm_tokens_per_image=4)
    return t.Gemma3ForConditionalGeneration(config).eval()


@pytest.mark.parametrize("kind", ["llava", "gemma3"])
@pytest.mark.parametrize("layers", ["", "*language_model*.act_fn"])
def test_of_a_model_of_text_and_images_the_text_side(kind: str, layers: str, words: Path, tmp_path: Path) -> None:
    model = text_and_image(kind)
    folder = saved(model, tmp_path / "model")
    data = measured(folder, words, tmp_path / "out", *(["--layers", layers] if layers else []))
    names = [f"model.language_model.layers.{i}.mlp.act_fn" for i in range(2)]
    assert data["layer_name"].values.tolist() == names
    ids = torch.from_numpy(text.pack(tokenizer(), [str(words)], 1024 + 16384, 16))[: 1024 // 16]
    with stored(model, names) as kept, torch.no_grad():
        logits = model(input_ids=ids).logits
    for layer, (activation,) in enumerate(kept):
        fired = activation.reshape(*ids.shape, -1) > 0
        np.testing.assert_array_equal(data["final_firing_count"][0, layer], fired.sum((0, 1)))
    nats = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert float(data["final_loss"][0]) == pytest.approx(float(nats), rel=1e-5)
    (note,) = results.provenance(data)["model"]["notes"]
    assert "vision_tower" in note


PAIRS = {
    "clip": lambda: t.CLIPModel(t.CLIPConfig(text_config=SMALL | {"hidden_act": "relu"}, vision_config=VISION)),
    "siglip": lambda: t.SiglipModel(t.SiglipConfig(text_config=SMALL | {"hidden_act": "relu"}, vision_config=VISION)),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_of_a_model_that_pairs_texts_with_images_the_part_that_reads_text(
    kind: str, words: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = PAIRS[kind]().eval()
    data = measured(saved(model, tmp_path / "model"), words, tmp_path / "out")
    ids = torch.from_numpy(text.pack(tokenizer(), [str(words)], 1024 + 16384, 16))[: 1024 // 16]
    names = [f"encoder.layers.{i}.mlp.activation_fn" for i in range(2)]
    with stored(model.text_model, names) as kept, torch.no_grad():
        model.get_text_features(input_ids=ids)
    for layer, (activation,) in enumerate(kept):
        fired = activation.reshape(*ids.shape, -1) > 0
        np.testing.assert_array_equal(data["final_firing_count"][0, layer], fired.sum((0, 1)))
    assert data["layer_name"].values.tolist() == names and "final_loss" not in data
    (note,) = results.provenance(data)["model"]["notes"]
    assert "text_model" in note


def test_a_model_without_a_part_that_reads_text_alone_is_refused(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 99}
    model = t.LxmertModel(t.LxmertConfig(**sizes, l_layers=1, x_layers=1, r_layers=1))
    command = ["measure", str(saved(model, tmp_path / "model")), "--text", str(words), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "error: LxmertModel does not read text alone (`visual_feats`" in capsys.readouterr().err


def test_a_model_that_sees_what_follows_has_no_loss_on_the_next_token() -> None:
    torch.manual_seed(0)
    for decodes in (False, True):
        model = t.BertLMHeadModel(t.BertConfig(**SMALL, is_decoder=decodes)).eval()
        ids = torch.arange(20, 36)[None]
        other = ids.clone()
        other[0, -1] = 5
        with torch.no_grad():
            blind = torch.equal(model(ids).logits[:, :-1], model(other).logits[:, :-1])
        assert load.is_causal(model) == blind == decodes


def test_a_model_without_a_bound_on_positions_reads_usual_sequences() -> None:
    model = t.XLNetLMHeadModel(t.XLNetConfig(vocab_size=99, d_model=16, n_layer=1, n_head=2, d_inner=32))
    assert load.positions(model) is None and measure.sequence_length(model, None) == 512


# Special tokens


@pytest.mark.parametrize("space", ["bytes", "words"])
@pytest.mark.parametrize(("first", "last"), [("", ""), ("<s>", ""), ("", "</s>"), ("<s>", "</s>"), ("</s>", "")])
def test_a_document_has_the_special_tokens_of_the_tokenizers_own_call(first: str, last: str, space: str) -> None:
    made = tokenizer(first, last, space)
    how = text.reader(made)
    for given in (SENTENCE, "a", "  two  spaces", SENTENCE * 4000):
        expected = made(given)["input_ids"]
        if not last and first != "</s>":  # ours: what ends a text, where the tokenizer adds nothing after it
            expected = [*expected, 2]
        assert [number for piece in how.ids(given) for number in piece] == expected


def test_every_sequence_begins_as_a_text_does(words: Path) -> None:
    made = tokenizer("<s>")
    rows = text.pack(made, [str(words)], 4096, 16)
    assert (rows[:, 0] == 1).all() and rows.shape[1] == 16
    documents = [json.loads(line)["text"] for line in words.read_text().splitlines()]
    stream = [number for each in documents for number in [*made(each)["input_ids"], 2]]
    at = 0
    for row in rows.tolist():  # each goes on where the one before it ended; a document's own first token is not doubled
        rest = row if stream[at] == 1 else row[1:]
        assert stream[at : at + len(rest)] == rest
        at += len(rest)
    assert len(stream) - at < 16
    with pytest.raises(UserError, match="no room for text"):
        text.pack(tokenizer("<s>", "</s>"), [str(words)], 4096, 1)


def test_special_tokens_can_be_left_out_of_the_counts(words: Path, tmp_path: Path) -> None:
    made = tokenizer("<s>")
    model = build("llama_relu")
    folder = saved(model, tmp_path / "model", made)
    every = measured(folder, words, tmp_path / "out")
    fewer = measured(folder, words, tmp_path / "out", "--special_tokens", "left_out")
    ids = torch.from_numpy(text.pack(made, [str(words)], 1024 + 16384, 16))[: 1024 // 16]
    names = [f"model.layers.{i}.mlp.act_fn" for i in range(2)]
    with stored(model, names) as kept, torch.no_grad():
        model(input_ids=ids)
    real = ((ids != 1) & (ids != 2)).numpy()
    assert 0 < real.sum() < real.size
    totals = np.bincount(ids.numpy()[real], minlength=99)
    for layer, (activation,) in enumerate(kept):
        a = activation.reshape(*ids.shape, -1)
        fired = a > 0
        np.testing.assert_array_equal(every["final_firing_count"][0, layer], fired.sum((0, 1)))
        fired &= real[..., None]
        np.testing.assert_array_equal(fewer["final_firing_count"][0, layer], fired.sum((0, 1)))
        np.testing.assert_array_equal(fewer["final_sequences_fired"][0, layer], fired.any(1).sum(0))
        best = np.sort((a * real[..., None]).max(axis=1), axis=0)[::-1][:3]
        np.testing.assert_allclose(fewer["strongest_activation"][0, layer], best, rtol=1e-5, atol=1e-6)
        by_type = torch.stack([torch.from_numpy(fired[ids.numpy() == i].sum(0)) for i in range(99)])
        expected = metrics.token_selectivity(by_type, totals, 100)
        np.testing.assert_allclose(fewer["token_selectivity"][0, layer], expected, rtol=1e-5)
    assert fewer.attrs["final_sample_tokens"] == real.sum() and every.attrs["final_sample_tokens"] == real.size
    assert float(fewer["final_loss"][0]) == float(every["final_loss"][0])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "every sequence begins with &lt;s&gt;" in page and "left out of the counts" in page


def test_a_folder_without_a_tokenizer_is_told_from_one_with_it(tmp_path: Path) -> None:
    for kind in ("bert", "t5", "opt", "gemma"):  # of these transformers makes tokenizers that know no token
        build(kind, tmp_path / kind)
        with pytest.raises(UserError, match="no tokenizer in"):
            load.load(str(tmp_path / kind), "cpu")
    tokenizer().save_pretrained(tmp_path / "opt")
    assert load.load(str(tmp_path / "opt"), "cpu").tokenizer("the")["input_ids"]


def test_a_loss_that_is_no_number_is_not_reported(words: Path, tmp_path: Path) -> None:
    model = build("llama_relu")
    with torch.no_grad():
        model.lm_head.weight[5] = float("inf")
    folder = saved(model, tmp_path / "model")
    command = ["measure", str(folder), "--text", str(words), "--tokens", "1024", "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert not (tmp_path / "out" / "report.html").exists()


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
