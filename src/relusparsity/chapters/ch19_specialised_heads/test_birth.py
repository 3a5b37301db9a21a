"""The birth of induction heads: sequences and scores by brute force, and each way the sentences come out."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch19_specialised_heads import birth, born, experiment, read, tables
from relusparsity.chapters.ch19_specialised_heads.birth import Arm
from relusparsity.chapters.ch19_specialised_heads.experiment import ARMS, CHANCES, ONE, SHUFFLED, TWO
from relusparsity.errors import UserError
from relusparsity.models import Decoder
from relusparsity.models.decoder import initialise


def drawn(arm: Arm, seed: int = 3) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Sequences, what is known, and each one's period: the first place at which something is known."""
    tokens, known = birth.sequences(arm, 200, torch.Generator().manual_seed(seed))
    return tokens.numpy(), known.numpy(), [int(row.argmax()) for row in known.numpy()]


def test_tokens_come_again_in_their_order() -> None:
    tokens, known, periods = drawn(Arm())
    assert tokens.shape == (200, 65) and known.shape == (200, 64)
    assert min(periods) == birth.SHORTEST and max(periods) == 31
    for row, flags, period in zip(tokens, known, periods, strict=True):
        assert len(set(row[:period])) == period, "different tokens"
        assert (row[period:] == row[:-period]).all()
        assert flags.tolist() == [at >= period for at in range(64)]


def test_without_an_order_each_reading_has_the_same_tokens_in_another() -> None:
    tokens, _, periods = drawn(Arm(ordered=False))
    same = 0
    for row, period in zip(tokens, periods, strict=True):
        readings = [row[at : at + period] for at in range(0, 65, period)]
        assert all(set(each) == set(readings[0]) for each in readings if len(each) == period)
        same += (readings[0] == readings[1]).all() if len(readings[1]) == period else 0
    assert same < 40, "of 200, some of four tokens stand alike by chance"


def test_what_is_read_of_a_decoder_is_its_definition() -> None:
    decoder = initialise(Decoder(birth.model(Arm())), 1)
    rows = birth.probe(decoder.config, 32)
    x: Any = decoder.embedding(rows).detach()
    block: Any = decoder.blocks[0]
    q, k, _ = block.attention.qkv(block.attention_norm(x)).view(20, 64, 3, 4, 16).permute(2, 0, 3, 1, 4)
    q, k = block.attention._rotate(q), block.attention._rotate(k)
    logits = (q @ k.mT).double() / 4
    weights = logits.masked_fill(torch.ones(64, 64).triu(1).bool(), -torch.inf).softmax(-1).detach()
    wanted = torch.stack([weights[:, :, i, i - 31] for i in range(32, 64)]).mean((0, 1))
    np.testing.assert_allclose(birth.prefix_matching(decoder)[0], wanted, atol=1e-6)
    kept = birth.attention(decoder, rows[:1])
    assert kept.shape == (2, 4, 64, 64) and kept.dtype == np.uint8
    np.testing.assert_array_less(abs(kept[0] / 255 - weights[0].numpy()), 0.5 / 255 + 1e-6)


def test_losses_are_those_of_each_place() -> None:
    decoder = initialise(Decoder(birth.model(Arm())), 1)
    tokens, known = birth.sequences(Arm(), 5, torch.Generator().manual_seed(2))
    with torch.no_grad():
        chance = decoder(tokens[:, :-1]).log_softmax(-1)
    each = np.array([[-float(chance[s, p, tokens[s, p + 1]]) for p in range(64)] for s in range(5)])
    of_known, of_new, context = birth.losses(decoder, tokens, known)
    flags = known.numpy()
    assert of_known == pytest.approx(each[flags].mean(), abs=1e-5)
    assert of_new == pytest.approx(each[~flags].mean(), abs=1e-5)
    assert context == pytest.approx(each[:, 56:].mean() - each[:, 8:16].mean(), abs=1e-5)


@pytest.fixture(scope="module")
def short() -> xr.Dataset:
    return experiment.measure((0, 4), 20)


def test_a_measurement_is_the_same_again_and_says_what_it_is(short: xr.Dataset) -> None:
    again, once = experiment.measure((4,), 20, (ONE,)), short.sel(arm=[ONE], seed=[4])
    for name in ("known_loss", "prefix_matching", "without_loss"):
        of = once[name].isel(layer=[0]) if "layer" in once[name].dims else once[name]
        np.testing.assert_array_equal(again[name], of)
    assert short["step"].values.tolist() == [0, 10, 20] and short["kept"].values.tolist() == [0, 20]
    assert np.isnan(short["prefix_matching"].sel(arm=ONE, layer=1)).all() and short["attention"].dtype == np.uint8
    assert not short["attention"].sel(arm=ONE, layer=1).any() and short["attention"].sel(arm=ONE, layer=0).any()
    assert all(short[name].attrs["units"] and short[name].attrs["long_name"] for name in short.variables)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seeds": ()}, "seeds = "),
        ({"seeds": (1, 1)}, "seeds = "),
        ({"steps": 1}, "steps = 1: expected a whole number from 2"),
        ({"steps": 2.5}, "steps = 2.5"),
        ({"arms": ()}, "expected some of two layers"),
        ({"arms": ("three layers",)}, "expected some of two layers"),
    ],
)
def test_what_cannot_be_measured_is_said(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        experiment.measure(**given)


def made(**changed: Any) -> xr.Dataset:
    """A dataset of which every sentence holds, two seeds; `changed`: variable of an arm → its values at the end."""
    step, dims = [0, 200, 260, 400], ("arm", "seed", "step", "layer", "head")
    shape = (3, 2, 4, 2, 4)
    matching, previous, copying = (np.full(shape, value) for value in (0.03, 0.05, 0.95))
    matching[0, :, 2:, 1, 2], previous[0, :, 1:, 0, 1] = 0.9, 0.8
    for of in (matching, previous, copying):
        of[1, :, :, 1] = np.nan
    loss = np.full((3, 2, 4), 3.2)
    loss[0, :, 2:] = 0.1
    without, left = np.full((3, 2, 2, 4), 0.2), np.full((3, 2, 2, 4), 0.88)
    without[0, :, 0, 1], left[0, :, 0, 1] = 3.0, 0.1
    data = xr.Dataset(
        {
            "prefix_matching": (dims, matching),
            "previous": (dims, previous),
            "copying": (dims, copying),
            "known_loss": (dims[:3], loss),
            "new_loss": (dims[:3], np.full((3, 2, 4), 4.1)),
            "in_context": (dims[:3], np.full((3, 2, 4), -1.0)),
            "without_loss": (("arm", "seed", "layer", "head"), without),
            "without_matching": (("arm", "seed", "layer", "head"), left),
        },
        {"arm": list(ARMS), "seed": [1, 2], "step": step, "layer": [0, 1], "head": range(4)},
        {"provenance": '{"config": {"steps": 400}}'},
    )
    for name, (where, value) in changed.items():
        data[name].loc[where] = value
    return data


def test_every_sentence_can_hold() -> None:
    table = experiment.sentences(made())
    assert table["written before"].tolist() == list(CHANCES) and table["holds"].eq(True).all()


@pytest.mark.parametrize(
    ("at", "changed"),
    [
        (0, {"prefix_matching": ({"arm": TWO, "seed": 1, "step": 400}, 0.4)}),
        (1, {"prefix_matching": ({"arm": ONE, "seed": 2, "step": 200, "layer": 0, "head": 3}, 0.1)}),
        (2, {"prefix_matching": ({"arm": SHUFFLED, "seed": 2, "step": 400, "layer": 1, "head": 3}, 0.1)}),
        (3, {"known_loss": ({"arm": TWO, "seed": 2, "step": 260}, 2.0)}),
        (3, {"known_loss": ({"arm": TWO, "seed": 2}, 2.0)}),
        (4, {"previous": ({"arm": TWO, "seed": 1, "step": 200}, 0.1)}),
        (4, {"prefix_matching": ({"arm": TWO, "seed": 1}, 0.03)}),
        (5, {"copying": ({"arm": ONE, "seed": 1, "step": 400, "head": 0, "layer": 0}, 0.8)}),
        (6, {"without_matching": ({"arm": TWO, "seed": 1, "layer": 0, "head": 1}, 0.5)}),
        (7, {"without_matching": ({"arm": TWO, "seed": 1, "layer": 0, "head": 3}, 0.7)}),
        (8, {"without_loss": ({"arm": TWO, "seed": 2, "layer": 1, "head": 0}, 2.2)}),
    ],
)
def test_one_seed_is_enough_against_a_sentence(at: int, changed: dict[str, Any]) -> None:
    assert experiment.sentences(made(**changed))["holds"].iloc[at] in (False, None)


def test_what_never_comes_is_infinite() -> None:
    data = made(known_loss=({"arm": TWO, "seed": 2}, 2.0), previous=({"arm": TWO, "seed": 1}, 0.1))
    assert experiment.fall(data.sel(arm=TWO)).values.tolist()[0] == 60.0
    assert math.isinf(experiment.born(data.sel(arm=TWO), "previous", 0).sel(seed=1))
    assert float(experiment.born(data.sel(arm=TWO), "prefix_matching", 1).sel(seed=1)) == 260


def test_heads_stand_by_what_their_layer_does() -> None:
    of = read.ranked(made())
    assert of["previous"].sel(layer=0).values[:, 0].tolist() == [0.8, 0.8]
    assert of["prefix_matching"].sel(layer=1).values[:, 0].tolist() == [0.9, 0.9]
    assert of["worth"].values[0, 0, 0] == pytest.approx(100 * (3.0 - 0.1) / (4.1 - 0.1))
    table = tables.of_birth(made())
    assert table.index[0] == "layer 0, highest previous-token score" and len(table) == 8


def test_the_words_follow_the_data() -> None:
    assert "come late, and at once" in born.late(made()).text
    never = made(known_loss=({"arm": TWO}, 2.0))
    assert "come in 0 of 2 seeds" in born.late(never).text
    assert "One layer cannot" in born.controls(made()).text
    other = made(prefix_matching=({"arm": ONE, "layer": 0}, 0.5))
    assert "have it, too" in born.controls(other).text
    assert "make one circuit" in born.circuit(made()).text
    assert "share the work" in born.circuit(made(without_matching=({"arm": TWO}, 0.8))).text


def test_the_recorded_runs_are_the_experiment() -> None:
    dataset = store.recorded(experiment.NAME, "laptop")
    assert dataset["arm"].values.tolist() == list(ARMS) and dataset["seed"].values.tolist() == list(experiment.SEEDS)
    assert dataset["step"].values[-1] == experiment.STEPS
    sums = dataset["attention"].sel(arm=TWO).astype(int).sum("key")
    assert int(abs(sums - 255).max()) <= 12, "weights of a query sum to 1, each rounded"
