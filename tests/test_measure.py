"""`python -m relusparsity measure` on small models saved to disk: the dataset, the report, going on where it was."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
import xarray as xr
from safetensors.torch import save_file

from any_models import build, in_the_sixth_batch, interrupt, names, stored
from measured_made import measured, options
from relusparsity.__main__ import main
from relusparsity.measure import contexts, load, reading, sections, text
from relusparsity.store import results

pytest_plugins = ("measured_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("undrawn")


def sequences(place: Path, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What the command reads: tokens that it counts on, and those that it sets apart."""
    tokenizer = t.AutoTokenizer.from_pretrained(place / kind)
    ids = torch.from_numpy(text.pack(tokenizer, [str(place / "my.jsonl")], 1024 + 16384, 16))
    return ids[: 1024 // 16], ids[-(len(ids) // 8) :]


def test_the_dataset_says_what_stored_activations_say(place: Path, tmp_path: Path, capsys: Any) -> None:
    data = measured(place, "opt", tmp_path)
    assert "report.html" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset.nc", "dataset.nc.sha256", "report.html"]
    model, (ids, heldout) = build("opt"), sequences(place, "opt")
    with stored(model, names("opt")) as kept, torch.no_grad():
        logits = model(input_ids=ids).logits
    nats = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert float(data["final_loss"][0]) == pytest.approx(float(nats), rel=1e-5)
    for layer, (activation,) in enumerate(kept):
        a = activation.reshape(*ids.shape, -1)
        fired = a > 0
        np.testing.assert_array_equal(data["final_firing_count"][0, layer], fired.sum((0, 1)))
        np.testing.assert_array_equal(data["final_sequences_fired"][0, layer], fired.any(1).sum(0))
        assert int(data["good_turing_expected"][0, layer]) == (fired.any(1).sum(0) == 1).sum()
        miss = (1 - fired.any(1).mean(0)) ** len(a)
        assert float(data["silent_if_resampled"][0, layer]) == pytest.approx(miss.sum(), rel=1e-5)
        best = np.sort(a.max(axis=1), axis=0)[::-1][:3]
        np.testing.assert_allclose(data["strongest_activation"][0, layer], best, rtol=1e-4, atol=1e-6)
        at = data["strongest_token"].values[0, layer]
        found = np.take_along_axis(a.reshape(-1, a.shape[-1]), np.maximum(at, 0), axis=0)
        np.testing.assert_allclose(np.where(at >= 0, found, 0), best, rtol=1e-4, atol=1e-6)
    assert data.sizes["example"] > 0 and "[[" in str(data["example_text"].values[0, 0])
    gone = data["final_firing_count"].values[0] == 0
    assert gone.any()
    # silent on the one text, these may fire on the other: what they cost is computed again from the weights
    with torch.no_grad():
        for layer, block in enumerate(model.model.decoder.layers):
            block.fc2.weight[:, torch.from_numpy(gone[layer])] = 0
        logits = model(input_ids=heldout).logits
    nats = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), heldout[:, 1:].flatten())
    assert float(data["silent_loss"][0, 0]) == pytest.approx(float(nats), rel=1e-5)
    assert float(data["loss"][0, 0, 0, 0]) == float(data["baseline_loss"][0, 0])
    facts = results.provenance(data)
    assert facts["text"]["tokens"] == ids.numel() == data.attrs["final_sample_tokens"]
    assert facts["rule"]["name"] == data.attrs["rule"] == "above zero"


@pytest.mark.parametrize("kind", ["opt", "bert"])
def test_quick_counts_the_same_and_says_what_was_left_out(kind: str, place: Path, tmp_path: Path) -> None:
    full = measured(place, kind, tmp_path / "full")
    command = options(place, kind, tmp_path / "quick")
    command.remove("--full")
    assert main(command) == 0
    quick = results.load(tmp_path / "quick" / "dataset.nc")
    assert set(full) - set(quick) == (
        {"loss", "units_left", "baseline_loss", "silent_loss"} if kind == "opt" else set()
    )
    xr.testing.assert_equal(quick.drop_dims("share", errors="ignore"), full[list(quick)])
    page = (tmp_path / "quick" / "report.html").read_text()
    assert ("measure it with --full" in page) is (kind == "opt")
    assert ("does not predict next tokens" in page) is (kind == "bert")


@pytest.mark.parametrize(
    ("kind", "rule", "name"),
    [
        ("llama", "exact", "not exactly zero"),
        ("llama", "epsilon=0.01", "|activation| > 0.01"),
        ("llama", "quantile=0.9", "90 % quantile"),
        ("llama", "cett=0.3", "CETT 0.3"),
        ("llama", "cett-ppl=1", "CETT-PPL-1 %"),
        ("t5", "exact", "above zero"),
        ("bert", "quantile=0.5", "50 % quantile"),
    ],
)
def test_other_kinds_and_rules(place: Path, tmp_path: Path, kind: str, rule: str, name: str) -> None:
    data = measured(place, kind, tmp_path, "--rule", rule)
    assert name in data.attrs["rule"] and name in results.provenance(data)["rule"]["name"]
    page = (tmp_path / "report.html").read_text()
    assert ("This activation is smooth" in page) == (name == "not exactly zero")
    assert ("loss" in data) == (kind == "llama") != ("does not predict next tokens" in page)
    if rule == "quantile=0.9":
        assert data["final_token_use"].values == pytest.approx(0.1, abs=0.02)


def test_thresholds_of_an_input(place: Path, tmp_path: Path) -> None:
    data = measured(place, "llama", tmp_path, "--rule", "quantile=0.9", "--layers", "*.down_proj", "--of", "input")
    assert data["final_token_use"].values == pytest.approx(0.1, abs=0.02)


def test_interrupted_it_resumes_to_the_same_dataset(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = measured(place, "opt", tmp_path / "whole", "--batch_size", "4")
    monkeypatch.setattr(reading, "SAVE_EVERY", 0.0)
    calls = in_the_sixth_batch(interrupt, monkeypatch)
    out = tmp_path / "cut"
    assert main(options(place, "opt", out, "--batch_size", "4")) == 130
    assert "resumes" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["state.safetensors"]
    resumed = measured(place, "opt", out, "--batch_size", "4")
    assert sum(calls) == whole.attrs["final_sample_tokens"] // 16 + 4  # only the interrupted batch was read twice
    assert not (out / "state.safetensors").exists()
    xr.testing.assert_equal(whole, resumed)
    # what is finished is not read again, unless it is of another measurement
    before = len(calls)
    again = measured(place, "opt", out, "--batch_size", "4")
    assert len(calls) == before and again.identical(resumed)
    # a state of other settings, or one cut short, is not used
    (out / "dataset.nc").unlink()
    save_file({"done": torch.tensor(3)}, tmp_path / "cut/state.safetensors", {"key": "other"})
    xr.testing.assert_equal(whole, measured(place, "opt", out, "--batch_size", "4"))
    (out / "dataset.nc").unlink()
    (out / "state.safetensors").write_bytes(b"half")
    xr.testing.assert_equal(whole, measured(place, "opt", out, "--batch_size", "4"))


def test_ctrl_c_keeps_what_was_read(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch in hand is read to its end and kept, however short the time since the last saving."""
    whole = measured(place, "opt", tmp_path / "whole", "--batch_size", "4")
    calls = in_the_sixth_batch(lambda: signal.raise_signal(signal.SIGINT), monkeypatch)
    out, before = tmp_path / "cut", signal.getsignal(signal.SIGINT)
    assert main(options(place, "opt", out, "--batch_size", "4")) == 130
    assert [p.name for p in out.iterdir()] == ["state.safetensors"] and len(calls) == 6
    xr.testing.assert_equal(whole, measured(place, "opt", out, "--batch_size", "4"))
    assert sum(calls) == whole.attrs["final_sample_tokens"] // 16, "no batch was read twice"
    assert signal.getsignal(signal.SIGINT) == before


def test_as_many_tokens_are_counted_as_were_asked_for(place: Path, tmp_path: Path) -> None:
    data = measured(place, "opt", tmp_path)
    assert data.attrs["final_sample_tokens"] == results.provenance(data)["text"]["tokens"] == 1024


def test_brackets_of_the_text_are_no_marks() -> None:
    class Letters:
        def decode(self, ids: Any, **_: Any) -> str:
            return "".join("ab[]"[int(i)] for i in ids)

    ids = np.array([[0, 2, 2, 1, 3, 3, 2, 3, 3, 0, 2, 2]])
    for at in range(ids.shape[1]):
        cell = sections._cell(contexts.context(ids, at, Letters()), "td", True)
        (marked,) = re.findall("<mark>(.*?)</mark>", cell)
        assert marked.replace("\u200b", "") == Letters().decode([ids[0, at]])
        assert cell.count("mark>") == 2


def test_roberta_numbers_positions_after_its_padding() -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = t.RobertaForMaskedLM(t.RobertaConfig(vocab_size=99, max_position_embeddings=66, pad_token_id=1, **sizes))
    most = load.positions(model)
    assert most == 64 and model(torch.full((1, most), 7)).logits.shape == (1, most, 99)
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, most + 1), 7))


def test_a_report_is_one_file_that_asks_for_nothing(place: Path, tmp_path: Path) -> None:
    measured(place, "opt", tmp_path)
    page = (tmp_path / "report.html").read_text()
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="?(?!data:|")', outside)
    figures = re.findall(r'<script>\(window\.FIGURES\?\?=\{\}\)\["[^"]+"\]=(\{.*?\});</script>', page)
    assert len(figures) == outside.count("<figure") == outside.count("<picture>") >= 6
    assert all(set(json.loads(figure)["drawings"]) == {"wide", "narrow"} for figure in figures)
    assert len(page) < 1_000_000
    for word in ("Good–Turing", "at 95 % confidence", "strongest, in context", "Taking out what is silent"):
        assert word in page
    assert page.count("<mark>") > 3
