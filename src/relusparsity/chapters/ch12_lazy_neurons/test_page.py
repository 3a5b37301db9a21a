"""What the page of chapter 12 says, tabulates and draws, against loops over the recorded datasets."""

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.experiments import first_gradient, lazy_pictures, preactivation_drift

from . import figures, read, short, tables, words

LAYERS, UNITS = 6, 768


@pytest.fixture(scope="module")
def pictures() -> xr.Dataset:
    return store.recorded("lazy_pictures", "fashion")


@pytest.fixture(scope="module")
def drift() -> xr.Dataset:
    return store.recorded("preactivation_drift", "laptop")


def share(dataset: xr.Dataset, arm: str, layers: int = LAYERS) -> np.ndarray:
    """Percent of positive entries at the end, by seed."""
    return 100 * dataset["final_token_use"].sel(recipe=arm).transpose("seed", "layer").values[:, :layers].mean(1)


def test_the_share_at_the_end_is_that_of_the_recorded_runs(pictures: xr.Dataset) -> None:
    end = share(pictures, "as it is")
    said, table = words.of_pictures(pictures).text, tables.shares(pictures)
    spread = f"{end.min():.1f} to {end.max():.1f}"
    assert f"{end.mean():.0f} % of the entries are positive at the end** ({spread} over 3 seeds)" in said
    assert table.loc["as it is", "end"] == f"{end.mean():.1f} ({spread})"
    assert table.loc["GELU"].eq("not run").all() and f"comes to {end.mean():.0f} %" in short.in_short().finding
    batch = pictures["final_batch_use"].sel(recipe="as it is").transpose("layer", ...).values[:LAYERS]
    assert f"{100 * batch.mean():.1f} % of them fire at least once in a set" in said
    way = 100 * pictures["token_use"].sel(recipe="as it is").transpose("layer", ...).values[:LAYERS].mean((0, 1))
    assert f"falls to {way.min():.0f} %, and rises to {way[-1]:.0f} % by the end" in said and way.min() < way[-1]


def test_width_and_depth_are_compared_as_they_came(pictures: xr.Dataset) -> None:
    narrow, wide = (share(pictures, arm).mean() for arm in ("a quarter of the units", "4 × the units"))
    said = words.of_size(pictures).text
    assert f"With 16 times the units the share falls from {narrow:.0f} to {wide:.0f} %" in said
    assert f"{16 * wide / narrow:.1f} times as many units are positive" in said
    deep = [share(pictures, arm, n).mean() for arm, n in (("half of the layers", 3), ("2 × the layers", 12))]
    assert f"{deep[0]:.0f} % with 3" in said and f"{deep[1]:.0f} % with 12 layers" in said
    drawn = read.by_width(pictures)
    assert drawn["width"].values.tolist() == [192, 384, 768, 1536, 3072] and drawn.attrs["usual"] == 768
    np.testing.assert_allclose(drawn["positive"].sel(width=3072).mean(("seed", "layer")), wide, rtol=1e-6)


def test_noise_is_counted_among_the_units_that_fire(pictures: xr.Dataset) -> None:
    arm = "fresh random pixels and labels"
    use, silent = (
        pictures[name].sel(recipe=arm).isel(step=-1).transpose("seed", "layer").values[:, :LAYERS]
        for name in ("token_use", "silent_units")
    )
    living = 100 * (use / (1 - silent / UNITS)).mean()
    drawn = read.by_data(pictures)["positive"].sel(among=read.LIVING, arm=arm).isel(step=-1).mean()
    assert float(drawn) == pytest.approx(living) and living > 50
    said = words.of_data(pictures).text
    assert f"{100 * silent.mean() / UNITS:.0f} % of the units fall silent" in said
    ratio = [
        share(pictures, each) / (100 * pictures["token_use"].sel(recipe=each).isel(step=0).values[:, :LAYERS].mean(1))
        for each in lazy_pictures.NO_DATA
    ]
    below = int((np.array(ratio) < 0.5).sum())
    assert f"{below} of 9 runs have that" in said and f"({below} of 9 runs below" in short.in_short().lines[0]


def test_of_whole_runs_is_said_where_the_share_goes(drift: xr.Dataset) -> None:
    change = 100 * (drift["positive"].isel(step=-1) - drift["positive"].isel(step=0)).mean("seed")
    digits = [arm for arm in drift["arm"].values if str(arm).startswith("digits")]
    down = drift["gradient"].isel(step=0).mean(("seed", "optimizer")) > 0
    drawn = [arm for arm in drift["arm"].values if arm not in digits]
    lowered, raised = ([a for a in drawn if bool(down.sel(arm=a)) == way] for way in (True, False))
    falls = [a for a in lowered if (change.sel(arm=a) < 0).all()]
    rises = [a for a in raised if (change.sel(arm=a) > 0).all()]
    said = words.over_runs(drift).text
    assert f"In {len(rises)} of {len(raised)} arms whose first gradient raises" in said
    assert f"Of the {len(lowered)} that it lowers, {len(falls)} ends with fewer (*{falls[0]}*)" in said
    finding = figures.drift(read.whole_runs(drift)).title
    assert f"Of {len(lowered)} arms" in finding and f"of {len(raised)} whose" in finding
    points = change.sel(arm=digits).values
    assert f"rises by {points.min():.0f} to {points.max():.0f} points" in said
    table = tables.over_runs(drift)
    assert table.index.tolist() == list(preactivation_drift.ARMS)


def test_the_first_steps_table_and_sentence_agree() -> None:
    dataset = store.recorded("first_gradient", "laptop")
    gradient = dataset["gradient"].sel(arm=first_gradient.RANDOM).values
    percent = 100 * gradient.mean() / dataset["theorem"].sel(arm=first_gradient.RANDOM).values.mean()
    assert f"is {percent:.0f} % of the theorem's** (20 seeds)" in words.of_two_layers(dataset).text
    assert "the sign turns" in words.of_two_layers(dataset).text
    table = tables.first_step(dataset)
    assert table.loc[first_gradient.RANDOM, "above 0"] == f"{(gradient > 0).sum()} of 20"


def test_layers_whose_sign_is_not_known_are_counted() -> None:
    dataset = store.recorded("first_gradient_by_layer", "laptop")
    table, said = tables.by_layer(dataset), words.of_layers(dataset).text
    as_is = table.xs("as it is", level="final norm")[["down", "up", "open"]].astype(int).sum()
    assert f"of {as_is.sum()} layers" in said and f"{as_is['down']} are surely pushed down" in said
    assert f"in {as_is['open']} the 95 % interval of {dataset.sizes['seed']} seeds" in said


def test_each_figure_tells_what_it_shows(pictures: xr.Dataset, drift: xr.Dataset) -> None:
    drawn = [
        figures.over_training(read.as_it_is(pictures)),
        figures.widths(read.by_width(pictures)),
        figures.no_data(read.by_data(pictures)),
        figures.drift(read.whole_runs(drift)),
    ]
    states = [len(each.chart["control"]["states"]) if each.chart.get("control") else 0 for each in drawn]
    assert states == [0, 5, 2, 9] and all(each.alt for each in drawn)
    assert [each.model for each in drawn[1:3]] == ["Fashion, 3 seeds"] * 2 and "64 units" in drawn[3].model
