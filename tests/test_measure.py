"""`python -m relusparsity measure` on small models saved to disk: the dataset, the report, resuming, and bad input."""

import io
import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers as t
import xarray as xr
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import relusparsity
from any_models import build, in_the_sixth_batch, interrupt, names, stored
from relusparsity import corpora
from relusparsity import models as own
from relusparsity.__main__ import main
from relusparsity.config import ModelConfig
from relusparsity.errors import UserError
from relusparsity.measure import contexts, load, measure, reading, report, text
from relusparsity.plots import measured as figures_of
from relusparsity.store import results

WORDS = ["the", "unit", "fires", "here", "never", "again", "while", "tokens", "pass", "by", "and", "some", "are", "new"]


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No drawings, which take seconds a page, but where they are looked at."""
    if "one_file" not in request.node.name:
        empty = {"drawings": {size: {"svg": "<svg></svg>"} for size in ("wide", "narrow")}}
        monkeypatch.setattr("relusparsity.plots.moves.figure", lambda chart: empty)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models of four kinds, each with a tokenizer, and a text."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    documents = [" ".join(rng.choice(WORDS, size=40, p=np.arange(1, 15) / 105)) for _ in range(60)]
    (folder / "my.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in documents))
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(documents, trainers.BpeTrainer(vocab_size=99, special_tokens=["<eos>"]))
    tokenizer = t.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")
    for kind in ("opt", "llama", "t5", "bert"):
        build(kind, folder / kind)
        tokenizer.save_pretrained(folder / kind)
    later = build("opt")  # as after some more steps
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in later.parameters():
            parameter += 0.3 * parameter.std() * torch.randn(parameter.shape, generator=generator)
    later.save_pretrained(folder / "later")
    tokenizer.save_pretrained(folder / "later")
    return folder


def options(place: Path, kind: str, out: Path, *more: str) -> list[str]:
    base = ["measure", str(place / kind), "--text", str(place / "my.jsonl"), "--tokens", "1024", "--seq_len", "16"]
    return [*base, "--full", "--out", str(out), *more]


def measured(place: Path, kind: str, out: Path, *more: str) -> xr.Dataset:
    assert main(options(place, kind, out, *more)) == 0
    return results.load(out / "dataset.nc")


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


def test_a_report_opens_with_what_was_found_and_leaves_out_what_the_text_was_too_short_for(
    place: Path, tmp_path: Path
) -> None:
    data = measured(place, "opt", tmp_path)
    page, use = (tmp_path / "report.html").read_text(), 100 * data["final_token_use"].values[0]
    first = page.partition("</h1>")[2].partition("</strong>")[0]
    assert f"{use.min():.1f} % (layer {use.argmin()})" in first and f"{use.max():.1f} % (layer {use.argmax()})" in first
    assert f"{int(data['silent_units'].sum())} of 64 units fired at none of 1,024 tokens" in first
    assert "8,192" not in page and 8192 not in data["window"]
    assert len(figures_of.layer_use({"a": data}).chart) and '"in 8,192' not in figures_of.layer_use({"a": data}).chart


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
        cell = report._cell(contexts.context(ids, at, Letters()), "td", True)
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
    for word in ("Good–Turing", "at 95 % confidence", "strongest, in context", "Taking out the"):
        assert word in page
    assert page.count("<mark>") > 3


def test_comparing_checkpoints(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "both"
    two = [str(place / "later"), "--text", str(place / "my.jsonl"), "--tokens", "1024", "--seq_len", "16"]
    assert main(["measure", str(place / "opt"), *two, "--out", str(out)]) == 0
    page = (out / "comparison.html").read_text()
    assert "From opt to later" in page and "fell silent" in page and "paired by their number" in page
    one, other = (results.load(out / name / "dataset.nc") for name in ("opt", "later"))
    silent = [d["final_firing_count"].values[0] == 0 for d in (one, other)]
    drawn = changes(one, other)
    assert drawn["fell_silent"].tolist() == (~silent[0] & silent[1]).sum(1).tolist()
    assert drawn["fire_again"].tolist() == (silent[0] & ~silent[1]).sum(1).tolist()

    assert main(["compare", str(out / "opt"), str(out / "later"), "--out", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_text().count("<figure") == page.count("<figure")
    both = {"one": one, "other": other}
    for draw in (figures_of.layer_use, figures_of.windows, figures_of.firing_rates, figures_of.silent):
        figure = draw(both)
        assert {"one", "other"} == set(pd.read_csv(io.StringIO(figure.csv), comment="#")["source"])
        with pytest.raises(UserError, match="no dataset"):
            draw({})
    with pytest.raises(UserError, match="checkpoints of one model"):
        figures_of.changes(one, other.isel(layer=[0]))
    assert main(["compare", str(out / "opt")]) == 2
    assert "two or more" in capsys.readouterr().err
    smooth = measured(place, "llama", tmp_path / "smooth")  # the exact rule too, of another kind of activation
    report.write([one, smooth], tmp_path / "exact.html")
    page = (tmp_path / "exact.html").read_text()
    assert "above zero" in page and "not exactly zero" in page and "This activation is smooth" in page
    other_rule = measured(place, "opt", tmp_path / "rule", "--rule", "epsilon=0.5")
    with pytest.raises(UserError, match="never compared"):
        report.write([one, other_rule], tmp_path / "no.html")
    assert not (tmp_path / "no.html").exists()


def changes(one: xr.Dataset, other: xr.Dataset) -> pd.DataFrame:
    figure = figures_of.changes(one, other)
    return pd.read_csv(io.StringIO(figure.csv), comment="#")


def test_the_chapters_own_decoder(tmp_path: Path) -> None:
    model = own.build(ModelConfig(n_layers=2, d_model=8, d_ff=16, n_heads=2, seq_len=8, vocab_size=64), seed=0)
    ids = np.random.default_rng(0).integers(0, 64, (40, 8))
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(64)}, unk_token="w0"))
    data = measure.measure(model, tokenizer, ids, measure.Options(loss_tokens=64), name="own")
    with relusparsity.track(model) as use, torch.no_grad():
        model(torch.from_numpy(ids[:-5]))
    np.testing.assert_allclose(data["final_window_use"][0], use.dataset()["final_window_use"][0])
    assert data["loss"].shape == (1, 2, 6, 1)
    report.write([data], tmp_path / "own.html")


def test_bad_input_is_one_clear_sentence_and_nothing_is_written(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # asking a network that is not there is slow
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n')
    (tmp_path / "unsafe").mkdir()
    (tmp_path / "unsafe" / "config.json").write_text((place / "opt" / "config.json").read_text())
    (tmp_path / "unsafe" / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "config.json").write_text(
        json.dumps({"model_type": "opt", "architectures": ["MyOwnForCausalLM"]})
    )
    (tmp_path / "unknown" / "model.safetensors").write_bytes(b"")
    build("llama", tmp_path / "poisoned")
    broken = build("opt")
    broken.model.decoder.layers[0].fc1.weight.data[0, 0] = float("nan")
    broken.save_pretrained(tmp_path / "nan")
    t.AutoTokenizer.from_pretrained(place / "opt").save_pretrained(tmp_path / "nan")
    build("vit", tmp_path / "vit")
    small = t.MambaConfig(vocab_size=99, hidden_size=8, num_hidden_layers=1, state_size=4)
    t.MambaForCausalLM(small).save_pretrained(tmp_path / "mamba")
    t.AutoTokenizer.from_pretrained(place / "opt").save_pretrained(tmp_path / "mamba")
    (tmp_path / "own").mkdir()
    code = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}
    (tmp_path / "own" / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": code}))
    (tmp_path / "own" / "mine.py").write_text("raise SystemExit('the code of a stranger ran')")
    (tmp_path / "own" / "model.safetensors").write_bytes(b"")
    words = ["--text", str(place / "my.jsonl")]
    cases = [
        (["/no/such/folder", *words], "no folder"),
        (["nobody/has-this", *words], "no such model, no network"),
        ([str(tmp_path), *words], "no config.json"),
        ([str(tmp_path / "unsafe"), *words], "no safetensors"),
        ([str(tmp_path / "unknown"), *words], "--trust_remote_code"),
        ([str(tmp_path / "poisoned"), *words], "no tokenizer"),
        ([str(tmp_path / "vit"), *words], "reads no text"),
        ([str(place / "opt"), "--text", str(tmp_path / "empty.jsonl")], "gives 0 tokens"),
        ([str(place / "opt"), "--text", "nowhere.txt"], "no file or folder"),
        ([str(place / "opt"), *words, "--seq_len", "128"], "longer than the 64 positions"),
        ([str(place / "opt"), *words, "--seq_len", "24"], "power of two"),
        ([str(place / "opt"), *words, "--tokens", "many"], "no number of tokens"),
        ([str(place / "opt"), *words, "--tokens", "10"], "less than one sequence"),
        ([str(place / "opt"), *words, "--device", "abacus"], "cannot be used"),
        ([str(place / "opt"), *words, "--device", "meta"], "cannot be used"),
        ([str(place / "opt"), *words, "--out", str(tmp_path / "empty.jsonl")], "cannot be written"),
        ([str(place / "opt"), *words, "--dtype", "int8"], "expected one of float32"),
        ([str(place / "opt"), *words, "--batch_size", "0"], "above 0, or auto"),
        ([str(place / "opt"), *words, "--layers", "*.nothing"], "matches no module"),
        ([str(place / "opt"), *words, "--layers", "*"], "matches too much"),
        ([str(place / "llama"), *words, "--layers", "*.mlp.[gu]*"], "of one block"),
        ([str(place / "opt"), *words, "--of", "input"], "choose them too"),
        ([str(place / "bert"), *words, "--rule", "cett-ppl=1"], "predicts each next token"),
        ([str(place / "opt"), *words, "--layers", "*fc?"], "of one block"),
        ([str(tmp_path / "mamba"), *words], "no layer of an MLP"),
        ([str(tmp_path / "own"), *words], "add --trust_remote_code"),
        ([str(place / "opt"), *words, "--rule", "often"], "expected one like"),
        ([str(place / "opt"), *words, "--rule", "cett=7"], "between 0 and 1"),
        ([str(place / "opt"), str(place / "opt"), *words], "called the same"),
    ]
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for given, sentence in cases:
        assert main(["measure", *given]) == 2, given
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and sentence in error, (given, error)
    for given, sentence in (
        ([str(place / "my.jsonl"), str(place / "my.jsonl")], "is no dataset"),
        ([str(place / "opt"), str(place / "later"), "--out", str(tmp_path / "vit")], "is a folder"),
    ):
        assert main(["compare", *given]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["measure", str(tmp_path / "nan"), *words]) == 1
    assert "is NaN" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tokenizer_of_another_model_is_noticed() -> None:
    with pytest.raises(UserError, match="another model's"):
        measure.measure(build("opt"), None, np.full((4, 8), 99), measure.Options())


def test_packing_puts_an_end_between_documents_and_drops_the_rest(tmp_path: Path) -> None:
    class Letters:
        eos_token_id, sep_token_id = 0, None

        def __call__(self, given: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [ord(c) - 96 for c in given.strip()]}

    (tmp_path / "a.jsonl").write_text('{"text": "abc"}\n{"text": "de"}\n{"text": "fghi"}\n')
    packed = text.pack(Letters(), [str(tmp_path / "a.jsonl")], 100, 4)
    assert packed.tolist() == [[1, 2, 3, 0], [4, 5, 0, 6], [7, 8, 9, 0]]
    assert text.pack(Letters(), [str(tmp_path / "a.jsonl")], 7, 4).tolist() == [[1, 2, 3, 0]]
    assert corpora.heldout_sequences(packed.ravel(), 4).shape == (2, 5)
