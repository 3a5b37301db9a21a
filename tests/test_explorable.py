"""The recipes under the reader's hand hold the recorded numbers, all of them, and say them in words."""

import json
import re
from html import unescape

import numpy as np
import pytest
import xarray as xr

from relusparsity.plots import explorable
from relusparsity.store import results


@pytest.fixture(scope="module")
def halves() -> list[xr.Dataset]:
    return [results.recorded(name, "mid") for name in ("factorial", "other_half")]


def test_every_combination_has_the_recorded_numbers(halves: list[xr.Dataset]) -> None:
    known = explorable.cells(halves)
    assert len(known) == 2 ** len(explorable.SWITCHES)
    for half in halves:
        for recipe in half["recipe"].values:
            one = half.sel(recipe=recipe)
            cell = known[" ".join(str(one[factor].item()) for factor in explorable.SWITCHES)]
            for name, over in {"use": np.mean, "low": np.min, "high": np.max}.items():
                by_seed = [100 * one["final_batch_use"].sel(seed=seed).mean("set").values for seed in one["seed"]]
                np.testing.assert_allclose(cell[name], over(by_seed, axis=0), atol=0.051)
            assert cell["loss"] == pytest.approx(float(one["final_loss"].mean()), abs=0.0051)


def test_the_page_holds_them_and_says_what_it_shows_first(halves: list[xr.Dataset]) -> None:
    html = explorable.explorable(halves, "Mid & more.")
    known = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', html)[0])
    assert known == explorable.cells(halves) and "Mid &amp; more." in html
    first = known[" ".join(explorable.START)]
    assert explorable.said(first) in html
    assert f"Layer {np.argmin(first['use'])} is the lowest" in explorable.said(first)
    for level in explorable.START:
        assert f'value="{level}" checked' in html
    assert "<noscript><p>Shown: embeddings 0.02, tied, decay 1, Xavier, rate 3e-4.</p></noscript>" in html
    assert html.count("<svg") == len(known) == html.count('role="img"')
    labels = [unescape(label) for label in re.findall(r"<title>(.*?)</title>", html)]
    assert len(set(labels)) == len(known), "each small multiple is described by what it shows"


def test_a_recipe_that_diverged_has_no_cell(halves: list[xr.Dataset]) -> None:
    use = halves[0]["final_batch_use"].astype(float).copy()
    use[{"recipe": 3}] = np.nan
    assert len(explorable.cells([halves[0].assign(final_batch_use=use)])) == halves[0].sizes["recipe"] - 1
