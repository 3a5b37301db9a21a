"""Chapter 12 on text: sentences and tables of the encoder-decoder against its recorded runs."""

import numpy as np
import pytest
import xarray as xr

from relusparsity import claims, store
from relusparsity.experiments import lazy_rows, lazy_text_rates

from . import chosen, figures, read, short, text
from .test_page import gone

JUDGE = [1, 2, 3]


@pytest.fixture(scope="module")
def rates() -> xr.Dataset:
    return store.recorded("lazy_text_rates", "spans")


def test_of_the_encoder_decoder_is_said_what_its_runs_did() -> None:
    dataset = store.recorded("lazy_text", "spans")
    ran = dataset["final_loss"].notnull()
    use = 100 * dataset["final_token_use"].transpose("recipe", "seed", "layer").astype(float)
    of = use.sel(recipe="as it is").values[ran.sel(recipe="as it is").values]
    said, loss = text.learned(dataset).text, dataset["heldout_loss"].sel(recipe="as it is").mean("seed").values
    assert "6 + 6 layers of 2,048 units, 61 million parameters, 210 million tokens" in said
    assert f"{of.mean(1).min():.1f} to {of.mean(1).max():.1f} % of the entries are positive then" in said
    assert f"{of[:, :6].mean():.0f} % in the encoder and {of[:, 6:].mean():.0f} % in the decoder" in said
    high = [later - min(loss[: at + 1]) for at, later in enumerate(loss)]
    top = int(np.argmax(high))
    assert f"falls to {loss[: top + 1].min():.2f} nats, rises to {loss[top]:.2f}" in said
    assert (
        f"ends at {loss[-1]:.2f} ({len(of)} seeds)" in said and "25 % of the targets are sentinels" in said
    )  # 28 + 1 of 114
    drawn = dataset.sel(recipe="random targets")
    silent = 100 * drawn["final_silent_units"].transpose("seed", "layer").values / 2048
    for seed in np.flatnonzero(ran.sel(recipe="random targets")):
        ends = f"{silent[seed, :6].mean():.0f} % of the encoder's and {silent[seed, 6:].mean():.0f} % of the decoder's"
        assert ends in text.noise(dataset).text
    living = 100 * drawn["final_token_use"].transpose("seed", "layer").values.sum(1) / (1 - silent / 100).sum(1)
    assert f"fire at {np.nanmin(living):.0f} to {np.nanmax(living):.0f} % of the tokens" in text.noise(dataset).text
    assert ("is lost" in said) == (of.mean(1).sum() > 3 * 16)
    assert ("add nothing" in text.noise(dataset).text) == bool((silent[:, 6:].mean(1) == 100).any())
    rates = store.recorded("lazy_text_rates", "spans")
    table, waits = text.table(dataset), text.to_come(dataset, rates).text
    assert len(table) == ran.sum() and table["end"].tolist() == [
        f"{each.mean():.1f}" for each in use.values.reshape(-1, 12)[ran.transpose("recipe", "seed").values.ravel()]
    ]
    for arm in dataset["recipe"].values:
        missing = int((~ran.sel(recipe=arm)).sum())
        assert (f"{missing} of *{arm}*" in waits) == bool(missing)
    lacking = rates["final_loss"].isnull().sum("seed").to_series()
    assert f"{lacking[lazy_text_rates.TENTH]} of *{lazy_text_rates.TENTH}*" in waits
    beyond = int(rates["final_loss"].sel(recipe=lazy_text_rates.FIRST, seed=3).isnull())
    assert (f"{beyond} of *{lazy_text_rates.FIRST}*" in waits) == bool(beyond), (
        "its other seeds are among the first arm"
    )
    table, came = text.expected(dataset, rates), 100 * rates["final_token_use"].mean("layer").astype(float)
    assert len(table) == 5 and table.loc[lazy_text_rates.TENTH, "came"] == "not all have run"
    third = float(came.sel(recipe=lazy_text_rates.THIRD, seed=[1, 2, 3]).mean())
    assert table.loc[lazy_text_rates.THIRD, ["came", "holds"]].tolist() == [f"{third:.1f}", "no"] and third > 20


def test_of_the_sentences_on_text_those_that_a_run_refutes_are_decided() -> None:
    dataset = store.recorded("lazy_text", "spans")
    table = text.chances(dataset, store.recorded("lazy_text_rates", "spans"))
    came = dataset["final_batch_use"].sel(recipe="as it is").astype(float).mean(("set", "layer")).values
    least, most = 100 * np.nanmin(came), 100 * np.nanmax(came)
    lacks = f", {np.isfinite(came).sum()} of 3 known" if np.isnan(came).any() else ""
    row = table.loc["more than 90 % of the units fire in one set of 16 sequences, in every seed"]
    assert row.tolist() == ["50 %", f"{least:.3g} to {most:.3g}{lacks}", "no"] and least < 90
    rates = table.loc[list(lazy_text_rates.CHANCES)]
    assert len(table) == 12 and rates["holds"].tolist() == ["no", "yes", "no", "–"]


def test_what_is_said_of_text_that_is_missing_is_that_they_are_to_come() -> None:
    said = "**Still to come**: no run of *{}* has come to its end yet.".format
    recorded = store.recorded("lazy_text", "spans")
    for arm, told in (("as it is", text.learned), ("random targets", text.noise)):
        lacking = gone(recorded, arm)
        assert told(lacking).text == said(arm)
        assert f"3 of *{arm}*" in text.to_come(lacking, store.recorded("lazy_text_rates", "spans")).text


def test_the_rate_is_that_of_the_least_loss_and_the_page_says_so(rates: xr.Dataset) -> None:
    losses = {str(arm): float(rates["final_loss"].sel(recipe=arm, seed=0)) for arm in rates["recipe"].values}
    least, second, third = sorted(losses, key=losses.__getitem__)
    names = {arm: arm.removeprefix("a rate of ") for arm in losses}
    said = chosen.rate(rates).text
    assert lazy_text_rates.best(rates) == least
    assert f"It is {names[least]}, which ends at {losses[least]:.2f} nats (" in said
    assert f"({losses[second]:.2f} at {names[second]} and {losses[third]:.2f} at {names[third]})" in said
    assert "rates of 3e-4 and 1e-4 were tried in seed 0" in said and "in seeds 1, 2 and 3, of which none chose" in said
    first = 100 * rates["final_token_use"].sel(recipe=lazy_text_rates.FIRST).mean("layer").dropna("seed")
    assert f"{int((first > 10).sum())} of these {first.size} runs miss it" in said and "changed what is read" in said


def test_what_is_found_there_is_what_the_ledger_reads(rates: xr.Dataset) -> None:
    of = rates.sel(recipe=lazy_text_rates.best(rates), seed=JUDGE)
    ends, loss = 100 * of["final_token_use"].mean("layer").astype(float), of["final_loss"]
    said = chosen.found(rates).text
    assert f"**{float(ends.min()):.1f} to {float(ends.max()):.1f} % of the entries" in said
    assert f"ends at {float(loss.min()):.2f} to {float(loss.max()):.2f} nats" in said
    assert (
        "row 20 holds in 0 of 3 seeds** (they begin" in said and "it does in 0" in said and "after 210 million" in said
    )
    row = tuple(each for each in claims.ADDED if each.number == "20")
    (judged,) = claims.evaluate({("lazy_text_rates", "spans"): rates}, rows=row, rules=lazy_rows.RULES)
    assert judged.verdict == claims.Verdict.NOT_REPRODUCED
    assert [each.seed for each in judged.readings if each.seed not in judged.ignored] == JUDGE


def test_windows_grow_from_a_token_to_a_batch(rates: xr.Dataset) -> None:
    of = rates.sel(recipe=lazy_text_rates.best(rates), seed=JUDGE)
    token = 100 * of["final_token_use"].astype(float).transpose("layer", "seed").values.mean(1)
    sequence = 100 * float(of["final_sequence_use"].astype(float).mean())
    batch = 100 * float(of["final_batch_use"].astype(float).mean())
    said, table = chosen.windows(rates).text, chosen.table(rates)
    assert f"{token.mean():.0f} % of the units fire at a token, {sequence:.0f} % in a sequence" in said
    assert f" and {batch:.0f} % in 16 sequences" in said
    assert token.argmin() == 8 and token.argmax() == 11, "which layers are named"
    assert f"from {token.min():.0f} % (decoder 2) to {token.max():.0f} % (decoder 5)" in said
    assert ("in both stacks the middle" in said) == all(0 < part.argmin() < 5 for part in (token[:6], token[6:]))
    assert table["positive, end"].tolist() == [f"{each:.1f}" for each in token]
    silent = of["final_silent_units"].isel(layer=0).sum()
    assert ("none is silent" in said) == bool(silent == 0)
    rare = float(of["final_rare_units"].isel(layer=0).mean()) / 20.48
    assert f"of ours {rare:.0f} % fire so seldom" in said and table["fire at < 10 %"].iloc[0] == f"{rare:.1f}"
    states = figures.stacks(read.by_stack(rates)).chart["control"]["states"]
    assert [each["label"] for each in states] == ["at a token", "in a sequence", "in 16 sequences"]


def test_before_a_rate_is_chosen_it_is_to_come(rates: xr.Dataset) -> None:
    none = rates.copy()
    del none.attrs["rate"]
    assert "still to come" in short.of_an_encoder_decoder(none)
    said = short.of_an_encoder_decoder(rates)
    assert "is missed in 3 of 3 seeds" in said and "after 210 million tokens" in said
