"""Chapter 05's sentences, tables and figures: what is matched, how ties are cut, what lies beyond the silent units."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from relusparsity import claims, plots, store
from relusparsity.book.moved import MOVED
from relusparsity.chapters.ch05_pruning import experiment, figures, forecasts, rows, spared, tables, words
from relusparsity.chapters.ch05_pruning.draws import DRAWN
from relusparsity.claims.reading import NotTestable

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "05_pruning.py"


@pytest.fixture(scope="module")
def models() -> dict[str, xr.Dataset]:
    found = (store.recorded("pruning", *of) for of in (("wide", "nearest"), ("wide", "first"), ("mid", "first")))
    return {spared.name(dataset): dataset for dataset in found}


@pytest.fixture(scope="module")
def wide(models: dict[str, xr.Dataset]) -> xr.Dataset:
    return models["Wide, nearest"]


def made(silent: list[int], d_ff: int = 10) -> xr.Dataset:
    """One seed of layers of `d_ff` units of which so many are silent; rate takes them layer by layer."""
    shares, left = np.array([0.0, 0.2, 0.5, 0.8]), []
    for share in shares:
        number, gone = round(share * d_ff * len(silent)), []
        for own in silent:  # the silent of the first layers first
            gone.append(min(own, number - sum(gone)))
        rest = number - sum(gone)
        for layer, own in enumerate(silent):  # then those that fire, of the first layers first
            more = min(rest, d_ff - own)
            gone[layer], rest = gone[layer] + more, rest - more
        left.append([d_ff - each for each in gone])
    by = ("seed", "chosen_by", "share")
    loss = 2.0 * (1 + np.array([[0, 0, 0.005, 0.03], [0, 0.1, 0.2, 0.3]]))
    return xr.Dataset(
        {
            "units_left": ((*by, "layer"), np.array([[left, left]])),
            "loss": ((*by, "evaluation"), loss[None, ..., None]),
            "baseline_loss": (("seed", "evaluation"), [[2.0]]),
            "silent_removed": (("seed", "layer"), [silent]),
        },
        {"seed": [2], "chosen_by": ["rate", "random"], "share": shares, "evaluation": ["c4-eval"]}
        | {"layer": range(len(silent))},
        attrs={"scale": "wide", "d_ff": d_ff, "recipe": "first"},
    )


def test_what_is_taken_by_layer_and_by_chance() -> None:
    dataset = made([8, 4])
    assert spared.taken(dataset, 0.2).values.tolist() == [[0.4, 0]], "all of the first layer"
    assert spared.by_chance(dataset, 0.2).values[0] == pytest.approx([4 * 8 / 12 / 10, 4 * 4 / 12 / 10])
    assert spared.taken(dataset, 0.5).values[0] == pytest.approx([0.8, 0.2])
    assert spared.by_chance(dataset, 0.8).isnull().all(), "more goes than is silent"
    assert spared.hit(dataset, 0.5).values == pytest.approx([(2 * 0.8 + 6 * 0.2) / 8])


def test_by_chance_is_the_mean_of_draws() -> None:
    rate = np.ones((2, 10))
    rate[0, :8] = rate[1, :4] = 0
    taken = np.mean([next(experiment.drawn(rate, 0.2, draw)).mean(1) for draw in range(3000)], axis=0)
    np.testing.assert_allclose(taken, spared.by_chance(made([8, 4]), 0.2).values[0], atol=0.01)


def test_what_row_12b_reads_lies_beyond_the_silent() -> None:
    dataset = made([8, 4])
    assert spared.asked(dataset).values == pytest.approx([0.8])
    assert spared.beyond(dataset).values[0] == pytest.approx([np.nan, np.nan, np.nan, 0.5], nan_ok=True)
    below = spared.below(dataset)
    assert below["share"].values == pytest.approx([0.8]) and below.values[0] == pytest.approx([3, 30])
    assert spared.below(made([9, 4])).values[0] == pytest.approx([3, 30]), "the largest share that is not above it"
    assert below["beyond"].values == pytest.approx([0.5])
    assert spared.below(made([4, 4])).values[0] == pytest.approx([0.5, 20])


def test_the_lines_shown_are_the_librarys() -> None:
    shown = tables.lines_that_matter().text
    root = NOTEBOOK.parents[1] / "src" / "relusparsity" / "interventions" / "units.py"
    source = {line.strip() for line in root.read_text().splitlines()}
    lines = [line.strip() for line in shown.splitlines() if line.strip() and "```" not in line]
    assert len(lines) <= 12 and set(lines) <= source
    assert any("order" in line for line in lines) and any("fc_in.weight = " in line for line in lines)


def test_sentences_are_those_of_the_data(models: dict[str, xr.Dataset], wide: xr.Dataset) -> None:
    c4 = wide.sel(evaluation="c4-eval")
    cost = (100 * (c4["loss"] / c4["baseline_loss"] - 1)).isel(share=5)
    assert float(abs(cost.sel(chosen_by="rate")).max()) < 1e-3
    said = words.half({"Wide, nearest": wide}).text
    lowest = 100 * (wide["silent_removed"].sum("layer") / (6 * 32768)).min()
    assert f"at least {float(lowest):.0f} %" in said and "all of them are silent" in said
    assert "Not all of them are silent" in words.half({"Mid": models["Mid, first"]}).text
    assert "all taken from layer 0" in words.ties(wide).text
    assert "% of layer 0" in words.ties(models["Mid, first"]).text
    assert (
        "on C4 by under 0.001 % in any" in words.silent(models).text and "same to the bit" in words.silent(models).text
    )
    assert "costs more than the matched draw" in words.weights({"a": wide}, models["Mid, first"]).text
    assert "costs less than" in words.weights({"a": wide}, wide).text
    assert "is cheaper than the matched draw in every seed" in words.beyond(models).text
    goes = 100 * (1 - wide["units_left"].sel(chosen_by="rate").isel(share=5).mean("seed") / 32768).values
    assert (goes[:3] >= 80).all() and (goes[3:] < 80).all()
    assert f"{min(goes[:3]):.0f} to {max(goes[:3]):.0f} % of layers 0, 1 and 2" in words.matched({"a": wide}).text


def test_what_can_go_within_a_percent_can_in_every_seed(wide: xr.Dataset) -> None:
    c4 = wide.sel(evaluation="c4-eval")
    cost = (100 * (c4["loss"] / c4["baseline_loss"] - 1)).sel(chosen_by="rate")
    free = [float(share) for share in wide["share"] if bool((cost.sel(share=share) <= 1).all())]
    assert max(free) < max(float(share) for share in wide["share"] if float(cost.sel(share=share).min()) <= 1)
    title = plots.pruning(wide, evaluation="c4-eval").title
    assert f"in every seed, {100 * max(free):.0f} % of all units can go by rate" in title


def test_row_12b_is_said_to_fail_only_where_every_seed_is_dear(models: dict[str, xr.Dataset]) -> None:
    said = words.asked(models).text
    assert "would fail" in said and "no verdict" in said and 'href="../ledger.html#row-12b"' in said
    assert said.count(" in Wide") == 2 and " in Mid, first" in said
    cheap = made([4, 4])
    assert "would fail" not in words.asked(models | {"cheap": cheap}).text
    assert "Row 12b asks for at most 1 %" in words.asked({"cheap": cheap}).text


def test_the_answers_of_the_exercises_are_right(wide: xr.Dataset) -> None:
    silent, n = wide["silent_removed"].mean("seed").values, 6 * 32768
    of_silent = (wide["silent_removed"] / wide["silent_removed"].sum("layer")).mean("seed").values
    shares = 100 * 0.1 * n * of_silent / 32768
    expected = [f"{share:.0f}" for share in shares]
    assert f"{', '.join(expected[:-1])} and {expected[-1]} % of layers 0 to 5" in words.tenth(wide).text
    assert silent[0] > 0.1 * n and "layer 0 alone, 60 % of its units" in words.tenth(wide).text
    rng, hits = np.random.default_rng(0), []
    for seed in range(wide.sizes["seed"]):  # units by layer: the silent first, and a draw of as many as rate takes
        fire = np.arange(32768)[None] >= wide["silent_removed"].values[seed][:, None]
        left = wide["units_left"].sel(chosen_by="rate").isel(seed=seed, share=5).values
        drawn = [rng.permutation(32768)[: 32768 - each] for each in left]
        hits.append(100 * sum(own[units].sum() for own, units in zip(fire, drawn, strict=True)) / fire.sum())
    low, high = map(float, re.findall(r"50 % against ([\d.]+) to ([\d.]+) %", words.firing_hit(wide).text)[0])
    assert (low, high) == (pytest.approx(min(hits), abs=0.4), pytest.approx(max(hits), abs=0.4))


def test_tables_are_whole_and_made_for_people(models: dict[str, xr.Dataset]) -> None:
    for table in (tables.silent(models), tables.half(models), tables.beyond(models), forecasts.table(models)):
        assert len(table.columns) <= 8 and "random" not in [*table.columns] and not table.isna().any().any()
    costs = tables.costs(models["Mid, first"])
    assert costs.columns.tolist() == ["rate", "magnitude", "matched draw"]
    heldout = tables.costs(models["Mid, first"], "heldout")
    assert (costs.loc["50 %"] < heldout.loc["50 %"]).all(), "C4 unless another text is asked for"
    assert "whole model" in tables.quality(models["Mid, first"], 0.5).index


def test_every_figure_names_its_one_text(models: dict[str, xr.Dataset], wide: xr.Dataset) -> None:
    beyond = figures.beyond(models)
    assert all("on C4" in panel["title"] for panel in beyond.chart["panels"])
    drawn = plots.pruning(wide, evaluation="c4-eval")
    assert "on C4" in drawn.heading and drawn.name == "pruning-wide-nearest", "the link stays"
    assert "none of layers 4 and 5 in Wide, nearest" in figures.taken(models).title
    with pytest.raises(ValueError, match="unpack"):
        figures.beyond(models | {"Laptop": store.recorded("pruning", "laptop")})


def with_draws(dataset: xr.Dataset, low: float, drawn: float, seeds: list[int], draws: int = 20) -> xr.Dataset:
    """The dataset, as if its new draws cost `low` and `drawn` percent everywhere."""
    dataset = dataset.isel(seed=slice(len(seeds))).assign_coords(seed=seeds)
    base = dataset["baseline_loss"].values.astype(float)
    by = 1 + np.array([low, drawn, drawn]) / 100
    loss = base[:, None, :] * by[None, :, None]
    new = {
        "drawn_loss": (("seed", "drawn", "drawn_share", "evaluation"), loss[:, :, None]),
        "beyond_loss": (("seed", "drawn", "draw", "evaluation"), loss[:, :, None]),
    }
    coords = {"drawn": list(DRAWN), "drawn_share": [0.5]}
    return dataset.assign(new).assign_coords(coords).assign_attrs(beyond_draws=draws)


@pytest.mark.parametrize(
    ("low", "drawn", "word"),
    [(0.5, 3, "reproduced"), (0.5, 2, "not reproduced"), (1.5, 30, "not reproduced"), (-1, -2, "not reproduced")],
)
def test_row_12b_comes_out_each_way(wide: xr.Dataset, low: float, drawn: float, word: str) -> None:
    row = tuple(each for each in claims.ADDED if each.number == "12b")
    data = {("pruning", "wide"): with_draws(wide, low, drawn, [5, 6, 7])}
    outcome = claims.evaluate(data, rows=row, rules=rows.RULES)[0]
    assert str(outcome.verdict) == word and len(outcome.readings) == 3


def test_row_12b_has_no_verdict_on_old_seeds_few_draws_or_old_data(wide: xr.Dataset) -> None:
    finding = rows.judge(with_draws(wide, 0.5, 3, [2, 3, 5], draws=4))
    assert [each.partition(" ")[0] for each in finding.limits] == ["4", "seeds"] and "2, 3 were" in finding.limits[1]
    assert rows.judge(with_draws(wide, 0.5, 3, [5, 6, 7])).limits == ()
    with pytest.raises(NotTestable, match="no uniform draw"):
        rows.judge(wide)


def test_predictions_are_judged_where_there_is_something_to_judge(models: dict[str, xr.Dataset]) -> None:
    assert forecasts.predicted(models)["holds"].isna().all(), "nothing is recorded yet"
    came = models | {"Wide, first": with_draws(models["Wide, first"], 7.0, 8.0, [2, 3, 4])}
    found = forecasts.predicted(came).set_index("model").loc["Wide, first"]
    assert found["holds"].tolist() == [False, True, True, True, False, True]
    assert found["came"].tolist() == pytest.approx([7, 8, 8, 7, 8, 8 / 7], rel=1e-5)
    assert pd.isna(forecasts.predicted(came)["came"]).sum() == 12
    assert "uniform" in tables.half(came).columns


def test_new_draws_are_drawn_where_they_are(wide: xr.Dataset) -> None:
    figure = figures.drawn(plots.on_this_machine(with_draws(wide, 1.0, 8.0, [2, 3, 4])))
    assert "uniform 8 %" in figure.title and "rate, ties at random 1 %" in figure.title


def test_intervals_are_whole_and_of_their_day() -> None:
    assert forecasts.DATE == "2026-11-29" and set(forecasts.TIMES) == set(forecasts.EXPECTED)
    for expected in forecasts.EXPECTED.values():
        assert all(low < high and choice in DRAWN for (choice, _), (low, high) in expected.items())


def test_old_links_still_lead_somewhere() -> None:
    gone = {"what-is-removed-and-how-its-cost-is-measured", "removing-silent-units-costs-nothing", "what-more-can-go"}
    gone |= {"the-wide-models", "on-this-machine", "limits-cost-what-next", "fig-pruning-laptop-default"}
    assert gone == set(MOVED["chapters/05_pruning"])


def test_the_chapter_calls_the_matched_draw_by_its_name() -> None:
    cells = json.loads((NOTEBOOK.parents[1] / "book" / "chapters" / "05_pruning.ipynb").read_text())["cells"]
    prose = " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    shown = " ".join("".join(o["data"]["text/plain"]) for c in cells for o in c.get("outputs", []) if "data" in o)
    assert prose.count("matched draw") >= 3 and shown.count("matched draw") >= 6
    assert "chosen at random in the same" not in prose and prose.count("random half") <= 2
