"""Checkpoints of many kinds, and what is read as their text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from safetensors.torch import load_file, save_file

from any_models import KV, SMALL, build, stored
from measure_made import SENTENCE, VISION, measured, saved, tokenizer
from relusparsity.__main__ import main
from relusparsity.counting import metrics
from relusparsity.errors import UserError
from relusparsity.measure import load, measure, text
from relusparsity.store import results

pytest_plugins = ("measure_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("undrawn")


TEXT = KV | {"hidden_size": 16}


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
        by_type = torch.stack([torch.from_numpy(fired[ids.numpy() == i].sum(0)) for i in np.flatnonzero(totals)])
        expected = metrics.token_selectivity(by_type, totals[totals > 0], 100)  # the draws are of types that occur
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
