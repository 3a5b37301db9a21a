"""Chapter 04: δ, what it compares and its intervals against loops; sentences and figures that follow the data."""

import itertools
import math
import re

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch04_feature_specificity import compared, tables, words
from relusparsity.chapters.ch04_feature_specificity.short import in_short
from relusparsity.claims import effects

RATE, SELECTIVITY = compared.MEASURES


@pytest.fixture(scope="module")
def laptop() -> xr.Dataset:
    return store.recorded("feature_specificity", "laptop")


@pytest.fixture(scope="module")
def nearest() -> xr.Dataset:
    return store.recorded("feature_specificity", "wide", "nearest")


@pytest.fixture(scope="module")
def first() -> xr.Dataset:
    return store.recorded("feature_specificity", "wide", "first")


def made(deltas: dict[str, list[float]], units: int = 200) -> xr.Dataset:
    """Two layers whose units all fire 500 times, with about the δ given of each measure, a seed each."""
    grid = (np.arange(units) + 0.5) / units
    seeds = len(deltas[RATE])
    values = {}
    for name, wanted in deltas.items():
        # of two even spreads over one unit, the one shifted by h is the higher in 1 − (1 − h)² / 2 of the pairs
        shifts = [math.copysign(1 - math.sqrt(1 - abs(delta)), delta) for delta in wanted]
        values[name] = (("seed", "layer", "unit"), [[grid + 1, grid + 1 + shift] for shift in shifts])
    count = (("seed", "layer", "unit"), np.full((seeds, 2, units), 500), {"sample_tokens": 10_000})
    random = (("seed", "layer", "unit"), np.full((seeds, 2, units), 0.5))
    return xr.Dataset(
        {**values, "firing_count": count, "within_sequence_rate_random": random},
        {"seed": range(seeds), "layer": [0, 1]},
        {"scale": "smoke"},
    )


def by_pairs(dataset: xr.Dataset, name: str, seed: int, strata: bool) -> tuple[float, int]:
    """δ over all pairs of a stratum, and the units compared, one stratum after the other."""
    of = dataset[[name, "firing_count"]].isel(seed=seed).transpose("layer", "unit")
    groups: dict[int, tuple[list[float], list[float]]] = {}
    for which, layer in enumerate((0, -1)):
        for value, count in zip(of[name].values[layer], of["firing_count"].values[layer], strict=True):
            if count >= 100:
                groups.setdefault(math.floor(10 * math.log10(count)) if strata else 0, ([], []))[which].append(value)
    above, pairs, units = 0, 0, 0
    for low, high in groups.values():
        if not strata or min(len(low), len(high)) >= 10:
            above += int(np.sign(np.subtract.outer(high, low)).sum())
            pairs += len(low) * len(high)
            units += len(low) + len(high)
    return above / pairs, units


def test_delta_is_counted_pair_by_pair(laptop: xr.Dataset) -> None:
    held, free, units = compared.deltas(laptop), compared.unmatched(laptop), compared.matched(laptop)
    for seed, name in itertools.product(range(laptop.sizes["seed"]), compared.MEASURES):
        delta, compared_units = by_pairs(laptop, name, seed, strata=True)
        assert float(held[name][seed]) == pytest.approx(delta) and int(units[seed]) == compared_units
        assert float(free[name][seed]) == pytest.approx(by_pairs(laptop, name, seed, strata=False)[0])
    np.testing.assert_array_equal(compared.enough(laptop), np.isfinite(laptop[SELECTIVITY]).sum("unit"))
    divided = laptop.assign({RATE: laptop[RATE] / laptop["within_sequence_rate_random"]})
    expected = [by_pairs(divided, RATE, seed, strata=True)[0] for seed in range(3)]
    np.testing.assert_allclose(compared.by_random(laptop), expected)


def test_rare_and_busy_units_are_compared_apart(laptop: xr.Dataset) -> None:
    """Of all units with a count under the edge, then of those at it or above."""
    edge = 0.3 * laptop.attrs["sample_tokens"]
    for at, found in enumerate(compared.rare_and_busy(laptop, 30)):
        keep = (laptop["firing_count"] < edge) if at == 0 else (laptop["firing_count"] >= edge)
        some = laptop.assign(firing_count=laptop["firing_count"].where(keep, 0))
        np.testing.assert_allclose(found, [by_pairs(some, SELECTIVITY, seed, strata=True)[0] for seed in range(3)])


def test_thresholds_are_the_ledgers() -> None:
    assert effects._LEAST_FIRINGS == compared.LEAST
    for delta in (compared.ENOUGH - 0.02, compared.ENOUGH + 0.02):
        dataset = made({RATE: [0.9], SELECTIVITY: [delta]})
        (reading,) = effects.layers_differ_in_specificity(dataset).readings
        assert reading.holds is (delta > compared.ENOUGH)
        assert words.passing(*(compared.deltas(dataset)[name] for name in compared.MEASURES)) == reading.holds


@pytest.mark.parametrize(
    ("rates", "selective", "said"),
    [
        (
            [0.5, 0.6, 0.55],
            [0.1, 0.2, 0.4],
            ["rule asks in all 3 seeds", r"in 1 of 3 seeds with \*a\*", "every seed", "includes 0.33"],
        ),
        (
            [0.5, 0.2, 0.55],
            [0.1, 0.12, 0.11],
            ["rule asks in 2 of 3 seeds", r"in none of 3 seeds with", "In every", "below 0.33"],
        ),
        (
            [0.5, 0.6, 0.55],
            [0.5, 0.52, 0.51],
            ["all 3 seeds", r"in all 3 seeds with \*a\*", "every seed", "above 0.33"],
        ),
        ([0.5, 0.6, 0.55], [-0.1, 0.2, 0.1], ["all 3 seeds", "none of 3"]),
    ],
)
def test_sentences_follow_the_seeds(rates: list[float], selective: list[float], said: list[str]) -> None:
    named = {"a": made({RATE: rates, SELECTIVITY: selective})}
    text = words.rates(named).text + words.selectivity(named).text
    assert all(re.search(each, text) for each in said), text
    assert ("In every seed" in text) == (min(selective) > 0)


def test_what_division_by_random_firing_changes_is_said() -> None:
    dataset = made({RATE: [0.1, 0.2], SELECTIVITY: [0.5, 0.6]})
    unchanged = words.by_random({"a": dataset}).text
    assert "The same seeds would pass" in unchanged
    halved = dataset["within_sequence_rate_random"].copy()
    halved[:, 1] = 0.2  # so that the last layer's units, divided, are far above
    changed = words.by_random({"a": dataset.assign(within_sequence_rate_random=halved)}).text
    assert "mean δ is 1 in a" in changed and "It would change which seeds of a pass." in changed


def test_without_equal_counts_a_sign_may_turn(first: xr.Dataset, nearest: xr.Dataset) -> None:
    for name, dataset in (("first", first), ("nearest", nearest)):
        turned = (
            float(compared.unmatched(dataset)[SELECTIVITY].mean())
            < 0
            < float(compared.deltas(dataset)[SELECTIVITY].mean())
        )
        assert turned == ("even a sign turns" in words.unmatched({name: dataset}).text) == (name == "first")


def test_mid_is_set_beside_wide_by_the_same_recipe(first: xr.Dataset) -> None:
    mid = store.recorded("feature_specificity", "mid")
    text = words.narrow(mid, first).text
    assert mid.attrs["recipe"] == first.attrs["recipe"]
    assert text.startswith("**In Mid neither measure reaches 0.33 in any of 5 seeds.** As in Wide,")
    assert f"trained on {131_072 / 49_152:.3g} times as many tokens" in text


def test_a_unit_that_fires_in_four_sequences_alone(nearest: xr.Dataset) -> None:
    """Chance is drawn: as many firings on random tokens, and the sequences that they hit."""
    rng = np.random.default_rng(1)
    of = 2048
    hit = np.mean([len(np.unique(rng.choice(of * 512, 2048, replace=False) // 512)) for _ in range(40)])
    text = words.burst(nearest).text
    found = re.search(r"about ([\d,]+) of the 2,048 sequences, .* it bunches (\d+) times", text)
    assert found and float(found[1].replace(",", "")) == pytest.approx(hit, rel=0.01)
    assert float(found[2]) == pytest.approx(hit / 4, rel=0.01)


def test_in_short_counts_the_seeds_of_each_frozen_recipe(nearest: xr.Dataset, first: xr.Dataset) -> None:
    said = in_short()
    held = {
        name: sum(bool(reading.holds) for reading in effects.layers_differ_in_specificity(dataset).readings)
        for name, dataset in (("nearest", nearest), ("first", first))
    }
    assert (
        f"{held['nearest']} of 3 seeds with the recipe *nearest* and in {held['first']} of 3 with *first*"
        in said.finding
    )
    rates = [float(value) for each in (nearest, first) for value in compared.deltas(each)[RATE]]
    assert f"In {sum(value >= 0.33 for value in rates)} of {len(rates)} seeds of Wide" in said.finding
    assert "above 0 the last layer's are the higher" in said.lines[0], "before any δ is given"


def test_tables_count_the_units_and_name_the_rules(nearest: xr.Dataset, laptop: xr.Dataset) -> None:
    row = tables.units({"Laptop": laptop}).loc["Laptop"].tolist()
    enough = np.isfinite(laptop[SELECTIVITY]).sum("unit").mean("seed").values
    assert row[:3] == ["1,024", f"{enough[0]:,.0f}", f"{enough[-1]:,.0f}"]
    table = tables.chosen(nearest, layers=[0, 5])
    assert table.index.tolist() == [
        (rule, f"layer\N{NO-BREAK SPACE}{layer}") for rule in tables.RULES.values() for layer in (0, 5)
    ]
    every = tables.chosen(nearest)
    assert (
        len(every) == nearest.sizes["example"]
        and not every.iloc[:, 1].str.contains(" 0%").any()
        and every.loc[table.index].equals(table)
    )
    seeds = tables.deltas({"Laptop": laptop}).loc[("Laptop", "token selectivity")]
    assert len(seeds.iloc[0].split(", ")) == 3 and seeds.iloc[-1] == "0 of 3"


def test_both_frozen_recipes_of_wide_stand_in_the_claims(nearest: xr.Dataset, first: xr.Dataset) -> None:
    mid = store.recorded("feature_specificity", "mid")
    text = tables.judged({"a": nearest, "b": first, "c": mid}).markdown()
    assert re.search(r"Wide, nearest \| Wide, first \| Mid, first", text)
    assert re.search(r"\| inconclusive \| not reproduced \| not reproduced \|", text)


def test_the_lines_shown_are_the_librarys() -> None:
    text = tables.lines_that_matter().text
    code = text.removeprefix("```python\n").removesuffix("\n```")
    scope = {"Floats": np.ndarray, "np": np, "math": math, "cliffs_delta": lambda x, y: by_hand(x, y)}
    exec(code, scope)
    x, y = np.arange(20.0), np.arange(20.0) + 3
    same = np.full(20, 500.0)
    assert scope["matched_delta"](x, y, same, same) == (pytest.approx(by_hand(x, y)), 40)


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sign(np.subtract.outer(y, x)).mean())


def test_the_prose_of_the_chapter_holds(nearest: xr.Dataset, laptop: xr.Dataset) -> None:
    """Sentences on data that is complete and will not change."""
    assert nearest.attrs["sample_tokens"] == 2048 * 512
    table = tables.chosen(nearest)["fires most on"].loc["highest within-sequence rate ÷ random"]
    assert re.search("␣album .*␣record .*␣song ", table.iloc[0])
    assert re.fullmatch(r"␣the \d% \| ␣of \d% \| , \d% \| ␣a \d%", table.iloc[5])
    assert float(abs(compared.deltas(laptop)).to_dataarray().max()) < 0.17, "hardly differ"
    assert float(compared.by_random(laptop).min()) > 0.33, "divided by random firing, they do"
    others = [store.recorded("feature_specificity", *of) for of in (("wide", "first"), ("mid", "first"))]
    for dataset in (nearest, laptop, *others):
        assert (compared.by_random(dataset) > compared.deltas(dataset)[RATE]).all(), "the rule blunts it"
