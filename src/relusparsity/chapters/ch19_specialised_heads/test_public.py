"""Measured on a small random model against plain definitions; the recorded dataset agrees with itself."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
import xarray as xr
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn import functional as F

from relusparsity import store
from relusparsity.errors import UserError
from relusparsity.packages import catalogue
from relusparsity.store import results

from . import forecasts, measuring, public, rows

IDS = torch.randint(3, 90, (4, 70), generator=torch.Generator().manual_seed(0))
PERIOD = 9


def build(how: str) -> Any:
    """Random weights, grouped queries; attention far from even."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 99}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    how_attended: dict[str, Any] = {"attn_implementation": how}
    made = t.LlamaForCausalLM(t.LlamaConfig(**sizes, **heads, **how_attended)).eval()
    with torch.no_grad():
        for layer in made.model.layers:
            layer.self_attn.q_proj.weight.mul_(30)
            layer.self_attn.o_proj.weight.mul_(5)
    return made


def made_tokenizer() -> Any:
    words = ["<unk>", "<s>", "</s>", ".", ",", *(f"w{number}" for number in range(94))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return t.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>")


@pytest.fixture(scope="module")
def model() -> Any:
    return build("sdpa")


@pytest.fixture(scope="module")
def small(model: Any) -> xr.Dataset:
    """Everything of the small model, its gain whatever it is."""
    return public.measured(model, made_tokenizer(), IDS, IDS[:3, :PERIOD])


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return store.recorded(public.NAME, public.SCALE)


def test_the_weights_of_a_sentence_are_those_of_the_eager_function(model: Any) -> None:
    eager = build("eager")
    with torch.no_grad():
        expected = torch.stack(eager(IDS[:1, :20], output_attentions=True).attentions)[:, 0]
    found = measuring.attention(model, IDS[0, :20].tolist())
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_losses_are_those_of_the_same_tokens_in_either_reading(model: Any) -> None:
    rows_of = torch.cat((torch.tensor([[2]] * 3), IDS[:3, :PERIOD], IDS[:3, :PERIOD]), dim=1)
    found = measuring.read_twice(model, rows_of, 1)
    with torch.no_grad():
        logits = model(rows_of).logits.double()
    for which, start in enumerate((1, 1 + PERIOD)):
        for piece in range(3):
            at = range(start + 1, start + PERIOD)  # the first token of a piece is left out
            each = [F.cross_entropy(logits[piece, p - 1], rows_of[piece, p]) for p in at]
            assert found[which, piece] == pytest.approx(float(torch.stack(each).mean()), rel=1e-6)


def test_random_heads_are_as_many_others_of_the_same_layers() -> None:
    scores = np.random.default_rng(0).random((30, 9))
    gone = measuring.chosen(scores)
    assert list(gone) == [rows.NONE, rows.TOP, *rows.DRAWN] and not gone[rows.NONE].any()
    for name in rows.DRAWN:
        assert not (gone[name] & gone[rows.TOP]).any()
        assert gone[name].sum(1).tolist() == gone[rows.TOP].sum(1).tolist()
    assert len({gone[name].tobytes() for name in rows.DRAWN}) > 10
    assert all((gone[name] == again).all() for name, again in measuring.chosen(scores).items())


def test_of_a_small_model_everything_is_measured(small: xr.Dataset) -> None:
    assert {name: small.sizes[name] for name in ("evaluation", "layer", "head", "draw")} == {
        "evaluation": 2 + rows.DRAWS,
        "layer": 2,
        "head": 4,
        "draw": public.DRAWS,
    }
    agrees_with_itself(small)
    assert set(public.DESCRIBED) == set(small.variables)
    same = small["attention_first"].sel(reading="text") == small["attention_first"].sel(reading="shuffled")
    assert not same.all(), "another order, other attention"
    zero, mean = (small["repeat_second_loss"].sel(evaluation=rows.TOP, way=way) for way in (rows.ZERO, rows.MEAN))
    assert (zero != mean).all()


def agrees_with_itself(of: xr.Dataset) -> None:
    """What holds of any model."""
    weights = of["sentence_attention"].astype(int)
    keys = weights.sizes["key"]
    assert not weights.values[..., *np.triu_indices(keys, 1)].any(), "no head sees what follows"
    real = (of["sentence_tokens"] != "").rename(position="query")
    assert (abs(weights.sum("key") - 255) <= keys / 2).where(real, True).all()
    assert (weights.where(~real, 0) == 0).all() and (weights.isel(query=0, key=0) == 255).all()
    scores = rows.scores(of)
    top = of["ablated"].sel(evaluation=rows.TOP).values
    assert top.sum() == rows.number(scores.size) and scores[top].min() > scores[~top].max()
    gain = of["repeat_first_loss"] - of["repeat_second_loss"]
    np.testing.assert_allclose(gain, of["repeat_gain"].mean("piece"), atol=1e-4)
    intact = of[["repeat_first_loss", "repeat_second_loss"]].sel(evaluation=rows.NONE)
    assert intact.sel(way=rows.MEAN, drop=True).equals(intact.sel(way=rows.ZERO, drop=True))
    for name in ("first", "previous", "same", "delimiter"):
        assert ((of[f"attention_{name}"] >= 0) & (of[f"attention_{name}"] <= 1 + 1e-6)).all()
    assert (abs(of["copying"]) <= 1 + 1e-6).all()


def test_the_recorded_dataset_agrees_with_itself(dataset: xr.Dataset) -> None:
    agrees_with_itself(dataset)
    assert dataset["sentence"].values.tolist() == list(public.SENTENCES)
    for shown, text in zip(dataset["sentence_tokens"].values, public.SENTENCES.values(), strict=True):
        assert "".join(shown).replace("␣", " ").replace("⏎", "\n") == text
    assert (dataset["repeat_gain"].sel(evaluation=rows.NONE).mean("piece") > 0).all()


def test_it_was_made_of_the_packages_that_are_pinned(dataset: xr.Dataset) -> None:
    facts = results.provenance(dataset)
    assert set(facts["packages"]) == set(public.PACKAGES)
    for name, told in facts["packages"].items():
        assert told["sha256"] == catalogue.everything()[name].sha256
        assert 19 in catalogue.everything()[name].chapters


def test_what_was_written_before_is_set_against_what_came(dataset: xr.Dataset) -> None:
    table = forecasts.sentences(dataset)
    assert table["written before"].tolist() == list(forecasts.CHANCES) and table["holds"].notna().all()
    by = rows.removed(dataset)
    assert bool(table["holds"][0]) is bool(by.sel(evaluation=rows.TOP) >= 50)
    assert bool(table["holds"][2]) is bool(by.sel(evaluation=list(rows.DRAWN)).mean() <= 10)
    assert set(forecasts.sentences(dataset.isel(draw=slice(2)))["written before"]) == set(forecasts.CHANCES)


def test_what_is_not_fetched_is_said_before_anything_is_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    with pytest.raises(UserError, match=r"^smollm2 is not on this machine"):
        public.run()
