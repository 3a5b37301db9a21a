"""Chapter 00: its experiment is what it says, its figure, its rule and *In short* read what they are given."""

import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from . import experiment, figures, rows, short


def made_up(*highest: float) -> xr.Dataset:
    """Two runs of six layers; the highest token use of each seed is given."""
    use = np.linspace(0.1, 1, 12).reshape(2, 1, 6) * np.array(highest)[:, None]
    coords = {"recipe": ["one", "two"], "seed": range(len(highest)), "layer": range(6)}
    return xr.Dataset({"final_token_use": (("recipe", "seed", "layer"), use)}, coords, {"scale": "smoke"})


def test_the_experiment_has_every_run_once() -> None:
    config = experiment.config("smoke")
    data = experiment.run(config)
    assert len(set(config.runs)) == len(config.runs) == len(experiment.CHANGES) * len(experiment.SEEDS)
    assert data["recipe"].values.tolist() == list(experiment.CHANGES)
    assert data["final_token_use"].sizes["seed"] == len(experiment.SEEDS)
    assert {len(rule.find(data).readings) for rule in rows.RULES.values()} == {len(experiment.SEEDS)}


def test_the_figure_draws_what_it_is_given() -> None:
    data = made_up(0.4, 0.2)
    table = pd.read_csv(io.StringIO(figures.token_use(data).csv), comment="#")
    drawn = table.set_index(["recipe", "seed", "layer"])["token_use"]
    assert len(drawn) == data["final_token_use"].size
    for (run, seed, layer), value in drawn.items():
        assert value == pytest.approx(data["final_token_use"].sel(recipe=run, seed=seed, layer=layer).item(), rel=1e-3)


def test_the_rule_reads_every_seed() -> None:
    (row,) = rows.ROWS
    found = rows.RULES[row.number].find(made_up(0.4, 0.6, 0.2))
    assert [reading.holds for reading in found.readings] == [True, False, True]


def test_in_short_says_what_the_data_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short.store, "recorded", lambda *given: made_up(0.4, 0.2))
    said = short.in_short()
    assert " 2 to 40 % of a layer's units" in said.finding and "Most in layer 5: 22.6 % (15.1 to 30.2)." in said.lines
