"""Figures of chapter 04: quartiles against loops, what they draw and say, and what they refuse."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch04_feature_specificity import compared, figures
from relusparsity.errors import UserError
from test_feature_specificity import RATE, SELECTIVITY, made


@pytest.fixture(scope="module")
def nearest() -> xr.Dataset:
    return store.recorded("feature_specificity", "wide", "nearest")


@pytest.fixture(scope="module")
def first() -> xr.Dataset:
    return store.recorded("feature_specificity", "wide", "first")


def test_quartiles_by_firing_rate_are_those_of_the_bins_units() -> None:
    rng = np.random.default_rng(0)
    dims = ("seed", "layer", "unit")
    rate = xr.DataArray(10 ** rng.uniform(-2, 1, (2, 3, 300)), dims=dims, coords={"layer": [0, 1, 2]})
    values = xr.DataArray(rng.normal(size=rate.shape), dims=dims, coords={"layer": [0, 1, 2]})
    values[:, 1] = values[:, 1].where(rate[:, 1] > 1)
    found = figures.by_rate(rate, values)
    for layer, at in itertools.product(range(3), range(found.sizes["firing_rate"])):
        centre = float(found["firing_rate"][at])
        own = [
            float(value)
            for r, value in zip(rate[:, layer].values.ravel(), values[:, layer].values.ravel(), strict=True)
            if centre / 10**0.125 <= r < centre * 10**0.125 and np.isfinite(value)
        ]
        expected = np.percentile(own, [25, 50, 75]) if len(own) >= 10 else [np.nan] * 3
        np.testing.assert_allclose(found.values[layer, at], expected)
    assert np.isnan(found.sel(layer=1)).any() and not np.isnan(found.sel(layer=0)).any()


def test_the_difference_in_selectivity_is_among_busy_units(first: xr.Dataset, nearest: xr.Dataset) -> None:
    """As the section on firing rates says in bold, of both recipes."""
    for dataset in (first, nearest):
        rare, busy = (float(each.mean()) for each in compared.rare_and_busy(dataset, 1))
        assert abs(rare) < 0.1 < busy
        quartiles = figures.by_rate(
            100 * dataset["firing_count"] / dataset.attrs["sample_tokens"],
            dataset[RATE] / dataset["within_sequence_rate_random"],
        ).sel(quartile=50)
        gap = (quartiles.sel(layer=5) - quartiles.sel(layer=0)).dropna("firing_rate")
        assert (gap.sel(firing_rate=slice(0, 10)) > 0).all()
        assert float(abs(gap.sel(firing_rate=slice(10, 100))).max()) < 0.01


def test_the_figure_of_delta_draws_every_seed(nearest: xr.Dataset, first: xr.Dataset) -> None:
    drawn = figures.delta({"Wide, nearest": nearest, "Wide, first": first})
    table = pd.read_csv(io.StringIO(drawn.csv), comment="#")
    assert len(table) == 6
    for name in compared.MEASURES:
        expected = [float(v) for each in (nearest, first) for v in compared.deltas(each)[name]]
        np.testing.assert_allclose(table[name], expected, atol=1e-3)
    reached = [int((each >= 0.33).sum()) for each in np.split(table[SELECTIVITY].values, 2)]
    assert reached == [1, 0]
    assert drawn.title == (
        "δ reaches 0.33 for the within-sequence rate in every seed of Wide, nearest and Wide, first, for token "
        "selectivity in 1 of 6 seeds"
    )
    assert drawn.name == "delta-wide-nearest-wide-first"


def test_a_model_that_cannot_be_compared_is_left_out_of_the_figure() -> None:
    few = made({RATE: [0.5], SELECTIVITY: [0.1]}, units=9)
    drawn = figures.delta({"a": made({RATE: [0.5], SELECTIVITY: [0.1]}), "b": few})
    assert drawn.caption.endswith("Of b too few units fire equally often.") and drawn.model == "Smoke, 1 seed"
    with pytest.raises(UserError, match=r"^delta found too few units of the first"):
        figures.delta({"b": few})
    assert figures.specificity(made({RATE: [0.5], SELECTIVITY: [0.1]})).title.startswith("At equal firing rate")


@pytest.mark.parametrize(("delta", "word"), [(0.4, "more"), (-0.4, "less")])
def test_the_title_at_equal_rate_says_which_layer_is_higher(delta: float, word: str) -> None:
    drawn = figures.specificity(made({RATE: [delta, delta], SELECTIVITY: [0.1, 0.1]}))
    assert f"units of layer 1 bunch {word} in sequences than those of layer 0" in drawn.title
    assert "keep more to few token types" in drawn.title


def test_too_little_text_is_one_sentence() -> None:
    dataset = made({RATE: [0.4], SELECTIVITY: [0.1]})
    nothing = dataset.assign({name: np.nan * dataset[name] for name in compared.MEASURES})
    with pytest.raises(UserError, match=r"^specificity found no 10 units .* measure more text$"):
        figures.specificity(nothing)
