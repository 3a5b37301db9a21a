"""Chapter 07: what γ names and when layers empty, against loops; sentences that follow the data; the two live runs."""

import re
from typing import Any

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch07_which_layer import (
    experiment,
    figures,
    tables,
    trajectories,
    treatments,
    words,
    yardstick,
)
from relusparsity.config import InterventionConfig, replace
from relusparsity.errors import UserError
from relusparsity.experiments import dissociation, embedding_scale, other_half
from test_experiments_dissociation import ends


@pytest.fixture(scope="module")
def cells() -> xr.Dataset:
    return other_half.both(*(store.recorded(name, "mid") for name in ("factorial", "other_half")))


def test_both_halves_are_one_dataset(cells: xr.Dataset) -> None:
    assert cells.sizes["recipe"] == len(set(cells["recipe"].values)) == 32
    for name in ("factorial", "other_half"):
        half = store.recorded(name, "mid")
        for variable in ("final_batch_use", "gamma", "tokens", "lr"):
            of = cells.sel(recipe=half["recipe"]) if "recipe" in half[variable].dims else cells
            np.testing.assert_array_equal(of[variable], half[variable])
        assert store.provenance(half)["environment"]["commit"] in store.provenance(cells)["environment"]["commit"]


def test_what_gamma_names_is_counted_run_by_run(cells: xr.Dataset) -> None:
    found, runs = trajectories.named(cells), 0
    expected = np.zeros((3, cells.sizes["step"]), int)
    lasts = []
    for recipe in range(32):
        of = cells.isel(recipe=recipe)
        if float(of["final_batch_use"].astype(float).mean(["seed", "set"]).min()) >= 0.99:
            continue
        for seed in range(2):
            runs += 1
            last = int(of["final_batch_use"].isel(seed=seed).astype(float).mean("set").values.argmin())
            lasts.append(last)
            for step in range(cells.sizes["step"]):
                gamma = of["gamma"].isel(seed=seed, step=step).values
                expected[0, step] += int(gamma.argmax() == last)
                expected[1, step] += int((gamma > gamma[last]).sum() < 2)
                expected[2, step] += int(of["batch_use"].isel(seed=seed, step=step).values.argmin() == last)
    assert found.attrs == {"runs": runs, "always": max(lasts.count(layer) for layer in range(6))}
    np.testing.assert_array_equal([found[name] for name in ("largest", "two", "so_far")], expected)


def course(use: list[list[float]]) -> xr.Dataset:
    """One seed's batch use, by (step, layer), a step per million tokens."""
    tokens = 1_000_000 * np.arange(len(use))
    layer = range(len(use[0]))
    return xr.Dataset(
        {"batch_use": (("seed", "step", "layer"), [use]), "tokens": ("step", tokens)}, {"seed": [0], "layer": layer}
    )


def test_half_of_a_loss_is_lost_for_good() -> None:
    """Layer 0 dips and comes back before it empties, layer 1 falls once, layer 2 hardly loses anything."""
    dataset = course([[1, 1, 1], [0.4, 1, 0.99], [0.9, 0.6, 0.98], [0.6, 0.4, 0.98], [0.2, 0.2, 0.98]])
    share = trajectories.lost(dataset)
    assert share["tokens"].values.tolist() == [1e6, 2e6, 3e6, 4e6]
    np.testing.assert_allclose(share.sel(layer=0), [75, 12.5, 50, 100])
    np.testing.assert_array_equal(trajectories.half_lost(dataset), [3e6, 2e6, np.nan])
    table = tables.halves({"a model": dataset})
    assert table.loc["a model"].tolist() == ["3.0", "2.0", "–"]


@pytest.mark.parametrize(
    ("changes", "seeds", "said"),
    [
        ({}, (2, 3, 4), ["Row 15 is reproduced: it holds in three of three", "hardly move", "15 to 15 %|15 %"]),
        (
            {("centre, layer 1", 3): (70, 89, 96)},
            (2, 3, 4),
            ["Row 15 is inconclusive: it holds in two of three seeds; in one seed the centred layer 1, too, ends"],
        ),
        (
            {("add 2, placebo, layer 5", s): (70, 30, 40) for s in (2, 3, 4)},
            (2, 3, 4),
            ["Row 15 is not reproduced: it holds in no seed[.]", "move too", "3 of 6"],
        ),
    ],
)
def test_what_is_said_of_row_15_follows_the_runs(changes: Any, seeds: tuple[int, ...], said: list[str]) -> None:
    text = treatments.placebos(ends(changes, seeds)).text
    assert all(re.search(each, text) for each in said), text


def test_the_placebos_share_is_that_of_its_treatments_move() -> None:
    readings = dissociation.judge(ends({}, seeds=(2,))).readings
    for layer, twin, treated, placebo in ((1, 31, 96, 41), (5, 96, 20, 90)):
        expected = 100 * (placebo - twin) / (treated - twin)
        assert treatments.moved(readings, layer) == pytest.approx([expected])


def test_placebos_beside_their_treatments_are_means_over_the_seeds() -> None:
    table = treatments.beside(ends({("add 2, placebo, layer 5", seed): (70, 31, 58) for seed in (2, 3)}, seeds=(2, 3)))
    assert table.loc["add 2, layer 5"].tolist() == ["96.0", "20.0", "58.0", "50 %", 2]
    assert table.loc["centre, layer 1"].tolist() == ["30.0", "95.0", "40.0", "15 %", 2]


def test_what_the_placebos_say_of_the_chapters_own_test_follows_gamma() -> None:
    dataset = store.recorded("dissociation", "mid")
    use, gamma = 100 * dataset["final_batch_use"].mean(("seed", "set")), dataset["gamma"].isel(step=-1).mean("seed")
    said = treatments.whole(dataset).text
    placebos = {"centre, placebo, layer 0": 0} | {f"add 2, placebo, layer {layer}": layer for layer in (0, 1, 5)}
    for arm, layer in placebos.items():
        assert f"{float(use.sel(recipe=arm, layer=layer)):.0f}" in said, arm
        assert f"{float(gamma.sel(recipe=arm, layer=layer)):.2f}" in said, arm
    assert "layers 0, 1 and 5 empty" in said
    above = dataset.assign(gamma=dataset["gamma"].where(dataset["recipe"] != "add 2, placebo, layer 1", 3.0))
    assert "layers 0 and 5 empty" in treatments.whole(above).text, (
        "a layer that empties with more of it passes the test"
    )
    none = dataset.assign(gamma=dataset["gamma"].where(dataset["recipe"] != "centre, placebo, layer 0", 0.1))
    assert "do not tell" in treatments.whole(none).text


def test_forecasts_of_the_treated_layers_are_counted_one_by_one() -> None:
    dataset = store.recorded("dissociation", "mid")
    use, held, fuller = 100 * dataset["final_batch_use"].mean(("seed", "set")), {True: [], False: []}, 0
    for arm, layer, (low, high) in (
        *(
            (f"{name}, layer {at}", at, of[i])
            for name, of in dissociation.EXPECTED.items()
            if name != "untreated"
            for i, at in enumerate(dissociation.LAYERS)
        ),
        *(("untreated", at, dissociation.EXPECTED["untreated"][i]) for i, at in enumerate(dissociation.LAYERS)),
    ):
        came = float(use.sel(recipe=arm, layer=layer))
        held[arm.startswith("add")].append(low <= came <= high)
        fuller += arm.startswith("add") and came < low
    said = treatments.written(dataset).text
    assert (
        f"{sum(held[False])} of {len(held[False])} hold" in said
        and f"{sum(held[True])} of {len(held[True])} for" in said
    )
    assert f"{fuller} expected the layer to end fuller" in said


def test_gamma_of_treated_layers_is_said_as_recorded() -> None:
    dataset = store.recorded("dissociation", "mid")
    said = treatments.checked(dataset).text
    for layer, treatment in ((1, "centre"), (5, "add 2")):
        for arm in ("untreated", f"{treatment}, layer {layer}", f"{treatment}, placebo, layer {layer}"):
            values = [
                dataset["gamma"].sel(recipe=arm, layer=layer, seed=seed).values[-1]
                for seed in dataset["seed"].values
                if not np.isnan(dataset["gamma"].sel(recipe=f"{treatment}, placebo, layer {layer}", seed=seed)).all()
            ]
            assert f"{np.mean(values):.2f}" in said
    assert "lowers γ of layer 5, and empties it" in said
    flat = dataset.assign(gamma=dataset["gamma"].where(dataset["recipe"] != "add 2, placebo, layer 5", 0.6))
    assert "So the placebo" not in treatments.checked(flat).text


def test_recorded_sentences_are_those_of_the_data(cells: xr.Dataset) -> None:
    counts = words.lowest(cells)
    assert sum(counts.values()) == 32
    for (tied, std, layer), n in counts.items():
        of = cells.isel(recipe=(cells["tied"].values == str(tied)) & (cells["embedding_std"].values == str(std)))
        use = of["final_batch_use"].astype(float).mean(["set", "seed"])
        emptied = use.min("layer") < 0.99
        right = ~emptied if layer is None else emptied & (use.argmin("layer") == layer)
        assert int(right.sum()) == n
    scaled = store.recorded("embedding_scale", "mid")
    held = embedding_scale.contrasts(scaled)["holds"]
    failed = words.COUNTED[sum(value is False for value in held.tolist())]
    assert words.scale(scaled).text.startswith(f"**{failed.capitalize()} of the four contrasts")
    first = store.recorded("layer_patterns", "wide", "first")
    assert "In Wide by *first*, layers 4 and 5 empty first, layer 0 last." in words.wave(first).text
    assert "is not the largest" in words.wave(first).text


def test_the_prose_of_the_chapter_holds(cells: xr.Dataset) -> None:
    """Sentences on data that is complete and will not change."""
    single = store.recorded("exploration", "mid")
    use = 100 * single["final_batch_use"].astype(float).mean(["set", "seed"])
    lowest = {str(name): int(use.sel(recipe=name).values.argmin()) for name in single["recipe"].values}
    assert [lowest[name] for name in ("base", "post-norm", "no positions", "large embeddings")] == [1, 3, 2, 3]
    assert float(use.sel(recipe=["rotary", "embedding norm", "batch × 4"]).min()) > 90
    assert single["final_loss"].squeeze().idxmax().item() == "batch × 4"
    tied = cells.sel(recipe="tied, embedding 1, xavier, decay 1, lr 0.0003")["final_batch_use"].astype(float)
    assert float(tied.mean(["seed", "set"]).min()) > 0.99
    untied = cells.sel(recipe="untied, embedding 1, xavier, decay 1, lr 0.001")["final_batch_use"].astype(float)
    assert int(untied.mean(["seed", "set"]).values.argmin()) == 3
    nearest = trajectories.half_lost(store.recorded("layer_patterns", "wide"))
    assert set(nearest.argsort()[-2:].values.tolist()) == {3, 4}
    last = 100 * store.recorded("layer_patterns", "mid")["batch_use"].mean("seed").isel(layer=5)[12:]
    assert 5.5 < 100 - float(last.min()) < 6.5 and 0.4 < (last[-1] - last.min()) / (100 - last.min()) < 0.5


def test_the_live_runs_differ_in_the_treatment_alone() -> None:
    config = experiment.config("laptop", layer=2, treatment="centre, placebo")
    twin, treated = config.runs
    assert replace(treated, intervention=InterventionConfig()) == twin and config.arm == "centre, placebo, layer 2"
    assert treated.intervention == InterventionConfig("centre", 2, placebo=True, seed=twin.seed)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layer": 6}, r"^there is no layer 6 to treat; the model has the layers 0 to 5\.$"),
        ({"layer": -1}, "there is no layer -1"),
        ({"layer": "two"}, "there is no layer 'two'"),
        ({"layer": True}, "there is no layer True"),
        ({"treatment": "freeze"}, r"^there is no treatment 'freeze'; choose one of 'centre', .*'add 2 along'\.$"),
        ({"treatment": ["centre"]}, r"there is no treatment \['centre'\]"),
        ({"treatment": None}, "there is no treatment None"),
    ],
)
def test_a_layer_or_treatment_that_does_not_exist_is_one_sentence(given: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        experiment.config("smoke", **given)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_the_live_run_shows_one_layer_twice() -> None:
    here = experiment.run(experiment.config("smoke", layer=4))
    assert here["recipe"].values.tolist() == ["untreated", "add 2, layer 4"]
    drawn = figures.twin_and_treated(here, 4)
    ends = [100 * float(here["batch_use"].isel(recipe=at, seed=0, step=-1).sel(layer=4)) for at in (0, 1)]
    assert ends[0] != ends[1] and drawn.model == "Smoke, 1 seed, on this machine"
    rows = [line.split(",") for line in drawn.csv.splitlines() if not line.startswith("#")]
    assert rows[0][-2:] == ["untreated", "treated"]
    np.testing.assert_allclose(100 * np.array(rows[-1][-2:], float), ends, atol=0.05)


def test_the_figure_of_the_two_layers_draws_the_arms_of_row_15() -> None:
    treated = store.recorded("dissociation", "mid")
    drawn = figures.spared_and_emptied(treated)
    end = 100 * treated["batch_use"].astype(float).isel(step=-1).mean("seed")
    for layer, arm in ((1, "centre, layer 1"), (5, "add 2, layer 5")):
        assert arm in dissociation.ARMS[:5]
        for each in ("untreated", arm):
            value = float(end.sel(recipe=each, layer=layer))
            assert (f"{value:.0f} %" if value >= 10 else f"{value:.1f} %") in drawn.title


def test_repeats_seeds_and_recipes_are_told_apart(cells: xr.Dataset) -> None:
    def runs(seeds: list[int], layers: list[list[float]]) -> xr.Dataset:
        values = np.array(layers)[:, None] / 100
        return xr.Dataset(
            {"final_batch_use": (("seed", "set", "layer"), values)}, {"seed": seeds, "layer": range(len(layers[0]))}
        )

    one, two = runs([2, 3, 4], [[50, 10], [60, 20], [70, 90]]), runs([2, 3], [[54, 10], [60, 26]])
    found, seeds, made = yardstick.repeats([one, two])
    np.testing.assert_allclose(found, [2, 3])  # half of 4² and of 6², over the two that are free
    assert (seeds, made) == (2, 4)
    with pytest.raises(ValueError, match="the same run"):
        yardstick.repeats([one, two, two.sel(seed=[3])])
    mid = store.recorded("layer_patterns", "mid")
    table = yardstick.table([mid, store.recorded("residual_stream", "mid").isel(recipe=0)], cells)
    of = 100 * mid["final_batch_use"].astype(float).mean("set").sel(layer=1).values
    assert table.iloc[1]["layer 1"] == f"{of.std(ddof=1):.1f}"
    means = [
        100 * cells["final_batch_use"].isel(recipe=at).sel(layer=1).astype(float).mean().item() for at in range(32)
    ]
    assert table.iloc[3]["layer 1"] == f"{np.std(means, ddof=1):.1f}"
