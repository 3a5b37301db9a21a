"""At which rate the encoder-decoder is read, and row 20 there, on made-up ends."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from claims_made import told
from lazy_text_made import made as of_module
from relusparsity import claims
from relusparsity.experiments import lazy_rows, lazy_text, lazy_text_rates
from relusparsity.experiments.lazy_text_rates import FIRST, TENTH, THIRD
from relusparsity.scales import spans
from relusparsity.store import results


def made(
    end: Any, start: float = 0.5, losses: tuple[float, float, float] = (5.7, 3.0, 4.0), **others: Any
) -> xr.Dataset:
    """See `lazy_text_made`; with the held-out loss of each rate at the end."""
    dataset = of_module(end, start, of=lazy_text_rates, **others)
    known = dataset["final_loss"].notnull()
    loss = np.broadcast_to(np.array(losses)[:, None], dataset["final_loss"].shape)
    facts = results.provenance(dataset)
    facts |= {"runs": np.where(known, "a", "not run").tolist(), "config": facts["configs"][FIRST]}
    told = dataset.assign_attrs(scale="spans", provenance=json.dumps(facts))
    return lazy_text_rates.with_best(told.assign(final_loss=dataset["final_loss"].copy(data=loss).where(known)))


def judged(dataset: xr.Dataset) -> list[claims.Outcome]:
    """Row 20 of the ledger, from runs that say that they are of Spans."""
    rows = tuple(row for row in claims.for_chapter(12) if row.number == "20")
    return claims.evaluate({("lazy_text_rates", "spans"): dataset}, rows=rows, rules=lazy_rows.RULES)


@pytest.mark.parametrize(
    ("end", "start", "holds"),
    [(0.1, 0.5, True), (0.1001, 0.5, False), (0.03, 0.45, True), (0.03, 0.449, False), (0.03, 0.551, False)],
)
def test_row_20_asks_for_a_tenth_at_the_end_and_half_at_the_start(end: float, start: float, holds: bool) -> None:
    table = lazy_text.row_20(made(lambda arm, seed: end if arm == THIRD else 0.4, start), THIRD)
    assert table["holds"].tolist() == [holds] * 4
    (outcome,) = judged(made(lambda arm, seed: end if arm == THIRD else 0.4, start))
    assert outcome.verdict == ("reproduced" if holds else "not reproduced")
    assert outcome.scale == "recorded" and outcome.recipe.startswith(
        "encoder-decoder on text with spans cut out, adamw lr 0.0003"
    )
    assert table["end"].tolist() == pytest.approx([100 * end] * 4)
    assert table["living"].tolist() == pytest.approx([100 * end / (1 - 64 / 2048)] * 4)


def test_row_20_is_open_where_a_run_or_its_size_lacks() -> None:
    some = lazy_text.row_20(made(lambda arm, seed: np.nan if seed == 1 else 0.03), THIRD)
    assert some["holds"].tolist() == [True, None, True, True]
    (outcome,) = judged(made(lambda arm, seed: np.nan if seed == 1 else 0.03))
    assert (str(outcome.verdict), outcome.reason) == (
        "not yet tested",
        "1 of 4 runs is still to come",
    )
    assert "not run" in repr(claims.table([outcome]))
    tiny = made(lambda arm, seed: np.nan if seed == 1 else 0.03, parameters=59_999_999)
    assert judged(tiny)[0].verdict == "not testable here" and "smaller than the row asks for" in judged(tiny)[0].reason
    small = lazy_text.row_20(made(lambda arm, seed: 0.03, parameters=59_999_999), THIRD)
    assert small["holds"].isna().all()
    short = made(lambda arm, seed: 0.03)
    facts = results.provenance(short)
    facts["configs"][THIRD]["train"]["tokens"] = 16_384 * 12_000
    short.attrs["provenance"] = json.dumps(facts)
    assert lazy_text.row_20(short, THIRD)["holds"].isna().all()


def test_rates_change_nothing_else_and_the_first_is_the_run_of_lazy_text() -> None:
    runs = lazy_text_rates.config("spans").runs
    assert [(run.seed, run.train.lr) for run in runs] == [(s, lr) for s in range(4) for lr in (1e-3, 3e-4, 1e-4)]
    assert runs[0] == lazy_text.config("spans").runs[0] == spans("spans")


@pytest.mark.parametrize(
    ("losses", "rate"), [((5.7, 3.0, 4.0), THIRD), ((5.7, 4.0, 3.0), TENTH), ((2.0, 3.0, 4.0), FIRST)]
)
def test_the_rate_of_the_least_loss_is_read_whatever_its_share(losses: Any, rate: str) -> None:
    dataset = made(lambda arm, seed: 0.2 if arm == rate else 0.01, losses=losses)
    assert lazy_text_rates.best(dataset) == rate
    (outcome,) = judged(dataset)
    assert (
        outcome.verdict == "not reproduced"
        and round(float(outcome.readings[0].values["positive entries at the end (%)"])) == 20
    )
    holds = lazy_text_rates.sentences(dataset)["holds"].tolist()
    assert holds == [False, rate != FIRST, True, False]
    sparse = made(lambda arm, seed: 0.05 if arm == rate else 0.2, losses=losses)
    assert lazy_text_rates.sentences(sparse)["holds"].tolist() == [True, rate != FIRST, True, rate != FIRST]


def test_the_seed_that_chooses_does_not_judge() -> None:
    dataset = made(lambda arm, seed: 0.2 if seed == 0 else 0.05)
    (outcome,) = judged(dataset)
    assert (
        outcome.verdict == "reproduced" and outcome.recipe.startswith("encoder-decoder") and len(outcome.readings) == 4
    )
    assert lazy_text_rates.sentences(dataset)["holds"][0]
    (other,) = judged(made(lambda arm, seed: 0.2 if seed == 3 else 0.05))
    assert other.verdict == "inconclusive"
    fewer = dataset.isel(seed=[0, 1, 2])
    assert judged(fewer)[0].verdict == "not yet tested"


def test_no_rate_is_read_before_all_have_run_in_the_first_seed() -> None:
    dataset = made(lambda arm, seed: np.nan if (arm, seed) == (TENTH, 0) else 0.05)
    assert lazy_text_rates.best(dataset) is None
    assert lazy_text_rates.sentences(dataset)["holds"].tolist() == [None] * 4
    (outcome,) = judged(dataset)
    assert (str(outcome.verdict), outcome.reason) == ("not yet tested", "1 of 12 runs is still to come")
    lost = told(dataset, np.zeros((3, 4), bool))  # it ran, and diverged: not chosen here, since `rate` is not read anew
    assert judged(lost)[0].verdict == "not testable here" and "no rate is chosen" in judged(lost)[0].reason
    assert lazy_text_rates.best(made(lambda arm, seed: np.nan if (arm, seed) == (TENTH, 1) else 0.05)) == THIRD
    for slowest, below in ((5.0, False), (4.99, True)):
        slow = made(lambda arm, seed: 0.05, losses=(5.7, slowest, 5.5))
        assert lazy_text_rates.sentences(slow)["holds"].tolist() == [True, True, below, False]


def test_a_rate_that_diverged_is_not_chosen() -> None:
    dataset = made(lambda arm, seed: np.nan if arm == FIRST else 0.05)
    facts = results.provenance(dataset)
    diverged = dataset.assign_attrs(provenance=json.dumps(facts | {"runs": [["a"] * 4] * 3}))
    assert lazy_text_rates.best(lazy_text_rates.with_best(diverged)) == THIRD


def test_forecasts_of_rates_are_of_the_mean_of_the_seeds_that_judge() -> None:
    inside = {arm: sum(ends) / 200 for arm, ends in lazy_text_rates.EXPECTED.items()} | {FIRST: 0.25}
    first_apart = made(lambda arm, seed: inside[arm] if seed else 0.9)
    assert lazy_text_rates.predicted(first_apart)["holds"].tolist() == [True, True]
    over = {arm: high / 100 + 0.001 for arm, (_, high) in lazy_text_rates.EXPECTED.items()} | {FIRST: 0.25}
    assert lazy_text_rates.predicted(made(lambda arm, seed: over[arm]))["holds"].tolist() == [False, False]
