"""What the page of chapter 12 says, tabulates and draws, against loops over the recorded datasets."""

from pathlib import Path

import numpy as np
import pytest
import scipy
import xarray as xr

from relusparsity import store
from relusparsity.experiments import (
    first_gradient,
    first_gradient_by_layer,
    lazy_pictures,
    preactivation_drift,
)
from relusparsity.store import results

from . import figures, read, short, tables, words

LAYERS, UNITS = 6, 768
VIT_BASE = 86e6
"""Parameters of ViT-B/16, of which Li et al. report: Dosovitskiy et al. 2021, arXiv 2010.11929, Table 1."""


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
    assert table.loc["GELU", "end"] == f"{share(pictures, 'GELU').mean():.1f} (40.0 to 41.0)"
    assert f"unasked: {end.mean():.0f} % of what their hidden units give" in short.in_short().finding
    batch = pictures["final_batch_use"].sel(recipe="as it is").transpose("layer", ...).values[:LAYERS]
    assert f"{100 * batch.mean():.1f} % of them fire at least once in a set of 128 pictures" in said


def test_the_way_there_falls_and_rises(pictures: xr.Dataset) -> None:
    of = 100 * pictures["token_use"].sel(recipe="as it is").transpose("layer", "seed", "step").values[:LAYERS].mean(1)
    way, rest = of.mean(0), of[:-1].mean(0)
    at = way.argmin()
    said = words.on_the_way(pictures).text
    assert f"falls to {way[at]:.1f} % at {pictures['tokens'].values[at] / 1e6:.0f} million tokens" in said
    assert f"back at {way[-1]:.1f} %" in said and f"({of[-1][at]:.0f} to {of[-1][-1]:.0f} %)" in said
    assert f"from {rest[at]:.1f} to {rest[-1]:.1f} %" in said
    assert (of[-1][-1] - of[-1][at]) / LAYERS == pytest.approx((way[-1] - way[at]) / 2, rel=0.2), "half of the rise"
    loss, trained = (
        pictures[name].sel(recipe="as it is").mean("seed").values for name in ("heldout_loss", "train_loss")
    )
    assert f"from {loss.min():.3f} to {loss[-1]:.3f} at the end" in said and trained[-1] < trained[loss.argmin()]
    told = words.recipe(pictures).text
    assert (
        "A stream of 192 with 3 heads; 64 patches of 4 × 4 pixels" in told
        and "2,000 steps of 512 pictures, 20 pa" in told
    )


def test_width_and_depth_are_compared_as_they_came(pictures: xr.Dataset) -> None:
    narrow, wide = (share(pictures, arm).mean() for arm in ("a quarter of the units", "4 × the units"))
    said = words.of_size(pictures).text
    assert "−1.0, −0.8, −1.0 in 3 seeds" in said
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
        pictures[name].sel(recipe=arm).isel(step=-1).transpose("seed", "layer").values[:, :LAYERS].astype(float)
        for name in ("token_use", "silent_units")
    )
    alive = 1 - silent / UNITS
    living = (100 * use.sum(1) / alive.sum(1)).mean()
    drawn = read.by_data(pictures)["positive"].sel(among=read.LIVING, arm=arm).isel(step=-1).mean()
    assert float(drawn) == pytest.approx(living) and living > 50
    said = words.of_noise(pictures).text
    assert f"{100 * silent.mean() / UNITS:.0f} % of the units are silent at the end, and the others fire" in said
    assert f"fire at {living:.0f} % of the patches, more than before training" in said
    by_layer, firing = 100 * (1 - alive).mean(0), (100 * use / alive).mean(0)
    many = by_layer > 50
    assert f"{by_layer[many].min():.0f} to {by_layer[many].max():.0f} % are silent" in said and not many[0]
    assert f"fire at {firing[many].min():.0f} to {firing[many].max():.0f} %, while layer 0" in said
    assert tables.shares(pictures).loc[arm, "of units that fire"] == f"{living:.1f}"


def test_random_data_are_compared_with_the_pictures(pictures: xr.Dataset) -> None:
    def ratio(arm: str) -> np.ndarray:
        return share(pictures, arm) / pictures["token_use"].sel(recipe=arm).isel(step=0).values[:, :LAYERS].mean(1)

    drawn, own = np.array([ratio(each) for each in lazy_pictures.NO_DATA]), ratio("as it is")
    said, below = words.of_data(pictures).text, int((drawn < 50).sum())
    assert f"end at {drawn.min():.1f} to {drawn.max():.1f} % of their start" in said
    assert f"the pictures at {own.min():.1f} to {own.max():.1f} %" in said
    assert f"and {below} of 9 have that" in said and f"({below} of 9)" in short.in_short().lines[0]
    loss = pictures["train_loss"].sel(recipe=list(lazy_pictures.NO_DATA)).values
    assert f"never goes below {np.nanmin(loss):.3f}, where guessing evenly gives 2.303" in said


def test_of_whole_runs_is_said_where_the_share_goes(drift: xr.Dataset) -> None:
    change = 100 * (drift["positive"].isel(step=-1) - drift["positive"].isel(step=0)).mean("seed")
    rises = (change > 0).sum("arm")
    said, finding = words.over_runs(drift).text, figures.ends(read.whole_runs(drift)).title
    for by in ("SGD", "Adam"):
        assert f"{int(rises.sel(optimizer=by))} of 12 arms by {by}" in said
        assert f"{int(rises.sel(optimizer=by))} by {by}" in finding
    falls = [str(arm) for arm in change["arm"].values if bool((change.sel(arm=arm) < 0).all())]
    assert len(falls) == 1 and f"it falls in 1: *{falls[0]}*" in said
    assert float(drift["gradient"].sel(arm="random labels", step=10).mean("seed").max()) < 0, "the gradient turns"
    drawn = read.whole_runs(drift)
    last = 100 * (drift["positive"].isel(step=-1) - drift["positive"].isel(step=0)).sel(arm="digits", optimizer="SGD")
    half = scipy.stats.t.ppf(0.975, 19) * last.values.std(ddof=1) / np.sqrt(20)
    assert float(drawn["half"].sel(arm="digits", optimizer="SGD")) == pytest.approx(half, rel=1e-4)
    assert tables.over_runs(drift).index.levels[0].size == len(preactivation_drift.ARMS)


def test_the_first_steps_table_and_sentence_agree() -> None:
    dataset = store.recorded("first_gradient", "laptop")
    gradient = dataset["gradient"].sel(arm=first_gradient.RANDOM).values
    percent = 100 * gradient.mean() / dataset["theorem"].sel(arm=first_gradient.RANDOM).values.mean()
    assert f"is {percent:.0f} % of what (12.1) says** (95 % interval" in words.of_two_layers(dataset).text
    assert "the sign turns" in words.of_two_layers(dataset).text
    table = tables.first_step(dataset)
    assert table.loc[first_gradient.RANDOM, "above 0"] == f"{(gradient > 0).sum()} of 20"


def test_layers_whose_sign_is_not_known_are_counted() -> None:
    dataset = store.recorded("first_gradient_by_layer", "laptop")
    table, said = tables.by_layer(dataset), words.of_layers(dataset).text
    as_is = table.xs("as it is", level="final norm")[["down", "up", "open"]].astype(int).sum()
    assert f"Of {as_is.sum()} cases" in said and f"{as_is['down']} have a 95 % interval above 0" in said
    held = table.xs("the final norm's scale held", level="final norm")["down"].astype(int).sum()
    assert f"constant, {held} are pushed down" in said


def gone(dataset: xr.Dataset, arm: str) -> xr.Dataset:
    """Without what the runs of an arm measured."""
    return dataset.map(lambda of: of.astype(float).where(of["recipe"] != arm) if "recipe" in of.dims else of)


def test_what_is_said_of_pictures_that_are_missing_is_that_they_are_to_come(pictures: xr.Dataset) -> None:
    for of in (words.of_pictures, words.on_the_way, words.of_size, words.of_data, words.of_noise):
        assert of(gone(pictures, "as it is")).text == (
            "**Still to come**: no run of *as it is* has come to its end yet."
        )


def test_each_figure_tells_what_it_shows(pictures: xr.Dataset, drift: xr.Dataset) -> None:
    drawn = [
        figures.over_training(read.as_it_is(pictures)),
        figures.widths(read.by_width(pictures)),
        figures.no_data(read.by_data(pictures)),
        figures.drift(read.whole_runs(drift)),
        figures.ends(read.whole_runs(drift)),
    ]
    states = [len(each.chart["control"]["states"]) if each.chart.get("control") else 0 for each in drawn]
    assert states == [0, 5, 0, 9, 0] and all(each.alt for each in drawn)
    assert "Tokens are patches, 64 a picture" in drawn[0].caption
    assert [each.model for each in drawn[1:3]] == ["Fashion, 3 seeds"] * 2 and "64 units" in drawn[3].model


def test_the_notebook_has_the_numbers_of_its_data(root: Path, pictures: xr.Dataset, drift: xr.Dataset) -> None:
    page = (root / "notebooks/12_lazy_neurons.py").read_text().replace("\n# ", " ")
    first, by_layer = read.measured(first_gradient, first_gradient_by_layer)
    one, two = (results.provenance(each)["config"] for each in (first, drift))
    network, small, steps = one[first_gradient.RANDOM], two[first_gradient.RANDOM], two["steps"]
    models = [results.provenance(by_layer)["config"][shape]["model"] for shape in ("smoke", "laptop", "digits")]
    sizes = [f"{model['n_layers']} × {model['d_ff']:,}" for model in models]
    spelt = {3: "three", 30: "thirty", 40: "Forty"}
    times = VIT_BASE / results.provenance(pictures)["parameters"]
    expected = [
        f"percent: mean of {spelt[pictures.sizes['seed']]} seeds, with the range",
        f"what came. Mean of {spelt[pictures.sizes['seed']]} seeds",
        f"{network['units']} units, {network['classes']} classes, V of standard deviation {network['std']:g}",
        f"real labels, {by_layer.sizes['seed']} seeds. Each",
        f"{spelt[by_layer.sizes['seed']]} seeds cannot tell",
        f"Smoke: {sizes[0]} units, Laptop: {sizes[1]}, Digits: {sizes[2]}",
        f"({small['units']} units, {small['classes']} classes, {small['samples']} samples that stay)",
        f"train for {steps} steps, on labels",
        f"before and after {steps} steps",
        f"what came. Mean of {drift.sizes['seed']} seeds",
        f"has {spelt[round(times, -1)]} times the weights",
    ]
    assert [each for each in expected if each not in page] == []
