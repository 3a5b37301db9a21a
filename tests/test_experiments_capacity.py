"""Chapter 06: widths differ in d_ff alone, every model is measured on the same text, and growth is read right."""

from itertools import combinations, permutations

import numpy as np
import pytest
import xarray as xr

from relusparsity import store
from relusparsity.chapters.ch06_limits_and_capacity import experiment, figures, tables, words
from relusparsity.config import to_dict
from relusparsity.experiments import layer_patterns, sweep_table
from relusparsity.store import results


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return experiment.run(experiment.config("smoke"))


@pytest.mark.parametrize("scale", experiment.WIDTHS)
def test_widths_train_alike(scale: str) -> None:
    config = experiment.config(scale)
    assert {run.model.d_ff for run in (*config.runs, *config.others)} == set(experiment.WIDTHS[scale])
    for run in config.others:
        own, other = to_dict(config.runs[0]), to_dict(run)
        own["model"].pop("d_ff"), other["model"].pop("d_ff")
        own["train"].pop("snapshots"), other["train"].pop("snapshots")  # what is kept, not what is trained
        assert own["model"] == other["model"] and own["train"] == other["train"] and own["seed"] == other["seed"]


def test_used_units_are_units(dataset: xr.Dataset) -> None:
    used = dataset["used_units"]
    known = used.notnull().all("layer")
    assert known.sum("seed").values.tolist() == [1, 1, 3, 1], "three seeds at the shared width, one elsewhere"
    assert bool((used <= used["d_ff"]).where(known, True).all()) and float(used.min()) > 0
    assert bool((dataset["token_units"] <= used).where(known, True).all())


def test_the_shared_width_agrees_with_the_shared_runs(dataset: xr.Dataset) -> None:
    shared = layer_patterns.run(layer_patterns.config("smoke"))
    expected = 64 * shared["batch_use"].isel(step=-1)
    np.testing.assert_allclose(dataset["used_units"].sel(d_ff=64), expected, rtol=1e-6)


def test_provenance_names_the_run_of_every_width(dataset: xr.Dataset) -> None:
    facts = results.provenance(dataset)
    assert len(set(facts["runs"])) == len(facts["wall_seconds"]) == 6, "three seeds and three other widths"


def test_growth_is_the_factor_a_doubling_beside_the_spread_of_seeds() -> None:
    used = np.array([[[10.0, 10.0], [20.0, 10.0], [80.0, 10.0]], [[np.nan] * 2, [25.0, 10.0], [np.nan] * 2]])
    made = xr.Dataset({"used_units": (("seed", "d_ff", "layer"), used)}, {"d_ff": [8, 16, 64], "layer": [0, 1]})
    table = tables.growth(made.assign_attrs(shared_d_ff=16))
    assert table.values.tolist() == [[2.0, 1.0], [2.0, 1.0], [1.25, 1.0]]


def test_a_row_a_width_counts_its_seeds() -> None:
    made = store.recorded("capacity", "laptop")
    table = tables.by_width(made)
    for width, row in zip(made["d_ff"].values, table.itertuples(), strict=True):
        of = made.sel(d_ff=width)
        assert row.Index == f"{width:,}" and row.seeds == int(np.isfinite(of["heldout_loss"]).sum())
        assert row.loss == f"{np.nanmean(of['heldout_loss'].astype(float)):.3f}"
        assert table.loc[row.Index, "layer 3"] == f"{np.nanmean(of['token_units'].sel(layer=3).astype(float)):.0f}"


def test_the_figure_reads_it(dataset: xr.Dataset) -> None:
    assert figures.width(dataset)


def test_what_was_predicted_of_the_stream_stands_as_it_was_written() -> None:
    written = sweep_table.row("residual_stream", "mid").predicted
    assert "8,192 units on 256 numbers keep what 16,384 on 512 do, 83 %; 8,192 on 1,024 keep all; 16,384 on " in written
    assert "1,024 keep 97 and 16,384 on 256 keep 65 %, each within 5 points" in written
    assert "8,192 keep 97 on every stream" in written and "16,384 keep 83 %, within 5 points" in written
    assert tables.PREDICTED == {
        "stream 256, 8,192 units": (83, 97),
        "stream 256, 16,384 units": (65, 83),
        "stream 1,024, 8,192 units": (100, 97),
        "stream 1,024, 16,384 units": (97, 83),
    }
    table = tables.readings(store.recorded("residual_stream", "mid"))
    for row in table.itertuples():
        first, second, came = row[1], row[2], float(row[3])
        near = [name for name, at in (("the first", first), ("the second", second)) if abs(came - at) <= 5]
        assert row[4] == (" and ".join(near) or "neither")


def test_the_prose_of_the_chapter_holds() -> None:
    """Sentences on data that is complete and will not change."""
    long, mid, repeated, streams = (
        store.recorded(name, "mid") for name in ("longer", "layer_patterns", "repetition", "residual_stream")
    )
    use = 100 * long["final_batch_use"].astype(float).mean(["set", "seed"])
    assert float(use.sel(recipe="modern", layer=0)) > 99.5
    large = use.sel(recipe="large embeddings")
    assert large.sel(layer=[1, 2, 3]).max() < 25 < 90 < large.sel(layer=0)
    said = words.longer(long, mid).text
    assert f"at {float(use.sel(recipe='lr × 2', layer=0)):.1f} % after 246 million" in said
    assert f"layer {int(use.sel(recipe='lr × 2').argmin('layer'))} is its lowest" in said
    assert "at 30.8 %" in words.same_tokens(long, mid).text
    read = 100 * repeated["final_batch_use"].astype(float).mean(["set", "seed"]).sel(layer=0)
    assert float(read.sel(recipe="a quarter, four times")) > float(read.sel(recipe="each text once")), "not emptier"
    assert "is not what empties" in words.again(repeated).text
    turned = repeated.assign(final_batch_use=repeated["final_batch_use"][::-1].assign_coords(recipe=repeated["recipe"]))
    assert "Text read again empties layer 0" in words.again(turned).text
    at_first, ends = 30.8, [float(use.sel(recipe="lr × 2", layer=0)), 69.3]
    assert (ends[1] - at_first) / (ends[1] - ends[0]) > 0.8, "most of the difference is there early"
    last = 100 * streams["final_batch_use"].astype(float).mean(["set", "seed"])
    narrow, broad = (last.sel(recipe=f"stream {size}, 8,192 units") for size in ("256", "1,024"))
    assert (broad > narrow).sel(layer=[0, 1, 2, 3]).all(), "early layers keep more on a wider stream"
    wide = store.recorded("residual_stream", "wide")["final_batch_use"].astype(float).mean(["set", "seed"])
    assert wide.isel(recipe=1).sel(layer=5) < wide.isel(recipe=0).sel(layer=5), "which does not bring layer 5 back"
    widths = store.recorded("capacity", "mid")
    share = (widths["used_units"].astype(float).mean("seed") / widths["d_ff"]).isel(d_ff=-1)
    assert 0.645 < float(share.sel(layer=5)) < 0.655 and 0.65 < float(share.sel(layer=0)) < 0.9
    loss = widths["heldout_loss"].astype(float)
    assert "More than 4,096 units buy nothing" in words.paid(widths).text
    assert loss.sel(d_ff=[16_384, 32_768]).min() > loss.sel(d_ff=8_192).min()
    assert "within" in words.repeated(streams, mid).text and "seed 2 " in words.repeated(streams, mid).text
    laptop = tables.growth(store.recorded("capacity", "laptop")).iloc[:-1]
    assert laptop.values.min() > 1.55 and laptop.values.max() < 2.15, "each doubling, 1.6 to 2.1 times"


def test_a_random_order_of_six_layers_passes_row_14_nearly_always() -> None:
    """The prose says so of Kendall's τ under 0.6."""
    pairs = list(combinations(range(6), 2))
    passing = [sum(1 if p[a] < p[b] else -1 for a, b in pairs) < 0.6 * 15 for p in permutations(range(6))]
    assert np.mean(passing) > 0.9
