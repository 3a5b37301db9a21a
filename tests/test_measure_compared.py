"""Several checkpoints in one report, and what `measure` refuses."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers as t
import xarray as xr
from tokenizers import Tokenizer, models

import relusparsity
from any_models import build
from measured_made import measured
from relusparsity import corpora
from relusparsity import models as own
from relusparsity.__main__ import main
from relusparsity.config import ModelConfig
from relusparsity.errors import UserError
from relusparsity.measure import measure, report, text
from relusparsity.plots import measured as figures_of
from relusparsity.store import results

pytest_plugins = ("measured_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("undrawn")


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
