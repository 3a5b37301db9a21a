"""What the page of chapter 10 says and tabulates, against sums over recorded datasets."""

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.experiments import pruned_training

from . import bound, experiment, short, tables, words


@pytest.fixture(scope="module")
def laptop() -> xr.Dataset:
    return store.recorded(experiment.NAME, "laptop")


@pytest.fixture(scope="module")
def bounds() -> dict[str, xr.Dataset]:
    return {name: bound.bound(dataset) for name, dataset in bound.recorded().items()}


def test_what_is_said_of_the_bounds_is_theirs(bounds: dict[str, xr.Dataset]) -> None:
    dead = store.recorded("layer_patterns", "wide", "nearest")["dead_units"].isel(step=-1).transpose("seed", "layer")
    share = dead.values.sum(1) / (6 * 32_768)
    m = bounds["Wide, nearest"].attrs["mlp_share"]
    over = float(bounds["Wide, nearest"]["over_run"].mean())
    last = (1 / (1 - m * share)).mean()
    said = words.at_most(bounds).text
    assert f"At most {over:.2f} times as fast over a whole run, for Wide, nearest" in said
    assert f"its last step {100 * share.mean():.0f} % of its units are dead, and a step has {last:.2f} times" in said
    three = float(bounds["Wide, nearest"]["planned_over_run"].mean())
    assert f"{three:.2f} times with three removals" in said and three < over
    assert "For Wide, modern (27 % dead)" in said and f"at most {over:.2f} times" in short.in_short().finding
    table = tables.bounds(bounds)
    assert table.loc["Wide, nearest", ["at 100 %", "over the run"]].tolist() == [f"{last:.2f}", f"{over:.2f}"]
    assert table.index.tolist() == list(bound.MODELS) and table["seeds"].tolist() == list("3311153")


def test_what_is_said_of_this_machines_runs_is_read_off_them(laptop: xr.Dataset) -> None:
    ends = laptop["final_loss"].isel(seed=0).to_series()
    rise = {arm: 100 * (ends[arm] / ends["dense"] - 1) for arm in ends.index}
    spent = laptop["training_seconds"].isel(seed=0).max("step").to_series()
    said = words.came(laptop).text.replace("−", "-")
    for arm in ("pruned", "random", "narrow"):
        assert f"{arm} {rise[arm]:+.2f} % in {100 * spent[arm] / spent['dense']:.0f} % of the seconds" in said
    assert ("no more" in said) == (rise["random"] <= rise["pruned"])
    left = laptop["width"].sel(arm="pruned").isel(seed=0).sum("layer").values / 6144
    shares = [f"{100 * share:.0f}" for share in sorted(set(left[np.isfinite(left) & (left > 0) & (left < 1)]))[::-1]]
    told = words.removed(laptop).text
    assert f"{', '.join(shares[:-1])} and {shares[-1]} % of all units are left" in told
    assert "after 50, 62.5, 75 and 87.5 % of the tokens" in told and "16,384 tokens" in told
    gone, back = int(laptop["removed"].sum()), int(laptop["returned"].sum())
    assert f"first {gone} units that went, {back} fire at least once" in words.returned(laptop).text
    assert f"within {max(map(abs, rise.values())):.2f} % of dense's" in words.cannot_say(laptop).text
    narrow = laptop["width"].sel(arm="narrow").isel(seed=0, step=-1).sum("layer").item() / 6144
    assert f"*Narrow* has {100 * narrow:.0f} % of the units" in told and "weight decay of 2 so" in told


def test_runs_of_another_machine_are_compared_by_the_order_of_the_arms(laptop: xr.Dataset) -> None:
    assert "in the same order as above" in words.beside(laptop, laptop).text
    other = laptop.copy(deep=True)
    other["final_loss"].loc[{"arm": "narrow"}] = 0.5 * other["final_loss"].sel(arm="dense")
    said = words.beside(laptop, other).text
    assert "narrow −50.00 %, random" in said and "in another order than above" in said


def test_units_by_lot_that_cost_more_are_said_to(laptop: xr.Dataset) -> None:
    dear = laptop.copy(deep=True)
    dear["final_loss"].loc[{"arm": "random"}] += 1
    assert "Units drawn by lot cost more here than the dead" in words.came(dear).text


def test_what_was_written_of_the_runs_to_come_is_shown(
    monkeypatch: pytest.MonkeyPatch, bounds: dict[str, xr.Dataset]
) -> None:
    assert tables.expected().index.tolist() == list(pruned_training.EXPECTED)
    assert tables.expected().loc["pruned"].tolist() == ["−0.3 to 0.4", pruned_training.DATE]
    assert tables.chances()["chance"].tolist() == [f"{100 * each:.0f} %" for each in pruned_training.CHANCES.values()]
    assert (
        "15 runs of Wide" in words.to_come(bounds).text
        and "where the bound by operations is 1.9" in words.to_come(bounds).text
    )
    monkeypatch.setattr(pruned_training, "RAN", "2026-12-24")
    assert words.to_come(bounds).text == "The 15 runs of Wide ran on 2026-12-24."


def test_the_lines_shown_are_the_librarys() -> None:
    said = words.lines_that_matter().text
    assert "moments |= shrinking.cut_layer(mlp, units, moments)" in said and "self.deaths.keep(kept)" in said
