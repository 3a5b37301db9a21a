"""`measure --attention`: heads, sinks and spikes in the dataset and the report, equal to what the trackers say."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
import xarray as xr
from tokenizers import Tokenizer, models

from any_models import KV, build
from heads_made import weights
from measure_made import saved, tokenizer, words  # noqa: F401 - a fixture
from relusparsity import models as own
from relusparsity.__main__ import main
from relusparsity.config import ModelConfig
from relusparsity.errors import UserError
from relusparsity.measure import attending, measure, report, sections, text
from relusparsity.store import results


@pytest.fixture(scope="module")
def place(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A Llama that reads 256 tokens and one that reads 64, a BERT, and a Bloom, with tokenizers."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    long = t.LlamaForCausalLM(t.LlamaConfig(**KV | {"max_position_embeddings": 256, "hidden_act": "relu"}))
    saved(long.eval(), folder / "long")
    saved(build("llama"), folder / "llama")
    saved(build("bert"), folder / "bert", tokenizer("<s>", "</s>"))
    bloom = t.BloomConfig(vocab_size=99, hidden_size=16, n_layer=1, n_head=2)
    saved(t.BloomForCausalLM(bloom), folder / "bloom")
    return folder


def asked(place: Path, words: Path, out: Path, kind: str, *more: str) -> list[str]:  # noqa: F811
    command = ["measure", str(place / kind), "--text", str(words), "--tokens", "1024", "--seq_len", "64"]
    return [*command, "--out", str(out), *more]


def read(place: Path, words: Path, kind: str) -> np.ndarray:  # noqa: F811
    made = t.AutoTokenizer.from_pretrained(place / kind)
    return text.pack(made, [str(words)], 1024 + 16384, 64)[: 1024 // 64]


def test_the_dataset_says_what_whole_matrices_say(place: Path, words: Path, tmp_path: Path) -> None:  # noqa: F811
    assert main(asked(place, words, tmp_path, "long", "--attention")) == 0
    data = results.load(tmp_path / "dataset.nc")
    ids = torch.from_numpy(read(place, words, "long"))
    model = t.AutoModelForCausalLM.from_pretrained(place / "long", attn_implementation="eager")
    made = t.AutoTokenizer.from_pretrained(place / "long")
    special = {made.convert_tokens_to_ids(each) for each in ("<s>", "</s>")}
    flags = np.isin(ids.numpy(), list(special))
    assert flags.any() and not (set(attending.delimiters(made, ids.numpy())) - special)
    for layer, found in enumerate(weights(model, ids)):
        whole = np.stack(found)
        np.testing.assert_allclose(data["attention_first"][0, layer], whole[..., 0].mean((0, 2)), atol=1e-6)
        previous = whole.diagonal(-1, 2, 3)
        np.testing.assert_allclose(data["attention_previous"][0, layer], previous.mean((0, 2)), atol=1e-6)
        of = (whole * flags[:, None, None]).sum(3).mean((0, 2))
        np.testing.assert_allclose(data["attention_delimiter"][0, layer], of, atol=1e-6)
        sinks = (whole[..., 0].mean(2) > 0.3).mean(0)
        np.testing.assert_allclose(data["sink_rate"][0, layer], sinks, atol=1e-6)
    assert data.attrs["attention_tokens"] == ids.numel()
    assert data["prefix_matching"].shape == (1, 2, 2)
    assert data.attrs["induction_period"] == 50
    with torch.no_grad():
        state = model(ids, output_hidden_states=True).hidden_states[1]
    assert abs(float(data["spike"][0, 0])) == pytest.approx(float(state.abs().max()), rel=1e-5)
    at = int(data["spike_sequence"][0, 0]), int(data["spike_token"][0, 0]), int(data["spike_dimension"][0, 0])
    assert float(data["spike"][0, 0]) == pytest.approx(float(state[at]), rel=1e-5)
    page = (tmp_path / "report.html").read_text()
    assert "Where heads look" in page and "Massive activations" in page and "prefix-matching score" in page


def test_unasked_nothing_is_added_and_asked_later_it_is(place: Path, words: Path, tmp_path: Path) -> None:  # noqa: F811
    assert main(asked(place, words, tmp_path, "llama")) == 0
    before = results.load(tmp_path / "dataset.nc")
    assert "attention_first" not in before and "Where heads look" not in (tmp_path / "report.html").read_text()
    assert main(asked(place, words, tmp_path, "llama", "--attention")) == 0
    after = results.load(tmp_path / "dataset.nc")
    assert "attention_first" in after
    np.testing.assert_array_equal(after["final_firing_count"], before["final_firing_count"])


def test_an_encoder_has_no_test_of_induction(place: Path, words: Path, tmp_path: Path) -> None:  # noqa: F811
    assert main(asked(place, words, tmp_path, "bert", "--attention")) == 0
    data = results.load(tmp_path / "dataset.nc")
    assert "prefix_matching" not in data
    assert float(data["attention_next"].min()) > 0
    page = (tmp_path / "report.html").read_text()
    assert "There is no test of induction" in page and "next token" in page


def test_what_has_no_attention_or_is_too_short_is_refused(
    place: Path,
    words: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = asked(place, words, tmp_path / "short", "llama", "--attention")
    short[short.index("64")] = "32"
    cases = (
        (asked(place, words, tmp_path / "bloom", "bloom", "--attention"), "has no attention weights to be had"),
        (short, "seq_len = 32 is shorter than what --attention needs"),
    )
    for command, sentence in cases:
        assert main(command) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and sentence in error
        assert not Path(command[command.index("--out") + 1], "dataset.nc").exists()


def test_special_tokens_that_are_left_out_are_read_as_keys(place: Path, words: Path, tmp_path: Path) -> None:  # noqa: F811
    assert main(asked(place, words, tmp_path, "llama", "--attention", "--special_tokens", "left_out")) == 0
    data, ids = results.load(tmp_path / "dataset.nc"), torch.from_numpy(read(place, words, "llama"))
    model = t.AutoModelForCausalLM.from_pretrained(place / "llama", attn_implementation="eager")
    counted = ~np.isin(ids.numpy(), [1, 2])
    assert not counted.all()
    for layer, found in enumerate(weights(model, ids)):
        first = np.moveaxis(np.stack(found)[..., 0], 1, 2)[counted].mean(0)
        np.testing.assert_allclose(data["attention_first"][0, layer], first, atol=1e-6)


OURS: dict[str, Any] = {"n_layers": 2, "d_model": 8, "d_ff": 16, "n_heads": 2, "seq_len": 64, "vocab_size": 64}
IDS = np.random.default_rng(0).integers(0, 64, (20, 64))


def reads_with() -> Tokenizer:
    return Tokenizer(models.WordLevel({"<eos>": 0} | {f"w{i}": i for i in range(1, 64)}, unk_token="w1"))


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ("softmax", None),
        # of i + 1 keys a logit of 0 takes 1 / (i + 2) while weights are small: 5.87 %, mean over 64 queries
        ("sink", r"Sinks that are no token take 5\.9 to 5\.9 % of a layer's attention"),
        ("sigmoid", "Weights are sigmoids, which have any sum; Sink% is of those divided by it"),
    ],
)
def test_a_report_says_where_attention_goes_to_no_token(arm: Any, says: str | None) -> None:
    model = own.build(ModelConfig(**OURS, attention=arm), seed=0)
    options = measure.Options(loss_tokens=64, attention=True)
    data = measure.measure(model, reads_with(), IDS, options, name="own")
    page = "".join(sections.body({"own": data}, lambda figure: figure.alt))
    said = re.findall(r"Sinks that are no token|Weights are sigmoids", page)
    assert len(said) == bool(says) and re.search(says or "Where heads look", page)


def test_a_decoder_of_ours_and_several_models(tmp_path: Path) -> None:
    made = [own.build(ModelConfig(**OURS), seed=seed) for seed in range(2)]
    ids, read_with = IDS, reads_with()
    options = measure.Options(loss_tokens=64, attention=True)
    data = [measure.measure(each, read_with, ids, options, name=f"own{i}") for i, each in enumerate(made)]
    assert data[0].attrs["induction_period"] == 31
    assert data[0]["stream_name"].values.tolist() == ["blocks.0", "blocks.1"]
    report.write(data, tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text()
    assert "Where heads look of own0" in page and "Massive activations of own1" in page
    page = "".join(sections.body({"own0": data[0]}, lambda figure: figure.alt))
    cells = re.findall(r"<td>([^<]*)</td>", page[page.index("Where heads look") :])
    assert cells[1] == f"{100 * float(data[0]['attention_first'][0, 0].mean()):.1f}"


def test_delimiters_are_punctuation_and_ends() -> None:
    class Decodes:
        all_special_ids = (5,)

        def __call__(self, given: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [9]}

        def decode(self, ids: list[int]) -> str:
            return [" .", "a.", "\n\n", " ", "?!", "<end>", ","][ids[0]]

    assert attending.delimiters(Decodes(), np.arange(7)) == [0, 2, 4, 5, 6]


def massive(**values: Any) -> xr.Dataset:
    names = ("massive_dimensions", "spike_dimension")
    return xr.Dataset({name: (("seed", "stream_layer"), np.array(values[name])[None]) for name in names})


def test_what_is_massive_is_said() -> None:
    from relusparsity.measure.attended import massive as said

    assert "No entry" in said(massive(massive_dimensions=[0, 0], spike_dimension=[1, 2]))
    assert "after layer 1 of 2" in said(massive(massive_dimensions=[0, 3], spike_dimension=[1, 2]))
    several = said(massive(massive_dimensions=[1, 0, 2], spike_dimension=[7, 2, 5]))
    assert "after 2 of 3 layers, from layer 0 to layer 2" in several and "dimensions 5, 7" in several


def test_sequences_too_short_are_refused_in_python() -> None:
    model = own.build(ModelConfig(n_layers=1, d_model=8, d_ff=16, n_heads=2, seq_len=64, vocab_size=64), seed=0)
    with pytest.raises(UserError, match="first 64 tokens"):
        attending.check(model, 32)
