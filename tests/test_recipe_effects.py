"""Effects of the factorial: what was planted comes out, against hand-worked numbers and means taken one by one."""

import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from relusparsity.errors import UserError
from relusparsity.experiments import factorial, recipe_effects
from relusparsity.experiments.recipe_effects import LOWEST, USE
from relusparsity.store import results

CELLS = np.array(list(factorial.cells()))
NAMES = list(factorial.FACTORS)
D_FF, SETS = 64, 4


def made_up(logit: np.ndarray, lowest: np.ndarray) -> xr.Dataset:
    """A factorial with these endpoints, both (recipe, seed)."""
    fired = (D_FF * SETS + 1) / (1 + np.exp(-logit)) - 0.5
    use = np.full((*logit.shape, SETS, 6), 0.999)
    use[..., 0] = (fired / (D_FF * SETS))[..., None]
    for (cell, seed), layer in np.ndenumerate(lowest):
        use[cell, seed, :, layer] = 0.01
    return xr.Dataset(
        {"final_batch_use": (("recipe", "seed", "set", "layer"), use)},
        {"recipe": [f"cell {i}" for i in range(16)]} | _levels(),
        {"d_ff": D_FF},
    )


def _levels() -> dict[str, tuple[str, list[str], dict[str, str]]]:
    return {
        name: ("recipe", [str(high if level > 0 else low) for level in CELLS[:, k]], {"long_name": field})
        for k, (name, (field, low, high)) in enumerate(factorial.FACTORS.items())
    }


def planted(noise: float = 0.1) -> xr.Dataset:
    x = dict(zip(NAMES, CELLS.T, strict=True))
    cell = 3 + 0.5 * x["lr"] - 0.25 * x["embedding_std"] * x["init"] + 0.125 * x["tied"] * x["lr"]
    sign = np.where(np.arange(16) % 2, 1, -1)
    logit = np.stack([cell + 0.4 + noise * sign, cell - 0.4 - noise * sign], axis=1)  # a seed shifts all its runs
    lowest = np.where(x["embedding_std"] > 0, 3, 1)[:, None].repeat(2, axis=1)
    lowest[0, 1] += 1
    return made_up(logit, lowest)


def test_planted_effects_come_out_with_their_error() -> None:
    found = recipe_effects.effects(planted())
    wanted = dict.fromkeys(found["term"].values.tolist(), 0.0)
    wanted |= {"lr": 1.0, "embedding × init": -0.5, "tied × lr": 0.25}
    at = found.sel(endpoint=USE)
    np.testing.assert_allclose(at["effect"], list(wanted.values()), atol=1e-12)
    # 32 residuals of ±0.1 over 15 degrees of freedom; the seeds' shift of ±0.4 is no error
    reach = 2.131450 * 2 * np.sqrt(32 * 0.01 / 15 / 32)
    np.testing.assert_allclose(at["high"] - at["effect"], reach, rtol=1e-6)
    np.testing.assert_allclose(at["effect"] - at["low"], reach, rtol=1e-6)
    assert int(found.attrs["degrees_of_freedom"]) == 15
    np.testing.assert_allclose(float(at["mean"]), 3, rtol=1e-12)
    lr = 100 / (1 + np.exp(-3.5)) - 100 / (1 + np.exp(-2.5))
    np.testing.assert_allclose(float(found["points"].sel(term="lr")), lr, rtol=1e-12)
    assert set(found["term"].values[at["p_holm"].values < 0.05]) == {"lr", "embedding × init", "tied × lr"}
    lowest = found.sel(endpoint=LOWEST)
    np.testing.assert_allclose(float(lowest["effect"].sel(term="embedding")), 2 - 1 / 16, rtol=1e-12)


def test_effects_are_differences_of_means_on_the_recorded_runs() -> None:
    recorded = results.recorded("factorial", "mid")
    found, y = recipe_effects.effects(recorded), recipe_effects.endpoints(recorded)
    terms = [*((k,) for k in range(5)), *combinations(range(5), 2)]
    assert found.sizes["term"] == len(terms) == 15
    for endpoint in (USE, LOWEST):
        runs = y[endpoint].transpose("recipe", "seed").values
        for k, term in enumerate(terms):
            high = CELLS[:, list(term)].prod(axis=1) > 0
            by_hand = runs[high].mean() - runs[~high].mean()
            assert float(found["effect"].sel(endpoint=endpoint)[k]) == pytest.approx(by_hand, abs=1e-12)
        # with every cell fitted, the error is how the seeds differ from cell to cell
        apart = runs[:, 1] - runs[:, 0]
        error = np.sqrt(((apart - apart.mean()) ** 2).sum() / 2 / 15 / 8)
        here = found.sel(endpoint=endpoint)
        np.testing.assert_allclose((here["high"] - here["low"]) / 2, 2.1314495 * error, rtol=1e-6)


def test_the_design_is_orthogonal_and_its_factors_are_the_recorded_ones() -> None:
    recorded = results.recorded("factorial", "mid")
    columns = recipe_effects.design(recorded)
    np.testing.assert_array_equal(columns.T.values @ columns.values, 16 * np.eye(15))
    assert not columns.sum().any()
    np.testing.assert_array_equal(columns.values[:, :5], CELLS)
    said = recipe_effects.factors(recorded)
    wanted = [[field, str(low), str(high)] for field, low, high in factorial.FACTORS.values()]
    assert said.values.tolist() == wanted and said.index.tolist() == NAMES


def test_holm_by_hand() -> None:
    assert recipe_effects.holm(np.array([0.01, 0.02, 0.03, 0.005])).round(6).tolist() == [0.03, 0.04, 0.04, 0.02]
    assert recipe_effects.holm(np.array([0.4, 0.9, 0.6])).tolist() == [1, 1, 1]


@pytest.mark.parametrize(("freedom", "wanted"), [(1, 12.706), (7, 2.3646), (10, 2.2281), (15, 2.1314), (120, 1.9799)])
def test_intervals_of_two_groups_are_those_of_the_printed_table_of_students_t(freedom: int, wanted: float) -> None:
    level = np.resize([1.0, -1.0, 1.0], freedom + 2)
    columns, y = np.column_stack([np.ones_like(level), level]), np.random.default_rng(0).normal(size=len(level))
    high, low = y[level > 0], y[level < 0]
    pooled = (high.var() * len(high) + low.var() * len(low)) / freedom
    reach = wanted * np.sqrt(pooled / len(high) + pooled / len(low))
    fit = recipe_effects._fit(columns, y, 1)
    effect = high.mean() - low.mean()
    assert fit["effect"] == pytest.approx([effect])
    assert [*fit["low"], *fit["high"]] == pytest.approx([effect - reach, effect + reach], abs=5e-5 * reach)
    for moved, p in ((effect - reach, 0.05), (effect + reach, 0.05), (effect, 1)):  # to an end of the interval, to 0
        at_end = recipe_effects._fit(columns, y - level * moved / 2, 1)
        assert at_end["p"] == pytest.approx([p], rel=1e-3)


def test_a_share_of_one_has_the_largest_logit_and_ties_share_their_index() -> None:
    dataset = planted()
    dataset["final_batch_use"][2, 0] = 1.0
    dataset["final_batch_use"][3, 0, :, 0] = 1 - 1 / (D_FF * SETS)
    fine, coarse = recipe_effects.endpoints(dataset), recipe_effects.endpoints(dataset, one_set=True)
    assert float(fine[USE][2, 0]) == pytest.approx(np.log(2 * D_FF * SETS + 1))
    assert float(coarse[USE][2, 0]) == pytest.approx(np.log(2 * D_FF + 1))
    assert float(fine[USE][3, 0]) == pytest.approx(np.log((D_FF * SETS - 0.5) / 1.5))
    assert float(fine[LOWEST][2, 0]) == 2.5
    counted = recipe_effects.ceilings(dataset)
    assert (
        counted["runs with a batch use of layer 0 of exactly 1"]
        == counted["runs in which layers tie for the lowest"]
        == 1
    )


def test_recipes_that_empty_no_layer_are_left_out_on_request() -> None:
    dataset = planted()
    # cells 5 and 6 full: their lowest index, 3 of noise, no longer counts
    dataset["final_batch_use"][5:7] = 0.9995
    dataset["final_batch_use"][5:7, :, :, 5] = 0.999
    table = recipe_effects.without_full_recipes(dataset)
    assert table.columns[0] == "effect, all (16)" and table.columns[2] == "effect, emptied (14)"
    kept = np.r_[0:5, 7:16]
    x, y = np.c_[np.ones(14), CELLS[kept]], recipe_effects.endpoints(dataset)[LOWEST].mean("seed").values[kept]
    np.testing.assert_allclose(table["effect, emptied (14)"], (2 * np.linalg.solve(x.T @ x, x.T @ y))[1:], atol=0.0051)


def test_tables_show_the_largest_effect_first() -> None:
    found = recipe_effects.effects(planted())
    table = recipe_effects.table(found, USE)
    assert table.index[:3].tolist() == ["lr", "embedding × init", "tied × lr"]
    assert table["effect"].iloc[0] == 1 and table["p, Holm"].iloc[0] == "< 0.001"
    assert "points at the mean" not in recipe_effects.table(found, LOWEST)
    assert "−" in table["95 % interval"].iloc[1] and "-" not in "".join(table["95 % interval"])
    coarser = recipe_effects.coarser_logit(planted())
    np.testing.assert_allclose(coarser["effect, all sets"].sort_index(), table["effect"].sort_index())


def test_the_last_layer_is_a_third_endpoint_for_those_who_ask() -> None:
    dataset = planted()
    use = dataset["final_batch_use"].copy()
    use[..., 5] = use[..., 0]  # then what is found of the last layer is what is found of the first
    found = recipe_effects.effects(dataset.assign(final_batch_use=use), last=True)
    assert found["endpoint"].values.tolist() == [USE, LOWEST, recipe_effects.LAST]
    expected = recipe_effects.effects(dataset).sel(endpoint=USE)["effect"]
    np.testing.assert_allclose(found["effect"].sel(endpoint=recipe_effects.LAST), expected)
    np.testing.assert_allclose(found["effect"].sel(endpoint=USE), expected)


def test_what_cannot_be_analysed_is_refused() -> None:
    dataset = planted()
    with pytest.raises(UserError, match="15 recipes do not separate 15 main effects and pairs"):
        recipe_effects.effects(dataset.isel(recipe=slice(15)))
    with pytest.raises(UserError, match="two seeds"):
        recipe_effects.effects(dataset.isel(seed=[0]))
    with pytest.raises(UserError, match="differ in 0 factors"):
        recipe_effects.effects(dataset.drop_vars(NAMES).assign_coords(changed=("recipe", ["x"] * 16)))
    with pytest.raises(UserError, match=r"'lr' has the levels \['0.001'\]"):
        recipe_effects.effects(dataset.isel(recipe=dataset["lr"].values == "0.001"))
    with pytest.raises(UserError, match="nothing measures its error"):
        recipe_effects.effects(made_up(np.full((16, 2), 2.0), np.ones((16, 2), int)))
    dataset["final_batch_use"][4, 1] = np.nan
    with pytest.raises(UserError, match="diverged, or was not measured"):
        recipe_effects.effects(dataset)


def test_effects_and_claims_are_read_without_what_is_slow_to_import() -> None:
    code = """if True:
        import sys
        from relusparsity import claims, plots
        from relusparsity.experiments import recipe_effects
        print({"matplotlib", "scipy.stats", "torch"} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.split() == ["set()"], done.stderr
